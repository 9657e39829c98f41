/* Memory that is there, or the program ends with a sentence. */
#ifndef FIGURES_CORE_MEMORY_H
#define FIGURES_CORE_MEMORY_H

#include <stddef.h>

void *get_memory(size_t count, size_t size);                  /* zeroed */
void *grow_memory(void *old, size_t count, size_t size);      /* new part not zeroed */
char *copy_text(const char *text);
size_t next_capacity(size_t capacity, size_t needed);         /* at least `needed`, doubling */

#endif
