#include "app/reports.h"

#include "output/grid.h"
#include "output/latex.h"
#include "output/plain.h"
#include "stats/groups.h"
#include "stats/summary.h"

static const char *const HEAD[] = {
    "", "n", "mean", "deviation", "skewness", "least", "quartile", "median", "quartile", "greatest", "outliers",
};
enum { COLUMNS = sizeof HEAD / sizeof *HEAD, DIGITS = 3 };

static void add_row(struct grid *grid, const char *name, const struct summary *summary)
{
    grid_text(grid, name);
    grid_number(grid, (double)summary->count, 0);
    grid_number(grid, summary->moments.mean, DIGITS);
    grid_number(grid, summary->moments.deviation, DIGITS);
    grid_number(grid, summary->moments.skewness, DIGITS);
    grid_number(grid, summary->least, DIGITS);
    grid_number(grid, summary->first_quartile, DIGITS);
    grid_number(grid, summary->median, DIGITS);
    grid_number(grid, summary->third_quartile, DIGITS);
    grid_number(grid, summary->greatest, DIGITS);
    grid_number(grid, (double)summary->outliers, 0);
}

static void add_column(struct grid *grid, const struct table *table, size_t column, const char *name)
{
    struct numbers *groups = groups_of(table, column);
    struct buffer label;
    size_t group;
    buffer_start(&label);
    for (group = 0; group < table->keys.words.count; group++) {
        struct summary summary = summary_of(&groups[group]);
        buffer_clear(&label);
        buffer_add_text(&label, name);
        if (table->keys.words.count > 1)
            buffer_print(&label, ", %s", table->keys.words.at[group]);
        add_row(grid, label.text, &summary);
    }
    buffer_end(&label);
    groups_end(groups, table);
}

void add_summary(struct buffer *out, const struct table *table, const struct options *options)
{
    struct grid grid;
    size_t i;
    grid_start(&grid, HEAD, COLUMNS);
    for (i = 0; i < options->columns.count; i++)
        add_column(&grid, table, i, options->columns.at[i]);
    if (options->style == STYLE_LATEX)
        add_latex_table(out, &grid);
    else
        add_plain_table(out, &grid);
    grid_end(&grid);
}
