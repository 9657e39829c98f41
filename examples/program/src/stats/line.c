#include "stats/line.h"

#include <math.h>

#include "stats/moments.h"

static double mean_square_left(const struct line *line, const struct numbers *x, const struct numbers *y)
{
    double sum = 0;
    size_t i;
    for (i = 0; i < x->count; i++) {
        double left = y->at[i] - (line->start + line->slope * x->at[i]);
        sum += left * left;
    }
    return x->count ? sum / (double)x->count : 0;
}

struct line line_through(const struct numbers *x, const struct numbers *y)
{
    double mean_x = moments_of(x).mean, mean_y = moments_of(y).mean;
    double both = 0, of_x = 0;
    struct line line = {0, 0, 0};
    size_t i;
    for (i = 0; i < x->count; i++) {
        both += (x->at[i] - mean_x) * (y->at[i] - mean_y);
        of_x += (x->at[i] - mean_x) * (x->at[i] - mean_x);
    }
    if (of_x > 0)
        line.slope = both / of_x;
    line.start = mean_y - line.slope * mean_x;
    line.error = sqrt(mean_square_left(&line, x, y));
    return line;
}
