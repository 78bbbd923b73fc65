"""What a voter sees of a ballot: one picture file a question for a terminal, or one page of HTML that needs nothing.

Neither tells which checkpoint drew what: no name, no path, no number of it is in them.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from portraitist.errors import PortraitistError
from portraitist.judge import templates
from portraitist.judge.album import Album
from portraitist.judge.ballot import Ballot
from portraitist.judge.measures import ASKED
from portraitist.pictures import framing_word, open_upright, resize
from portraitist.project import Project
from portraitist.runs import RunFolder

BESIDE = 3
"""Reference pictures that are shown with every question."""

TALL, SMALL, GAP = 512, 160, 16
"""Heights of a drawn picture and of a reference, and the room between them, in pixels."""

LARGE, THUMB = 640, 220
"""Longer sides of the same on the page, at most."""

PAPER, INK = (250, 249, 246), (27, 29, 31)


def references(project: Project) -> list[Path]:
    """A few pictures of the character: of different framings, and rather those that were kept from training."""
    if not project.manifest.is_file():
        return []
    known = project.read_manifest()
    showing = [picture for picture in known if picture.role in ("identity", "outfit")] or known
    ranked = sorted(showing, key=lambda picture: (picture.split != "held-out", picture.name))
    by_framing = {framing_word(picture.caption): picture for picture in reversed(ranked)}
    first = sorted(by_framing.values(), key=ranked.index)
    rest = [picture for picture in ranked if picture not in first]
    paths = [project.pictures / picture.name for picture in (*first, *rest)]
    return [path for path in paths if path.is_file()][:BESIDE]


def sheet(pictures: Sequence[Path], beside: Sequence[Path]) -> bytes | None:
    """A PNG: the pictures in a row, lettered A, B where there are several, and the references in a column on the right.

    None when one of the pictures cannot be read; a reference that cannot is left out.
    """
    drawn = [tall(path, TALL) for path in pictures]
    if any(found is None for found in drawn):
        return None
    shown = [found for path in beside if (found := tall(path, SMALL)) is not None]
    row = [found for found in drawn if found is not None]
    letters = 40 if len(row) > 1 else 0
    column = max((found.shape[1] for found in shown), default=0)
    width = sum(found.shape[1] + GAP for found in row) + (column + 2 * GAP if shown else 0) + GAP
    image = Image.new("RGB", (width, TALL + 2 * GAP + letters), PAPER)
    pen, font, x = ImageDraw.Draw(image), ImageFont.load_default(28), GAP
    for letter, found in zip("AB", row, strict=False):
        image.paste(Image.fromarray(found), (x, GAP))
        if letters:
            pen.text((x + found.shape[1] / 2, TALL + GAP + letters / 2), letter, INK, font, anchor="mm")
        x += found.shape[1] + GAP
    for i, found in enumerate(shown):
        image.paste(Image.fromarray(found), (x + GAP, GAP + i * (SMALL + GAP)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def tall(path: Path, height: int) -> np.ndarray | None:
    """A picture's pixels at a height; None when it cannot be read."""
    try:
        pixels = open_upright(path).pixels
    except PortraitistError:
        return None
    return resize(pixels, max(1, round(pixels.shape[1] * height / pixels.shape[0])), height)


def page(project: Project, run: RunFolder, ballot: Ballot) -> str:
    """The page of a ballot, with pictures as large as the limit on its bytes allows."""
    return templates.fitted("ballot.html", lambda album: told(project, run, ballot, album))


def told(project: Project, run: RunFolder, ballot: Ballot, album: Album) -> dict[str, Any]:
    """Everything the template shows, with pictures from an album; what cannot be read is not asked about."""

    def shown(path: str) -> str:
        found = album.show(run.path / path, LARGE)
        return found.uri if found else ""

    pairs = [
        {"name": one.name, "text": one.text, "a": shown(one.a_path), "b": shown(one.b_path)} for one in ballot.pairs
    ]
    singles = [{"name": one.name, "text": one.text, "a": shown(one.path)} for one in ballot.singles]
    beside = [found for path in references(project) if (found := album.show(path, THUMB)) is not None]
    asked = {
        "run": ballot.run,
        "ballot": ballot.digest,
        "asked": list(ASKED.items()),
        "pairs": [pair for pair in pairs if pair["a"] and pair["b"]],
        "pictures": [one for one in singles if one["a"]],
    }
    return {"name": project.facts.name, "folder": project.folder.name, "references": beside, "ballot": asked}
