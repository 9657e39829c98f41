#include "core/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/errors.h"

void *get_memory(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory)
        fail("no memory for %zu things of %zu bytes", count, size);
    return memory;
}

void *grow_memory(void *old, size_t count, size_t size)
{
    void *memory;
    if (size && count > SIZE_MAX / size)
        fail("%zu things of %zu bytes are more than this machine can count", count, size);
    memory = realloc(old, count * size);
    if (!memory)
        fail("no memory for %zu things of %zu bytes", count, size);
    return memory;
}

char *copy_text(const char *text)
{
    size_t length = strlen(text) + 1;
    return memcpy(get_memory(length, 1), text, length);
}

size_t next_capacity(size_t capacity, size_t needed)
{
    size_t next = capacity ? capacity : 16;
    while (next < needed) {
        if (next > SIZE_MAX / 2)
            fail("%zu things are too many", needed);
        next *= 2;
    }
    return next;
}
