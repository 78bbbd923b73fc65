"""Proportions: whether the figure's outline is built as in the references."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.definition import Case, Measure, Pictures
from portraitist.judge.measuring.references import framing
from portraitist.judge.measuring.seeing import subjects

FRAMINGS = ("mid", "full")
"""Framings in which enough of a body is seen."""

FEW = 5
"""References of a framing with an outline, from which there is something to hold against."""

NECK = (0.2, 0.65)
"""Where on a figure's height its narrowest row is looked for: small figures with large heads have it at a half."""

LEAST = 0.03
"""Least deviation that references are taken to have: an outline is not truer than to three percent."""


@dataclass(frozen=True, slots=True)
class Build:
    """Logs of the ratios that references of a framing have: their medians, and mean deviations from them; each (3,)."""

    middle: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, ratios: np.ndarray) -> "Build":
        """From the ratios (M, 3) of references."""
        middle = np.median(ratios, axis=0)
        return cls(middle, np.maximum(np.abs(ratios - middle).mean(0), LEAST))

    def __call__(self, ratios: np.ndarray) -> np.ndarray:
        """How far ratios (N, 3) lie from the middle, where the references' own have 1: (N,)."""
        return np.asarray((np.abs(ratios - self.middle) / self.spread).mean(1))


@dataclass(frozen=True, slots=True)
class Proportions:
    """The build that references show, by framing."""

    about: ClassVar[Measure] = Measure(
        "proportions",
        "Proportions",
        "Of half and full bodies: how far the outline's ratios (width to height, head's width to height, head's width "
        "to body's width; logs) lie from the median of references of the same framing, where 1 is as far as the "
        "references' own lie from it on average.",
        (0.5, 3),
        "low",
        "Poses, views and long hair move outlines more than builds do. Of drawn figures in any pose, ten against ten "
        "references, the same build has 1.3 on average (0.3 more or less), and bodies or heads a third too wide or too "
        "narrow have 1.5 to 1.9: it sees what is deformed, not what is a little off. Outlines are GrabCut's and as "
        "coarse; limbs inside them are not seen, and close-ups are left out.",
        "Ours; GrabCut (Rother et al. 2004).",
    )
    case: Case
    builds: Mapping[str, Build]

    @classmethod
    def of(cls, case: Case) -> "Proportions | None":
        """None where too few references of either framing have an outline."""
        framings = case.references.framings
        if not set(framings) & set(FRAMINGS):
            return None
        rows = np.stack([ratios(inside) for inside in subjects(case)])
        builds = {}
        for name in FRAMINGS:
            mine = rows[(np.asarray(framings) == name) & np.isfinite(rows).all(1)]
            if len(mine) >= FEW:
                builds[name] = Build.of(mine)
        return cls(case, builds) if builds else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,), at least 0; nan for other framings and where no outline is found."""
        told = np.asarray([framing(prompt.text) for prompt in drawn.prompts])
        values = np.full(len(told), np.nan)
        if not set(told) & set(self.builds):
            return values
        rows = np.stack([ratios(inside) for inside in subjects(self.case, drawn)])
        for name, build in self.builds.items():
            values[told == name] = build(rows[told == name])
        return values


def ratios(inside: np.ndarray) -> np.ndarray:
    """Logs of width to height, head's width to height and head's width to body's width of an outline (H, W) bool; (3,),
    nan without one.

    The head ends at the narrowest row in the part of the height that NECK names.
    """
    there = np.flatnonzero(inside.any(1))
    if not len(there):
        return np.full(3, np.nan)
    widths = inside[there[0] : there[-1] + 1].sum(1).astype(float)
    tall, low, high = len(widths), *(round(share * len(widths)) for share in NECK)
    if high - low < 3:
        return np.full(3, np.nan)
    smooth = np.convolve(widths, np.full(k := max(1, tall // 24), 1 / k), "same")
    neck = low + int(smooth[low:high].argmin())
    across = np.flatnonzero(inside.any(0))
    head, body = max(widths[:neck].max(), 1), max(widths[neck:].max(), 1)
    return np.log([(across[-1] + 1 - across[0]) / tall, head / tall, head / body])
