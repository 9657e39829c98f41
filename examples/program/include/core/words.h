/* A list of texts that grows; it owns copies. */
#ifndef FIGURES_CORE_WORDS_H
#define FIGURES_CORE_WORDS_H

#include <stddef.h>

#define NOWHERE ((size_t)-1)

struct words {
    char **at;
    size_t count;
    size_t capacity;
};

void words_add(struct words *words, const char *text);        /* a zeroed struct is an empty list */
void words_clear(struct words *words);
void words_end(struct words *words);
size_t words_find(const struct words *words, const char *text); /* NOWHERE if it is not there */

#endif
