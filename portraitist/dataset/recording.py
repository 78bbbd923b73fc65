"""Taking pictures in and writing each into the project's ledger: what `add` does, and whoever else brings pictures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from portraitist import provenance
from portraitist.dataset import claims, intake, masks
from portraitist.dataset.taking import NOTHING, Stated, Taken, take
from portraitist.events import Emit, Warned, ignore
from portraitist.pictures import read
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


def brought(project: Project, path: Path, source: str, **more: Any) -> None:
    """Write a picture that a command of ours made into the ledger, under the project's lock; `more` are facts of it."""
    facts = {"picture": path.relative_to(project.pictures).as_posix(), **known(path), "source": source, **more}
    provenance.append(project.ledger, "added", facts)


def met(project: Project, names: Iterable[str]) -> None:
    """Write pictures that the ledger does not know into it, as `audit` does: saved anew, they say nothing any more."""
    there = provenance.records(provenance.read(project.ledger))
    paths = {name: project.pictures / name for name in names if name not in there}
    says = {name: claims.read(read(path)).as_facts() for name, path in paths.items()}
    lines = [{"picture": name, **known(path), "says": says[name]} for name, path in paths.items()]
    provenance.append(project.ledger, "found", *lines)


def repaired(project: Project, action: str, of: str, names: Iterable[str]) -> None:
    """Write into the ledger what a repair of the picture `of` has put in its place, or put back; masks have no line."""
    there = [name for name in names if intake.is_picture(project.pictures / name)]
    lines = [{"picture": name, "of": of, "action": action, **known(project.pictures / name)} for name in there]
    provenance.append(project.ledger, "repaired", *lines)


def known(path: Path) -> dict[str, str]:
    """What a picture is known by: digests of its file, and of its pixels as the manifest has them."""
    data = read(path)
    return {"sha256": provenance.sha(data), "pixels": masks.open_masked(path, data).digest}


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
