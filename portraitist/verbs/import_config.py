"""import: our project and recipe from another trainer's config, with an account of what became what."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from portraitist import durable, interop, recipe
from portraitist.dataset.intake import REPEATS
from portraitist.dataset.naming import safe_name
from portraitist.dataset.recording import recorded
from portraitist.dataset.taking import Stated
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Measured, Warned, ignore
from portraitist.interop import opening
from portraitist.interop.carrying import Carried
from portraitist.interop.document import Document
from portraitist.interop.document import Path as Place
from portraitist.interop.folders import seen
from portraitist.project import Facts, Project
from portraitist.recipe import first_complaint


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of a config.

    folder    the new project
    tool      whose config it was
    became    each setting that was carried over, as it stands there, and what it is here
    set       what is set here because the config says nothing: the other trainer's defaults
    left      each setting that was not carried over, and why
    pictures  files that were added; absent: folders that are not here
    """

    folder: str
    tool: str
    became: tuple[tuple[str, str], ...]
    set: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    pictures: int
    absent: tuple[str, ...]

    def told(self) -> str:
        """As a diff: what went over, what came of silence, what stayed behind."""
        width = min(60, max((len(there) for there, _ in self.became), default=0))
        lines = [f"{self.folder} is made from a config of {self.tool}."]
        lines += [f"  {there:<{width}}  ->  {here}" for there, here in self.became]
        lines += ["", "Not said there, so as that trainer has it:", *(f"+ {here}" for here in self.set)]
        if self.left:
            lines += ["", "Not carried over:", *(f"- {there}: {why}" for there, why in self.left)]
        lines += ["", f"{self.pictures:,} pictures added."]
        lines += [f"{name} is not here: portraitist add {self.folder} FOLDER" for name in self.absent]
        return "\n".join([*lines, f"Next: portraitist plan {self.folder}"])


def import_config(
    config: Path,
    folder: Path,
    *,
    subject: str = "",
    trigger: str = "",
    name: str = "",
    noun: str = "",
    emit: Emit = ignore,
) -> ImportResult:
    """Make `folder` a project of the same intention as a config: project.toml, recipe.toml, and its pictures.

    subject  fictional or real, as `new` has it
    trigger, noun  "" takes the config's own; name "" the folder's

    Raises PortraitistError for a config of no known trainer, one that trains what portraitist does not, one without a
    trigger when none is given, and a folder that is a project; nothing is written then.
    """
    document = opening.opened(config)
    known = interop.whose(document)
    if not known:
        raise PortraitistError(f"{config} is of no trainer that is known here", "docs/doctor.md lists them.")
    found = interop.tool(known).carried(document)
    trigger = trigger or found.trigger
    if not trigger:
        raise PortraitistError(
            f"{config} names no trigger word", "Give the one that its captions have: --trigger maya_char"
        )
    facts = described(name or folder.resolve().name, trigger, subject, noun or found.noun or "character")
    values = {"format": recipe.FORMAT, **found.tables()}
    made = recipe.made(values, str(config))
    project = Project.create(folder, facts)
    durable.write_text(project.recipe, tomli_w.dumps(values))
    count, absent = pictures(project, document, found, emit)
    became = tuple((entry(document, path), ours(found, key, made)) for path, key in sorted_paths(found.kept))
    return ImportResult(
        folder=str(folder),
        tool=interop.tool(known).NAME,
        became=became,
        set=tuple(ours(found, key, made) for key in found.recipe if key not in found.kept.values()),
        left=tuple((entry(document, one.path), one.why) for one in found.left if one.why),
        pictures=count,
        absent=absent,
    )


def described(name: str, trigger: str, subject: str, noun: str) -> Facts:
    """The facts of the new project. Raises PortraitistError for what is missing or not usable."""
    if not subject:
        raise PortraitistError("A project needs a subject", "Give it: --subject fictional, or real with a consent.")
    try:
        return Facts.model_validate({"name": name, "trigger": trigger, "subject": subject, "noun": noun})
    except ValidationError as error:
        raise first_complaint(error, "import", Facts) from error


def pictures(project: Project, document: Document, found: Carried, emit: Emit) -> tuple[int, tuple[str, ...]]:
    """Take in the folders that are here; how many pictures came, and which folders are elsewhere."""
    count, absent = 0, []
    with durable.lock(project.folder):
        for written, name in found.pictures:
            there = seen(written, document.folder)
            if there is None:
                absent.append(written)
                continue
            source = there.path
            own = not name or REPEATS.fullmatch(source.resolve().name)  # such a folder is a set by its own name
            if not own and any(path.is_dir() for path in source.iterdir()):
                says = f"{source} has folders in it, and sets are one folder deep here"
                emit(Warned(says=says, remedy="What lies in them is copied, and not trained on until moved up."))
            stated = Stated(set="" if own else safe_name(name))
            for one in recorded(project, [source], stated, emit):
                if one.outcome == "skipped":
                    emit(Warned(says=f"Skipped: {one.says}", remedy=one.remedy))
                    continue
                count += 1
                emit(Measured(picture=one.name, done=count, total=0))
    return count, tuple(absent)


def sorted_paths(kept: Any) -> Iterator[tuple[Place, str]]:
    """Paths in the order in which they stand in the account."""
    yield from sorted(kept.items(), key=lambda pair: tuple(map(str, pair[0])))


def entry(document: Document, path: Place) -> str:
    """A setting as it stands there: its last keys, and its value where that is in the config itself."""
    name = ".".join(map(str, path[-3:]))
    return f"{name} = {short(document.get(*path))}" if document.has(*path) else name


def ours(found: Carried, key: str, made: recipe.Recipe) -> str:
    """A setting as it is here."""
    if key not in found.recipe:
        return {"trigger": "the trigger", "noun": "the noun", "pictures": "pictures/"}.get(key, key)
    value = found.recipe[key]
    if key == "stages":
        return f"stages.0.steps = {made.steps}"
    return f"{key} = {short(value)}"


def short(value: Any) -> str:
    """A value in at most fifty signs, none of which moves a cursor."""
    text = "".join(sign if sign.isprintable() else " " for sign in str(value)) or '""'
    return text if len(text) <= 50 else f"{text[:47]}..."
