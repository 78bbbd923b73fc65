"""Obedience: whether the character goes along with a style, an outfit and a scene that its pictures never had."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.agreement import Reader
from portraitist.judge.measuring.definition import Case, Measure, Pictures, content, embedded
from portraitist.judge.prompts import specified
from portraitist.sight.eyes import Eyes


@dataclass(frozen=True, slots=True)
class Obedience:
    """A reader of style, outfit and scene."""

    about: ClassVar[Measure] = Measure(
        "obedience",
        "Obedience",
        "Share of the styles, outfits and scenes asked for, none of them in any caption, that the eyes find, read as "
        "prompt agreement is. It is compared with the base's from the same noise.",
        (0, 1),
        "high",
        "Learned, and what the base cannot draw or the eyes cannot read counts against both alike. A character whose "
        "clothes are part of it may rightly refuse another outfit.",
        'G4 ("follows new prompts, adapts to styles"); read as prompt agreement is.',
    )
    reader: Reader

    @classmethod
    def of(cls, case: Case) -> "Obedience | None":
        """None for eyes that do not read, and where they read none of the kinds in this character's own pictures."""
        eyes = case.looks
        if not isinstance(eyes, Eyes) or not case.changed:
            return None
        captions = [specified("", text, case.changed) for text in case.references.captions]
        seen = embedded(eyes.content, case.references.shown[: len(captions)])
        reader, _ = Reader(eyes, case.changed, case.trigger, case.noun).trusted(captions, seen)
        return cls(reader) if reader else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) in [0, 1]; nan for pictures of another purpose."""
        found = np.full(len(drawn.shots), np.nan)
        for i, right in enumerate(self.reader.right(drawn.prompts, content(self.reader.eyes, drawn))):
            if drawn.shots[i].purpose == "restyled" and right:
                found[i] = np.mean(list(right.values()))
        return found
