/* Where a finished text goes. */
#ifndef FIGURES_OUTPUT_SINK_H
#define FIGURES_OUTPUT_SINK_H

#include "core/buffer.h"

/* Writes all of a text to a file (NULL: stdout); ends the program if that fails. */
void write_whole(const char *path, const struct buffer *text);

#endif
