#include "output/sink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/errors.h"

void write_whole(const char *path, const struct buffer *text)
{
    FILE *file = path ? fopen(path, "wb") : stdout;
    const char *name = path ? path : "the standard output";
    if (!file)
        fail("%s cannot be written: %s", name, strerror(errno));
    if (fwrite(text->text, 1, text->length, file) != text->length)
        fail("%s cannot be written: %s", name, strerror(errno));
    if ((path ? fclose(file) : fflush(file)) != 0)
        fail("%s cannot be written: %s", name, strerror(errno));
}
