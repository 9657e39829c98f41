/* The straight line through points with the least squares of errors. */
#ifndef FIGURES_STATS_LINE_H
#define FIGURES_STATS_LINE_H

#include "core/numbers.h"

struct line {
    double slope; /* 0 if all x are equal */
    double start; /* y at x = 0 */
    double error; /* root of the mean square of what is left */
};

struct line line_through(const struct numbers *x, const struct numbers *y);

#endif
