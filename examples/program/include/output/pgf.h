/* A histogram as a picture that LaTeX draws with the tikz package. */
#ifndef FIGURES_OUTPUT_PGF_H
#define FIGURES_OUTPUT_PGF_H

#include "core/buffer.h"
#include "stats/histogram.h"

/* A picture 10 cm wide and 5 cm high, with the edges of the bins and the greatest count at its axes. */
void add_picture(struct buffer *out, const struct histogram *histogram, const char *label);

#endif
