"""sheet: an empty template for a character sheet; and a finished one cut into its views, which go into the project."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from portraitist import durable, families, provenance
from portraitist.dataset import captions, combinations, naming, recording, sheets
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Measured, Started, Warned, ignore
from portraitist.pictures import open_upright, png
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.sight import faces

LARGEST = 16_384


@dataclass(frozen=True, slots=True)
class SheetResult:
    """What came of a sheet: names below `pictures/`.

    added    with a caption of ours where there was none
    already  there with the same bytes
    heads    that the figure was reckoned to be high
    """

    added: tuple[str, ...]
    already: tuple[str, ...]
    heads: float


def template(path: Path, width: int, height: int, views: int = len(sheets.VIEWS)) -> Path:
    """Write an empty sheet of so many boxes as a PNG. Raises PortraitistError for a size without room for them."""
    if not 0 < max(width, height) <= LARGEST or min(width, height) <= 0:
        raise PortraitistError(f"{width}x{height} is no size of a picture", f"Between 64 and {LARGEST}, as 1536x1024.")
    if path.exists():
        raise PortraitistError(f"There is already a {path}", "Choose another name.")
    durable.write_bytes(path, png(sheets.template(width, height, views)))
    return path


def sheet(
    project: Project,
    recipe: Recipe,
    file: Path,
    *,
    views: Sequence[str] = sheets.VIEWS,
    size: tuple[int, int] | None = None,
    into: str = "sheet",
    heads: float = 0.0,
    mirrored: bool = False,
    emit: Emit = ignore,
) -> SheetResult:
    """Cut a finished sheet into its views, each as full body, half body and close-up, and put them into a set.

    views     what the boxes show, from left to right
    size      of the template, where the lines in the sheet cannot be seen
    into      the set's folder below `pictures/`
    heads     that the figure is high; 0 takes it from the first view's face, and else an adult's
    mirrored  whether each is put in mirrored as well: only of a character that project.toml declares symmetric
    The sheet stays as and where it is; what is there already is not written again. The ledger has of each picture its
    sheet, view, framing, box in the view (left, top, width, height), and whether it is mirrored. Raises
    PortraitistError for a sheet that cannot be read, whose boxes cannot be told or are empty, and for mirroring a
    character that is not symmetric.
    """
    began = time.monotonic()
    if mirrored and not project.facts.symmetric:
        raise PortraitistError(
            f"{project.facts.name} is not declared symmetric: mirrored, a scar or a parting would change sides",
            "Leave --mirrored out; or, if nothing tells left from right, set symmetric = true in project.toml.",
        )
    if heads and not 1.5 <= heads <= 12:
        raise PortraitistError(f"A figure {heads:g} heads high", "An adult is 7.5, a drawn figure often 3 to 6.")
    found = apart(file, views, size)
    seen = faces.boxes(found[0])
    high = heads or sheets.stature(found[0], seen[0] if seen else None)
    if not heads and not seen:
        emit(Warned(says=f"No face was found in the first view: {high:g} heads high", remedy="Say so: --heads 4"))
    emit(Started(verb="sheet"))
    digest, folder = durable.digest(file), naming.safe_name(into)
    added: list[str] = []
    already: list[str] = []
    tags = families.get(recipe.model.family).profile.captions == "tags"
    with durable.lock(project.folder):
        known = provenance.records(provenance.read(project.ledger))
        for stem, view, framing, box, cut in crops(found, views, high, mirrored):
            name = f"{naming.safe_name(file.stem)}-{stem}"
            words = {"framing": framing, "view": view}
            text = combinations.told(words, project.facts.trigger, tags=tags)
            path, new = placed(project.pictures / folder, name, png(cut))
            if captions.sidecar(path) is None:
                durable.write_text(path.with_suffix(".txt"), text + "\n")
            there = path.relative_to(project.pictures).as_posix()
            (added if new else already).append(there)
            if new or there not in known:
                facts = {"sheet_sha256": digest, **words, "box": astuple(box), "mirrored": stem.endswith("-mirrored")}
                recording.brought(project, path, f"sheet {file.name}", **facts)
            emit(Measured(picture=there, done=len(added) + len(already), total=0))
    emit(Finished(verb="sheet", seconds=time.monotonic() - began, facts={"pictures": len(added) + len(already)}))
    return SheetResult(tuple(added), tuple(already), high)


def apart(file: Path, views: Sequence[str], size: tuple[int, int] | None) -> list[np.ndarray]:
    """The pixels of a sheet's views, from left to right. Raises PortraitistError for boxes that are empty, as well."""
    pixels = open_upright(file).pixels
    found = [box.of(pixels) for box in sheets.found(pixels, len(views), size)]
    for view, shown in zip(views, found, strict=True):
        if shown.std(axis=(0, 1)).max() < 1:
            raise PortraitistError(
                f"The box of the {view} in {file} is empty", "Draw into it, or say which --views the sheet has."
            )
    return found


def crops(
    found: Sequence[np.ndarray], views: Sequence[str], heads: float, mirrored: bool
) -> Iterator[tuple[str, str, str, sheets.Box, np.ndarray]]:
    """Of each view and framing: a name, the view in words, the framing, where it lies in its view, and its pixels."""
    for view, pixels in zip(views, found, strict=True):
        for framing, box in sheets.framings(pixels, heads).items():
            cut = box.of(pixels)
            stem = naming.safe_name(f"{view}-{framing}").replace(" ", "-")
            yield stem, view, framing, box, cut
            if mirrored:
                yield f"{stem}-mirrored", turned(view), framing, box, sheets.mirrored(cut)


def turned(view: str) -> str:
    """The words of a view in a mirror: left is right."""
    swap = {"left": "right", "right": "left"}
    return " ".join(swap.get(word, word) for word in view.split())


def placed(folder: Path, stem: str, data: bytes) -> tuple[Path, bool]:
    """Where a PNG of these bytes lies in a folder, and whether it was written now: no other picture is written over."""
    number, path = 1, folder / f"{stem}.png"
    while path.exists():
        if path.read_bytes() == data:
            return path, False
        number += 1
        path = folder / f"{stem}-{number}.png"
    durable.write_bytes(path, data)
    return path, True
