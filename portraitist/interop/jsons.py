"""JSON with places; comments and trailing commas pass, as in JSONC."""

import json
import re
from bisect import bisect_right
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from portraitist.interop.document import Document, Path, Place, Trap

DEEPEST = 64
SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
WORD = re.compile(r"-?(?:NaN|Infinity)|-?(?:0|[1-9]\d*)(?:\.\d*)?(?:[eE][-+]?\d+)?|true|false|null")


def read(text: str, name: str, folder: str) -> Document:
    """A JSON document. Raises ValueError with the place for what is none, and for more than 64 levels."""
    reading = Reading(text)
    value = reading.value((), 0)
    if reading.space() != len(text):
        raise ValueError(f"{reading.where()}: something follows the end")
    return Document(name, folder, "json", text, value, reading.places, tuple(reading.traps))


class Reading:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        """At the start of `text`."""
        self.text, self.at = text, 1 if text.startswith("\ufeff") else 0
        self.places: dict[Path, Place] = {(): Place(1, 1, 0)}
        self.traps: list[Trap] = []
        self.lines = [0, *(found.end() for found in re.finditer("\n", text))]

    def place(self, at: int, width: int = 1) -> Place:
        """Line and column of a position."""
        line = bisect_right(self.lines, at)
        return Place(line, at - self.lines[line - 1] + 1, width)

    def where(self) -> str:
        """The present place, in words."""
        here = self.place(self.at)
        return f"line {here.line}, column {here.column}"

    def space(self) -> int:
        """Pass over white space and comments; returns the position."""
        found = SPACE.match(self.text, self.at)
        if found and (at := found[0].find("/")) >= 0:
            self.traps.append(Trap("comment", (), self.place(self.at + at, 2), "a comment, which plain JSON has not"))
        self.at = found.end() if found else self.at
        return self.at

    def sign(self) -> str:
        """The next sign that is no space; "" at the end."""
        self.space()
        return self.text[self.at : self.at + 1]

    def value(self, path: Path, depth: int) -> Any:
        """The value that stands here."""
        if depth > DEEPEST:
            raise ValueError(f"{self.where()}: nested too deeply")
        sign = self.sign()
        if sign == "{":
            return self.mapping(path, depth)
        if sign == "[":
            return self.items(path, depth)
        if sign == '"':
            return self.string()
        found = WORD.match(self.text, self.at)
        if not found:
            raise ValueError(f"{self.where()}: expected a value")
        self.at = found.end()
        return json.loads(found[0].removesuffix("."))

    def string(self) -> str:
        """The string that begins here."""
        try:
            found, self.at = scanstring(self.text, self.at + 1, False)
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.where()}: {error.msg}") from error
        return str(found)

    def mapping(self, path: Path, depth: int) -> dict[str, Any]:
        """The object that begins here; of a key that stands twice the later counts."""
        found: dict[str, Any] = {}
        self.at += 1
        while self.sign() != "}":
            if self.sign() != '"':
                raise ValueError(f"{self.where()}: expected a key in quotes")
            begin = self.at
            key = self.string()
            here = (*path, key)
            place = self.place(begin, self.at - begin)
            self.places[here] = place
            if self.sign() != ":":
                raise ValueError(f"{self.where()}: expected a colon")
            self.at += 1
            value = self.value(here, depth + 1)
            if key in found and found[key] != value:
                self.traps.append(Trap("duplicate", here, place, f"{key} stands twice; the later one counts"))
            found[key] = value
            self.comma("}")
        self.at += 1
        return found

    def items(self, path: Path, depth: int) -> list[Any]:
        """The list that begins here."""
        found: list[Any] = []
        self.at += 1
        while self.sign() != "]":
            here = (*path, len(found))
            self.places[here] = self.place(self.at)
            found.append(self.value(here, depth + 1))
            self.comma("]")
        self.at += 1
        return found

    def comma(self, end: str) -> None:
        """Pass a comma, or stand before the end."""
        sign = self.sign()
        if sign == ",":
            at = self.at
            self.at += 1
            if self.sign() == end:
                says = "a comma before the end, which plain JSON has not"
                self.traps.append(Trap("comma", (), self.place(at), says))
        elif sign != end:
            raise ValueError(f"{self.where()}: expected a comma or {end}")
