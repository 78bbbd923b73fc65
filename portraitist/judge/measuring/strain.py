"""Strain: how strange, beside its own, the base finds a picture of a framing that no picture of the character has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from portraitist.judge.measuring.definition import Case, Measure, Pictures
from portraitist.judge.measuring.references import BACK, framing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from portraitist.judge.measuring.definition import Surprise
    from portraitist.judge.shot import Shot

LEVELS = 4
"""Noise levels at which the base looks at a picture: as many forward passes, where drawing it took eight to forty."""


def lacking(framings: Collection[str], texts: Iterable[str]) -> tuple[str, ...]:
    """Framings that texts ask for and none of the character's pictures has: close-up, mid, full.

    framings  of the pictures; none lacks where there are no pictures, or that of one is not known ("")
    Views from behind are left out: a picture whose caption does not tell may be one.
    """
    unknown = not framings or "" in framings
    return () if unknown else tuple(sorted({framing(text) for text in texts} - {*framings, BACK, ""}))


def strained(shots: Sequence[Shot], lacks: Collection[str]) -> list[int]:
    """Places of the shots of the character that ask for what lacks."""
    return [i for i, s in enumerate(shots) if s.purpose != "unnamed" and framing(s.prompt.text) in lacks]


@dataclass(frozen=True, slots=True)
class Strain:
    """The base as a judge of what references cannot tell, of framings that lack."""

    about: ClassVar[Measure] = Measure(
        "strain",
        "Strain",
        "Of pictures whose prompt asks for a framing (close-up, half body, full body) that no picture of "
        "the character has: log of the base's own denoising loss on the picture over its loss on the picture that it "
        "draws itself for the prompt from the same noise, at four noise levels. 0 is as usual to the base as its own, "
        "0.7 twice as strange.",
        (-0.2, 0.8),
        "low",
        "A figure that falls apart is strange to the base, and so is one that is rightly unlike what it draws: read it "
        "between strengths and steps, not by itself. It is not taken where another program draws, nor where the "
        "framing of a picture is not known.",
        "Ours: a denoiser's loss bounds the likelihood of a picture (arXiv 2107.00630), and tells classes apart "
        "(arXiv 2303.16203). benchmarks/chooser.md says how well it agrees with the truth.",
    )
    surprise: Surprise
    lacking: Collection[str]

    @classmethod
    def of(cls, case: Case) -> Strain | None:
        """None where no framing lacks, and where the base is not at hand: notes say so."""
        if not case.lacking:
            return None
        if case.surprise is None:
            case.notes.append(
                "No picture shows the character in some framings that prompts ask for, and what another program draws "
                "of them the base does not look at: see for yourself that figures hold together there"
            )
            return None
        return cls(case.surprise, case.lacking)

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,): nan at framings that the character's pictures have, without the trigger, and beside a second LoRA."""
        found = np.full(len(drawn.shots), np.nan)
        for i in strained(drawn.shots, self.lacking) if drawn.alone is None else ():
            shot = drawn.shots[i]
            found[i] = self.surprise(shot, drawn.pictures[i]) - self.surprise(shot, drawn.base[i])
        return found
