"""Light: whether pictures are lit as their prompts ask."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.audit.content import outside
from portraitist.family import PromptSpec
from portraitist.judge.colour import lab, small
from portraitist.judge.measuring.agreement import Agreement, Reader
from portraitist.judge.measuring.definition import Case, Measure, Pictures, content

LIGHTS = ("light", "lighting")
"""Kinds of attribute that are of light."""

CELLS = 16


@dataclass(frozen=True, slots=True)
class Light:
    """Light by a reader that reads it on this character, else by how the base lights the same prompt.

    apart  without a reader: how far the base's pictures of different prompts differ in light, Lab units
    """

    about: ClassVar[Measure] = Measure(
        "light",
        "Light as asked",
        "Of pictures whose prompts ask for a light: whether the eyes read that light rather than any other. Where they "
        "cannot read light, how near the light around the subject (mean colour in Lab at left, right and above) is to "
        "that of the base's picture from the same prompt and seed: 1 is the same, 0 is as far apart as the base's "
        "pictures of different prompts are.",
        (0, 1),
        "high",
        "It knows the few words for light that brief and captions have. Without eyes that read, another background is "
        "taken for another light, and the base is taken to be right.",
        "Ours.",
    )
    reader: Reader | None
    apart: float = 0.0

    @classmethod
    def of(cls, case: Case) -> "Light | None":
        """None where no prompt asks for a light, and where the base lights all prompts alike."""
        if not any(asked(prompt) for prompt in case.base.prompts):
            return None
        agreement = case.taken(Agreement)
        if agreement and any(kind in agreement.reader.shares for kind in LIGHTS):
            return cls(agreement.reader)
        told = np.stack([lit(picture) for picture in case.base.pictures])
        texts = np.asarray([prompt.text for prompt in case.base.prompts])
        others = texts[:, None] != texts[None]
        if not others.any():
            return None
        apart = float(distance(told[:, None], told[None])[others].mean())
        return cls(None, apart) if apart > 1 else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,), usually in [0, 1]; nan for prompts that ask for no light."""
        if self.reader is not None:
            found = self.reader.right(drawn.prompts, content(self.reader.eyes, drawn))
            hits = [[hit for kind, hit in one.items() if kind in LIGHTS] for one in found]
            return np.asarray([np.mean(one) if one else np.nan for one in hits])
        both = (np.stack([lit(picture) for picture in some]) for some in (drawn.pictures, drawn.base))
        near = 1 - distance(*both) / self.apart
        return np.where([asked(prompt) for prompt in drawn.prompts], near, np.nan)


def asked(prompt: PromptSpec) -> bool:
    """Whether a prompt asks for a light."""
    return any(kind in prompt.asks for kind in LIGHTS)


def lit(pixels: np.ndarray) -> np.ndarray:
    """Mean Lab of what is left, right and above in (H, W, 3) uint8, where subjects seldom are: (3, 3)."""
    cells = lab(small(pixels, CELLS))
    free = outside(CELLS, CELLS, 1.0, [])
    third = CELLS // 3
    parts = [np.zeros_like(free) for _ in range(3)]
    parts[0][third:, :third] = parts[1][third:, -third:] = parts[2][:third] = True
    return np.stack([cells[free & part].mean(0) for part in parts])


def distance(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mean distance in Lab units over the parts of `lit`: (..., 3, 3) to (...)."""
    return np.asarray(np.linalg.norm(some - others, axis=-1).mean(-1))
