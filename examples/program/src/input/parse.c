#include "input/parse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *without_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

static int is_missing(const char *text)
{
    static const char *const names[] = {"NA", "na", "-", "?"};
    size_t length = strcspn(text, " \t"), i;
    if (*without_blanks(text + length))
        return 0;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        if (length == strlen(names[i]) && strncmp(text, names[i], length) == 0)
            return 1;
    return length == 0;
}

enum parsed parse_number(const char *text, double *value)
{
    char *end;
    text = without_blanks(text);
    if (is_missing(text))
        return PARSED_MISSING;
    *value = strtod(text, &end);
    if (end == text || *without_blanks(end) || !isfinite(*value))
        return PARSED_NOTHING;
    return PARSED_NUMBER;
}

int parse_whole(const char *text, long lowest, long highest, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *value >= lowest && *value <= highest;
}
