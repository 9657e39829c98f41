#include "stats/histogram.h"

#include <math.h>
#include <stdlib.h>

#include "core/memory.h"

static size_t bin_of(const struct bins *bins, double value)
{
    double place = floor((value - bins->start) / bins->width);
    size_t bin = place > 0 ? (size_t)place : 0;
    return bin < bins->count ? bin : bins->count - 1;
}

struct histogram histogram_of(const struct numbers *numbers, size_t wanted_bins)
{
    struct numbers sorted = numbers_sorted(numbers);
    struct histogram histogram;
    size_t i;
    histogram.bins = bins_for(&sorted, wanted_bins);
    histogram.counts = get_memory(histogram.bins.count, sizeof *histogram.counts);
    for (i = 0; i < sorted.count; i++)
        histogram.counts[bin_of(&histogram.bins, sorted.at[i])]++;
    numbers_end(&sorted);
    return histogram;
}

void histogram_end(struct histogram *histogram)
{
    free(histogram->counts);
    histogram->counts = NULL;
}

size_t histogram_peak(const struct histogram *histogram)
{
    size_t peak = 0, i;
    for (i = 0; i < histogram->bins.count; i++)
        if (histogram->counts[i] > peak)
            peak = histogram->counts[i];
    return peak;
}
