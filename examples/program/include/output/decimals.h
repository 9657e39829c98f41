/* Numbers as text. */
#ifndef FIGURES_OUTPUT_DECIMALS_H
#define FIGURES_OUTPUT_DECIMALS_H

#include "core/buffer.h"

/* At most `digits` places behind the point, without needless zeroes; never "-0". */
void add_decimal(struct buffer *buffer, double value, int digits);

/* Places behind the point that tell apart numbers that differ by `step`. */
int digits_for(double step);

#endif
