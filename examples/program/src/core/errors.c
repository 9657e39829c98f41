#include "core/errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void say(const char *format, va_list values)
{
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
}

void fail(const char *format, ...)
{
    va_list values;
    fputs("figures: ", stderr);
    va_start(values, format);
    say(format, values);
    va_end(values);
    exit(1);
}

void fail_at(const char *file, long line, const char *format, ...)
{
    va_list values;
    fprintf(stderr, "%s:%ld: ", file, line);
    va_start(values, format);
    say(format, values);
    va_end(values);
    exit(1);
}

void fail_call(const char *format, ...)
{
    va_list values;
    fputs("figures: ", stderr);
    va_start(values, format);
    say(format, values);
    va_end(values);
    fputs("figures --help says what can be asked for\n", stderr);
    exit(2);
}
