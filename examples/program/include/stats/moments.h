/* Mean, deviation and skewness in one sweep (Welford's recurrence, extended to the third moment by Pebay). */
#ifndef FIGURES_STATS_MOMENTS_H
#define FIGURES_STATS_MOMENTS_H

#include "core/numbers.h"

struct moments {
    double mean;
    double deviation; /* of the sample: divided by n - 1; 0 for one number */
    double skewness;  /* 0 where all numbers are equal */
};

struct moments moments_of(const struct numbers *numbers);

#endif
