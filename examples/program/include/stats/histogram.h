/* How many numbers lie in each bin. */
#ifndef FIGURES_STATS_HISTOGRAM_H
#define FIGURES_STATS_HISTOGRAM_H

#include "core/numbers.h"
#include "stats/bins.h"

struct histogram {
    struct bins bins;
    size_t *counts; /* by bin; a number on an edge belongs to the right one */
};

struct histogram histogram_of(const struct numbers *numbers, size_t wanted_bins);
void histogram_end(struct histogram *histogram);
size_t histogram_peak(const struct histogram *histogram);

#endif
