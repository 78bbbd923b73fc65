"""Skin: whether it has texture, or looks like plastic."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from portraitist.audit.measure import grey
from portraitist.audit.sharpness import GRID, tiled
from portraitist.judge.measuring.definition import Case, Measure, Pictures
from portraitist.judge.measuring.seeing import subject, subjects

FEW = 3
"""Pictures of the realism set with enough skin, from which there is something to hold against."""

TILES, COVERED = 4, 0.8
"""Tiles of a picture that must be of skin, and the share of a tile that must be."""

RED, BLUE = (133, 173), (77, 127)
"""Of YCrCb, where human skin of all tones lies (Chai and Ngan 1999)."""

LEAST = 0.1
"""Least spread that the realism set is taken to have, in powers of e."""


@dataclass(frozen=True, slots=True)
class Skin:
    """The range of texture that nine in ten pictures of the realism set keep to, and their spread."""

    about: ClassVar[Measure] = Measure(
        "skin",
        "Plastic skin",
        "How far the texture of skin (log of the Laplacian's energy, median over tiles of the subject that are of skin "
        "colours) lies below the range that nine in ten pictures of the realism set keep to, in their standard "
        "deviations; 0 is inside or above.",
        (0, 6),
        "low",
        "Only with a set of role realism, and on pictures with enough bare skin of a human colour. Noise is taken for "
        "texture, soft focus for plastic; skin of the right texture and the wrong colour or light is not seen.",
        "Ours; skin's colours of Chai and Ngan 1999.",
    )
    case: Case
    low: float
    spread: float

    @classmethod
    def of(cls, case: Case) -> "Skin | None":
        """None without a realism set; where it shows too little skin, the notes say so."""
        if not case.references.realism:
            return None
        found = [texture(p, subject(p, case.sights.faces)) for p in case.references.realism]
        known = [value for value in found if np.isfinite(value)]
        if len(known) < FEW:
            case.notes.append("The realism set shows too little skin to hold skin against: look for yourself")
            return None
        return cls(case, float(np.quantile(known, 0.05)), max(float(np.std(known)), LEAST))

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) in standard deviations, at least 0; nan where too little skin is seen."""
        inside = subjects(self.case, drawn)
        found = np.asarray([texture(p, m) for p, m in zip(drawn.pictures, inside, strict=True)])
        return np.maximum(self.low - found, 0) / self.spread


def texture(pixels: np.ndarray, inside: np.ndarray) -> float:
    """Median over the tiles of skin of the log of the mean squared Laplacian of luma, of (H, W, 3) uint8 where `inside`
    (H, W) is true; nan where there are too few of them."""
    _, red, blue = cv2.split(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2YCrCb))
    skin = inside & (red >= RED[0]) & (red <= RED[1]) & (blue >= BLUE[0]) & (blue <= BLUE[1])
    of_skin = tiled(skin, GRID) >= COVERED
    if of_skin.sum() < TILES:
        return float("nan")
    fine = cv2.Laplacian(grey(pixels), cv2.CV_32F) ** 2
    return float(np.median(np.log1p(tiled(fine, GRID)[of_skin])))
