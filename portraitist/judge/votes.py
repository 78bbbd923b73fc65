"""People's blind votes, what they were asked of single pictures, and what both say of a choice. Pure; no torch.

For whoever chooses: `found = votes.read(run)`, then `found.preference(a, b)` says how often cell `a` is preferred to
cell `b` (a share with its interval, None where nobody compared them), `found.moved(measured, eligible)` which cell
people certainly prefer to the measured choice, and `found.words(...)` says it. A cell is (step, strength, guidance).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.judge import ratings as forms
from portraitist.judge import scorecard
from portraitist.judge.measures import ASKED, MEASURES
from portraitist.judge.preference import Preference, Ranking, of_counts, rank
from portraitist.judge.ratings import Comparison, Rating, comparisons
from portraitist.judge.scorecard import Scorecard
from portraitist.judge.surface import Place, named, place
from portraitist.runs import RunFolder

Answer = Literal["a", "b", "="]
Sight = Literal["yes", "no", "unsure"]


@dataclass(frozen=True, slots=True)
class Vote:
    """Two cells' pictures of one prompt and seed, and which is better; sides as they were shown.

    by, at        the person, and when in ISO 8601
    ballot, pair  where it was asked
    """

    a: Place
    b: Place
    text: str
    seed: int
    answer: Answer
    by: str
    at: str
    ballot: str
    pair: str

    @property
    def key(self) -> tuple[Any, ...]:
        """What there is one valid vote of: whichever side they were shown on."""
        return self.by, self.text, self.seed, *sorted((self.a, self.b))

    @property
    def comparison(self) -> Comparison:
        """As one that counts."""
        return Comparison(self.a, self.b, self.text, self.seed, {"a": 1.0, "b": 0.0, "=": 0.5}[self.answer])


@dataclass(frozen=True, slots=True)
class Seen:
    """What a person saw on one picture: the answer to one of ASKED."""

    cell: Place
    path: str
    text: str
    seed: int
    asked: str
    answer: Sight
    by: str
    at: str
    ballot: str
    pair: str

    @property
    def key(self) -> tuple[Any, ...]:
        """What there is one valid answer of."""
        return self.by, self.cell, self.path, self.asked


@dataclass(frozen=True, slots=True)
class Tally:
    """Blind votes between two cells: for the one, for the other, for neither."""

    for_a: int
    for_b: int
    equal: int

    @property
    def all(self) -> int:
        """Pairs that were voted on."""
        return self.for_a + self.for_b + self.equal


@dataclass(frozen=True)
class Votes:
    """All that people said of a run."""

    votes: tuple[Vote, ...] = ()
    seen: tuple[Seen, ...] = ()
    ratings: tuple[Rating, ...] = ()

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Votes, and what others' ratings say two at a time."""
        return (*(vote.comparison for vote in self.votes), *comparisons(self.ratings))

    @cached_property
    def cells(self) -> tuple[Place, ...]:
        """Cells that were compared, in order."""
        return tuple(sorted({cell for one in self.comparisons for cell in (one.a, one.b)}))

    @cached_property
    def ranking(self) -> Ranking:
        """The strengths of `cells` by all comparisons together."""
        at = {cell: i for i, cell in enumerate(self.cells)}
        wins = np.zeros((len(at), len(at)))
        for one in self.comparisons:
            wins[at[one.a], at[one.b]] += one.weight * one.share
            wins[at[one.b], at[one.a]] += one.weight * (1 - one.share)
        return rank(wins)

    def preference(self, a: Place, b: Place) -> Preference | None:
        """How often `a` would be preferred to `b`; None where no comparisons lead from one to the other."""
        if a not in self.cells or b not in self.cells:
            return None
        return self.ranking.between(self.cells.index(a), self.cells.index(b))

    def tally(self, a: Place, b: Place) -> Tally:
        """The blind votes between two cells themselves."""
        counts = {"a": 0, "b": 0, "=": 0}
        for vote in self.votes:
            if (vote.a, vote.b) == (a, b):
                counts[vote.answer] += 1
            elif (vote.a, vote.b) == (b, a):
                counts[{"a": "b", "b": "a", "=": "="}[vote.answer]] += 1
        return Tally(counts["a"], counts["b"], counts["="])

    def moved(self, measured: Place, eligible: Sequence[Place]) -> Place:
        """Of cells that may be chosen the one that people certainly prefer to the measured choice, and most of all;
        the measured choice where there is none."""
        surely = [(found, c) for c in eligible if (found := self.preference(c, measured)) and found.low > 0.5]
        return max(surely, key=lambda pair: (pair[0].share, pair[0].low, -pair[1][0]), default=(None, measured))[1]

    def words(self, measured: Place, eligible: Sequence[Place]) -> str:
        """What people said of the measured choice against the others that may be chosen; "" where they said nothing."""
        known = [(found, c) for c in eligible if c != measured and (found := self.preference(c, measured))]
        if not known:
            return ""
        chosen = self.moved(measured, eligible)
        if chosen != measured:
            found = next(found for found, c in known if c == chosen)
            return (
                f"{self.counted(chosen, measured)}: {span(found)} to what measures alone would choose, and that decides"
            )
        open_still = [(found, c) for found, c in known if found.high >= 0.5]
        found, other = max(open_still or known, key=lambda pair: pair[0].share)
        if not open_still:
            return f"{self.counted(measured, other)}: people prefer it to all that was compared with it"
        return f"{self.counted(other, measured)}; {span(found)}: that is not certain and decides nothing"

    def counted(self, winner: Place, other: Place) -> str:
        """The votes between two cells in words, and how many of others' ratings bear on them."""
        tally = self.tally(winner, other)
        rated = sum(not one.blind and {one.a, one.b} == {winner, other} for one in self.comparisons)
        equal = f", {tally.equal} to neither" if tally.equal else ""
        said = f"of {tally.all} blind pairs with {named(other)}, {tally.for_a} went to {named(winner)}{equal}"
        if not tally.all:
            said = f"votes and ratings bear on {named(winner)} and {named(other)} by way of others"
        if rated:
            said += f"; {rated} comparison{'s' * (rated > 1)} by others' ratings count{'s' * (rated == 1)} as well"
        return said[0].upper() + said[1:]

    def agreement(self, cards: Sequence[Scorecard]) -> dict[str, tuple[Preference, int]]:
        """How often each measure puts the picture higher that people preferred: a share with its interval, and of how
        many decisions; 0.5 is chance. Of several cards with a picture the last one's values are held against it."""
        values = {
            (place(card), drawn.text, drawn.seed): drawn.scores
            for card in cards
            for drawn in card.pictures
            if drawn.purpose == "named" and not card.beside
        }
        found = {}
        for name, measure in MEASURES.items():
            right = wrong = 0.0
            count, sign = 0, 1 if measure.better == "high" else -1
            for one in self.comparisons:
                pair = [values.get((cell, one.text, one.seed), {}).get(name) for cell in (one.a, one.b)]
                if one.share != 0.5 and pair[0] is not None and pair[1] is not None and pair[0] != pair[1]:
                    agrees = (sign * (pair[0] - pair[1]) > 0) == (one.share > 0.5)
                    right, wrong, count = right + one.weight * agrees, wrong + one.weight * (not agrees), count + 1
            if share := of_counts(right, wrong):
                found[name] = (share, count)
        return found

    def sights(self, cell: Place) -> dict[str, tuple[int, int]]:
        """By what was asked: how many answers about a cell's pictures were yes, and how many were yes or no."""
        found = {}
        for asked in ASKED:
            answers = [s.answer for s in self.seen if s.cell == cell and s.asked == asked and s.answer != "unsure"]
            if answers:
                found[asked] = (answers.count("yes"), len(answers))
        return found


