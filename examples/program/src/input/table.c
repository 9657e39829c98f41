#include "input/table.h"

#include <stdlib.h>
#include <string.h>

#include "core/errors.h"
#include "core/memory.h"
#include "input/columns.h"
#include "input/csv.h"
#include "input/parse.h"
#include "input/reader.h"

static void add_group(struct table *table, const char *key)
{
    if (table->row_count == table->group_capacity) {
        table->group_capacity = next_capacity(table->group_capacity, table->row_count + 1);
        table->groups = grow_memory(table->groups, table->group_capacity, sizeof *table->groups);
    }
    table->groups[table->row_count++] = index_of(&table->keys, key);
}

/* Reads one row's numbers; 0 if one is missing. */
static int row_values(const struct csv *csv, const struct words *fields, const struct places *places, double *values)
{
    size_t i;
    int complete = 1;
    for (i = 0; i < places->count; i++) {
        const char *text = fields->at[places->values[i]];
        enum parsed parsed = parse_number(text, &values[i]);
        if (parsed == PARSED_NOTHING)
            fail_at(csv->file, csv->begun, "`%s` in column %zu is no number", text, places->values[i] + 1);
        complete = complete && parsed == PARSED_NUMBER;
    }
    return complete;
}

static void read_rows(struct table *table, struct csv *csv, const struct places *places)
{
    struct words fields = {0};
    double *values = get_memory(places->count, sizeof *values);
    size_t i;
    while (csv_next(csv, &fields)) {
        if (fields.count != table->header.count)
            fail_at(csv->file, csv->begun, "%zu fields where the header has %zu", fields.count, table->header.count);
        if (!row_values(csv, &fields, places, values)) {
            table->left_out++;
            continue;
        }
        for (i = 0; i < places->count; i++)
            numbers_add(&table->columns[i], values[i]);
        add_group(table, places->key == NOWHERE ? "all" : fields.at[places->key]);
    }
    words_end(&fields);
    free(values);
}

void table_read(struct table *table, const struct table_wish *wish)
{
    struct buffer text;
    struct places places;
    struct csv csv = {wish->file, NULL, 1, 1, wish->separator};
    memset(table, 0, sizeof *table);
    index_start(&table->keys);
    buffer_start(&text);
    read_whole(wish->file, &text);
    csv.next = text.text;
    if (!csv_next(&csv, &table->header))
        fail("%s is empty", wish->file);
    places_find(&places, &table->header, wish);
    table->column_count = places.count;
    table->columns = get_memory(places.count, sizeof *table->columns);
    read_rows(table, &csv, &places);
    places_end(&places);
    buffer_end(&text);
}

void table_end(struct table *table)
{
    size_t i;
    for (i = 0; i < table->column_count; i++)
        numbers_end(&table->columns[i]);
    words_end(&table->header);
    index_end(&table->keys);
    free(table->columns);
    free(table->groups);
    memset(table, 0, sizeof *table);
}
