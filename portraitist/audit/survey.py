"""What lies in a project's `pictures/`, measured, and the record of what was found: written here, read by `encode`.

A picture whose file is unchanged (size and times of change) is taken from the last manifest and not opened again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.audit import Finding, Unread
from portraitist.audit.measure import VERSION, measure
from portraitist.dataset import captions, intake, masks
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Measured, ignore
from portraitist.pictures import Picture
from portraitist.project import Project
from portraitist.recipe import Recipe

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Survey:
    """Pictures with captions and measures, and what gave none, with the reasons."""

    pictures: tuple[Picture, ...]
    unreadable: tuple[Unread, ...]
    uncaptioned: tuple[Unread, ...]
    others: tuple[str, ...]


def survey(project: Project, side: int, emit: Emit = ignore) -> Survey:
    """Open and measure every picture that is new or changed; `side` is the training side in pixels."""
    listing, before = intake.listed(project.pictures), earlier(project)
    pictures: list[Picture] = []
    unreadable: list[Unread] = []
    uncaptioned: list[Unread] = []
    for done, source in enumerate(listing.pictures, start=1):
        name = printable(source.name)
        try:
            if name != source.name:
                raise PortraitistError(f"{name}: its name is not UTF-8", "Rename it with plain letters.")
            picture = measured(source, before.get(name), side)
        except PortraitistError as error:
            unreadable.append(Unread(name, error.problem, error.remedy))
            continue
        try:
            caption, variants = caption_of(source.path)
        except PortraitistError as error:
            caption, variants = "", ()
            uncaptioned.append(Unread(name, error.problem, error.remedy))
        pictures.append(replace(picture, caption=caption, variants=variants))
        emit(Measured(picture=name, done=done, total=len(listing.pictures)))
    return Survey(tuple(pictures), tuple(unreadable), tuple(uncaptioned), tuple(map(printable, listing.others)))


def earlier(project: Project) -> dict[str, Picture]:
    """The pictures of the last manifest by name; none when it is absent or damaged: it is derived."""
    try:
        return {picture.name: picture for picture in project.read_manifest()}
    except PortraitistError:
        return {}


def measured(source: intake.Source, before: Picture | None, side: int) -> Picture:
    """One picture with its measures, from `before` when neither its file nor what is measured has changed."""
    marks = {"stamp": masks.stamp(source.path), "version": VERSION, "side": side}
    if before is not None and all(before.measures.get(name) == value for name, value in marks.items()):
        return replace(before, split="train", role="identity")
    opened = masks.open_masked(source.path)
    return Picture(
        name=source.name,
        digest=opened.digest,
        width=opened.width,
        height=opened.height,
        set=source.set,
        repeats=intake.repeats(source.set),
        measures={**measure(opened, side), "mask": masks.measured(source.path, opened), **marks},
    )


def caption_of(path: Path) -> tuple[str, tuple[str, ...]]:
    """The caption and variants beside a picture; empty without one. Raises PortraitistError when not UTF-8."""
    beside = captions.sidecar(path)
    return captions.read(beside) if beside is not None else ("", ())


def printable(name: str) -> str:
    """A file name with what is no UTF-8 shown as question marks."""
    return name.encode("utf-8", "replace").decode()


def terms(recipe: Recipe, side: int) -> dict[str, Any]:
    """What of a recipe the manifest depends on."""
    roles = {chosen.name: chosen.role for chosen in recipe.data.sets}
    return {"side": side, "held_out": recipe.data.held_out, "roles": roles, "masks": recipe.data.masks}


def write_record(project: Project, recipe: Recipe, side: int, found: Survey, findings: Sequence[Finding]) -> None:
    """Write the manifest and the findings; only `audit` does."""
    project.write_manifest(found.pictures)
    value = {
        "format": FORMAT,
        "manifest": durable.digest(project.manifest),
        **terms(recipe, side),
        "pictures": len(found.pictures),
        "unreadable": [asdict(file) for file in found.unreadable],
        "findings": [asdict(finding) for finding in findings],
    }
    durable.write_json(project.findings, value)


def read_record(project: Project) -> dict[str, Any]:
    """The value of audit.json. Raises PortraitistError when it is absent, damaged or of a newer format."""
    if not project.findings.is_file():
        raise PortraitistError(f"{project.folder} has not been audited", f"Run: portraitist audit {project.folder}")
    value = durable.read_json(project.findings)
    if not isinstance(value, dict) or not isinstance(value.get("findings"), list):
        raise PortraitistError(f"{project.findings} is damaged", f"Run: portraitist audit {project.folder}")
    if value.get("format") != FORMAT:
        raise PortraitistError(
            f"{project.findings} has format {value.get('format')}; this version reads {FORMAT}",
            f"Run: portraitist audit {project.folder}",
        )
    return value


def read_findings(project: Project) -> list[Finding]:
    """The findings of the last audit, worst first."""
    values = read_record(project)["findings"]
    return [Finding(**{**value, "pictures": tuple(value["pictures"])}) for value in values]


def blocking(project: Project, findings: Sequence[Finding]) -> list[Finding]:
    """The findings that block and that project.toml does not waive by name."""
    return [f for f in findings if f.severity == "block" and f.check not in project.facts.waived]


def cleared(project: Project, recipe: Recipe, side: int) -> list[Picture]:
    """The audited pictures, when the audit still holds and nothing blocks.

    Raises PortraitistError when pictures, captions or the recipe's split changed since the audit, and when a
    finding blocks.
    """
    record, pictures = read_record(project), project.read_manifest()
    again = f"Run: portraitist audit {project.folder}"
    if record.get("manifest") != durable.digest(project.manifest):
        raise PortraitistError(f"{project.manifest} and {project.findings} are not of one audit", again)
    if any(record.get(name) != value for name, value in terms(recipe, side).items()):
        raise PortraitistError("The recipe's resolution, split or sets have changed since the audit", again)
    known = {picture.name: picture for picture in pictures}
    passed = {file["name"] for file in record["unreadable"]}
    there = {printable(source.name): source for source in intake.listed(project.pictures).pictures}
    changed = sorted((known.keys() | passed) ^ there.keys())
    for name in sorted(known.keys() & there.keys()):
        picture, path = known[name], there[name].path
        if picture.measures.get("stamp") != masks.stamp(path) or (picture.caption, picture.variants) != quiet(path):
            changed.append(name)
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise PortraitistError(f"{changed[0]}{more} changed since the audit", again)
    blocks = blocking(project, read_findings(project))
    if blocks:
        raise PortraitistError(
            f"The audit blocks: {blocks[0].says}",
            f"{blocks[0].remedy} To go on all the same, name it in project.toml: [waived] {blocks[0].check} = "
            '"why this is right"',
        )
    return pictures


def quiet(path: Path) -> tuple[str, tuple[str, ...]]:
    """The caption and variants beside a picture, empty when unreadable: the audit has told of that."""
    try:
        return caption_of(path)
    except PortraitistError:
        return "", ()
