/* figures: statistics, histograms and relations of columns of numbers, for a terminal or for LaTeX. */
#include <stdio.h>

#include "app/help.h"
#include "app/options.h"
#include "app/reports.h"
#include "core/errors.h"
#include "output/sink.h"

static void add_report(struct buffer *out, const struct table *table, const struct options *options)
{
    switch (options->report) {
    case REPORT_SUMMARY: add_summary(out, table, options); break;
    case REPORT_HISTOGRAM: add_histogram(out, table, options); break;
    case REPORT_RELATION: add_relation(out, table, options); break;
    }
    if (table->left_out)
        buffer_print(out, "%s%zu rows left out: a value is missing\n", options->style == STYLE_LATEX ? "% " : "\n", table->left_out);
}

static void run(const struct options *options)
{
    struct table_wish wish = {options->file, options->separator, &options->columns, options->key};
    struct table table;
    struct buffer out;
    table_read(&table, &wish);
    if (table.row_count == 0)
        fail("%s has no row with all wanted values", options->file);
    buffer_start(&out);
    add_report(&out, &table, options);
    write_whole(options->output, &out);
    buffer_end(&out);
    table_end(&table);
}

int main(int count, char **words)
{
    struct options options;
    options_read(&options, count, words);
    if (options.help)
        print_help();
    else
        run(&options);
    options_end(&options);
    return 0;
}
