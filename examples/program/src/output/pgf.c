#include "output/pgf.h"

#include "output/decimals.h"
#include "output/latex.h"

/* In centimetres. */
static const double WIDTH = 10, HEIGHT = 5;

/* Every how many edges a label is put, so that there are at most twelve. */
static size_t label_step(size_t bins)
{
    return bins / 12 + 1;
}

static void add_bar(struct buffer *out, const struct histogram *histogram, size_t bin, size_t peak)
{
    double one = WIDTH / (double)histogram->bins.count;
    double height = HEIGHT * (double)histogram->counts[bin] / (double)peak;
    double left = (double)bin * one;
    buffer_print(out, "  \\draw[fill=black!15] (%.3f,0) rectangle (%.3f,%.3f);\n", left, left + one, height);
}

static void add_label(struct buffer *out, const struct histogram *histogram, size_t edge)
{
    double place = WIDTH * (double)edge / (double)histogram->bins.count;
    buffer_print(out, "  \\draw (%.3f,0) -- (%.3f,-0.1) node[below] {\\small $", place, place);
    add_decimal(out, bins_edge(&histogram->bins, edge), digits_for(histogram->bins.width));
    buffer_add_text(out, "$};\n");
}

void add_picture(struct buffer *out, const struct histogram *histogram, const char *label)
{
    size_t peak = histogram_peak(histogram), i;
    buffer_add_text(out, "\\begin{tikzpicture}\n");
    for (i = 0; i < histogram->bins.count; i++)
        if (histogram->counts[i])
            add_bar(out, histogram, i, peak);
    for (i = 0; i <= histogram->bins.count; i += label_step(histogram->bins.count))
        add_label(out, histogram, i);
    buffer_print(out, "  \\draw[->] (0,0) -- (%.1f,0);\n", WIDTH + 0.5);
    buffer_print(out, "  \\draw[->] (0,0) -- (0,%.1f);\n", HEIGHT + 0.5);
    buffer_print(out, "  \\draw (0,%.1f) -- (-0.1,%.1f) node[left] {\\small $%zu$};\n", HEIGHT, HEIGHT, peak);
    buffer_print(out, "  \\node[below] at (%.1f,-0.6) {", WIDTH / 2);
    add_latex_text(out, label);
    buffer_add_text(out, "};\n\\end{tikzpicture}\n");
}
