"""What helpers see of .aux files."""

from cpods.chefs.texaux import bibtex_part, makeglossaries_part, read_aux

MAIN = (
    b"\\relax \n\\@writefile{toc}{x}\n\\citation{a}\n\\newlabel{l}{{1}{1}}\n\\@input{sub/part.aux}\n\\bibstyle{plain}\n\\bibdata{one,two}\n"
)


def test_bibtex_sees_its_four_commands_only() -> None:
    assert bibtex_part(MAIN).split() == [b"\\citation{a}", b"\\@input{sub/part.aux}", b"\\bibstyle{plain}", b"\\bibdata{one,two}"]


def test_bibtex_takes_commands_from_the_first_column_only() -> None:
    assert bibtex_part(b" \\citation{a}\n\\citation {b}\n\\citations{c}\nx\\citation{d}\n") == b""


def test_a_digit_in_a_label_is_nothing_to_bibtex_but_order_of_citations_is() -> None:
    assert bibtex_part(MAIN) == bibtex_part(MAIN.replace(b"{1}{1}", b"{2}{9}"))
    assert bibtex_part(b"\\citation{a}\n\\citation{b}\n") != bibtex_part(b"\\citation{b}\n\\citation{a}\n")


def test_nested_files_are_followed_once_and_missing_ones_named() -> None:
    files = {"doc/a.aux": MAIN, "doc/sub/part.aux": b"\\citation{b}\n\\@input{gone.aux}\n\\@input{a.aux}\n"}
    aux = read_aux("doc/a.aux", "doc", files.get)
    assert aux.files == ("doc/a.aux", "doc/sub/part.aux")
    assert aux.absent == ("doc/gone.aux",)
    assert aux.bibdata == ("one", "two")
    assert aux.asks_bibtex


def test_quoted_names_with_blanks() -> None:
    files = {"a.aux": b'\\@input{"sub dir/p.aux"}\n', "sub dir/p.aux": b"\\bibdata{x}\n"}
    assert read_aux("a.aux", ".", files.get).files == ("a.aux", "sub dir/p.aux")


GLOSSARIES = (
    b"\\providecommand\\@newglossary[4]{}\n\\@newglossary{main}{glg}{gls}{glo}\n"
    b"\\@newglossary{acronym}{alg}{acr}{acn}\n"
    b'\\@istfilename{"my doc".ist}\n'
)


def test_glossaries_and_their_style() -> None:
    aux = read_aux("a.aux", ".", {"a.aux": GLOSSARIES}.get)
    assert [(one.name, one.out, one.into) for one in aux.glossaries] == [("main", "gls", "glo"), ("acronym", "acr", "acn")]
    assert aux.glossary_style == "my doc.ist"
    assert aux.glossary_subset == ()


def test_a_subset_of_glossaries() -> None:
    aux = read_aux("a.aux", ".", {"a.aux": GLOSSARIES + b"\\glsxtr@makeglossaries{main}\n"}.get)
    assert aux.glossary_subset == ("main",)


def test_makeglossaries_does_not_see_labels() -> None:
    assert makeglossaries_part(GLOSSARIES + b"\\newlabel{x}{{1}{1}}\n") == makeglossaries_part(GLOSSARIES)
    assert makeglossaries_part(b"\\@glsorder{word}\n") != makeglossaries_part(b"\\@glsorder{letter}\n")
