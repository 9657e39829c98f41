#include "stats/outliers.h"

#include "stats/quantiles.h"

static const double FENCE = 1.5;

size_t outliers_in(const struct numbers *sorted)
{
    size_t low = 0, high = 0;
    double first, third, reach;
    if (sorted->count == 0)
        return 0;
    first = quantile(sorted, 0.25);
    third = quantile(sorted, 0.75);
    reach = FENCE * (third - first);
    while (low < sorted->count && sorted->at[low] < first - reach)
        low++;
    while (high < sorted->count - low && sorted->at[sorted->count - 1 - high] > third + reach)
        high++;
    return low + high;
}