def span(found: Preference) -> str:
    """A preference in words."""
    return f"it is preferred {found.share:.0%} of the time ({found.low:.0%} to {found.high:.0%})"


def path(run: RunFolder) -> Path:
    """Where votes and answers lie."""
    return run.evaluation / "votes.jsonl"


def append(run: RunFolder, found: Sequence[Vote | Seen]) -> None:
    """Add votes and answers, flushed to the disk: all of them, or none when the disk refuses."""
    made = [
        json.dumps(
            {"format": scorecard.FORMAT, "kind": "vote" if isinstance(one, Vote) else "seen", **asdict(one)},
            ensure_ascii=False,
        )
        for one in found
    ]
    if made:
        durable.append_bytes(path(run), durable.encoded("".join(line + "\n" for line in made), path(run)))


def read(run: RunFolder) -> Votes:
    """All that people said of a run; of one person's answers to one question the latest counts.

    Raises PortraitistError for a newer format, and for lines that are not ours.
    """
    cast: dict[tuple[Any, ...], Vote] = {}
    seen: dict[tuple[Any, ...], Seen] = {}
    try:
        for values in scorecard.lines(path(run)):
            kind, _ = values.pop("kind"), values.pop("format")
            if kind == "vote":
                vote = Vote(**{**values, "a": forms.cell(values["a"]), "b": forms.cell(values["b"])})
                cast[vote.key] = vote
            else:
                sight = Seen(**{**values, "cell": forms.cell(values["cell"])})
                seen[sight.key] = sight
        rated = forms.read(run)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PortraitistError(
            f"Votes or ratings of run {run.name} are damaged: {error}",
            f"Mend or delete the line in {path(run)} or {forms.path(run)}.",
        ) from error
    return Votes(tuple(cast.values()), tuple(seen.values()), tuple(rated))
