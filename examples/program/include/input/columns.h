/* Where the wanted columns stand in a header. */
#ifndef FIGURES_INPUT_COLUMNS_H
#define FIGURES_INPUT_COLUMNS_H

#include "core/words.h"
#include "input/table.h"

struct places {
    size_t *values; /* column of each wanted value, from 0 */
    size_t count;
    size_t key;     /* NOWHERE if no keys are wanted */
};

/* Ends the program, naming what there is, if a wanted column is not in the header. */
void places_find(struct places *places, const struct words *header, const struct table_wish *wish);
void places_end(struct places *places);

#endif
