"""Anatomy: whether the parts of a body are there, by a model of poses."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.definition import Case, Measure, Pictures
from portraitist.judge.measuring.references import framing
from portraitist.judge.measuring.seeing import subjects
from portraitist.sight import pose

FEW = 3
"""References of a framing, from which there is something to expect."""

USUAL = 0.8
"""Share of the references of a framing that show a joint which every picture of that framing should show."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The joints that should be seen, by framing: each (17,) bool, COCO's."""

    about: ClassVar[Measure] = Measure(
        "anatomy",
        "Body parts there",
        "Share of the joints (COCO's 17: nose, eyes, ears, shoulders to wrists, hips to ankles) that a model of poses "
        "finds, of those that it finds in at least four of five references of the same framing.",
        (0, 1),
        "high",
        "It counts what is missing and not what is too much: a third hand, six fingers, crossed eyes are not seen, so "
        "a person is asked about them all the same. A pose that hides an arm counts as one without it.",
        "Ours; joints of COCO (arXiv 1405.0312) by RTMPose (arXiv 2303.07399) or ViTPose (arXiv 2204.12484).",
    )
    case: Case
    expected: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, case: Case) -> "Anatomy | None":
        """None without `sight.pose`: a person is asked then. Where it sees no joints in references, notes say so."""
        if not case.sights.pose:
            return None
        found = seen(case)
        framings = np.asarray(case.references.framings or [""] * len(found))
        expected = {}
        for name in sorted(set(framings.tolist())):
            mine = found[framings == name]
            usual = mine.mean(0) >= USUAL
            if len(mine) >= FEW and usual.any():
                expected[name] = usual
        if not expected:
            case.notes.append("The model of poses finds no joints in the references: anatomy is left to a person")
        return cls(case, expected) if expected else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) in [0, 1]; nan for framings of which too few references are there."""
        found = seen(self.case, drawn)
        wanted = [self.expected.get(framing(prompt.text)) for prompt in drawn.prompts]
        return np.asarray(
            [np.nan if of is None else row[of].mean() for row, of in zip(found, wanted, strict=True)], np.float64
        )


def seen(case: Case, drawn: Pictures | None = None) -> np.ndarray:
    """Which joints are found in drawn pictures, or in the references: (N, 17) bool."""
    pictures = drawn.pictures if drawn else case.references.shown
    path = Path(case.sights.pose)
    both = zip(pictures, subjects(case, drawn), strict=True)
    return np.stack([pose.joints(pixels, inside, path)[:, 2] >= pose.SURE for pixels, inside in both])
