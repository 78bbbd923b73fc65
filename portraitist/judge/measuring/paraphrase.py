"""Paraphrase: whether the character is as like itself when the same is asked for in other words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.definition import Case, Measure, Pictures
from portraitist.judge.measuring.likeness import Likeness

LEAST = 0.02
"""Least spread over seeds that is told from none, of likeness."""


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """The spread of likeness over wordings against that over seeds."""

    about: ClassVar[Measure] = Measure(
        "paraphrase",
        "Spread over wordings",
        "How far the likeness of a picture is from that of the same prompt in its first wording and the same noise, "
        "over the mean difference that another seed makes: 0 is where words do not matter, 1 is where they matter as "
        "much as chance does, and more is a LoRA that hangs on the words of its captions.",
        (0, 3),
        "low",
        "It sees what likeness sees, and differences either way count. Each prompt needs two seeds. The embedded base "
        "reads phrases, so its other wordings are other orders only.",
        'G4 ("survives paraphrase"); the scale is ours.',
    )
    likeness: Likeness

    @classmethod
    def of(cls, case: Case) -> "Paraphrase | None":
        """Where likeness can be taken."""
        found = case.taken(Likeness)
        return cls(found) if found else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) from 0; nan for pictures of another purpose, without their first wording, and where seeds are single."""
        likeness = drawn.value(self.likeness)
        known = [(shot, float(got)) for shot, got in zip(drawn.shots, likeness, strict=True) if np.isfinite(got)]
        first = {(shot.noise, shot.seed): got for shot, got in known if shot.purpose == "named"}
        chance = list(between_seeds(first))
        scale = max(float(np.mean(chance)), LEAST) if chance else np.nan
        found = np.full(len(likeness), np.nan)
        for i, shot in enumerate(drawn.shots):
            if shot.purpose == "paraphrase" and (shot.noise, shot.seed) in first:
                found[i] = abs(likeness[i] - first[shot.noise, shot.seed]) / scale
        return found


def between_seeds(values: dict[tuple[str, int], float]) -> Iterator[float]:
    """Differences of values by (text, seed) between every two seeds of a text."""
    rows = sorted(values.items())
    for i, ((text, _), value) in enumerate(rows):
        yield from (abs(value - other) for (same, _), other in rows[i + 1 :] if same == text)
