"""Whether a round of advice brought something: two runs' choices held against each other. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from portraitist.judge.advising.advice import Expected
from portraitist.judge.advising.evidence import NONE, Seen
from portraitist.judge.advising.learning import last
from portraitist.judge.alike import STRAIN, apart, deciding, known
from portraitist.judge.choosing import latest
from portraitist.judge.measures import difference
from portraitist.judge.scorecard import OWN, Score, Scorecard
from portraitist.judge.surface import place
from portraitist.runs import Choice

WORSE = 0.05
"""Likeness that a round may lose, by the low end of its interval, and still count as surely not worse: sixteen pictures
tell no less apart. Judged."""


@dataclass(frozen=True, slots=True)
class Gain:
    """A round against the best before it.

    likeness  the round's less the best's, over equal prompts and seeds, by the measure that decides a choice
    kept      whether it is surely not worse, and brought likeness or what its advice was to move
    says      why, in words
    """

    likeness: Score
    kept: bool
    says: str


def cell(seen: Seen, choice: Choice) -> Scorecard | None:
    """The card of a run's choice, with its probes: of the full grid, else of the screen."""
    at = (choice.step, choice.strength, float(choice.table.get("guidance", OWN)))
    judged = [latest(seen.cards, "grid")[1], latest(seen.cards, "screen")[1]]
    return next((card for cards in judged for card in reversed(cards) if place(card) == at), None)


def held(new: tuple[Seen, Choice], best: tuple[Seen, Choice], expects: Sequence[Expected]) -> Gain:
    """A new run's choice against the best one's, on the grid that both were judged by.

    Where they were judged by different grids or eyes nothing can be said, and the new one is not kept.
    """
    card, other = cell(*new), cell(*best)
    if card is None or other is None:
        return Gain(NONE, False, "one of the two was not judged at its choice")
    if (card.grid, card.eyes) != (other.grid, other.eyes):
        return Gain(NONE, False, "they were judged by different prompts or eyes, which do not compare")
    by = deciding([card, other])  # what choices are made by
    strained = known([card, other], STRAIN)
    found = apart(card, other, by, strained)
    if not found.count:
        return Gain(found, False, "they share no pictures of the same prompt and seed")
    says = f"{by}{' less strain' if strained else ''} {found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
    if broken := broke(new[1], best[1]):
        return Gain(found, False, f"{says}, and it no longer keeps to the limit of {', '.join(broken)}")
    if found.low < -WORSE:
        return Gain(found, False, f"{says}: it may be worse")
    moved = [moves(new[0], best[0], one) for one in expects if one.measure not in (by, "likeness")]
    if found.mean > 0:
        return Gain(found, True, says)
    if any(moved):
        return Gain(found, True, f"{says}, and what was advised has moved")
    return Gain(found, False, f"{says}: nothing gained")


def broke(new: Choice, best: Choice) -> list[str]:
    """Gates that the best keeps to and the new choice does not."""
    held, now = (choice.table.get("gate", {}) for choice in (best, new))
    return [name for name, gate in now.items() if not gate["passed"] and name in held and held[name]["passed"]]


def moves(new: Seen, best: Seen, expected: Expected) -> bool:
    """Whether a measure moved as expected, surely where it was taken on equal pictures, else in its mean."""
    if expected.measure in ("held_out", "loss on training pictures"):
        split = "held_each" if expected.measure == "held_out" else "train_each"
        ours, theirs = last(new, split), last(best, split)
        return bool(ours.count and theirs.count) and ours.mean < theirs.mean
    here, there = new.taken(expected.measure), best.taken(expected.measure)
    if here is None or there is None:
        return False
    paired = difference(here[0], there[0], expected.measure)
    if not paired.count:
        return (here[1].mean < there[1].mean) == (expected.moves == "down")
    return paired.high < 0 if expected.moves == "down" else paired.low > 0
