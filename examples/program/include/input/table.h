/* One column of numbers of a CSV file, with the key of each row if another column has keys. */
#ifndef FIGURES_INPUT_TABLE_H
#define FIGURES_INPUT_TABLE_H

#include "core/index.h"
#include "core/numbers.h"

struct table {
    struct words header;
    struct numbers *columns; /* one for each wanted column, rows in step */
    size_t column_count;
    size_t *groups;          /* by row: number of its key in `keys` */
    size_t group_capacity;
    struct index keys;
    size_t row_count;
    size_t left_out;         /* rows where a wanted value is missing */
};

struct table_wish {
    const char *file;
    char separator;
    const struct words *columns; /* names, as in the header */
    const char *key;             /* name of the column of keys, or NULL: one group "all" */
};

/* Reads the wanted columns. Ends the program, naming file and line, at a field that is no number. */
void table_read(struct table *table, const struct table_wish *wish);
void table_end(struct table *table);

#endif
