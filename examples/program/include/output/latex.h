/* Text and grids for LaTeX. */
#ifndef FIGURES_OUTPUT_LATEX_H
#define FIGURES_OUTPUT_LATEX_H

#include "core/buffer.h"
#include "output/grid.h"

void add_latex_text(struct buffer *out, const char *text); /* special characters made harmless */
void add_latex_table(struct buffer *out, const struct grid *grid);

#endif
