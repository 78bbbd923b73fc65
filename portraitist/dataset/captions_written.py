"""What we wrote beside pictures, so that a person's words are never taken for ours; and the way back.

`captions.jsonl` names every caption of ours by its SHA-256, with the phrases it was made of. Before captions change,
what stood there goes into `captions_before/`, one file for each time; `undo` puts the last of them back.
"""

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from portraitist import durable
from portraitist.dataset.captions import SUFFIXES
from portraitist.dataset.taxonomy import Part
from portraitist.errors import PortraitistError
from portraitist.project import Project

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Own:
    """A caption of ours: the phrases it was made of, empty where nobody looked, for which trigger and noun, and by
    which model."""

    parts: tuple[Part, ...] = ()
    trigger: str = ""
    noun: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one caption file.

    path    of the file
    before  its bytes, None where there is none
    after   the text that is to stand there
    own     what we know of it; None for a caption that stays a person's
    """

    path: Path
    before: bytes | None
    after: str
    own: Own | None


@dataclass(frozen=True, slots=True)
class Undone:
    """Names of caption files below `pictures/` that were put back, taken away since there was none, or left alone
    because somebody changed them since."""

    restored: tuple[str, ...]
    removed: tuple[str, ...]
    changed_since: tuple[str, ...]

    def table(self) -> list[tuple[str, str]]:
        """What a terminal shows."""
        counts = [("put back", len(self.restored)), ("taken away, as there was none", len(self.removed))]
        rows = [(what, str(count)) for what, count in counts if count or what == "put back"]
        return rows + [("changed since, left alone", name) for name in self.changed_since]


def digest_of(text: bytes) -> str:
    """SHA-256 of a caption's bytes."""
    return hashlib.sha256(text).hexdigest()


def record(project: Project) -> Path:
    """The ledger of captions that were written by us."""
    return project.folder / "captions.jsonl"


Ledger = dict[str, dict[str, Own]]
"""What we know of captions of ours, by their SHA-256 and then by file below `pictures/`: one text may stand beside
several pictures, of which models said different things."""


def ledger(project: Project) -> Ledger:
    """Every caption that we ever wrote; of damaged lines the captions are a person's from then on."""
    known: Ledger = {}
    if not record(project).is_file():
        return known
    for line in durable.read_text(record(project)).splitlines():
        try:
            value = json.loads(line)
            parts = tuple(Part(str(kind), str(text)) for kind, text in value.get("parts", ()))
            own = Own(parts, *(str(value.get(name, "")) for name in ("trigger", "noun", "by")))
            known.setdefault(str(value["sha256"]), {})[str(value.get("file", ""))] = own
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return known


def own_of(known: Ledger, words: bytes, file: str) -> Own | None:
    """What we know of the caption in a file below `pictures/`; None for a person's.

    Of a file that was renamed it is what is known of that text, if of all pictures the same; else nobody can tell what
    it was made of, and it is left alone like a person's.
    """
    there = known.get(digest_of(words), {})
    if file in there:
        return there[file]
    return next(iter(there.values())) if len({own.parts for own in there.values()}) == 1 else None


def journals(project: Project) -> list[Path]:
    """What stood there before captions were changed, oldest first."""
    return sorted((project.folder / "captions_before").glob("[0-9]*.json"))


def write(project: Project, changes: Sequence[Change]) -> list[Change]:
    """Write captions under the project's lock; returns those that were, without files that changed meanwhile.

    What stood there is on disk before the first is touched, and a caption of ours is in the ledger before it is
    written: cut short anywhere, all can be undone, and no caption of ours looks like a person's.
    """
    if not changes:
        return []
    with durable.lock(project.folder):
        fresh = [change for change in changes if content(change.path) == change.before]
        last = journals(project)
        number = int(last[-1].stem) + 1 if last else 1
        table = [
            {
                "file": below(project, change.path),
                "before": None if change.before is None else base64.b64encode(change.before).decode(),
                "after": digest_of(change.after.encode()),
            }
            for change in fresh
        ]
        value = {"format": FORMAT, "at": time.strftime("%Y-%m-%dT%H:%M:%S"), "changes": table}
        durable.write_json(project.folder / "captions_before" / f"{number:06}.json", value)
        known = ledger(project)
        for change in fresh:
            remember(project, known, change)
            durable.write_text(change.path, change.after)
    return fresh


def remember(project: Project, known: Ledger, change: Change) -> None:
    """Put a caption of ours into the ledger, and into `known`; of one that nobody looked for one line is enough."""
    own, name, file = change.own, digest_of(change.after.encode()), below(project, change.path)
    if own is None or known.get(name, {}).get(file) == own:
        return
    if not own.parts and known.get(name) and own_of(known, change.after.encode(), file) == own:
        return
    parts = [[part.kind, part.text] for part in own.parts]
    told = {"parts": parts, "trigger": own.trigger, "noun": own.noun, "by": own.by}
    line = {"format": FORMAT, "sha256": name, "file": file, **told}
    durable.append_line(record(project), json.dumps(line, ensure_ascii=False))
    known.setdefault(name, {})[file] = own


def below(project: Project, path: Path) -> str:
    """A caption file's name below `pictures/`."""
    return path.relative_to(project.pictures).as_posix()


def undo(project: Project) -> Undone:
    """Put the captions back that stood there before the last captioning, to the byte.

    What somebody changed since is left alone. Cut short, it can be done again. Raises PortraitistError where there is
    nothing to undo, and for a damaged record of it.
    """
    with durable.lock(project.folder):
        last = journals(project)
        if not last:
            raise PortraitistError("There is no captioning to undo", "Captions are as they were added or written.")
        restored, removed, changed = [], [], []
        for path, before, after in entries(project, last[-1]):
            name, now = below(project, path), content(path)
            if now == before:
                continue  # it was never written, or put back already
            if now is None or digest_of(now) != after:
                changed.append(name)
            elif before is None:
                durable.remove(path)
                removed.append(name)
            else:
                durable.write_bytes(path, before)
                restored.append(name)
        durable.remove(last[-1])
    return Undone(tuple(restored), tuple(removed), tuple(changed))


def entries(project: Project, journal: Path) -> list[tuple[Path, bytes | None, str]]:
    """What a journal says: files, their bytes before, digests after. All is read before anything is put back."""
    damaged = PortraitistError(
        f"{journal} is damaged, and nothing was undone", "Restore it, or remove it to undo what was before it."
    )
    value: Any = durable.read_json(journal)
    if isinstance(value, dict) and isinstance(value.get("format"), int) and value["format"] > FORMAT:
        raise PortraitistError(f"{journal} has format {value['format']}", "Install a newer portraitist.")
    found: list[tuple[Path, bytes | None, str]] = []
    try:
        for entry in value["changes"]:
            place, before = PurePosixPath(entry["file"]), entry["before"]
            if place.is_absolute() or ".." in place.parts or place.suffix not in SUFFIXES:
                raise damaged
            path = project.pictures / place
            found.append((path, None if before is None else base64.b64decode(before, validate=True), entry["after"]))
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise damaged from error
    return found


def content(path: Path) -> bytes | None:
    """The bytes of a caption file, None where there is none."""
    try:
        return path.read_bytes() if path.exists() else None
    except OSError as error:
        raise durable.refusal(error, path, "read") from error
