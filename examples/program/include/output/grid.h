/* A table of texts, row by row; how it looks is for others to say. */
#ifndef FIGURES_OUTPUT_GRID_H
#define FIGURES_OUTPUT_GRID_H

#include "core/words.h"

struct grid {
    size_t columns;
    struct words cells; /* of all rows one behind the other; the first row is the head */
};

void grid_start(struct grid *grid, const char *const *head, size_t columns);
void grid_end(struct grid *grid);
void grid_text(struct grid *grid, const char *text);
void grid_number(struct grid *grid, double value, int digits);
size_t grid_rows(const struct grid *grid);
const char *grid_cell(const struct grid *grid, size_t row, size_t column);

#endif
