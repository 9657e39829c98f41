/* Where the bins of a histogram lie: round edges that a reader can name. */
#ifndef FIGURES_STATS_BINS_H
#define FIGURES_STATS_BINS_H

#include "core/numbers.h"

struct bins {
    double start;
    double width;
    size_t count;
};

/* Bins for sorted numbers. `wanted` is about how many; 0: by the rule of Freedman and Diaconis, or by Sturges' where that gives none. */
struct bins bins_for(const struct numbers *sorted, size_t wanted);

/* The left edge of a bin; of bin `count`, the right edge of the last one. */
double bins_edge(const struct bins *bins, size_t bin);

#endif
