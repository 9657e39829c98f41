/* A list of numbers that grows. */
#ifndef FIGURES_CORE_NUMBERS_H
#define FIGURES_CORE_NUMBERS_H

#include <stddef.h>

struct numbers {
    double *at;
    size_t count;
    size_t capacity;
};

void numbers_add(struct numbers *numbers, double value);      /* a zeroed struct is an empty list */
void numbers_end(struct numbers *numbers);
struct numbers numbers_sorted(const struct numbers *numbers); /* a copy in ascending order */

#endif
