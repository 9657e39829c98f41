/* Numbers beyond Tukey's fences: 1.5 times the distance of the quartiles away from them. */
#ifndef FIGURES_STATS_OUTLIERS_H
#define FIGURES_STATS_OUTLIERS_H

#include "core/numbers.h"

size_t outliers_in(const struct numbers *sorted);

#endif
