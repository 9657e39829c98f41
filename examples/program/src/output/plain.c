#include "output/plain.h"

#include <stdlib.h>

#include "core/memory.h"

size_t shown_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static size_t *widths_of(const struct grid *grid)
{
    size_t *widths = get_memory(grid->columns, sizeof *widths);
    size_t row, column;
    for (row = 0; row < grid_rows(grid); row++)
        for (column = 0; column < grid->columns; column++) {
            size_t width = shown_width(grid_cell(grid, row, column));
            if (width > widths[column])
                widths[column] = width;
        }
    return widths;
}

static void add_row(struct buffer *out, const struct grid *grid, size_t row, const size_t *widths)
{
    size_t column;
    for (column = 0; column < grid->columns; column++) {
        const char *cell = grid_cell(grid, row, column);
        size_t room = widths[column] - shown_width(cell);
        if (column) {
            buffer_repeat(out, ' ', room + 2);
            buffer_add_text(out, cell);
        } else {
            buffer_add_text(out, cell);
            buffer_repeat(out, ' ', room);
        }
    }
    buffer_add_char(out, '\n');
}

void add_plain_table(struct buffer *out, const struct grid *grid)
{
    size_t *widths = widths_of(grid), whole = 2 * (grid->columns - 1), i;
    for (i = 0; i < grid->columns; i++)
        whole += widths[i];
    for (i = 0; i < grid_rows(grid); i++) {
        add_row(out, grid, i, widths);
        if (i == 0) {
            buffer_repeat(out, '-', whole);
            buffer_add_char(out, '\n');
        }
    }
    free(widths);
}
