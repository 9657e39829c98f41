/* A text that grows. `text` always ends with a zero byte that `length` does not count. */
#ifndef FIGURES_CORE_BUFFER_H
#define FIGURES_CORE_BUFFER_H

#include <stddef.h>

struct buffer {
    char *text;
    size_t length;
    size_t capacity;
};

void buffer_start(struct buffer *buffer);
void buffer_end(struct buffer *buffer);
void buffer_clear(struct buffer *buffer);
void buffer_add(struct buffer *buffer, const char *bytes, size_t length);
void buffer_add_char(struct buffer *buffer, char c);
void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_print(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_repeat(struct buffer *buffer, char c, size_t times);

#endif
