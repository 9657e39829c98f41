#include "stats/summary.h"

#include "stats/outliers.h"
#include "stats/quantiles.h"

struct summary summary_of(const struct numbers *numbers)
{
    struct numbers sorted = numbers_sorted(numbers);
    struct summary summary;
    summary.count = sorted.count;
    summary.moments = moments_of(numbers);
    summary.least = quantile(&sorted, 0);
    summary.first_quartile = quantile(&sorted, 0.25);
    summary.median = quantile(&sorted, 0.5);
    summary.third_quartile = quantile(&sorted, 0.75);
    summary.greatest = quantile(&sorted, 1);
    summary.outliers = outliers_in(&sorted);
    numbers_end(&sorted);
    return summary;
}
