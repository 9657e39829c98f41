/* Records of comma-separated values (RFC 4180), with any separator. */
#ifndef FIGURES_INPUT_CSV_H
#define FIGURES_INPUT_CSV_H

#include "core/words.h"

struct csv {
    const char *file;  /* for messages */
    const char *next;  /* first byte not read yet */
    long line;         /* of the next byte */
    long begun;        /* line where the last record began */
    char separator;
};

/* Puts the next record's fields into a list; 0 at the end of the text. Blank lines are left out. */
int csv_next(struct csv *csv, struct words *fields);

#endif
