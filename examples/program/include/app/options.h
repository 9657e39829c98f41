/* What the user asks for. */
#ifndef FIGURES_APP_OPTIONS_H
#define FIGURES_APP_OPTIONS_H

#include "core/words.h"

enum report { REPORT_SUMMARY, REPORT_HISTOGRAM, REPORT_RELATION };
enum style { STYLE_TEXT, STYLE_LATEX };

struct options {
    enum report report;
    enum style style;
    const char *file;
    struct words columns;
    const char *key;    /* --by, or NULL */
    const char *output; /* NULL: stdout */
    long bins;          /* 0: as the data want it */
    char separator;
    int help;
};

/* Reads the command line; ends the program at a wrong call. */
void options_read(struct options *options, int count, char **words);
void options_end(struct options *options);

#endif
