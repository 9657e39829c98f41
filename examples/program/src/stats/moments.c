#include "stats/moments.h"

#include <math.h>

struct moments moments_of(const struct numbers *numbers)
{
    struct moments found = {0, 0, 0};
    double mean = 0, second = 0, third = 0, n = 0;
    size_t i;
    for (i = 0; i < numbers->count; i++) {
        double before = n, delta = numbers->at[i] - mean, step, term;
        n += 1;
        step = delta / n;
        term = delta * step * before;
        mean += step;
        third += term * step * (n - 2) - 3 * step * second;
        second += term;
    }
    found.mean = mean;
    if (n > 1)
        found.deviation = sqrt(second / (n - 1));
    if (second > 0)
        found.skewness = sqrt(n) * third / pow(second, 1.5);
    return found;
}
