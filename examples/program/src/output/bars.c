#include "output/bars.h"

#include "output/decimals.h"

enum { LONGEST_BAR = 50 };

static size_t bar_length(size_t count, size_t peak)
{
    if (peak <= LONGEST_BAR)
        return count;
    return (count * LONGEST_BAR + peak - 1) / peak;
}

static size_t widest_edge(const struct histogram *histogram, struct buffer *edge)
{
    size_t widest = 0, bin;
    for (bin = 0; bin < histogram->bins.count; bin++) {
        buffer_clear(edge);
        add_decimal(edge, bins_edge(&histogram->bins, bin), digits_for(histogram->bins.width));
        if (edge->length > widest)
            widest = edge->length;
    }
    return widest;
}

void add_bars(struct buffer *out, const struct histogram *histogram)
{
    size_t peak = histogram_peak(histogram), bin, widest;
    struct buffer edge;
    buffer_start(&edge);
    widest = widest_edge(histogram, &edge);
    for (bin = 0; bin < histogram->bins.count; bin++) {
        size_t count = histogram->counts[bin];
        buffer_clear(&edge);
        add_decimal(&edge, bins_edge(&histogram->bins, bin), digits_for(histogram->bins.width));
        buffer_repeat(out, ' ', widest - edge.length);
        buffer_print(out, "%s |", edge.text);
        buffer_repeat(out, '#', bar_length(count, peak));
        buffer_print(out, count ? " %zu\n" : "\n", count);
    }
    buffer_end(&edge);
}
