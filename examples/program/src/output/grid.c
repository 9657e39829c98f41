#include "output/grid.h"

#include <string.h>

#include "output/decimals.h"

void grid_start(struct grid *grid, const char *const *head, size_t columns)
{
    size_t i;
    memset(grid, 0, sizeof *grid);
    grid->columns = columns;
    for (i = 0; i < columns; i++)
        words_add(&grid->cells, head[i]);
}

void grid_end(struct grid *grid)
{
    words_end(&grid->cells);
}

void grid_text(struct grid *grid, const char *text)
{
    words_add(&grid->cells, text);
}

void grid_number(struct grid *grid, double value, int digits)
{
    struct buffer text;
    buffer_start(&text);
    add_decimal(&text, value, digits);
    words_add(&grid->cells, text.text);
    buffer_end(&text);
}

size_t grid_rows(const struct grid *grid)
{
    return grid->cells.count / grid->columns;
}

const char *grid_cell(const struct grid *grid, size_t row, size_t column)
{
    return grid->cells.at[row * grid->columns + column];
}
