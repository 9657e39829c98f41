#include "output/latex.h"

#include <string.h>

void add_latex_text(struct buffer *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '\\': buffer_add_text(out, "\\textbackslash{}"); break;
        case '~': buffer_add_text(out, "\\textasciitilde{}"); break;
        case '^': buffer_add_text(out, "\\textasciicircum{}"); break;
        default:
            if (strchr("&%$#_{}", *text))
                buffer_add_char(out, '\\');
            buffer_add_char(out, *text);
        }
}

static void add_row(struct buffer *out, const struct grid *grid, size_t row)
{
    size_t column;
    for (column = 0; column < grid->columns; column++) {
        const char *cell = grid_cell(grid, row, column);
        int negative = column && row && *cell == '-';
        buffer_add_text(out, column ? " & " : "  ");
        if (negative)
            buffer_add_text(out, "$-$");
        add_latex_text(out, cell + negative);
    }
    buffer_add_text(out, " \\\\\n");
}

void add_latex_table(struct buffer *out, const struct grid *grid)
{
    size_t row;
    buffer_add_text(out, "\\begin{tabular}{l");
    buffer_repeat(out, 'r', grid->columns - 1);
    buffer_add_text(out, "}\n  \\hline\n");
    for (row = 0; row < grid_rows(grid); row++) {
        add_row(out, grid, row);
        if (row == 0)
            buffer_add_text(out, "  \\hline\n");
    }
    buffer_add_text(out, "  \\hline\n\\end{tabular}\n");
}
