"""Taking pictures in and writing each into the project's ledger: what `add` does, and whoever else brings pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from portraitist import provenance
from portraitist.dataset.taking import NOTHING, Stated, Taken, take
from portraitist.events import Emit, Warned, ignore
from portraitist.project import Project
from portraitist.provenance import Record


def recorded(
    project: Project, sources: Sequence[Path], stated: Stated = NOTHING, emit: Emit = ignore
) -> Iterator[Taken]:
    """What became of every picture that was taken in; the project's lock is held by the caller.

    Raises PortraitistError as `take` does.
    """
    ledger = provenance.read(project.ledger)
    if ledger.broken:
        emit(Warned(says=f"{project.ledger}: {ledger.broken}", remedy=f"See: portraitist verify {project.folder}"))
    known = provenance.records(ledger)
    for one in take(project.pictures, sources, stated):
        if one.outcome != "skipped":
            known[one.name] = record(project, one, known.get(one.name))
        yield one


def record(project: Project, one: Taken, before: Record | None) -> Record:
    """Write a picture into the ledger, or what is new about one that stands there already with the same bytes.

    Returns what the ledger knows of it now.
    """
    facts: dict[str, Any] = {key: one.facts[key] for key in ("source", "licence", "author", "says") if key in one.facts}
    if before is None or before.by_hand or before.sha256 != one.facts["sha256"]:
        provenance.append(project.ledger, "added", one.facts)
        return Record(one.name, one.facts["sha256"], one.facts["pixels"], **facts)
    new = {key: value for key, value in facts.items() if value != getattr(before, key)}
    if facts.get("says", {}).get("manifest") == "unread":
        new.pop("says", None)  # what was read when the library was there is not forgotten
    if new:
        provenance.append(project.ledger, "described", {"picture": one.name, **new})
    return replace(before, **new)
