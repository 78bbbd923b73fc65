"""doctor: say line by line what another trainer really does with its config, and what run results."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist import durable, interop
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Warned, ignore
from portraitist.interop import opening, sarif, telling
from portraitist.interop.diagnosis import Diagnosis
from portraitist.interop.document import Document


@dataclass(frozen=True, slots=True)
class Examined:
    """One config and what is said of it."""

    document: Document
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """All configs that were examined; blocked when one of them will not start, or not train what was meant."""

    examined: tuple[Examined, ...]

    @property
    def blocked(self) -> bool:
        """Whether a config has an error."""
        return any(remark.severity == "error" for one in self.examined for remark in one.diagnosis.remarks)

    def told(self) -> str:
        """For people: remarks with their lines, the run that results, the verdict."""
        return "\n\n".join(telling.told(one.document, one.diagnosis) for one in self.examined)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "blocked": self.blocked,
            "configs": [telling.plain(one.document, one.diagnosis) for one in self.examined],
        }


def doctor(paths: Sequence[Path], sarif_file: Path | None = None, emit: Emit = ignore) -> DoctorResult:
    """Examine configs, and those of folders; with `sarif_file` the remarks are written there too.

    A folder without any config is one of pictures where folders named as `10_maya` lie in it. Raises PortraitistError
    for a file that is no config of a known trainer, and for a folder that is neither; a file of a folder that is none
    is passed over.
    """
    found: list[Examined] = []
    for path in paths:
        if not path.is_dir():
            found.append(examined(path))
            continue
        before = len(found)
        for inner in opening.configs(path):
            try:
                found.append(examined(inner))
            except PortraitistError as error:
                emit(Warned(says=error.problem, remedy=error.remedy))
        if len(found) == before and (pictures := opening.repeated(path)) is not None:
            found.append(examined_document(pictures))
        elif len(found) == before:
            raise PortraitistError(f"{path} holds no config of a trainer that is known here", KNOWN)
    if sarif_file is not None:
        durable.write_json(sarif_file, sarif.log([(one.document, one.diagnosis) for one in found]))
    return DoctorResult(tuple(found))


KNOWN = "docs/doctor.md lists the trainers and their files."


def examined(path: Path) -> Examined:
    """One config by the tool that it is of."""
    return examined_document(opening.opened(path))


def examined_document(document: Document) -> Examined:
    """What was read, by the tool that it is of."""
    name = interop.whose(document)
    if not name:
        raise PortraitistError(f"{document.name} is of no trainer that is known here", KNOWN)
    return Examined(document, interop.tool(name).diagnose(document))
