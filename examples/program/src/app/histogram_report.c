#include "app/reports.h"

#include "output/bars.h"
#include "output/pgf.h"
#include "stats/groups.h"
#include "stats/histogram.h"

void add_histogram(struct buffer *out, const struct table *table, const struct options *options)
{
    struct numbers *groups = groups_of(table, 0);
    size_t group;
    for (group = 0; group < table->keys.words.count; group++) {
        struct histogram histogram = histogram_of(&groups[group], (size_t)options->bins);
        add_heading(out, table, group, options);
        if (options->style == STYLE_LATEX)
            add_picture(out, &histogram, options->columns.at[0]);
        else
            add_bars(out, &histogram);
        histogram_end(&histogram);
    }
    groups_end(groups, table);
}
