"""doctor: say line by line what another trainer really does with its config, and what run results."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portraitist import durable, interop
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Warned, ignore
from portraitist.interop import opening, sarif, telling
from portraitist.interop.diagnosis import Diagnosis
from portraitist.interop.document import Document

KNOWN = "docs/doctor.md lists the trainers and their files."


@dataclass(frozen=True, slots=True)
class Examined:
    """One config, what is said of it, and what the run needs by our own forecast: rows by name, none where unknown."""

    document: Document
    diagnosis: Diagnosis
    forecast: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """All configs that were examined; blocked when one of them will not start, or not train what was meant."""

    examined: tuple[Examined, ...]

    @property
    def blocked(self) -> bool:
        """Whether a config has an error."""
        return any(remark.severity == "error" for one in self.examined for remark in one.diagnosis.remarks)

    def told(self) -> str:
        """For people: remarks with their lines, the run that results, the verdict; coloured on a terminal."""
        coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        if not self.examined:
            return "None of them is a config of a trainer that is known here."
        found = [telling.told(one.document, one.diagnosis, one.forecast, coloured=coloured) for one in self.examined]
        return "\n\n\n".join(found)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "blocked": self.blocked,
            "configs": [telling.plain(one.document, one.diagnosis, one.forecast) for one in self.examined],
        }


def doctor(
    paths: Sequence[Path], sarif_file: Path | None = None, *, skip_others: bool = False, emit: Emit = ignore
) -> DoctorResult:
    """Examine configs, and those of folders; with `sarif_file` the remarks are written there too.

    skip_others  pass over files that are no config of a known trainer, as in a folder, and folders without any

    A folder without any config is one of pictures where folders named as `10_maya` lie in it. Raises PortraitistError
    for a file of no trainer named by itself, and for such a folder, where they are not to be skipped.
    """
    found: list[Examined] = []
    for path in paths:
        before, whole = len(found), path.is_dir()
        for inner in opening.configs(path) if whole else [path]:
            try:
                found.append(examined(inner))
            except PortraitistError as error:
                if not whole and not (skip_others and path.is_file()):
                    raise
                if whole:
                    emit(Warned(says=error.problem, remedy=error.remedy))
        if whole and len(found) == before and (pictures := opening.repeated(path)) is not None:
            found.append(judged(pictures))
        elif whole and len(found) == before and not skip_others:
            raise PortraitistError(f"{path} holds no config of a trainer that is known here", KNOWN)
    if sarif_file is not None:
        durable.write_json(sarif_file, sarif.log([(one.document, one.diagnosis) for one in found]))
    return DoctorResult(tuple(found))


def examined(path: Path) -> Examined:
    """One config by the tool that it is of."""
    return judged(opening.opened(path))


def judged(document: Document) -> Examined:
    """What was read, by the tool that it is of."""
    name = interop.whose(document)
    if not name:
        raise PortraitistError(f"{document.name} is of no trainer that is known here", KNOWN)
    return Examined(document, interop.tool(name).diagnose(document), foretold(document, name))


def foretold(document: Document, name: str) -> dict[str, str]:
    """Memory and hours of the run, reckoned for our recipe of the same intention; nothing where that cannot be told."""
    try:
        carried = interop.tool(name).carried(document)  # before all that a forecast needs is loaded
        from portraitist import recipe, registry
        from portraitist.forecast import memory, pace

        ours = recipe.made(carried.tables(), document.name)
    except PortraitistError:
        return {}  # of a base that is not trained here, or with a value out of range
    base = memory.known(ours.model.family)
    if base is None or ours.adapter.kind != "lora" or ours.adapter.modules != "family" or ours.adapter.targets:
        return {}
    side = ours.data.resolution or registry.get(ours.model.family).profile.resolution
    peak = memory.total(memory.training(base, ours, side))
    fitting = [gb for gb in memory.CARDS_GB if peak <= gb]
    held = ours.model.quantised or ours.model.precision
    room = f"fits {fitting[0]} GB and up" if fitting else f"fits no card of {memory.CARDS_GB[-1]} GB"
    rows = {"memory": f"about {peak:.0f} GB ({held}, {side} pixels, by our forecast): {room}"}
    card = next((one for one in sorted(pace.CARDS.values(), key=lambda one: one.gb) if peak <= one.gb), None)
    if card is not None:
        work = pace.batch_work(base, ours, side) * ours.training.accumulate * ours.steps
        hours = pace.foretold(ours.model.family, work, card).partition(" (")[0]
        rows["time"] = f"about {hours} on {card.name}, by our forecast"
    return rows
