/* What one list of numbers is like. */
#ifndef FIGURES_STATS_SUMMARY_H
#define FIGURES_STATS_SUMMARY_H

#include "core/numbers.h"
#include "stats/moments.h"

struct summary {
    size_t count;
    struct moments moments;
    double least, first_quartile, median, third_quartile, greatest;
    size_t outliers;
};

struct summary summary_of(const struct numbers *numbers); /* of at least one number */

#endif
