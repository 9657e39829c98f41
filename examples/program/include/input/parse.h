/* Numbers out of text. */
#ifndef FIGURES_INPUT_PARSE_H
#define FIGURES_INPUT_PARSE_H

enum parsed { PARSED_NUMBER, PARSED_MISSING, PARSED_NOTHING };

/* Reads a number with blanks around it. MISSING: empty, NA or "-"; NOTHING: any other text. */
enum parsed parse_number(const char *text, double *value);

/* Reads a whole number between limits; 0 if the text is none. */
int parse_whole(const char *text, long lowest, long highest, long *value);

#endif
