"""Repaired pictures: prepared beside the originals, put in their place when a person says so, and taken back.

`repaired/<action>/` holds what was prepared, `repaired/<action>.json` what of and by which settings, and
`repaired/<action>.png` both side by side. Applying moves each original to `aside/<number>-<action>/` and puts the new
file where it was; a caption stays where it is. Nothing is ever deleted but what was prepared here, and a kill at any
moment leaves every original in `pictures/` or in `aside/`, and a record that applying or undoing goes on by.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.project import Project

FORMAT = 1
NUMBERED = re.compile(r"(\d{3,})-([a-z]+)")


@dataclass(frozen=True, slots=True)
class File:
    """A file by its name below `pictures/`, and the SHA-256 of its bytes."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a repair does to one picture: files it makes, and files that go aside for them."""

    of: str
    makes: tuple[File, ...]
    retires: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """One repaired picture before it is written: its bytes by name, and the names of what they stand for."""

    of: str
    makes: Mapping[str, bytes]
    retires: Sequence[str]


def folder(project: Project, action: str) -> Path:
    """Where an action's prepared files lie."""
    return project.folder / "repaired" / action


def record(project: Project, action: str) -> Path:
    """What was prepared."""
    return project.folder / "repaired" / f"{action}.json"


def preview(project: Project, action: str) -> Path:
    """Before and after, side by side."""
    return project.folder / "repaired" / f"{action}.png"


def begin(project: Project, action: str) -> None:
    """Clear what was prepared before and not applied."""
    durable.remove(record(project, action))
    durable.remove(folder(project, action))
    durable.remove(preview(project, action))


def write(project: Project, action: str, made: Made) -> Change:
    """Write one repaired picture's files; the originals are read for their digests alone."""
    for name, data in made.makes.items():
        durable.write_bytes(folder(project, action) / name, data)
    return Change(
        made.of,
        tuple(File(name, durable.digest(folder(project, action) / name)) for name in made.makes),
        tuple(File(name, durable.digest(project.pictures / name)) for name in made.retires),
    )


def finish(project: Project, action: str, settings: Mapping[str, Any], changes: Sequence[Change], sheet: bytes) -> None:
    """Write the preview, and the record last: without one nothing counts as prepared."""
    durable.write_bytes(preview(project, action), sheet)
    value = {"format": FORMAT, "action": action, "settings": dict(settings), "changes": [asdict(c) for c in changes]}
    durable.write_json(record(project, action), value)


def changes_of(path: Path) -> tuple[Change, ...]:
    """The changes of a record. Raises PortraitistError when it is damaged or of a newer format."""
    value = durable.read_json(path)
    try:
        if value["format"] != FORMAT:
            raise PortraitistError(f"{path} has format {value['format']}", "Install a newer portraitist.")
        return tuple(
            Change(
                change["of"],
                tuple(File(**file) for file in change["makes"]),
                tuple(File(**file) for file in change["retires"]),
            )
            for change in value["changes"]
        )
    except (KeyError, TypeError) as error:
        raise PortraitistError(f"{path} is damaged: {error}", "Prepare the repair again.") from error


def apply(project: Project, action: str) -> Iterator[Change]:
    """Put what was prepared in the originals' place, one picture after the other.

    All is looked at before anything is moved. Raises PortraitistError when nothing was prepared, when a picture or a
    prepared file changed since, and where a new file would take another picture's name.
    """
    path = record(project, action)
    if not path.is_file():
        raise PortraitistError(
            f"No repair {action!r} is prepared", f"Prepare it: portraitist repair {project.folder} {action}"
        )
    changes, aside = changes_of(path), place(project, action, durable.digest(path))
    for change in changes:
        refuse_changed(project, action, change, aside)
    note = aside / "record.json"
    if not note.is_file():
        value = {"format": FORMAT, "action": action, "prepared": durable.digest(path)}
        durable.write_json(note, value | {"changes": [asdict(change) for change in changes]})
    for change in changes:
        made = {file.name for file in change.makes}
        for file in change.retires:
            durable.keep(project.pictures / file.name, aside / file.name)
        for file in change.makes:
            if digest_at(project.pictures / file.name) != file.sha256:
                durable.write_bytes(project.pictures / file.name, (folder(project, action) / file.name).read_bytes())
        for file in change.retires:
            if file.name not in made:
                durable.remove(project.pictures / file.name)
        yield change
    begin(project, action)


def place(project: Project, action: str, prepared: str) -> Path:
    """The folder of the originals that go aside: a new one, or that of the same repair when it was cut short."""
    numbers = [0]
    for number, path in numbered(project):
        numbers.append(number)
        note = path / "record.json"
        if note.is_file() and durable.read_json(note).get("prepared") == prepared:
            return path
    return project.folder / "aside" / f"{max(numbers) + 1:03d}-{action}"


def numbered(project: Project) -> list[tuple[int, Path]]:
    """The folders of applied repairs with their numbers, oldest first."""
    aside = project.folder / "aside"
    found = [(NUMBERED.fullmatch(path.name), path) for path in (aside.iterdir() if aside.is_dir() else ())]
    return sorted((int(match[1]), path) for match, path in found if match)


def refuse_changed(project: Project, action: str, change: Change, aside: Path) -> None:
    """Refuse a picture or a prepared file that is not what it was, unless this very repair made it so."""
    for file in change.makes:
        if digest_at(folder(project, action) / file.name) != file.sha256:
            raise PortraitistError(
                f"{folder(project, action) / file.name} changed since it was prepared", "Prepare the repair again."
            )
    retired = {file.name: file.sha256 for file in change.retires}
    for name, sha in retired.items():
        if digest_at(project.pictures / name) != sha and digest_at(aside / name) != sha:
            raise PortraitistError(f"{name} changed since its repair was prepared", "Prepare the repair again.")
    for file in change.makes:
        there = digest_at(project.pictures / file.name)
        if there not in ("", file.sha256) and file.name not in retired:
            raise PortraitistError(
                f"{change.of}: its repair would take the place of {file.name}", "Rename one, and prepare again."
            )


def undo(project: Project, action: str) -> Iterator[Change]:
    """Put the originals of the newest applied repair of an action back, one after the other; take its files away.

    All is looked at before anything is moved. Raises PortraitistError when there is none, and when a file that it made
    was changed since: by hand, or by a later repair, which is to be taken back first.
    """
    done = [path for _, path in numbered(project) if path.name.endswith(f"-{action}")]
    if not done:
        raise PortraitistError(f"No repair {action!r} has been applied", "There is nothing to take back.")
    aside = done[-1]
    changes = changes_of(aside / "record.json")
    for change in changes:
        before = {file.name: file.sha256 for file in change.retires}
        for file in change.makes:
            there = digest_at(project.pictures / file.name)
            if there not in ("", file.sha256, before.get(file.name)):
                raise PortraitistError(
                    f"{file.name} changed since it was repaired",
                    "Take later repairs back first; a file that was changed by hand you have to move away yourself.",
                )
    for change in changes:
        before = {file.name: file.sha256 for file in change.retires}
        for name, sha in before.items():
            if digest_at(project.pictures / name) != sha:
                durable.write_bytes(project.pictures / name, (aside / name).read_bytes())
        for file in change.makes:
            if file.name not in before:
                durable.remove(project.pictures / file.name)
        yield change
    durable.remove(aside)


def digest_at(path: Path) -> str:
    """SHA-256 of a file's bytes; "" without one."""
    return durable.digest(path) if path.is_file() else ""
