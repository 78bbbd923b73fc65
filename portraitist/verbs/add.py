"""add: copy pictures and their captions into the project; originals stay where and as they are."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable
from portraitist.dataset.recording import recorded
from portraitist.dataset.taking import NOTHING, Stated, Taken
from portraitist.events import Emit, Finished, Measured, Started, Warned, ignore
from portraitist.project import Project


@dataclass(frozen=True, slots=True)
class AddResult:
    """What came of adding.

    added, already  names below `pictures/` that were added, and that were there before
    skipped         what was not taken, each with the reason
    opted_out       names of those that say of themselves that they are not to be trained on: `audit` blocks at them
    """

    added: tuple[str, ...]
    already: tuple[str, ...]
    skipped: tuple[Taken, ...]
    opted_out: tuple[str, ...] = ()


def add(project: Project, sources: Sequence[Path], stated: Stated = NOTHING, emit: Emit = ignore) -> AddResult:
    """Take pictures, folders of pictures, folders of sets and archives of these in, and record where each came from.

    An unreadable picture inside a folder is told and skipped. Raises PortraitistError for one that is named by
    itself, for a folder with nothing readable, for an archive that is damaged, encrypted or too large, and when the
    disk refuses.
    """
    began = time.monotonic()
    emit(Started(verb="add"))
    taken: list[Taken] = []
    with durable.lock(project.folder):
        durable.sweep(project.pictures)
        for one in recorded(project, sources, stated, emit):
            taken.append(one)
            if one.outcome == "skipped":
                emit(Warned(says=f"Skipped: {one.says}", remedy=one.remedy))
            else:
                emit(Measured(picture=one.name, done=len(taken), total=0))
    refused = sorted({one.name for one in taken if one.facts.get("says", {}).get("training") == "refused"})
    if refused:
        says = f"Not to be trained on, by their own word: {len(refused)}, such as {refused[0]}"
        emit(Warned(says=says, remedy="The audit blocks until they are removed, or opted_out is waived with a reason."))
    emit(Finished(verb="add", seconds=time.monotonic() - began, facts={"pictures": len(taken)}))
    return AddResult(
        added=tuple(one.name for one in taken if one.outcome == "added"),
        already=tuple(one.name for one in taken if one.outcome == "already there"),
        skipped=tuple(one for one in taken if one.outcome == "skipped"),
        opted_out=tuple(refused),
    )
