#include "app/options.h"

#include <string.h>

#include "core/errors.h"
#include "input/parse.h"

static void read_report(struct options *options, const char *word)
{
    static const char *const names[] = {"summary", "histogram", "relation"};
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(word, names[i]) == 0) {
            options->report = (enum report)i;
            return;
        }
    fail_call("there is no report `%s`; expected summary, histogram or relation", word);
}

static void read_value(struct options *options, const char *name, const char *value)
{
    if (strcmp(name, "--by") == 0)
        options->key = value;
    else if (strcmp(name, "--output") == 0)
        options->output = value;
    else if (strcmp(name, "--latex") == 0 || strcmp(name, "--help") == 0)
        fail_call("%s takes no value", name);
    else if (strcmp(name, "--separator") == 0 && strlen(value) == 1 && !strchr("\"\r\n", *value))
        options->separator = *value;
    else if (strcmp(name, "--separator") == 0)
        fail_call("--separator takes one character, not `%s`", value);
    else if (strcmp(name, "--bins") != 0)
        fail_call("there is no option %s", name);
    else if (!parse_whole(value, 1, 1000, &options->bins))
        fail_call("--bins takes a number from 1 to 1000, not `%s`", value);
}

static int read_switch(struct options *options, const char *word)
{
    if (strcmp(word, "--latex") == 0)
        options->style = STYLE_LATEX;
    else if (strcmp(word, "--help") == 0)
        options->help = 1;
    else
        return 0;
    return 1;
}

static void check(const struct options *options, size_t place)
{
    if (options->help)
        return;
    if (place < 3)
        fail_call("expected a report, a file and at least one column");
    if (options->report == REPORT_RELATION && options->columns.count != 2)
        fail_call("a relation is between two columns, not %zu", options->columns.count);
    if (options->report == REPORT_HISTOGRAM && options->columns.count != 1)
        fail_call("a histogram shows one column, not %zu", options->columns.count);
}

void options_read(struct options *options, int count, char **words)
{
    size_t place = 0;
    int i;
    memset(options, 0, sizeof *options);
    options->separator = ',';
    for (i = 1; i < count; i++) {
        if (strncmp(words[i], "--", 2) == 0) {
            if (read_switch(options, words[i]))
                continue;
            if (i + 1 == count)
                fail_call("%s needs a value", words[i]);
            read_value(options, words[i], words[i + 1]);
            i++;
        } else if (place++ == 0)
            read_report(options, words[i]);
        else if (place == 2)
            options->file = words[i];
        else
            words_add(&options->columns, words[i]);
    }
    check(options, place);
}

void options_end(struct options *options)
{
    words_end(&options->columns);
}
