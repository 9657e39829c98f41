/* Each number's rank, from 1; equal numbers share the mean of their ranks. */
#ifndef FIGURES_STATS_RANKS_H
#define FIGURES_STATS_RANKS_H

#include "core/numbers.h"

struct numbers ranks_of(const struct numbers *numbers);

#endif
