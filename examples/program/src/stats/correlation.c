#include "stats/correlation.h"

#include <math.h>

#include "stats/moments.h"
#include "stats/ranks.h"

double correlation(const struct numbers *a, const struct numbers *b)
{
    double mean_a = moments_of(a).mean, mean_b = moments_of(b).mean;
    double both = 0, of_a = 0, of_b = 0;
    size_t i;
    for (i = 0; i < a->count; i++) {
        double from_a = a->at[i] - mean_a, from_b = b->at[i] - mean_b;
        both += from_a * from_b;
        of_a += from_a * from_a;
        of_b += from_b * from_b;
    }
    return of_a > 0 && of_b > 0 ? both / sqrt(of_a * of_b) : 0;
}

double rank_correlation(const struct numbers *a, const struct numbers *b)
{
    struct numbers ranks_a = ranks_of(a), ranks_b = ranks_of(b);
    double found = correlation(&ranks_a, &ranks_b);
    numbers_end(&ranks_a);
    numbers_end(&ranks_b);
    return found;
}
