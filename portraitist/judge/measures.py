"""The registry of measures: what each says, its range, which way is better, and what it does not see.

Numbers per picture become a score by a seeded bootstrap; two cards are compared picture by picture.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from portraitist.judge import overfit
from portraitist.judge.measuring.agreement import READABLE, Agreement, Readable
from portraitist.judge.measuring.anatomy import Anatomy
from portraitist.judge.measuring.bleed import Bleed
from portraitist.judge.measuring.companion import Companion
from portraitist.judge.measuring.contrast import Contrast
from portraitist.judge.measuring.copying import Copying
from portraitist.judge.measuring.definition import Measure, Taken
from portraitist.judge.measuring.diversity import Diversity
from portraitist.judge.measuring.identity import Identity
from portraitist.judge.measuring.leak import Leak
from portraitist.judge.measuring.light import Light
from portraitist.judge.measuring.likeness import Likeness
from portraitist.judge.measuring.moved import Moved
from portraitist.judge.measuring.obedience import Obedience
from portraitist.judge.measuring.paraphrase import Paraphrase
from portraitist.judge.measuring.portrayal import Portrayal
from portraitist.judge.measuring.proportions import Proportions
from portraitist.judge.measuring.saturation import Saturation
from portraitist.judge.measuring.signature import Signature
from portraitist.judge.measuring.skin import Skin
from portraitist.judge.measuring.strain import Strain
from portraitist.judge.scorecard import Score, Scorecard

__all__ = ["ASKED", "MEASURES", "READABLE", "TAKEN", "Measure", "difference", "interval", "score", "scores"]

CONFIDENCE = 0.9
RESAMPLES = 1000

TAKEN: tuple[type[Taken], ...] = (
    Likeness, Identity, Portrayal, Signature, Strain, Agreement, Readable, Copying, Bleed, Saturation, Contrast, Light,
    Proportions, Skin, Anatomy,
    Diversity, Leak, Moved, Paraphrase, Obedience, Companion,
)  # fmt: skip
"""The measures of pictures, in the order that they are told in; those of the last line compare pictures of a set."""

PROBED = ("leak", "moved", "paraphrase", "obedience", "strain")
"""What the pictures of other purposes are scored by: as one, since each measure passes over what is not its own."""

MEASURES: dict[str, Measure] = {
    about.name: about for about in (*(kind.about for kind in TAKEN if kind is not Readable), overfit.ABOUT)
}
"""All measures by name."""

ASKED: dict[str, str] = {
    "anatomy": "Are hands, fingers, limbs and eyes right in number, shape and place?",
    "skin": "Does skin look like skin, and not like plastic?",
    "proportions": "Is the figure built as in the references: head, shoulders, waist, legs?",
    "light": "Is the light what the prompt asks for, and does the figure stand in it?",
}
"""What no eye of ours sees, or not in every picture, as a question to a person, by measure; yes is good."""


FEW = 8
"""Values below which the bootstrap's interval is made as much wider as Student's is. From here on it is the bootstrap's
own, which misses the mean in 16 of 100 (8 values) to 13 (16): choices were measured by it (docs/judging.md)."""

T = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943)
"""Student's t that is exceeded once in twenty, for 1 to 6 degrees of freedom."""

Z = 1.645
"""The same where the spread is known, which the bootstrap takes it for."""


def score(values: Sequence[float], seed: int = 0) -> Score:
    """Mean of per-picture values with its interval over the pictures."""
    found = np.asarray([value for value in values if np.isfinite(value)], np.float64)
    if not len(found):
        return Score(0.0, 0.0, 0.0, 0)
    low, high = interval(found, seed)
    return Score(round(float(found.mean()), 6), round(low, 6), round(high, 6), len(found))


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The interval of the mean of values (N,): the middle CONFIDENCE of RESAMPLES means (bootstrap, Efron 1979), wider
    where they are fewer than FEW.

    Of one value nothing is known of chance: it is the value itself, and who decides by it asks for two.
    """
    means = values[resamples(seed, len(values))].mean(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    wider, mean = widened(len(values)), float(values.mean())
    return mean - wider * (mean - float(low)), mean + wider * (float(high) - mean)


def widened(count: int) -> float:
    """Times that Student's interval of so few values is as wide as the bootstrap's; 1 from FEW on."""
    return T[count - 2] / Z * math.sqrt(count / (count - 1)) if 2 <= count < FEW else 1.0


@lru_cache(maxsize=64)
def resamples(seed: int, count: int) -> np.ndarray:
    """Positions (RESAMPLES, count) drawn with replacement, the same every time."""
    return np.random.default_rng([seed, count]).integers(0, count, (RESAMPLES, count))


def scores(pictures: Sequence[Mapping[str, float]], seed: int = 0) -> dict[str, Score]:
    """The scores of a card from its pictures' values by measure; a measure is over the pictures that have it."""
    names = [name for name in MEASURES if any(name in values for values in pictures)]
    return {name: score([values[name] for values in pictures if name in values], seed) for name in names}


def difference(card: Scorecard, other: Scorecard, measure: str, seed: int = 0) -> Score:
    """Card minus other in a measure, over the pictures of equal prompt and seed.

    Both drew them from the same noise, so that the prompts' own difficulty cancels. Count 0 when they share none.
    """
    theirs = {(d.text, d.seed): d.scores[measure] for d in other.pictures if measure in d.scores}
    pairs = [
        d.scores[measure] - theirs[d.text, d.seed]
        for d in card.pictures
        if measure in d.scores and (d.text, d.seed) in theirs
    ]
    return score(pairs, seed)
