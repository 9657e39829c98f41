#include "core/words.h"

#include <stdlib.h>
#include <string.h>

#include "core/memory.h"

void words_add(struct words *words, const char *text)
{
    if (words->count == words->capacity) {
        words->capacity = next_capacity(words->capacity, words->count + 1);
        words->at = grow_memory(words->at, words->capacity, sizeof *words->at);
    }
    words->at[words->count++] = copy_text(text);
}

void words_clear(struct words *words)
{
    size_t i;
    for (i = 0; i < words->count; i++)
        free(words->at[i]);
    words->count = 0;
}

void words_end(struct words *words)
{
    words_clear(words);
    free(words->at);
    memset(words, 0, sizeof *words);
}

size_t words_find(const struct words *words, const char *text)
{
    size_t i;
    for (i = 0; i < words->count; i++)
        if (strcmp(words->at[i], text) == 0)
            return i;
    return NOWHERE;
}
