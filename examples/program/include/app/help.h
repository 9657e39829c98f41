/* What figures can do, for a reader at a terminal. */
#ifndef FIGURES_APP_HELP_H
#define FIGURES_APP_HELP_H

void print_help(void);

#endif
