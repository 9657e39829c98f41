"""PDFs that differ in dates and /ID only look the same; all others do not."""

import re
import subprocess
from pathlib import Path

import pytest

from cpods.chefs.pdfview import without_dates
from tests.chefs.realview import BASE_ENVIRONMENT

DATA = Path(__file__).parent / "data"


def redated(data: bytes) -> bytes:
    """The same PDF made a few years and seconds later, with another /ID."""
    later = re.sub(rb"\(D:20\d\d(\d{8})", rb"(D:1999\1", data)
    return re.sub(rb"<[0-9a-fA-F]{32}>", b"<" + b"Ab" * 16 + b">", later)


@pytest.mark.parametrize("name", ["matplotlib.pdf", "reportlab.pdf"])
def test_plots_made_again_look_the_same(name: str) -> None:
    data = (DATA / name).read_bytes()
    assert redated(data) != data
    assert without_dates(redated(data)) == without_dates(data)
    assert len(without_dates(data)) == len(data)


def test_a_context_document_made_again_looks_the_same() -> None:
    """Its catalogue lies in an object stream, and its date stands in names of its own, too."""
    data = (DATA / "context.pdf").read_bytes()
    later = re.sub(rb"2026-?11-?27", lambda found: found[0].replace(b"27", b"28"), redated(data))
    later = re.sub(rb"uuid:[0-9a-f]{8}", b"uuid:01234567", later)
    later = re.sub(rb"<[0-9A-F]{32}>", b"<" + b"0A" * 16 + b">", later)
    assert later.count(b"2026-11-28") == 7
    assert without_dates(later) == without_dates(data)
    assert without_dates(data.replace(b"<pdfx:ConTeXt.Jobname>t<", b"<pdfx:ConTeXt.Jobname>u<")) != without_dates(data)


@pytest.mark.parametrize("name", ["matplotlib.pdf", "reportlab.pdf"])
def test_any_other_byte_counts(name: str) -> None:
    data = (DATA / name).read_bytes()
    for old, new in ((b"/MediaBox", b"/CropBoxx"), (b"stream\n", b"stream\r"), (b"/Producer", b"/Produces")):
        assert without_dates(data.replace(old, new, 1)) != without_dates(data)


def test_a_real_figure_by_pdftex(tmp_path: Path) -> None:
    (tmp_path / "fig.tex").write_text("\\documentclass{article}\\begin{document}$x^2$\\end{document}")
    made = []
    for epoch in ("1000000000", "1400000000"):
        subprocess.run(
            ["pdflatex", "-interaction=batchmode", "fig.tex"],
            cwd=tmp_path,
            env={**BASE_ENVIRONMENT, "SOURCE_DATE_EPOCH": epoch},
            check=True,
            capture_output=True,
        )
        made.append((tmp_path / "fig.pdf").read_bytes())
    assert made[0] != made[1]
    assert without_dates(made[0]) == without_dates(made[1])


def test_the_view_is_still_a_pdf_that_can_be_included(tmp_path: Path) -> None:
    (tmp_path / "fig.pdf").write_bytes(without_dates((DATA / "matplotlib.pdf").read_bytes()))
    (tmp_path / "a.tex").write_text("\\documentclass{article}\\usepackage{graphicx}\\begin{document}\\includegraphics{fig}\\end{document}")
    command = ["pdflatex", "-interaction=batchmode", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, env=BASE_ENVIRONMENT, capture_output=True, check=False)
    assert done.returncode == 0


def test_a_date_in_the_text_of_a_page_counts() -> None:
    body = b"%PDF-1.4\n1 0 obj\n<< /Info (x) /CreationDate (D:20200101) >>\nendobj\n"
    data = body + b"xref\n0 1\ntrailer\n<< /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    assert without_dates(data) == data


@pytest.mark.parametrize("damage", [b"", b"%PDF-1.4\nnothing", b"no pdf at all /ID [<00> <11>]"])
def test_what_is_not_understood_is_left_alone(damage: bytes) -> None:
    assert without_dates(damage) == damage


def test_encrypted_and_updated_files_are_left_alone() -> None:
    data = (DATA / "reportlab.pdf").read_bytes()
    for extra in (b"/Encrypt 9 0 R\n/Size", b"/Prev 17\n/Size"):
        assert without_dates(data.replace(b"/Size", extra)) == data.replace(b"/Size", extra)


def test_metadata_of_the_catalogue() -> None:
    def pdf(stamp: bytes) -> bytes:
        body = (
            b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Metadata 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Metadata /Subtype /XML >>\nstream\n"
            b"<xmp:CreateDate>" + stamp + b"</xmp:CreateDate><rdf:x xmp:ModifyDate='" + stamp + b"'/>\nendstream\nendobj\n"
        )
        return body + b"xref\n0 3\ntrailer\n<< /Root 1 0 R /Size 3 >>\nstartxref\n%d\n%%%%EOF\n" % len(body)

    assert without_dates(pdf(b"2024-01-02T03:04:05Z")) == without_dates(pdf(b"2031-12-02T03:04:05Z"))


def test_a_hand_made_pdf_with_a_wrong_offset() -> None:
    def pdf(date: bytes) -> bytes:
        body = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n2 0 obj\n<< /Producer (x) /CreationDate (D:" + date + b") >>\nendobj\n"
        return body + b"xref\n0 1\ntrailer << /Root 1 0 R /Info 2 0 R >>\nstartxref\n0\n%%EOF\n"

    assert without_dates(pdf(b"20240102030405Z")) == without_dates(pdf(b"20311202030405Z"))


def test_objects_whose_numbers_end_alike_are_told_apart() -> None:
    def pdf(number: bytes, other: bytes) -> bytes:
        body = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"
        body += b"12 0 obj\n<< /CreationDate (D:" + other + b") >>\nendobj\n2 0 obj\n<< /CreationDate (D:" + number + b") >>\nendobj\n"
        return body + b"xref\n0 1\ntrailer << /Root 1 0 R /Info 2 0 R >>\nstartxref\n0\n%%EOF\n"

    assert without_dates(pdf(b"20240102", b"20200101")) == without_dates(pdf(b"20311202", b"20200101"))
    assert without_dates(pdf(b"20240102", b"20200101")) != without_dates(pdf(b"20240102", b"20200102"))
