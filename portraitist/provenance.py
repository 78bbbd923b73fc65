"""The ledger of a project, `provenance.jsonl`: where each picture came from, and what a person consented to.

One JSON object a line, its keys in order, never changed once written. Each line carries the SHA-256 of the whole line
before (`before`, zeros for the first) and of itself without that value (`own`). So a byte changed anywhere is noticed,
as are lines taken out or put in between. Whoever writes the whole file anew is not: exported files quote its last line.
"""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from portraitist import durable
from portraitist.errors import PortraitistError

FORMAT = 1
FIRST = "0" * 64
"""What the first line carries as the digest of the line before it."""

TAIL = 1 << 14
"""Bytes read from the end of a ledger to find its last line; more where that is not enough."""

Event = Literal["added", "found", "described", "repaired", "consented", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: what happened, when (UTC, ISO 8601), and the facts of it."""

    event: str
    at: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger as it was read.

    entries  of all lines that can be read, in order
    digests  of the lines, SHA-256 in hexadecimal: the last one names the whole ledger
    broken   what does not fit the chain first, and in which line; "" when all is as it was written
    """

    entries: tuple[Entry, ...] = ()
    digests: tuple[str, ...] = ()
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger knows of one picture, the newest word counting.

    picture   its name below `pictures/`
    sha256    of the file's bytes; pixels: of the upright sRGB pixels, as the manifest has it
    by_hand   whether it was put into the folder by hand, and found there by `audit`
    source, licence, author  as a person or a data set's metadata told; "" where nobody did
    says      what the file says of itself: see `portraitist.dataset.claims`
    """

    picture: str
    sha256: str
    pixels: str = ""
    by_hand: bool = False
    source: str = ""
    licence: str = ""
    author: str = ""
    says: Mapping[str, Any] = field(default_factory=dict)


def packed(values: Mapping[str, Any]) -> bytes:
    """An object as a line has it: keys in order, UTF-8, what is no UTF-8 as question marks, no newline."""
    text = json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def sha(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def line(event: Event, facts: Mapping[str, Any], before: str, at: str) -> bytes:
    """One line of a ledger, without its newline; `before` is the digest of the line before it."""
    values = {**facts, "format": FORMAT, "event": event, "at": at, "before": before}
    return packed({**values, "own": sha(packed(values))})


def append(path: Path, event: Event, *facts: Mapping[str, Any]) -> None:
    """Add a line for each of `facts`: all or none, on the disk when this returns. Call it under the project's lock.

    A last line that a power cut left unfinished is taken off first; a whole one that lost its newline gets it back.
    """
    if not facts:
        return
    whole, end = last_line(path)
    if end:
        lost = misfit(end, None)[0]
        if lost:
            durable.cut(path, path.stat().st_size - len(end))
            whole = last_line(path)[0]
        else:
            durable.append_bytes(path, b"\n")
            whole = end
    at, before, lines = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), sha(whole) if whole else FIRST, []
    for one in facts:
        lines.append(line(event, one, before, at))
        before = sha(lines[-1])
    durable.append_bytes(path, b"".join(one + b"\n" for one in lines))


def last_line(path: Path) -> tuple[bytes, bytes]:
    """The last whole line of a ledger, and what stands after its newline; both empty for none."""
    if not path.is_file():
        return b"", b""
    try:
        with path.open("rb") as file:
            size, tail, data = file.seek(0, os.SEEK_END), TAIL, b""
            while data.count(b"\n") < 2 and len(data) < size:
                file.seek(max(0, size - tail))
                data, tail = file.read(), tail * 8
    except OSError as error:
        raise durable.refusal(error, path, "read") from error
    *lines, end = data.split(b"\n")
    return (lines[-1] if lines else b""), end


def misfit(data: bytes, before: str | None) -> tuple[str, Entry | None]:
    """What is wrong with a line, "" for nothing, and its entry where it can be read.

    before  the digest of the line before it; None does not look
    """
    try:
        values = json.loads(data)
        own, known = values.pop("own"), dict(values)
        entry = Entry(str(known.pop("event")), str(known.pop("at")), known)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return "is not what was written", None
    if known.pop("format", None) != FORMAT:
        return f"has format {values.get('format')!r}; this version reads {FORMAT}", None
    if sha(packed(values)) != own or packed({**values, "own": own}) != data:
        return "is not what was written", entry
    if before is not None and known.pop("before", None) != before:
        return "does not follow the line before it: one was taken out or put in", entry
    return "", entry


def read(path: Path) -> Ledger:
    """The ledger at `path`; an empty one where there is none yet. A broken one is read as far as its lines can be.

    Raises PortraitistError when the file cannot be read at all.
    """
    if not path.is_file():
        return Ledger()
    try:
        *lines, end = path.read_bytes().split(b"\n")
    except OSError as error:
        raise durable.refusal(error, path, "read") from error
    entries, digests, broken = [], [FIRST], ""
    for number, data in enumerate(lines, start=1):
        wrong, entry = misfit(data, digests[-1])
        broken = broken or (f"line {number} {wrong}" if wrong else "")
        entries += [entry] if entry is not None else []
        digests.append(sha(data))
    if end and not broken:
        broken = f"line {len(lines) + 1} has no end: it was cut while it was written"
    return Ledger(tuple(entries), tuple(digests[1:]), broken)


def records(ledger: Ledger) -> dict[str, Record]:
    """What is known of each picture by its name, the newest word counting."""
    found: dict[str, Record] = {}
    stands: dict[str, str] = {}  # by a picture's first name, what lies there in its place since a repair
    for entry in ledger.entries:
        name = str(entry.facts.get("picture", ""))
        told: dict[str, Any] = {
            key: str(entry.facts[key]) for key in ("source", "licence", "author") if key in entry.facts
        }
        told |= {"says": entry.facts["says"]} if isinstance(entry.facts.get("says"), dict) else {}
        if entry.event in ("added", "found"):
            sha256, pixels = str(entry.facts.get("sha256", "")), str(entry.facts.get("pixels", ""))
            by_hand = entry.event == "found"
            stands.pop(name, None)
            found[name] = Record(name, sha256, pixels, by_hand, **told)
        elif entry.event == "repaired":
            of = str(entry.facts.get("of", name))
            if (before := found.pop(stands.pop(of, of), None)) is not None:
                sha256, pixels = str(entry.facts.get("sha256", "")), str(entry.facts.get("pixels", ""))
                found[name], stands[of] = replace(before, picture=name, sha256=sha256, pixels=pixels), name
        elif entry.event == "described" and name in found:
            found[name] = replace(found[name], **told)
    return found


def withdrawal(ledger: Ledger) -> Entry | None:
    """The withdrawal of consent that no later consent follows, if there is one."""
    words = [entry for entry in ledger.entries if entry.event in ("consented", "withdrawn")]
    return words[-1] if words and words[-1].event == "withdrawn" else None


def require_whole(ledger: Ledger, path: Path) -> None:
    """Refuse a ledger that was changed after it was written."""
    if ledger.broken:
        raise PortraitistError(
            f"{path} was changed after it was written: {ledger.broken}",
            f"Restore it from a copy; portraitist verify {path.parent} says what no longer fits.",
        )


def quoted(ledger: Ledger, pictures: Iterable[str]) -> dict[str, str]:
    """Where pictures come from and by what licences, as a model card says it: each with how many, the most first.

    pictures  names below `pictures/` of those that a model was made from
    returns   sources, licences, and ledger: the digest of its last line. Empty where nothing is recorded
    """
    if not ledger.digests:
        return {}
    known, names = records(ledger), list(pictures)
    there = [known.get(name, Record(name, "")) for name in names]
    columns: Sequence[tuple[str, list[str]]] = (
        ("sources", [record.source for record in there]),
        ("licences", [record.licence for record in there]),
    )
    said = {
        label: ", ".join(f"{word or 'not said'} {count}" for word, count in Counter(words).most_common())
        for label, words in columns
        if any(words)
    }
    return {**said, "ledger": ledger.digests[-1]}
