#include "core/hash.h"

/* Offset and prime as Fowler, Noll and Vo publish them. */
static const uint64_t OFFSET = 14695981039346656037u;
static const uint64_t PRIME = 1099511628211u;

uint64_t hash_text(const char *text)
{
    uint64_t hash = OFFSET;
    for (; *text; text++) {
        hash ^= (unsigned char)*text;
        hash *= PRIME;
    }
    return hash;
}
