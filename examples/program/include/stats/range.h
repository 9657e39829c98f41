/* The least and the greatest number. */
#ifndef FIGURES_STATS_RANGE_H
#define FIGURES_STATS_RANGE_H

#include "core/numbers.h"

struct range {
    double least;
    double greatest;
};

struct range range_of(const struct numbers *numbers); /* of at least one number */
double range_width(struct range range);

#endif
