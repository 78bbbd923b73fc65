"""Loss masks beside pictures, as OneTrainer names them: `name-masklabel.png` says which parts of `name.*` count.

White counts, black does not, grey counts in part. Such a file goes before the picture's own transparency. It is part of
what a picture is known by: another mask makes another digest, and all that was made of the old one is made again.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from portraitist import pictures
from portraitist.errors import PortraitistError
from portraitist.pictures import Opened

ENDING = "-masklabel.png"
ASPECT = 0.02
"""By how much of itself a mask's aspect may differ from its picture's: rounding in scaling, and no other crop."""

EDGE, MIDDLE = 0.04, 0.25
"""Of each side: how wide the border is that a subject seldom fills, and where its middle begins."""


def beside(picture: Path) -> Path:
    """Where a picture's mask is, or would be."""
    return picture.with_name(picture.stem + ENDING)


def is_mask(path: Path) -> bool:
    """Whether a path is a mask by its name."""
    return path.name.lower().endswith(ENDING)


def read(path: Path, width: int, height: int) -> np.ndarray:
    """A mask file's weights as (height, width) uint8, scaled where it is of another size.

    Colours are taken by their luma; of a mask that is transparent, what shows over white. Raises PortraitistError when
    it cannot be read, and when its aspect is not its picture's.
    """
    found = pictures.open_upright(path)
    if abs(found.width * height / (found.height * width) - 1) > ASPECT:
        raise PortraitistError(
            f"{path.name} is {found.width} x {found.height}, its picture {width} x {height}: it is of another crop",
            "Make it again from the picture as it is now, or remove it.",
        )
    grey = Image.fromarray(found.pixels).convert("L")
    return np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR))


def open_masked(path: Path, data: bytes | None = None) -> Opened:
    """A picture with the weights beside it in the place of its alpha; one whose mask is unusable stays as it is.

    data  the picture's bytes, where they have been read
    Raises PortraitistError for an unreadable picture. What is wrong with a mask is told by `measured`.
    """
    mask = beside(path)
    opened = pictures.open_upright(path) if data is None else pictures.open_data(path, data)
    if not mask.is_file():
        return opened
    try:
        return replace(opened, alpha=read(mask, opened.width, opened.height))
    except PortraitistError:
        return opened


def stamp(path: Path) -> list[int]:
    """Size and times of change of a picture and of the mask beside it: equal as long as nobody touches either."""
    mask = beside(path)
    return [*pictures.stamp(path), *(pictures.stamp(mask) if mask.is_file() else [])]


def known_by(path: Path, data: bytes) -> str:
    """SHA-256 of a picture's bytes and of those of the mask beside it: what both are known by under any name."""
    mask, sha = beside(path), hashlib.sha256(data)
    if mask.is_file():
        sha.update(pictures.read(mask))
    return sha.hexdigest()


def measured(path: Path, opened: Opened) -> dict[str, Any]:
    """What the audit judges of a picture's mask; empty without one.

    opened   as `open_masked` gives it
    file     whether it is a file of its own; else the picture's alpha
    inside   mean weight, 0 to 1; border and middle: the same of the outer 4 % and of the inner half of each side
    problem, remedy  why it cannot be used, where it cannot
    size     of the file, where it is not the picture's
    """
    mask, facts = beside(path), dict[str, Any]()
    if mask.is_file():
        try:
            read(mask, opened.width, opened.height)
            with Image.open(mask) as image:
                size = image.size
        except (PortraitistError, OSError) as error:
            problem = error.problem if isinstance(error, PortraitistError) else str(error)
            remedy = error.remedy if isinstance(error, PortraitistError) else "Make it again, or remove it."
            return {"file": True, "problem": problem, "remedy": remedy}
        facts = {"size": list(size)} if size != (opened.width, opened.height) else {}
    if opened.alpha is None:
        return {}
    weight = opened.alpha.astype(np.float32) / 255
    height, width = weight.shape
    y, x = max(1, round(height * EDGE)), max(1, round(width * EDGE))
    edge = np.ones(weight.shape, bool)
    edge[y:-y, x:-x] = False
    y, x = round(height * MIDDLE), round(width * MIDDLE)
    middle = weight[y : height - y, x : width - x]
    facts |= {"file": mask.is_file(), "inside": round(float(weight.mean()), 4)}
    return facts | {"border": round(float(weight[edge].mean()), 4), "middle": round(float(middle.mean()), 4)}
