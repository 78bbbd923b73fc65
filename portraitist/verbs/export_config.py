"""export-config: another trainer's config for the same intention as our recipe, examined before it is written."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable, interop
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Warned, ignore
from portraitist.interop import opening
from portraitist.project import Project
from portraitist.recipe import Recipe

OF_PICTURES = ("captions-", "folder-")
"""How rules begin that are about pictures and captions: those the exporting cannot mend."""


@dataclass(frozen=True, slots=True)
class ExportConfigResult:
    """Files that were written, by the trainer that they are for."""

    tool: str
    files: tuple[str, ...]


def export_config(
    project: Project, recipe: Recipe, to: str, out: Path, *, overwrite: bool = False, emit: Emit = ignore
) -> ExportConfigResult:
    """Write the recipe as a trainer's own files.

    to   a trainer's name, as docs/doctor.md lists them
    out  the folder that they go into

    Raises PortraitistError for a trainer that is not known, a recipe that it cannot train, files that are there, and
    for a config that the doctor finds anything in; nothing is written then. What is said of pictures is told alone.
    """
    known = interop.chosen(to)
    texts = known.written(recipe, project.facts, str(project.pictures.resolve()))
    there = sorted(name for name in texts if (out / name).exists())
    if there and not overwrite:
        raise PortraitistError(f"{out / there[0]} is there already", "Choose another folder, or add --overwrite.")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            durable.write_text(Path(folder) / name, text)
        for name in texts:
            examine(Path(folder) / name, known, emit)
    for words in known.differences(recipe):
        emit(Warned(says=f"{known.NAME} does not do all that the recipe says: {words}"))
    durable.make_folder(out)
    for name, text in texts.items():
        durable.write_text(out / name, text)
    return ExportConfigResult(known.NAME, tuple(str(out / name) for name in texts))


def examine(path: Path, known: interop.Tool, emit: Emit) -> None:
    """Refuse a file of which the doctor says more than notes."""
    if path.suffix.lower() not in (*opening.READERS, *opening.COMMANDS):
        return
    document = opening.opened(path)
    for remark in known.diagnose(document).remarks if known.recognises(document) else ():
        if remark.severity == "note":
            continue
        if remark.rule.partition("/")[2].startswith(OF_PICTURES):
            emit(Warned(says=remark.says, remedy=remark.instead))
        else:
            problem = f"For {known.NAME} this recipe would be one that its doctor complains of: {remark.says}"
            raise PortraitistError(
                problem, f"Change the recipe, for this once with --set; there it is: {remark.instead}"
            )
