#include "input/columns.h"

#include <stdlib.h>

#include "core/buffer.h"
#include "core/errors.h"
#include "core/memory.h"

static size_t place(const struct words *header, const char *name, const char *file)
{
    struct buffer known;
    size_t at = words_find(header, name), i;
    if (at != NOWHERE)
        return at;
    buffer_start(&known);
    for (i = 0; i < header->count; i++)
        buffer_print(&known, "%s%s", i ? ", " : "", header->at[i]);
    fail("%s has no column `%s`; it has: %s", file, name, known.text);
}

void places_find(struct places *places, const struct words *header, const struct table_wish *wish)
{
    size_t i;
    places->count = wish->columns->count;
    places->values = get_memory(places->count, sizeof *places->values);
    for (i = 0; i < places->count; i++)
        places->values[i] = place(header, wish->columns->at[i], wish->file);
    places->key = wish->key ? place(header, wish->key, wish->file) : NOWHERE;
}

void places_end(struct places *places)
{
    free(places->values);
}
