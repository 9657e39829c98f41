/* Quantiles of sorted numbers, linear between neighbours (type 7 of Hyndman and Fan). */
#ifndef FIGURES_STATS_QUANTILES_H
#define FIGURES_STATS_QUANTILES_H

#include "core/numbers.h"

/* `share` from 0 (the least) to 1 (the greatest). There must be at least one number. */
double quantile(const struct numbers *sorted, double share);

#endif
