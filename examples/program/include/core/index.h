/* Numbers texts in the order in which they are first seen: 0, 1, 2 ... */
#ifndef FIGURES_CORE_INDEX_H
#define FIGURES_CORE_INDEX_H

#include <stddef.h>

#include "core/words.h"

struct index {
    struct words words; /* by number */
    size_t *slots;      /* number + 1 of a word; 0 is a free slot */
    size_t size;        /* of slots, a power of two */
};

void index_start(struct index *index);
void index_end(struct index *index);
size_t index_of(struct index *index, const char *text);

#endif
