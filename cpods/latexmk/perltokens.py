"""The part of Perl that rc files are written in, cut into tokens: quotes of all kinds, heredocs, regular expressions, comments.

Knows no statement.
"""

import re
from typing import NamedTuple

_SPACE = re.compile(r"[ \t\r\f]+|#[^\n]*")
_POD = re.compile(r"=[A-Za-z][^\n]*\n.*?(?:\n=cut\b[^\n]*|\Z)", re.DOTALL)
_END = re.compile(r"__(?:END|DATA)__\b")
_WORD = re.compile(r"[A-Za-z_]\w*(?:::\w+)*")
_NUMBER = re.compile(r"\d[\d_]*(?:\.\d+)?")
_OPERATOR = re.compile(r"<=>|\*\*=|\|\|=|&&=|//=|=>|->|=~|!~|==|!=|\.=|\+=|-=|\*=|\|\||&&|//|\.\.|::|<=|>=|.", re.DOTALL)
_HEREDOC = re.compile(r"<<(~?)(?:\"([^\"\n]+)\"|'([^'\n]+)'|([A-Za-z_]\w*))")
#: $name, $$name, ${name}, $_, $0, $^O; with one subscript in brackets right behind it, if that is a constant.
_VARIABLE = re.compile(r"([$@%&])(\$?)(?:\{\s*(\w+)\s*\}|((?:::)?[A-Za-z_]\w*(?:::\w+)*|\d+|\^\w|[!@&;,.\\/0]))")
_SUBSCRIPT = re.compile(r"\{\s*(?:(['\"])([^'\"\n]*)\1|-?(\w+))\s*\}|\[\s*(-?\d+)\s*\]")
_PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_OPERAND_ENDS = frozenset({"var", "single", "double", "number", "words"})


class PerlError(Exception):
    """Perl that cannot be read here. ``line``: where it begins."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


class Token(NamedTuple):
    """A piece of Perl. ``kind``: var, single, double, words, regex, heredoc, number, word, op; strings without their quotes."""

    kind: str
    text: str
    line: int


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._heredocs: list[tuple[str, bool]] = []
        self.tokens: list[Token] = []

    def run(self) -> list[Token]:
        while self._at < len(self._text):
            if not self._skip():
                self._take()
        return self.tokens

    def _skip(self) -> bool:
        """Blanks, comments, documentation, the end of the program."""
        if self._text[self._at] == "\n":
            self._advance(1)
            self._pass_heredocs()
            return True
        at_line_start = self._at == 0 or self._text[self._at - 1] == "\n"
        found = (at_line_start and _POD.match(self._text, self._at)) or _SPACE.match(self._text, self._at)
        if found:
            self._advance(len(found[0]))
        elif at_line_start and _END.match(self._text, self._at):
            self._at = len(self._text)
        else:
            return False
        return True

    def _advance(self, count: int) -> str:
        piece = self._text[self._at : self._at + count]
        self._at += count
        self._line += piece.count("\n")
        return piece

    def _pass_heredocs(self) -> None:
        for name, indented in self._heredocs:
            while self._at < len(self._text):
                line = self._advance((self._text.find("\n", self._at) + 1 or len(self._text)) - self._at)
                if (line.strip() if indented else line.rstrip("\n")) == name:
                    break
        self._heredocs = []

    def _add(self, kind: str, text: str, line: int) -> None:
        self.tokens.append(Token(kind, text, line))

    def _take(self) -> None:
        line, char = self._line, self._text[self._at]
        if char in "$@%&" and (found := _VARIABLE.match(self._text, self._at)) and not (char in "%&" and self._after_operand(")]")):
            self._take_variable(found, line)
        elif char in "'\"`":
            kind = {"'": "single", '"': "double", "`": "command"}[char]
            self._add(kind, self._quoted(), line)
        elif found := _WORD.match(self._text, self._at):
            self._take_word(self._advance(len(found[0])), line)
        elif found := _NUMBER.match(self._text, self._at):
            self._add("number", self._advance(len(found[0])).replace("_", ""), line)
        elif char == "<" and (found := _HEREDOC.match(self._text, self._at)):
            self._advance(len(found[0]))
            self._heredocs.append((found[2] or found[3] or found[4], bool(found[1])))
            self._add("heredoc", "", line)
        elif char == "/" and not self._after_operand():
            self._add("regex", self._quoted(), line)
            self._flags()
        else:
            found = _OPERATOR.match(self._text, self._at)
            assert found is not None
            self._add("op", self._advance(len(found[0])), line)

    def _after_operand(self, brackets: str = ")]}") -> bool:
        """Whether a value has just ended; behind a ``}`` that ends a block a ``%`` or ``&`` begins a name."""
        if not self.tokens:
            return False
        last = self.tokens[-1]
        return last.kind in _OPERAND_ENDS or (last.kind == "op" and last.text in brackets)

    def _take_variable(self, found: "re.Match[str]", line: int) -> None:
        self._advance(len(found[0]))
        name = found[1] + found[2] + (found[3] or found[4])
        subscript = _SUBSCRIPT.match(self._text, self._at) if found[1] == "$" else None
        if subscript:
            self._advance(len(subscript[0]))
            index = subscript[4]
            name += f"[{index}]" if index is not None else f"{{{subscript[2] if subscript[2] is not None else subscript[3]}}}"
        self._add("var", name, line)

    def _take_word(self, word: str, line: int) -> None:
        rest = self._text[self._at :].lstrip()
        is_quote = word in ("q", "qq", "qw", "qx", "m", "qr", "s", "tr", "y") and rest[:1] and not re.match(r"[\w,;)]|=>|=\s", rest)
        if is_quote and not (self.tokens and self.tokens[-1].text in ("->", "sub", "{")):
            self._advance(len(self._text) - self._at - len(rest))
            self._take_quote(word, line)
        else:
            self._add("word", word, line)

    def _take_quote(self, word: str, line: int) -> None:
        opening = self._text[self._at]
        text = self._quoted()
        if word in ("s", "tr", "y"):
            if opening in _PAIRS:
                while self._at < len(self._text) and self._skip():
                    pass
            else:
                self._at -= 1  # the middle delimiter ends the one part and begins the other
            self._quoted()
        if word in ("m", "qr", "s", "tr", "y"):
            self._flags()
        self._add({"q": "single", "qq": "double", "qw": "words", "qx": "command"}.get(word, "regex"), text, line)

    def _flags(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isalpha():
            self._advance(1)

    def _quoted(self) -> str:
        """What stands between the delimiter here and its end; backslashes are kept."""
        start = self._line
        opening = self._advance(1)
        closing = _PAIRS.get(opening, opening)
        depth, begun = 1, self._at
        while self._at < len(self._text):
            char = self._advance(1)
            if char == "\\":
                self._advance(1)
            elif char == closing:
                depth -= 1
                if not depth:
                    return self._text[begun : self._at - 1]
            elif char == opening:
                depth += 1
        raise PerlError(start, f"a text that begins with {opening} has no end")


def tokens(text: str) -> list[Token]:
    """The tokens of a program. Raises PerlError."""
    return _Lexer(text).run()
