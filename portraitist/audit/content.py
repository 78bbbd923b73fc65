"""What a picture shows, as numbers: faces, the figure's outline, what lies around it, the camera, who it is.

Measured once a picture and kept in the manifest under `content`, beside what measured it: a changed model, or a changed
definition here, measures anew. Judged in `figure`, `coverage` and `variety`.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import warnings
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.pictures import BACKDROP, Opened, fit
from portraitist.recipe import Recipe
from portraitist.sight import embed, eyes, faces, onnx

VERSION = 1
"""Raised when a definition here changes: pictures are then looked at again."""

SIDE = 128
"""Longer side of the thumbnail that backdrops and figures are read from."""

BINS = (5, 7, 7)
"""Of a backdrop's colours: lightness 0 to 100, and a and b from -64 to 64."""

BAND = 0.12
"""Share of width and height at the left, the right and above that counts as around a subject whose place is unknown."""

LEAST = 0.04
"""Share of a picture that its backdrop must have, to be told."""

CUTS = 8
"""Heights at which a figure's width is taken."""

FACES = 8
"""Most faces that are kept of a picture."""


@dataclass(frozen=True, slots=True)
class Sights:
    """What looks at pictures: a finder of faces, models of faces and of whole pictures, a family's eyes; "" is none.

    pose  a model of bodies, of use to judging alone
    """

    faces: str = ""
    recognition: str = ""
    embedding: str = ""
    eyes: str = ""
    pose: str = ""

    @property
    def by(self) -> list[str]:
        """What content is known to be measured by: the version of the definitions, and the digest of every model."""
        return [
            f"content-{VERSION}",
            faces.names(self.faces) if self.faces else "",
            onnx.digest(Path(self.recognition)) if self.recognition else "",
            onnx.digest(Path(self.embedding)) if self.embedding else "",
            eyes.names(self.eyes) if self.eyes else "",
        ]

    @property
    def judging(self) -> tuple[str, ...]:
        """The same of what drawn pictures are measured through; empty without any model."""
        paths = self.recognition, self.embedding, self.pose
        found = [faces.names(self.faces) if self.faces else "", *(onnx.digest(Path(p)) if p else "" for p in paths)]
        return tuple(found) if any(found) else ()


def sights(recipe: Recipe, folder: Path) -> Sights:
    """What a recipe's `[sight]` asks for, paths counted from the character's folder.

    Raises PortraitistError for a model that is not there or cannot be read, for recognition without YuNet's points, and
    for eyes that the family does not have.
    """
    said = recipe.sight

    def placed(text: str) -> str:
        return str(folder / durable.expanded(text)) if text else ""

    own = faces.BUILT_IN if recipe.model.family not in eyes.LEARNED else ""
    finder = {"auto": own, "off": "", "": ""}.get(said.faces)
    finder = placed(said.faces) if finder is None else finder
    if said.recognition and not finder.endswith(".onnx"):
        raise PortraitistError(
            f"sight.recognition = {said.recognition!r} needs points of faces; sight.faces = {said.faces!r} gives none",
            "Set sight.faces to a YuNet file (.onnx), or sight.recognition to an empty text.",
        )
    if said.eyes == "family" and not eyes.names(recipe.model.family):
        raise PortraitistError(
            f'sight.eyes = "family", and {recipe.model.family} has no eyes of its own', 'Set sight.eyes = "off".'
        )
    if finder.endswith(".onnx"):
        faces.yunet(Path(finder))
    elif finder:
        faces.cascades(finder)
    for path in filter(None, (placed(said.recognition), placed(said.embedding), placed(said.pose))):
        onnx.network(Path(path))
    seeing = recipe.model.family if said.eyes == "family" else ""
    return Sights(finder, placed(said.recognition), placed(said.embedding), seeing, placed(said.pose))


def look(opened: Opened, data: bytes, by: Sights) -> dict[str, Any]:
    """All that is told of a picture's content; `data` are its file's bytes.

    by        what measured it
    looked    whether faces were looked for; faces: the largest first, as `faces.Face` has them, with yaw
    backdrop  see `backdrop`; "" where too little of it is seen
    figure    see `figure`; only of pictures with transparency
    camera    see `camera`
    who       vector of the face or of the whole, by what `who_by` says (face, eyes); whole: that of the embedding
    framing   how well each framing fits, by the family's eyes
    """
    seen = faces.found(opened.pixels, by.faces)[:FACES] if by.faces else []
    told: dict[str, Any] = {
        "by": by.by,
        "looked": bool(by.faces),
        "faces": [
            {
                "box": list(face.box),
                "score": face.score,
                "head": face.head,
                "view": face.view,
                "yaw": None if face.yaw is None else round(face.yaw, 1),
            }
            for face in seen
        ],
        "backdrop": backdrop(opened, seen),
        "camera": camera(data),
    }
    if opened.alpha is not None:
        told["figure"] = figure(opened.alpha)
    if by.recognition and seen and seen[0].points:
        told["who"] = embed.stored(embed.face(opened.pixels, seen[0], Path(by.recognition)))
        told["who_by"] = "face"
    if by.embedding:
        told["whole"] = embed.stored(embed.picture(opened.pixels, Path(by.embedding)))
    if by.eyes:
        told["framing"], vector = eyes.glance(by.eyes, opened.pixels)
        if "who" not in told:
            told["who"], told["who_by"] = embed.stored(vector), "eyes"
    return told


