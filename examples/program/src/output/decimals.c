#include "output/decimals.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void add_decimal(struct buffer *buffer, double value, int digits)
{
    char text[400];
    size_t length;
    snprintf(text, sizeof text, "%.*f", digits, value);
    length = strlen(text);
    if (strchr(text, '.')) {
        while (text[length - 1] == '0')
            length--;
        if (text[length - 1] == '.')
            length--;
        text[length] = '\0';
    }
    buffer_add_text(buffer, strcmp(text, "-0") == 0 ? "0" : text);
}

int digits_for(double step)
{
    int digits = 0;
    while (digits < 12 && fabs(step - round(step)) > 1e-9 * fabs(step)) {
        step *= 10;
        digits++;
    }
    return digits;
}
