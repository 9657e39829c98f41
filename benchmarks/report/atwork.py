"""The chapters on what a person at work waits for: real documents, and a project that is watched.

Knows the rows of ``latex`` and ``watch``.
"""

from benchmarks.report.markdown import Found, made_by, missing, rows_table, table
from benchmarks.results import Record
from benchmarks.tables import aim_text, figure, ratio_text, span

_DOCUMENTS = """## What a document costs

Real LaTeX documents by cpods and by latexmk: cold, after one word was changed, and with nothing changed; processor time of all
processes that a build needs, a resident MajorDomo's among them. *Preamble kept*: with `preamble = "cache"`. The text of all results
is the same. Most of the time is TeX's own, whoever starts it.
"""

_WATCHING = """## While you work: watching

A resident MajorDomo (`cpods watch`, `cpods majordomo start`) hears of changes and answers a rebuild from memory. *Null build*: asked
of it with nothing changed; *inside*: without the start of the interpreter. *Save to start*: from the end of the write of one file of
so many steps until its step's program runs.
"""


def documents(found: Found) -> str:
    """Means first, then each document."""
    records = found.get("latex", ())
    if not records:
        return f"{_DOCUMENTS}\n{missing('latex')}\n"
    cpu = [one for one in records if one.extra["measure"] == "CPU"]
    means = [_mean(one) for one in cpu if "mean" in one.extra]
    each = [_document(one) for one in cpu if "document" in one.extra]
    parts = [_DOCUMENTS, table(["geometric mean of", "situation", "way", "CPU to latexmk's, min / median / max", "aim"], means), ""]
    parts += [table(["document", "CPU ms a pass", "situation", "way", "CPU ms", "latexmk's", "ratio (lowest - highest)"], each), ""]
    return "\n".join([*parts, made_by(records), ""])


def _mean(record: Record) -> list[str]:
    return [record.extra["mean"], record.extra["situation"], record.extra["way"], span(record.values), aim_text(record)]


def _document(record: Record) -> list[str]:
    extra = record.extra
    named = [extra["document"], figure(extra["pass_cpu_ms"]), extra["situation"], extra["way"]]
    return [*named, span(record.values), span(record.peer_values), ratio_text(record.ratio)]


def watching(found: Found) -> str:
    """All rows."""
    records = found.get("watch", ())
    return "\n".join([_WATCHING, *([rows_table(records), "", made_by(records)] if records else [missing("watch")]), ""])
