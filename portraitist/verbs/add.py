"""add: copy pictures and their captions into the project; originals stay where and as they are."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable
from portraitist.dataset.intake import Taken, take
from portraitist.events import Emit, Finished, Measured, Started, Warned, ignore
from portraitist.project import Project


@dataclass(frozen=True, slots=True)
class AddResult:
    """Names below `pictures/` that were added or already there, and source files skipped, each with the reason."""

    added: tuple[str, ...]
    already: tuple[str, ...]
    skipped: tuple[Taken, ...]


def add(project: Project, sources: Sequence[Path], emit: Emit = ignore) -> AddResult:
    """Take pictures, folders of pictures and folders of sets in.

    An unreadable picture inside a folder is told and skipped. Raises PortraitistError for one that is named by
    itself, for a folder with nothing readable, and when the disk refuses.
    """
    began = time.monotonic()
    emit(Started(verb="add"))
    taken: list[Taken] = []
    with durable.lock(project.folder):
        durable.sweep(project.pictures)
        for one in take(project.pictures, sources):
            taken.append(one)
            if one.outcome == "skipped":
                emit(Warned(says=f"Skipped: {one.says}", remedy=one.remedy))
            else:
                emit(Measured(picture=one.name, done=len(taken), total=0))
    emit(Finished(verb="add", seconds=time.monotonic() - began, facts={"pictures": len(taken)}))
    return AddResult(
        added=tuple(one.name for one in taken if one.outcome == "added"),
        already=tuple(one.name for one in taken if one.outcome == "already there"),
        skipped=tuple(one for one in taken if one.outcome == "skipped"),
    )
