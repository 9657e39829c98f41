#include "stats/range.h"

struct range range_of(const struct numbers *numbers)
{
    struct range range = {numbers->at[0], numbers->at[0]};
    size_t i;
    for (i = 1; i < numbers->count; i++) {
        double value = numbers->at[i];
        if (value < range.least)
            range.least = value;
        if (value > range.greatest)
            range.greatest = value;
    }
    return range;
}

double range_width(struct range range)
{
    return range.greatest - range.least;
}
