#include "app/reports.h"

#include "output/grid.h"
#include "output/latex.h"
#include "output/plain.h"
#include "stats/correlation.h"
#include "stats/groups.h"
#include "stats/line.h"

static const char *const HEAD[] = {"", "n", "Pearson", "Spearman", "slope", "at zero", "error"};
enum { COLUMNS = sizeof HEAD / sizeof *HEAD, DIGITS = 4 };

static void add_row(struct grid *grid, const char *name, const struct numbers *x, const struct numbers *y)
{
    struct line line = line_through(x, y);
    grid_text(grid, name);
    grid_number(grid, (double)x->count, 0);
    grid_number(grid, correlation(x, y), DIGITS);
    grid_number(grid, rank_correlation(x, y), DIGITS);
    grid_number(grid, line.slope, DIGITS);
    grid_number(grid, line.start, DIGITS);
    grid_number(grid, line.error, DIGITS);
}

void add_relation(struct buffer *out, const struct table *table, const struct options *options)
{
    struct numbers *x = groups_of(table, 0), *y = groups_of(table, 1);
    struct grid grid;
    size_t group;
    grid_start(&grid, HEAD, COLUMNS);
    for (group = 0; group < table->keys.words.count; group++)
        add_row(&grid, table->keys.words.at[group], &x[group], &y[group]);
    if (options->style == STYLE_LATEX)
        add_latex_table(out, &grid);
    else
        add_plain_table(out, &grid);
    grid_end(&grid);
    groups_end(x, table);
    groups_end(y, table);
}
