"""Other people's ratings of a run's pictures and checkpoints, as forms bring them: one line a rating.

Raters use a scale each in their own way, so ratings are never averaged over raters. What counts is which of two things
one rater put higher: see `comparisons`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from portraitist import durable
from portraitist.judge import scorecard
from portraitist.judge.surface import Place
from portraitist.runs import RunFolder

SCORES = ("prompt", "realism", "usability")
"""What a form asks: whether it shows what was asked for, whether it looks real, whether one could use it."""


@dataclass(frozen=True, slots=True)
class Rating:
    """One rater's scores, on their own scale, of a picture or of a checkpoint as a whole.

    cell    step, strength and guidance
    path    of the picture, relative to the run's folder; "" with text "" and seed 0 for the checkpoint as a whole
    scores  by name, of SCORES those that were given
    by, at  the rater, and when in ISO 8601
    """

    cell: Place
    path: str
    text: str
    seed: int
    scores: Mapping[str, float]
    by: str
    at: str
    note: str = ""

    @property
    def key(self) -> tuple[str, Place, str]:
        """What there is one valid rating of."""
        return self.by, self.cell, self.path

    def over(self, other: "Rating") -> float | None:
        """Whether it is higher than another by the same rater: 1, 0, or 0.5 for equal, by the mean of the scores that
        both have; None where they answer no same question."""
        both = [name for name in self.scores if name in other.scores]
        ours, theirs = (sum(one.scores[name] for name in both) for one in (self, other))
        return (0.5 if ours == theirs else float(ours > theirs)) if both else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of two cells, `a` was preferred to `b` with a share of the weight in [0, 1]: 1 wholly, 0.5 neither.

    text, seed  the pictures that were compared; "" and 0 where it was the cells as wholes
    blind       nobody was told which was which
    """

    a: Place
    b: Place
    text: str
    seed: int
    share: float
    weight: float = 1.0
    blind: bool = True


def path(run: RunFolder) -> Path:
    """Where they lie."""
    return run.evaluation / "ratings.jsonl"


def append(run: RunFolder, ratings: Sequence[Rating]) -> None:
    """Add ratings: all of them, or none when the disk refuses."""
    made = [json.dumps({"format": scorecard.FORMAT, **asdict(one)}, ensure_ascii=False) + "\n" for one in ratings]
    if made:
        durable.append_bytes(path(run), durable.encoded("".join(made), path(run)))


def read(run: RunFolder) -> list[Rating]:
    """The run's ratings; of one rater's ratings of one thing the latest counts."""
    found = {}
    for values in scorecard.lines(path(run)):
        values.pop("format")
        rating = Rating(**{**values, "cell": cell(values["cell"])})
        found[rating.key] = rating
    return list(found.values())


def cell(values: Sequence[float]) -> Place:
    """A cell as JSON has it."""
    step, strength, guidance = values
    return int(step), float(strength), float(guidance)


def comparisons(ratings: Iterable[Rating]) -> Iterator[Comparison]:
    """What ratings say of cells, two at a time: those of one rater, of the same prompt and seed or of wholes.

    Of K things that were rated together each pair weighs 2 / K: K ratings say K - 1 things, not K (K - 1) / 2.
    """
    together: dict[tuple[str, str, int], list[Rating]] = {}
    for rating in ratings:
        if rating.scores:
            together.setdefault((rating.by, rating.text, rating.seed), []).append(rating)
    for (_, text, seed), these in together.items():
        for one, other in combinations(these, 2):
            share = one.over(other)
            if share is not None and one.cell != other.cell:
                yield Comparison(one.cell, other.cell, text, seed, share, 2 / len(these), blind=False)
