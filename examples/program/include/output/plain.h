/* A grid as plain text: the first column to the left, the others to the right. */
#ifndef FIGURES_OUTPUT_PLAIN_H
#define FIGURES_OUTPUT_PLAIN_H

#include "core/buffer.h"
#include "output/grid.h"

void add_plain_table(struct buffer *out, const struct grid *grid);

/* How many columns of a terminal a UTF-8 text fills, if each character fills one. */
size_t shown_width(const char *text);

#endif
