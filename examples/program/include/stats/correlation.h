/* How two columns go together, from -1 to 1. */
#ifndef FIGURES_STATS_CORRELATION_H
#define FIGURES_STATS_CORRELATION_H

#include "core/numbers.h"

double correlation(const struct numbers *a, const struct numbers *b);      /* Pearson's; 0 if one of them never changes */
double rank_correlation(const struct numbers *a, const struct numbers *b); /* Spearman's */

#endif
