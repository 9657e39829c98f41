/* A histogram as bars of text. */
#ifndef FIGURES_OUTPUT_BARS_H
#define FIGURES_OUTPUT_BARS_H

#include "core/buffer.h"
#include "stats/histogram.h"

void add_bars(struct buffer *out, const struct histogram *histogram);

#endif
