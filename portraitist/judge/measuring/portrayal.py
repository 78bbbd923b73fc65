"""Portrayal: how much nearer than the base's a picture is to the very picture whose caption it is drawn from. Not
learned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.colour import shades
from portraitist.judge.measuring.definition import Case, Measure, Pictures

SIDE = 32
"""Cells along a side: of the sides tried, 16 and 32, that which agrees better with the truth."""

SHARED = 2
"""Pictures that may have the same caption for it to say what each shows."""

NOTHING = 1e-3
"""Mean Lab distance from the base's picture below which a picture is taken for the same: it is no nearer."""


@dataclass(frozen=True, slots=True)
class Portrayal:
    """Nearness to known pictures in layout and colour.

    known  by caption, the (K, SIDE * SIDE, 3) Lab cells of the pictures that it stands by
    """

    about: ClassVar[Measure] = Measure(
        "portrayal",
        "Portrayal",
        "Where a prompt that chooses is the caption of a known picture: by how much of its distance a picture has come "
        "nearer to that one than the base's picture of the same prompt and seed is, in Lab over 32 x 32 cells, each "
        "weighed by how far it departs from the base's; 0 is the base, 1 the known picture itself.",
        (0, 1),
        "high",
        "Coarse, and of composition too. It is taken on few pictures, on those trained on as well as on those held "
        "out, and not at all where captions do not tell pictures apart. A copy scores highest (copying is there for "
        "that).",
        "Ours; benchmarks/chooser.md says how well it agrees with the truth.",
    )
    known: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, case: Case) -> "Portrayal | None":
        """By the captioned pictures that show the character, where a prompt that chooses is the caption of one."""
        asked, found = {prompt.text for prompt in case.base.prompts}, dict[str, list[np.ndarray]]()
        pairs = zip(case.references.captions, case.references.shown, strict=False)  # references may lack captions
        for caption, pixels in pairs:
            found.setdefault(caption, []).append(pixels)
        known = {text: shades(some, SIDE) for text, some in found.items() if text in asked and len(some) <= SHARED}
        return cls(known) if known else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) at most 1; 0 for the base's own pictures, below it for what has come to be farther; nan where the
        prompt is no known picture's caption."""
        ours, base = shades(drawn.pictures, SIDE), shades(drawn.base, SIDE)
        texts = [prompt.text for prompt in drawn.prompts]
        return np.asarray([self.nearer(*row) for row in zip(texts, ours, base, strict=True)])

    def nearer(self, text: str, picture: np.ndarray, base: np.ndarray) -> float:
        """Of one picture (cells, 3) beside the base's."""
        if text not in self.known:
            return float("nan")
        moved = np.linalg.norm(picture - base, axis=-1)
        if moved.mean() < NOTHING:
            return 0.0
        weights = moved / moved.sum()
        apart = [np.linalg.norm(self.known[text] - one, axis=-1) @ weights for one in (picture, base)]
        here, there = (float(distances.min()) for distances in apart)
        return 1 - here / there if there > 0 else 0.0
