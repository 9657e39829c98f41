#include "app/help.h"

#include <stdio.h>

void print_help(void)
{
    fputs("figures REPORT FILE COLUMN... [options]\n"
          "\n"
          "Reports on columns of numbers in a file of comma-separated values whose first line names the columns.\n"
          "\n"
          "  summary    count, mean, deviation, quartiles and outliers of each column\n"
          "  histogram  one column as bars, or as a tikz picture\n"
          "  relation   how two columns go together: correlations and the line through them\n"
          "\n"
          "  --by COLUMN       apart for each value of a column\n"
          "  --latex           for LaTeX, not for a terminal\n"
          "  --bins N          about so many bars\n"
          "  --separator C     what stands between values (default: a comma)\n"
          "  --output FILE     write there, not to the standard output\n"
          "\n"
          "A row where a wanted value is missing (empty, NA, - or ?) is left out, and the report says how many were.\n",
          stdout);
}
