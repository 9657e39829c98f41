"""Cuts a shell command line into words and operators, and takes nested command lines out of it.

Knows no commands: what a word is for is :mod:`cpods.chefs.shellwords`' business. Runs nothing, expands nothing.
"""

import re
from functools import lru_cache

import msgspec

_OPERATORS = ("&&", "||", ";;", ">>", "<<-", "<<", "<&", ">&", "<>", ">|", "&", "|", ";", "<", ">", "(", ")", "\n")
_OPERATOR = re.compile("|".join(re.escape(operator) for operator in sorted(_OPERATORS, key=len, reverse=True)))
#: Nothing in it means anything to a shell, so that blanks alone part its words.
_SIMPLE = re.compile(r"[A-Za-z0-9_./,:=+@%^ \t-]+")
_LITERALS = re.compile(r"[A-Za-z0-9_./,:=+@%^#-]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")


class Word(msgspec.Struct, frozen=True):
    """A word after quote removal (``text`` None: it holds an expansion), or an operator.

    ``quoted``: some part was quoted. ``assignment``: ``NAME=...``, which in front of a command word starts nothing.
    """

    text: str | None
    operator: bool = False
    quoted: bool = False
    assignment: bool = False


class Scan(msgspec.Struct, frozen=True):
    """A command line's words, the command lines nested in it, and whether it is ``plain``: a shell would expand nothing."""

    words: tuple[Word, ...]
    nested: tuple[str, ...]
    plain: bool


@lru_cache(maxsize=64)  # a step's command line is asked for several things at a time
def scan(text: str) -> Scan:
    """The words of a command line. Never fails: an unclosed quotation reaches to the end, and is not plain."""
    if _SIMPLE.fullmatch(text):
        return Scan(tuple(Word(word, assignment=_ASSIGNMENT.match(word) is not None) for word in text.split()), (), True)
    lexer = _Lexer(text)
    lexer.run()
    return Scan(tuple(lexer.found), tuple(lexer.nested), lexer.plain)


class _Lexer:
    """One walk over the text; ``at`` is the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: list[Word] = []
        self.nested: list[str] = []
        self.plain = True
        self.quoted = False  # in the present word
        self.documents: list[str] = []  # ends of here documents whose bodies begin at the next line

    def run(self) -> None:
        while self.at < len(self.text):
            if self.text[self.at] in " \t":
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif self.text[self.at] == "#":
                self.plain = False
                self.at = self._find("\n", self.at)
            elif operator := _OPERATOR.match(self.text, self.at):
                self._operator(operator.group())
            else:
                self._word()

    def _operator(self, operator: str) -> None:
        self.at += len(operator)
        self.found.append(Word(operator, operator=True))
        if operator == "\n":
            self._skip_documents()

    def _skip_documents(self) -> None:
        for end in self.documents:
            while self.at < len(self.text):
                start, self.at = self.at, self._find("\n", self.at) + 1
                if self.text[start : self.at].strip("\t\n") == end:
                    break
        self.documents = []

    def _word(self) -> None:
        start = self.at
        self.quoted = False
        pieces: list[str | None] = []
        while self.at < len(self.text) and self.text[self.at] not in " \t" and not _OPERATOR.match(self.text, self.at):
            pieces.append(self._piece())
        text = _joined(pieces)
        if text and text.isdigit() and not self.quoted and self.text[self.at : self.at + 1] in ("<", ">"):
            return  # the number of a descriptor
        if self.found and self.found[-1].operator and self.found[-1].text in ("<<", "<<-"):
            self.documents.append(text or "")
        assignment = _ASSIGNMENT.match(self.text, start) is not None
        self.found.append(Word(text, quoted=self.quoted, assignment=assignment))

    def _piece(self) -> str | None:
        """Literal characters, a quotation or an expansion of a word; None for an expansion."""
        if literals := _LITERALS.match(self.text, self.at):
            self.at = literals.end()
            return literals.group()
        char = self.text[self.at]
        if char == "'":
            return self._single()
        if char == '"':
            return self._double()
        if char in "$`":
            return self._expansion()
        if char == "\\":
            return self._escaped()
        if char in "*?[]{}~!":
            self.plain = False
        self.at += 1
        return char

    def _escaped(self) -> str:
        self.quoted = True
        char = self.text[self.at + 1 : self.at + 2]
        self.plain = self.plain and char != ""
        self.at += 2
        return "" if char == "\n" else char

    def _single(self) -> str:
        self.quoted = True
        end = self._find("'", self.at + 1)
        self.plain = self.plain and end < len(self.text)
        piece, self.at = self.text[self.at + 1 : end], end + 1
        return piece

    def _double(self) -> str | None:
        self.quoted = True
        self.at += 1
        pieces: list[str | None] = []
        while self.at < len(self.text) and self.text[self.at] != '"':
            char = self.text[self.at]
            if char in "$`":
                pieces.append(self._expansion())
            elif char == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n"):
                pieces.append(self.text[self.at + 1].replace("\n", ""))
                self.at += 2
            else:
                pieces.append(char)
                self.at += 1
        self.plain = self.plain and self.at < len(self.text)
        self.at += 1
        return _joined(pieces)

    def _expansion(self) -> str | None:
        """``$x``, ``${x:-...}``, ``$((...))``, ``$(...)`` or backticks; commands inside are kept for later."""
        self.plain = False
        if self.text[self.at] == "`":
            end = self._find("`", self.at + 1)
            self.nested.append(self.text[self.at + 1 : end].replace("\\`", "`"))
            self.at = end + 1
            return None
        opening = self.text[self.at + 1 : self.at + 2]
        if opening not in ("(", "{"):
            self.at += 1
            return None if re.match(r"[A-Za-z0-9_@*#?$!-]", opening) else "$"
        start = self.at + 2
        self.at = self._closing(start, opening)
        inner = self.text[start : self.at - 1]
        if opening == "(" and not inner.startswith("("):
            self.nested.append(inner)
        else:
            self.nested += scan(inner.replace("'", " ").replace("\n", " ")).nested
        return None

    def _closing(self, at: int, opening: str) -> int:
        """The place behind the bracket that closes one opened before ``at``, quotations and inner brackets skipped."""
        closing = {"(": ")", "{": "}"}[opening]
        depth = 1
        while at < len(self.text):
            char = self.text[at]
            if char == "\\":
                at += 1
            elif char in "'\"" and opening == "(":
                at = self._quotation_end(at)
            elif char in (opening, closing):
                depth += 1 if char == opening else -1
                if not depth:
                    return at + 1
            at += 1
        return len(self.text) + 1

    def _quotation_end(self, at: int) -> int:
        """The place of the quote that closes the one at ``at``."""
        quote = self.text[at]
        at += 1
        while at < len(self.text) and self.text[at] != quote:
            if quote == '"' and self.text.startswith("$(", at):
                at = self._closing(at + 2, "(") - 1
            at += 2 if self.text[at : at + 1] == "\\" and quote == '"' else 1
        return at

    def _find(self, mark: str, start: int) -> int:
        """The next ``mark``, the end of the text without one; backslashes count only before backticks."""
        end = self.text.find(mark, start)
        while mark == "`" and end > 0 and self.text[end - 1] == "\\":
            end = self.text.find(mark, end + 1)
        return end if end >= 0 else len(self.text)


def _joined(pieces: list[str | None]) -> str | None:
    return None if None in pieces else "".join(piece for piece in pieces if piece is not None)
