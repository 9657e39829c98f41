#include "stats/quantiles.h"

#include <math.h>

double quantile(const struct numbers *sorted, double share)
{
    double place = share * (double)(sorted->count - 1);
    size_t below = (size_t)floor(place);
    double rest = place - (double)below;
    if (below + 1 >= sorted->count)
        return sorted->at[sorted->count - 1];
    return sorted->at[below] + rest * (sorted->at[below + 1] - sorted->at[below]);
}
