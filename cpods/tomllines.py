"""Where each key of a TOML text stands: path -> line number, which tomli does not tell.

Knows no schema and no validity: it is asked only about texts that tomli has accepted.
"""

from collections.abc import Mapping

#: ``("step", 0, "outputs", 1)``: the second output of the first ``[[step]]``.
KeyPath = tuple[str | int, ...]

_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of every table, key and list element of a valid TOML text."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def nearest_line(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of ``path``, else of the innermost thing around it that has one, else 1."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


class _Scanner:
    """One walk over the text; ``at`` is the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.lines: dict[KeyPath, int] = {}
        self.counts: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip(" \t\r\n"):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        repeated = self.text.startswith("[[", self.at)
        self._advance(2 if repeated else 1)
        line = self.line
        path = self._inside(self._key())
        if repeated:
            self.counts[path] = self.counts.get(path, -1) + 1
            self.lines.setdefault(path, line)
            path = (*path, self.counts[path])
        self.lines.setdefault(path, line)
        self._advance(2 if repeated else 1)
        return path

    def _inside(self, key: KeyPath) -> KeyPath:
        """A header's key with the running number put behind each list of tables on its way."""
        path: KeyPath = ()
        for part in key[:-1]:
            path = (*path, part)
            if path in self.counts:
                path = (*path, self.counts[path])
        return (*path, key[-1])

    def _pair(self, table: KeyPath) -> None:
        line = self.line
        path = (*table, *self._key())
        for length in range(len(table) + 1, len(path) + 1):
            self.lines.setdefault(path[:length], line)
        self._advance(1)  # the equals sign
        self._value(path)

    def _key(self) -> KeyPath:
        parts: list[str] = []
        while True:
            self._skip(" \t")
            parts.append(self._string() if self.text[self.at] in "\"'" else self._bare(" \t=.]"))
            self._skip(" \t")
            if self.text[self.at : self.at + 1] != ".":
                return tuple(parts)
            self._advance(1)

    def _value(self, path: KeyPath) -> None:
        self._skip(" \t")
        first = self.text[self.at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._list(path)
        elif first == "{":
            self._inline(path)
        else:
            self._bare(",]}#\r\n")

    def _list(self, path: KeyPath) -> None:
        self._advance(1)
        number = 0
        while self._skip(" \t\r\n,") and self.text[self.at] != "]":
            self.lines.setdefault((*path, number), self.line)
            self._value((*path, number))
            number += 1
        self._advance(1)

    def _inline(self, path: KeyPath) -> None:
        self._advance(1)
        while self._skip(" \t\r\n,") and self.text[self.at] != "}":
            self._pair(path)
        self._advance(1)

    def _bare(self, stops: str) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in stops:
            self.at += 1
        return self.text[start : self.at]

    def _string(self) -> str:
        """Steps over a string of any of the four kinds; returns what a one-line one says."""
        quote = self.text[self.at]
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self._advance(len(fence))
        said: list[str] = []
        while self.at < len(self.text) and not self._closes(fence):
            said.append(self._character(quote))
        self._advance(len(fence))
        return "".join(said)

    def _closes(self, fence: str) -> bool:
        """Whether the string ends here: of up to five quotes at the end of a long string, the last three close it."""
        return self.text.startswith(fence, self.at) and not (len(fence) == 3 and self.text.startswith(fence[0], self.at + 3))

    def _character(self, quote: str) -> str:
        char = self.text[self.at]
        if char != "\\" or quote == "'":
            self._advance(1)
            return char
        code = self.text[self.at + 1]
        width = {"u": 4, "U": 8}.get(code, 0)
        digits = self.text[self.at + 2 : self.at + 2 + width]
        self._advance(2 + width)
        return chr(int(digits, 16)) if width else _ESCAPES.get(code, "")

    def _skip(self, blanks: str) -> bool:
        """Steps over blanks, and over comments where line ends are blanks; whether anything is left."""
        while self.at < len(self.text):
            if self.text[self.at] == "#" and "\n" in blanks:
                self._bare("\n")
            elif self.text[self.at] in blanks:
                self._advance(1)
            else:
                return True
        return False

    def _advance(self, count: int) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count
