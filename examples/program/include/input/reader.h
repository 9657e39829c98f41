/* Whole files as text. */
#ifndef FIGURES_INPUT_READER_H
#define FIGURES_INPUT_READER_H

#include "core/buffer.h"

/* Reads a file ("-": stdin); ends the program if it cannot, or if the file holds a zero byte. */
void read_whole(const char *path, struct buffer *into);

#endif
