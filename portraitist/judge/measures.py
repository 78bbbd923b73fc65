"""The registry of measures: what each says, its range, which way is better, and what it does not see.

Numbers per picture become a score by a seeded bootstrap; two cards are compared picture by picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from portraitist.judge.scorecard import Score, Scorecard

CONFIDENCE = 0.9
RESAMPLES = 1000

READABLE = "readable"
"""Beside a picture's agreement: what it would be, were the picture read as the character's own are. A gate uses it."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is measured on a picture, or on a checkpoint.

    title   what people call it
    says    the definition in a sentence
    range   (least, most) it takes in practice; values beyond are possible where the definition allows
    better  which end is the good one
    blind   what it does not see, and what fools it
    """

    name: str
    title: str
    says: str
    range: tuple[float, float]
    better: Literal["high", "low"]
    blind: str


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            "identity",
            "Identity",
            "Closeness of a picture to the five nearest reference pictures in the eyes' identity space, on a scale "
            "where 0 is what the base draws for the same prompts and 1 is what the references have to each other.",
            (0, 1),
            "high",
            "It is learned: it sees only what its eyes were taught, and a copy of a training picture scores highest "
            "(copying is there for that). It says nothing about the rest of the picture.",
        ),
        Measure(
            "agreement",
            "Prompt agreement",
            "Share of the attributes asked for in the prompt that the eyes find: the caption with the asked attribute "
            "must fit the picture better than the same caption with any other of its kind. Where no other is known, "
            "the cosine of picture and caption.",
            (0, 1),
            "high",
            "Learned. Guessing already gives one over the number of alternatives, so read it against the base; the "
            "gate holds it to what is read of the character's own pictures where that is less. "
            "Attributes that no caption and no brief name are not asked about, nor kinds that the eyes cannot read in "
            "the character's own captioned pictures.",
        ),
        Measure(
            "copying",
            "Copying",
            "Closeness of the picture's layout (16 x 16 cells, Lab, contrast made equal, also mirrored) to its nearest "
            "training picture: 0 is what held-out pictures of the character have, 1 is the training picture itself.",
            (0, 1),
            "low",
            "Coarse: it sees a copied composition, not a copied detail, and a prompt that asks for the very scene of a "
            "training picture may come close without any fault.",
        ),
        Measure(
            "saturation",
            "Colour drift",
            "How far the picture's mean chroma lies outside the range that nine in ten references keep to, in Lab "
            "units; 0 is inside.",
            (0, 40),
            "low",
            "A prompt for a colourful scene is not told from burnt colours: the base's own drift is what to compare "
            "with.",
        ),
        Measure(
            "signature",
            "Signature colours",
            "Share of the references' distinctive colours (clusters in Lab that most references show and the base's "
            "renders do not) that the picture shows in about their usual area. Not learned.",
            (0, 1),
            "high",
            "Blobs of the right colour anywhere count; a character without colours of its own has no signature, and "
            "strong coloured light hides one.",
        ),
        Measure(
            "likeness",
            "Likeness",
            "Mean of identity and signature; identity alone where the character has no colours of its own. It decides.",
            (0, 1),
            "high",
            "Identity is learned and soon content, signature is fooled by blobs: what both miss, it misses too.",
        ),
        Measure(
            "held_out",
            "Held-out loss",
            "Denoising loss on the held-out pictures over that of the base, same noise, eight levels: below 1 it "
            "draws them better than the base would, above 1 it has turned to learning the training pictures by heart.",
            (0.5, 2),
            "low",
            "A good alarm and a bad chooser: its minimum comes long before the likeness is best.",
        ),
    )
}


def score(values: Sequence[float], seed: int = 0) -> Score:
    """Mean of per-picture values with a percentile bootstrap interval (Efron 1979) over the pictures."""
    found = np.asarray([value for value in values if np.isfinite(value)], np.float64)
    if not len(found):
        return Score(0.0, 0.0, 0.0, 0)
    low, high = interval(found, seed)
    return Score(round(float(found.mean()), 6), round(low, 6), round(high, 6), len(found))


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The bootstrap interval of the mean of values (N,): the middle CONFIDENCE of RESAMPLES means."""
    means = values[resamples(seed, len(values))].mean(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


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
