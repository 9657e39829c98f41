#include "core/sort.h"

#include <stdlib.h>
#include <string.h>

#include "core/memory.h"

/* Below this many numbers insertion is faster than merging. */
enum { FEW = 12 };

static void insert(double *numbers, size_t count)
{
    size_t i, j;
    for (i = 1; i < count; i++) {
        double value = numbers[i];
        for (j = i; j > 0 && numbers[j - 1] > value; j--)
            numbers[j] = numbers[j - 1];
        numbers[j] = value;
    }
}

static void merge(double *numbers, size_t half, size_t count, double *room)
{
    size_t left = 0, right = half, to = 0;
    memcpy(room, numbers, half * sizeof *room);
    while (left < half)
        numbers[to++] = right < count && numbers[right] < room[left] ? numbers[right++] : room[left++];
}

static void sort_with(double *numbers, size_t count, double *room)
{
    size_t half = count / 2;
    if (count <= FEW) {
        insert(numbers, count);
        return;
    }
    sort_with(numbers, half, room);
    sort_with(numbers + half, count - half, room);
    merge(numbers, half, count, room);
}

void sort_numbers(double *numbers, size_t count)
{
    double *room;
    if (count < 2)
        return;
    room = get_memory(count / 2 + 1, sizeof *room);
    sort_with(numbers, count, room);
    free(room);
}
