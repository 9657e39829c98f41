#include "stats/ranks.h"

/* How many sorted numbers are below a value or, with `equal`, not above it. */
static size_t below(const struct numbers *sorted, double value, int equal)
{
    size_t low = 0, high = sorted->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted->at[middle] < value || (equal && sorted->at[middle] <= value))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct numbers ranks_of(const struct numbers *numbers)
{
    struct numbers sorted = numbers_sorted(numbers), ranks = {0};
    size_t i;
    for (i = 0; i < numbers->count; i++) {
        double first = (double)below(&sorted, numbers->at[i], 0) + 1;
        double last = (double)below(&sorted, numbers->at[i], 1);
        numbers_add(&ranks, (first + last) / 2);
    }
    numbers_end(&sorted);
    return ranks;
}
