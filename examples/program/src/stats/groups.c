#include "stats/groups.h"

#include <stdlib.h>

#include "core/memory.h"

struct numbers *groups_of(const struct table *table, size_t column)
{
    struct numbers *groups = get_memory(table->keys.words.count, sizeof *groups);
    size_t row;
    for (row = 0; row < table->row_count; row++)
        numbers_add(&groups[table->groups[row]], table->columns[column].at[row]);
    return groups;
}

void groups_end(struct numbers *groups, const struct table *table)
{
    size_t i;
    for (i = 0; i < table->keys.words.count; i++)
        numbers_end(&groups[i]);
    free(groups);
}
