/* The FNV-1a hash of a text, 64 bits. */
#ifndef FIGURES_CORE_HASH_H
#define FIGURES_CORE_HASH_H

#include <stdint.h>

uint64_t hash_text(const char *text);

#endif