def backdrop(opened: Opened, seen: list[faces.Face]) -> str:
    """Colours around the subject: roots of shares of BINS in Lab, as bytes in hexadecimal; "" when little is seen.

    Around is: outside a mask, where there is one; else outside the largest face's head, and the width of three heads
    below it; else a band left, right and above. Where all around is plain white over transparency, nothing is told:
    what was there has been taken away. A colour between two bins counts to both by its nearness, so that a little more
    light moves little.
    """
    width, height = fit(opened.width, opened.height, SIDE)
    small = np.asarray(Image.fromarray(opened.pixels).resize((width, height), Image.Resampling.BOX))
    if opened.alpha is None:
        around = outside(width, height, width / opened.width, seen)
    else:
        around = np.asarray(Image.fromarray(opened.alpha).resize((width, height), Image.Resampling.BOX)) == 0
        if (small[around] == BACKDROP).all():
            return ""
    if around.mean() < LEAST:
        return ""
    import cv2

    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[around]
    place = np.stack([lab[:, 0] / 100, (lab[:, 1] + 64) / 128, (lab[:, 2] + 64) / 128], axis=1).clip(0, 1)
    place *= np.array(BINS) - 1
    lower = np.minimum(place.astype(int), np.array(BINS) - 2)
    part, shares = place - lower, np.zeros(BINS)
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(np.array(corner) == 1, part, 1 - part).prod(axis=1)
        np.add.at(shares, tuple((lower + corner).T), weight)
    return str(np.round(np.sqrt(shares / shares.sum()) * 255).astype(np.uint8).tobytes().hex())


def outside(width: int, height: int, scale: float, seen: list[faces.Face]) -> np.ndarray:
    """(height, width) bool: what counts as around the subject; `scale` takes faces to this size."""
    free = np.ones((height, width), bool)
    if not seen:
        side, above = max(1, round(width * BAND)), max(1, round(height * BAND))
        free[above:, side : width - side] = False
        return free
    x, y, w, h = (value * scale for value in seen[0].box)
    head = h / seen[0].head
    middle, top = x + w / 2, y + h - 1.15 * head
    for half, begin, end in ((0.6, top, y + h + 0.3 * head), (1.5, y + h, float(height))):
        left, right = max(0, round(middle - half * head)), max(0, round(middle + half * head))
        free[max(0, round(begin)) : max(0, round(end)), left:right] = False
    return free


def figure(alpha: np.ndarray) -> dict[str, Any]:
    """The outline of what is opaque in (H, W) uint8: its box, its widths, and the edges of the picture it touches.

    box      left, top, width, height in shares of the picture
    widths   at CUTS heights from above, in shares of the box's height in pixels
    touches  of left, top, right, bottom those it reaches
    """
    inside = alpha > 127
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return {}
    height, width = alpha.shape
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    tall = bottom - top
    cuts = [top + int((i + 0.5) * tall / CUTS) for i in range(CUTS)]
    ends = {"left": left == 0, "top": top == 0, "right": right == width, "bottom": bottom == height}
    return {
        "box": [round(v, 4) for v in (left / width, top / height, (right - left) / width, tall / height)],
        "widths": [round(float(inside[cut].sum()) / tall, 4) for cut in cuts],
        "touches": [name for name, there in ends.items() if there],
    }


BROKEN = (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, EOFError, MemoryError,
          OverflowError, ArithmeticError, RuntimeError, struct.error, Image.DecompressionBombError)  # fmt: skip
"""What Pillow raises on damaged headers."""


def camera(data: bytes) -> dict[str, Any]:
    """When and with what a file says its picture was taken, as far as it does; where it was taken is never kept.

    date  ISO; make, model, lens: words; focal: millimetres as on 35 mm film
    """
    told: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                plain = image.getexif()
                more = plain.get_ifd(ExifTags.IFD.Exif)
        except BROKEN:
            return told
    taken = re.match(r"(\d{4})[:-](\d{2})[:-](\d{2})", word(more.get(ExifTags.Base.DateTimeOriginal)))
    if taken:
        with contextlib.suppress(ValueError):  # cameras without a set clock write zeros
            told["date"] = date(*map(int, taken.groups())).isoformat()
    for name, value in (
        ("make", plain.get(ExifTags.Base.Make)),
        ("model", plain.get(ExifTags.Base.Model)),
        ("lens", more.get(ExifTags.Base.LensModel)),
    ):
        if text := word(value):
            told[name] = text
    focal = more.get(ExifTags.Base.FocalLengthIn35mmFilm)
    if isinstance(focal, int) and 4 <= focal <= 3000:
        told["focal"] = focal
    return told


def word(value: Any) -> str:
    """A text of a header: printable signs alone, at most 60 of them."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return "".join(c for c in text if c.isprintable()).strip()[:60] if isinstance(text, str) else ""
