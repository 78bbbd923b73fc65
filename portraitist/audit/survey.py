"""What lies in a project's `pictures/`, measured, and the record of what was found: written here, read by `encode`.

A picture whose file is unchanged (size and times of change) is taken from the last manifest and not opened again; one
that was moved, renamed or copied back is known by its bytes, and not decoded again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.audit import Finding, Unread, terms
from portraitist.audit.content import Sights, look
from portraitist.audit.measure import VERSION, measure
from portraitist.crew import ALONE, Crew, each
from portraitist.dataset import captions, intake, masks
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Measured, ignore
from portraitist.pictures import Picture, read
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.sight.onnx import ModelError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Survey:
    """Pictures with captions and measures, and what gave none, with the reasons."""

    pictures: tuple[Picture, ...]
    unreadable: tuple[Unread, ...]
    uncaptioned: tuple[Unread, ...]
    others: tuple[str, ...]


def survey(project: Project, side: int, by: Sights, crew: Crew = ALONE, emit: Emit = ignore) -> Survey:
    """Open and measure every picture that is new or changed.

    side  of training, in pixels; by: what looks at content. Where only one of the two measured otherwise, only that is
          measured again
    crew  who measures
    """
    listing, known = intake.listed(project.pictures), earlier(project)
    pictures: list[Picture] = []
    unreadable: list[Unread] = []
    uncaptioned: list[Unread] = []
    sources = iter(listing.pictures)
    found = each(picture_of, (job(source, known, side, by) for source in listing.pictures), crew)
    for done, (source, picture) in enumerate(zip(sources, found, strict=True), start=1):
        name = printable(source.name)
        if isinstance(picture, ModelError):
            raise picture
        if isinstance(picture, PortraitistError):
            unreadable.append(Unread(name, picture.problem, picture.remedy))
            continue
        try:
            caption, variants = caption_of(source.path)
        except PortraitistError as error:
            caption, variants = "", ()
            uncaptioned.append(Unread(name, error.problem, error.remedy))
        pictures.append(replace(picture, caption=caption, variants=variants))
        emit(Measured(picture=name, done=done, total=len(listing.pictures)))
    return Survey(tuple(pictures), tuple(unreadable), tuple(uncaptioned), tuple(map(printable, listing.others)))


@dataclass(frozen=True, slots=True)
class Known:
    """The pictures of the last manifest: by name, and by the SHA-256 of their files' bytes."""

    named: Mapping[str, Picture]
    held: Mapping[str, Picture]


def earlier(project: Project) -> Known:
    """The pictures of the last manifest; none when it is absent or damaged: it is derived."""
    try:
        pictures = project.read_manifest()
    except PortraitistError:
        pictures = []
    return Known(
        {p.name: p for p in pictures}, {str(p.measures["bytes"]): p for p in pictures if "bytes" in p.measures}
    )


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to measure: what is known of its file already, and what it is to be measured by.

    why  a reason not to look at it, told in its place
    """

    source: intake.Source
    before: Picture | None
    side: int
    by: Sights
    why: PortraitistError | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return printable(self.source.name)


def job(source: intake.Source, known: Known, side: int, by: Sights) -> Job:
    """What there is to do for a picture, with what is known of its bytes."""
    if printable(source.name) != source.name:
        problem = f"{printable(source.name)}: its name is not UTF-8"
        return Job(source, None, side, by, PortraitistError(problem, "Rename it with plain letters."))
    try:
        before = known.named.get(source.name)
        if before is None or before.measures.get("stamp") != masks.stamp(source.path) or "bytes" not in before.measures:
            before = known.held.get(masks.known_by(source.path, read(source.path))) if known.held else None
    except PortraitistError as error:
        return Job(source, None, side, by, error)
    return Job(source, before, side, by)


def picture_of(todo: Job) -> Picture:
    """One picture with its measures; what is known of its file already, and measured in the same way, is taken over."""
    if todo.why is not None:
        raise todo.why
    source, before, by = todo.source, todo.before, todo.by
    mark, old = masks.stamp(source.path), before.measures if before is not None else {}
    marks = {"version": VERSION, "side": todo.side}
    alike = all(old.get(name) == value for name, value in marks.items())
    content = old.get("content", {})
    if before is None or not alike or content.get("by") != by.by:
        data = read(source.path)
        opened = masks.open_masked(source.path, data)
        size = opened.digest, opened.width, opened.height
        old = old if alike else {**measure(opened, todo.side), "mask": masks.measured(source.path, opened)}
        content = content if content.get("by") == by.by else look(opened, data, by)
        old = {**old, **marks, "bytes": masks.known_by(source.path, data)}
    else:
        size = before.digest, before.width, before.height
    return Picture(
        source.name,
        *size,
        set=source.set,
        repeats=intake.repeats(source.set),
        measures={**old, "content": content, "stamp": mark},
    )


def caption_of(path: Path) -> tuple[str, tuple[str, ...]]:
    """The caption and variants beside a picture; empty without one. Raises PortraitistError when not UTF-8."""
    beside = captions.sidecar(path)
    return captions.read(beside) if beside is not None else ("", ())


def printable(name: str) -> str:
    """A file name with what is no UTF-8 shown as question marks."""
    return name.encode("utf-8", "replace").decode()


def settled(recipe: Recipe, side: int) -> dict[str, Any]:
    """What of a recipe the record depends on."""
    roles = {chosen.name: chosen.role for chosen in recipe.data.sets}
    rules = terms.changed(terms.expected(recipe.audit))
    return {
        "side": side,
        "held_out": recipe.data.held_out,
        "roles": roles,
        "rules": rules,
        "masks": recipe.data.masks,
    }


def write_record(project: Project, recipe: Recipe, side: int, found: Survey, findings: Sequence[Finding]) -> None:
    """Write the manifest and the findings; only `audit` does."""
    project.write_manifest(found.pictures)
    value = {
        "format": FORMAT,
        "manifest": durable.digest(project.manifest),
        **settled(recipe, side),
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
    """The findings that block and that project.toml does not waive."""
    return terms.standing(project.facts.waived, findings)


def cleared(project: Project, recipe: Recipe, side: int) -> list[Picture]:
    """The audited pictures, when the audit still holds and nothing blocks.

    Raises PortraitistError when pictures, captions or the recipe's split changed since the audit, and when a
    finding blocks.
    """
    record, pictures = read_record(project), project.read_manifest()
    again = f"Run: portraitist audit {project.folder}"
    if record.get("manifest") != durable.digest(project.manifest):
        raise PortraitistError(f"{project.manifest} and {project.findings} are not of one audit", again)
    if any(record.get(name, {}) != value for name, value in settled(recipe, side).items()):
        raise PortraitistError(
            "The recipe's resolution, split or sets, or what the audit expects, have changed since the audit", again
        )
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
