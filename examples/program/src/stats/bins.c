#include "stats/bins.h"

#include <math.h>

#include "stats/quantiles.h"
#include "stats/range.h"

enum { MOST = 60 };

static double raw_width(const struct numbers *sorted, size_t wanted, double whole)
{
    double n = (double)sorted->count;
    double width = 2 * (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / cbrt(n);
    if (wanted)
        return whole / (double)wanted;
    if (width <= 0)
        width = whole / ceil(log2(n) + 1);
    return fmax(width, whole / MOST);
}

/* The least of 1, 2, 2.5, 5 and 10 times a power of ten that is not below a width. */
static double round_width(double width)
{
    static const double steps[] = {1, 2, 2.5, 5, 10};
    double power = pow(10, floor(log10(width)));
    size_t i = 0;
    while (i < 4 && steps[i] * power < width * (1 - 1e-9))
        i++;
    return steps[i] * power;
}

struct bins bins_for(const struct numbers *sorted, size_t wanted)
{
    struct range range = range_of(sorted);
    struct bins bins;
    double whole = range_width(range);
    bins.width = whole > 0 ? round_width(raw_width(sorted, wanted, whole)) : 1;
    bins.start = floor(range.least / bins.width) * bins.width;
    bins.count = (size_t)floor((range.greatest - bins.start) / bins.width) + 1;
    return bins;
}

double bins_edge(const struct bins *bins, size_t bin)
{
    return bins->start + (double)bin * bins->width;
}
