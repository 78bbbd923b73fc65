"""TOML with places: values by tomllib, lines by a reading of headers and keys."""

import re
import tomllib
from typing import Any

from portraitist.interop.document import NOTHING, Document, Path, Place, at

HEADER = re.compile(r"\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}")
KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'))*)\s*="""
)
PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'""")


def read(text: str, name: str, folder: str) -> Document:
    """A TOML document. Raises ValueError with the place for what is none."""
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return Document(name, folder, "toml", text, value, placed(text, value))


def placed(text: str, value: dict[str, Any]) -> dict[Path, Place]:
    """Places of keys that stand on lines of their own; those inside inline tables have their line's."""
    places: dict[Path, Place] = {(): Place(1, 1, 0)}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            table = resolved(PART.findall(header[2]), counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                places.setdefault(table, Place(number, header.start(2) + 1, len(header[2])))
                table = (*table, counts[table])
            places[table] = Place(number, header.start(2) + 1, len(header[2]))
        elif key := KEY.match(line):
            here = (*table, *(part.strip("\"'") for part in PART.findall(key[1])))
            if at(value, here, NOTHING) is not NOTHING:  # a line inside a long string only looks like a key
                places.setdefault(here, Place(number, key.start(1) + 1, len(key[1])))
    return places


def resolved(parts: list[str], counts: dict[Path, int]) -> Path:
    """A header's path with the indices of the lists of tables above it: `datasets.subsets` below the last dataset."""
    path: Path = ()
    for position, part in enumerate(parts):
        path = (*path, part.strip("\"'"))
        if path in counts and position < len(parts) - 1:
            path = (*path, counts[path])
    return path
