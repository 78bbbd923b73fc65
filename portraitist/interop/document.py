"""Configs as text: YAML, JSON with comments, TOML and command lines, every value with its place; traps of YAML noticed.

Nothing is executed and no tag builds an object. Line and column count from 1.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
"""Keys and indices from the top down to a value."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: line and column from 1, and how many characters wide."""

    line: int
    column: int
    width: int = 1


TOP = Place(1, 1, 0)


@dataclass(frozen=True, slots=True)
class Trap:
    """Something in the text that a reader takes otherwise than its writer meant it.

    kind  duplicate (with another value) | text-number | boolean-word | date (all of YAML); comment | comma (of JSON)
    """

    kind: str
    path: Path
    place: Place
    says: str


@dataclass(frozen=True, slots=True)
class Document:
    """A config that was read.

    name    of the file, for messages; folder: where its relative paths count from, "" when not known
    kind    yaml | json | toml | command | header | folder (of pictures, by its names)
    value   mappings, lists and plain values
    places  of every key (or item) by its path
    """

    name: str
    folder: str
    kind: str
    text: str
    value: Any
    places: Mapping[Path, Place] = field(default_factory=dict)
    traps: tuple[Trap, ...] = ()

    def place(self, path: Path) -> Place:
        """Where a path stands; where it is not there, the nearest above it that is."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return TOP

    def get(self, *path: str | int, default: Any = None) -> Any:
        """The value at a path; `default` where there is none."""
        return at(self.value, path, default)

    def has(self, *path: str | int) -> bool:
        """Whether there is a value at a path, null included."""
        return at(self.value, path, NOTHING) is not NOTHING

    def leaves(self) -> Iterator[tuple[Path, Any]]:
        """Every value that is no mapping and no list, with its path; empty mappings and lists too."""
        yield from below(self.value, ())


NOTHING = object()


def at(value: Any, path: Path, default: Any = None) -> Any:
    """What stands at a path below a value; `default` where nothing does."""
    for part in path:
        inside = isinstance(part, int) and isinstance(value, list) and -len(value) <= part < len(value)
        if not inside and not (isinstance(value, Mapping) and part in value):
            return default
        value = value[part]
    return value


def below(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Leaves of a value, each with its path below `path`."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from below(inner, (*path, key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from below(inner, (*path, index))
    else:
        yield path, value


def command(text: str, name: str) -> Document:
    """A command line or a shell script of one command: `value` has "program" and one entry per `--option`.

    Lines that end in a backslash or a caret go on; `--a b`, `--a=b` and bare flags (true) are read, several words after
    an option become a list. Where quotes do not close, as of a Windows path that ends in a backslash, words end at
    spaces.
    """
    joined = text.replace("\\\n", "  ").replace("^\n", "  ").replace("`\n", "  ")
    lines = [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    try:
        words = shlex.split("\n".join(lines), comments=False)
    except ValueError:
        words = "\n".join(lines).split()
    program: list[str] = []
    options: dict[str, Any] = {}
    places: dict[Path, Place] = {(): TOP}
    current = ""
    for word in words:
        if word.startswith("--") and len(word) > 2:
            current, equals, said = word[2:].partition("=")
            current = current.replace("-", "_") if not equals and "-" in current else current
            options[current] = typed(said) if equals else True
            places[(current,)] = find(text, word)
            current = "" if equals else current
        elif current:
            had = options[current]
            options[current] = typed(word) if had is True else [*(had if isinstance(had, list) else [had]), typed(word)]
        else:
            program.append(word)
    return Document(name, "", "command", text, {"program": program, **options}, places)


def typed(word: str) -> Any:
    """A word as the number or truth value it spells, else itself."""
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(word.lower(), word)


def find(text: str, word: str) -> Place:
    """The first place of a word in a text."""
    at = text.find(word)
    if at < 0:
        return TOP
    return Place(text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1, len(word))
