/* Sorting that keeps equal things in their order. */
#ifndef FIGURES_CORE_SORT_H
#define FIGURES_CORE_SORT_H

#include <stddef.h>

void sort_numbers(double *numbers, size_t count);

#endif
