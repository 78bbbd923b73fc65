"""`metadata.jsonl` and `metadata.csv` of Hugging Face's imagefolder: one row a picture, by `file_name`."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from portraitist import durable
from portraitist.errors import PortraitistError

NAMES = ("metadata.jsonl", "metadata.csv")

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "caption": ("text", "caption", "prompt", "description"),
    "source": ("source", "source_url", "url", "origin"),
    "licence": ("licence", "license", "rights"),
    "author": ("author", "artist", "creator", "photographer", "credit"),
}
"""What columns are called that say what; the first one that holds anything counts."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says of its picture; "" where it says nothing. The caption is one line."""

    caption: str = ""
    source: str = ""
    licence: str = ""
    author: str = ""

    def over(self, other: "Row") -> "Row":
        """This row, and what another says where this one says nothing."""
        return Row(
            self.caption or other.caption,
            self.source or other.source,
            self.licence or other.licence,
            self.author or other.author,
        )


@dataclass(frozen=True, slots=True)
class Complaint:
    """A list or a row that could not be used, and why."""

    name: str
    why: str


def rows(folder: Path) -> tuple[dict[str, Row], list[Complaint]]:
    """The rows of a folder's lists by the picture's path below the folder, and what could not be used of them."""
    found: dict[str, Row] = {}
    complaints: list[Complaint] = []
    for name in NAMES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            text = durable.read_text(path)
        except PortraitistError as error:
            complaints.append(Complaint(name, error.problem))
            continue
        broken: list[str] = []
        for number, values in objects(text) if name.endswith(".jsonl") else table(text):
            picture = plain(values.get("file_name")) if values is not None else ""
            if values is None or not picture:
                broken.append(str(number))
                continue
            found.setdefault(PurePosixPath(picture).as_posix(), row(values))
        if broken:
            more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
            complaints.append(Complaint(name, f"rows {', '.join(broken[:3])}{more} name no file"))
    return found, complaints


def objects(text: str) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    """The JSON objects of lines, by the line's number; None for a line that is none."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        yield number, value if isinstance(value, dict) else None


def table(text: str) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    """The rows of a CSV with a head, by their number; None from the first one on that cannot be read."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    number = 1
    try:
        for number, values in enumerate(reader, start=1):
            yield number, values
    except csv.Error:
        yield number + 1, None


def row(values: Mapping[str, Any]) -> Row:
    """What an object says of its picture."""

    def said(names: Iterable[str]) -> str:
        return next((word for name in names if (word := plain(values.get(name)))), "")

    return Row(*(said(COLUMNS[name]) for name in ("caption", "source", "licence", "author")))


def plain(value: Any) -> str:
    """A text in one line; "" for what is none."""
    return " ".join(value.split()) if isinstance(value, str) else ""
