"""Makes the table that book.tex shows of itself: reads pages.dat (what was typeset where), writes coverage.tex.

The first line of pages.dat is ``area|top|height``: where the text of a page begins, and how high it is. The others are
``kind|text|page|y``, in the order of the pages; kinds are section, source, term and end. TeX counts lengths in scaled points, y from below.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Section:
    title: str
    begin: float
    end: float
    found: Counter[str] = field(default_factory=Counter)

    @property
    def pages(self) -> str:
        first, last = int(self.begin), int(self.end)
        return str(first) if first == last else f"{first}--{last}"

    @property
    def length(self) -> float:
        return self.end - self.begin


def read(path: str) -> tuple[list[Section], Counter[int]]:
    """The sections in order (places are in pages: 2.5 is the middle of page 2), and how many notes stand on each page."""
    sections: list[Section] = []
    on_page: Counter[int] = Counter()
    with open(path, encoding="utf-8") as file:
        _, top, height = file.readline().split("|")
        for line in file:
            kind, text, page, y = line.rstrip("\n").split("|")
            place = int(page) + min(max((int(top) - int(y)) / int(height), 0), 0.999)
            if sections and kind in ("section", "end"):
                sections[-1].end = place
            if kind == "section":
                sections.append(Section(text, place, place))
            elif kind in ("source", "term"):
                sections[-1].found[kind] += 1
                on_page[int(page)] += 1
    return sections, on_page


def table(sections: list[Section], on_page: Counter[int]) -> str:
    longest = max(section.length for section in sections)
    lines = ["\\begin{tabular}{rlrrrrl}", "\\toprule", "& Section & On & Sources & Terms & \\multicolumn{2}{l}{Length} \\\\", "\\midrule"]
    for number, section in enumerate(sections, 1):
        counts = f"{section.found['source']} & {section.found['term']}"
        bar = f"\\rule{{{20 * section.length / longest:.1f}mm}}{{1.2ex}}"
        lines.append(f"{number} & {section.title} & {section.pages} & {counts} & {section.length:.1f} & {bar} \\\\")
    sources, terms = (sum(section.found[kind] for section in sections) for kind in ("source", "term"))
    pages = f"{int(sections[0].begin)}--{int(sections[-1].end)}"
    length = sections[-1].end - sections[0].begin
    lines += ["\\midrule", f"& Together & {pages} & {sources} & {terms} & {length:.1f} & \\\\", "\\bottomrule", "\\end{tabular}"]
    # The lowest page among the densest, so that the answer is one. gdef: the table stands in a group (a float).
    densest = min(on_page, key=lambda page: (-on_page[page], page))
    lines += [f"\\gdef\\densestpage{{{densest}}}", f"\\gdef\\densestcount{{{on_page[densest]}}}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    text = table(*read("pages.dat"))
    with open("coverage.tex", "w", encoding="utf-8") as file:
        file.write(text)
