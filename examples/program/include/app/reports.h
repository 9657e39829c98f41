/* The three reports; each adds itself to a text. */
#ifndef FIGURES_APP_REPORTS_H
#define FIGURES_APP_REPORTS_H

#include "app/options.h"
#include "core/buffer.h"
#include "input/table.h"

void add_summary(struct buffer *out, const struct table *table, const struct options *options);
void add_histogram(struct buffer *out, const struct table *table, const struct options *options);
void add_relation(struct buffer *out, const struct table *table, const struct options *options);

/* The heading of a group, if there is more than one. */
void add_heading(struct buffer *out, const struct table *table, size_t group, const struct options *options);

#endif
