#include "core/index.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/memory.h"

/* The slot that holds a text, or the free one where it belongs. */
static size_t *slot_of(const struct index *index, const char *text)
{
    size_t at = (size_t)hash_text(text) & (index->size - 1);
    while (index->slots[at] && strcmp(index->words.at[index->slots[at] - 1], text) != 0)
        at = (at + 1) & (index->size - 1);
    return &index->slots[at];
}

static void widen(struct index *index)
{
    size_t i;
    free(index->slots);
    index->size *= 2;
    index->slots = get_memory(index->size, sizeof *index->slots);
    for (i = 0; i < index->words.count; i++)
        *slot_of(index, index->words.at[i]) = i + 1;
}

void index_start(struct index *index)
{
    memset(index, 0, sizeof *index);
    index->size = 64;
    index->slots = get_memory(index->size, sizeof *index->slots);
}

void index_end(struct index *index)
{
    words_end(&index->words);
    free(index->slots);
    memset(index, 0, sizeof *index);
}

size_t index_of(struct index *index, const char *text)
{
    size_t *slot = slot_of(index, text);
    if (*slot)
        return *slot - 1;
    words_add(&index->words, text);
    *slot = index->words.count;
    if (index->words.count * 4 > index->size * 3)
        widen(index);
    return index->words.count - 1;
}
