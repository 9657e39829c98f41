#include "input/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/errors.h"

void read_whole(const char *path, struct buffer *into)
{
    char block[16384];
    size_t got;
    int is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    if (!file)
        fail("%s cannot be read: %s", path, strerror(errno));
    while ((got = fread(block, 1, sizeof block, file)) > 0)
        buffer_add(into, block, got);
    if (ferror(file))
        fail("%s cannot be read: %s", path, strerror(errno));
    if (!is_stdin)
        fclose(file);
    if (strlen(into->text) != into->length)
        fail("%s is no text: it holds a zero byte", path);
}
