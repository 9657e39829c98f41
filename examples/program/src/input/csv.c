#include "input/csv.h"

#include "core/buffer.h"
#include "core/errors.h"

static void skip_line_end(struct csv *csv)
{
    if (*csv->next == '\r')
        csv->next++;
    if (*csv->next == '\n')
        csv->next++;
    csv->line++;
}

static int at_field_end(const struct csv *csv)
{
    char c = *csv->next;
    return c == csv->separator || c == '\n' || c == '\0' || (c == '\r' && (csv->next[1] == '\n' || csv->next[1] == '\0'));
}

static void quoted(struct csv *csv, struct buffer *field)
{
    long begun = csv->line;
    for (csv->next++;; csv->next++) {
        if (*csv->next == '\0')
            fail_at(csv->file, begun, "a quoted field has no end");
        if (*csv->next == '"' && *++csv->next != '"')
            return;
        if (*csv->next == '\n')
            csv->line++;
        buffer_add_char(field, *csv->next);
    }
}

static void read_field(struct csv *csv, struct buffer *field)
{
    buffer_clear(field);
    if (*csv->next == '"') {
        quoted(csv, field);
        if (!at_field_end(csv))
            fail_at(csv->file, csv->line, "text behind the closing quote of a field");
        return;
    }
    while (!at_field_end(csv))
        buffer_add_char(field, *csv->next++);
}

int csv_next(struct csv *csv, struct words *fields)
{
    struct buffer field;
    words_clear(fields);
    while (*csv->next == '\n' || (*csv->next == '\r' && csv->next[1] == '\n'))
        skip_line_end(csv);
    if (*csv->next == '\0')
        return 0;
    csv->begun = csv->line;
    buffer_start(&field);
    read_field(csv, &field);
    words_add(fields, field.text);
    while (*csv->next == csv->separator) {
        csv->next++;
        read_field(csv, &field);
        words_add(fields, field.text);
    }
    buffer_end(&field);
    if (*csv->next)
        skip_line_end(csv);
    return 1;
}
