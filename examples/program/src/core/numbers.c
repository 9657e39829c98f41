#include "core/numbers.h"

#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/sort.h"

void numbers_add(struct numbers *numbers, double value)
{
    if (numbers->count == numbers->capacity) {
        numbers->capacity = next_capacity(numbers->capacity, numbers->count + 1);
        numbers->at = grow_memory(numbers->at, numbers->capacity, sizeof *numbers->at);
    }
    numbers->at[numbers->count++] = value;
}

void numbers_end(struct numbers *numbers)
{
    free(numbers->at);
    memset(numbers, 0, sizeof *numbers);
}

struct numbers numbers_sorted(const struct numbers *numbers)
{
    struct numbers copy = {0};
    copy.at = get_memory(numbers->count, sizeof *copy.at);
    copy.count = copy.capacity = numbers->count;
    if (numbers->count)
        memcpy(copy.at, numbers->at, numbers->count * sizeof *copy.at);
    sort_numbers(copy.at, copy.count);
    return copy;
}
