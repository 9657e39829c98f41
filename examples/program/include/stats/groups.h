/* A column cut into the groups of a table. */
#ifndef FIGURES_STATS_GROUPS_H
#define FIGURES_STATS_GROUPS_H

#include "core/numbers.h"
#include "input/table.h"

/* One list of numbers for each key of the table, in the order in which the keys came. */
struct numbers *groups_of(const struct table *table, size_t column);
void groups_end(struct numbers *groups, const struct table *table);

#endif
