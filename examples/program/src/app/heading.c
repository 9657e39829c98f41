#include "app/reports.h"

#include "output/latex.h"
#include "output/plain.h"

static void add_plain_heading(struct buffer *out, const char *name)
{
    buffer_print(out, "%s%s\n", out->length ? "\n" : "", name);
    buffer_repeat(out, '-', shown_width(name));
    buffer_add_char(out, '\n');
}

static void add_latex_heading(struct buffer *out, const char *name)
{
    buffer_add_text(out, "\\subsection*{");
    add_latex_text(out, name);
    buffer_add_text(out, "}\n");
}

void add_heading(struct buffer *out, const struct table *table, size_t group, const struct options *options)
{
    const char *name = table->keys.words.at[group];
    if (table->keys.words.count < 2)
        return;
    if (options->style == STYLE_LATEX)
        add_latex_heading(out, name);
    else
        add_plain_heading(out, name);
}
