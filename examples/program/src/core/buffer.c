#include "core/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/errors.h"
#include "core/memory.h"

static void reserve(struct buffer *buffer, size_t more)
{
    size_t needed = buffer->length + more + 1;
    if (needed <= buffer->capacity)
        return;
    buffer->capacity = next_capacity(buffer->capacity, needed);
    buffer->text = grow_memory(buffer->text, buffer->capacity, 1);
}

void buffer_start(struct buffer *buffer)
{
    memset(buffer, 0, sizeof *buffer);
    reserve(buffer, 0);
    buffer->text[0] = '\0';
}

void buffer_end(struct buffer *buffer)
{
    free(buffer->text);
    memset(buffer, 0, sizeof *buffer);
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    buffer->text[0] = '\0';
}

void buffer_add(struct buffer *buffer, const char *bytes, size_t length)
{
    reserve(buffer, length);
    memcpy(buffer->text + buffer->length, bytes, length);
    buffer->length += length;
    buffer->text[buffer->length] = '\0';
}

void buffer_add_char(struct buffer *buffer, char c)
{
    buffer_add(buffer, &c, 1);
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_print(struct buffer *buffer, const char *format, ...)
{
    va_list values;
    int length;
    va_start(values, format);
    length = vsnprintf(NULL, 0, format, values);
    va_end(values);
    if (length < 0)
        fail("a text cannot be made from `%s`", format);
    reserve(buffer, (size_t)length);
    va_start(values, format);
    vsnprintf(buffer->text + buffer->length, (size_t)length + 1, format, values);
    va_end(values);
    buffer->length += (size_t)length;
}

void buffer_repeat(struct buffer *buffer, char c, size_t times)
{
    reserve(buffer, times);
    memset(buffer->text + buffer->length, c, times);
    buffer->length += times;
    buffer->text[buffer->length] = '\0';
}
