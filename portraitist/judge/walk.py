"""The walk over checkpoints and strengths: which cells are drawn in full, each by what was seen of those before. Pure.

It begins at the latest checkpoint that may still be the likest, at the weakest strength. A cell that costs no more than
the gates allow leads to the next stronger one, and one that evidently does to an earlier checkpoint: likeness and what
it costs grow with both. So pictures go where it is decided how much can be had (benchmarks/chooser.md).
"""

from collections.abc import Sequence

from portraitist.judge.alike import DRIVEN
from portraitist.judge.candidates import Candidate
from portraitist.judge.choosing import alive
from portraitist.judge.scorecard import WHOLE, Scorecard

Cell = tuple[int, float]
"""A step and a strength."""


def stops(cards: Sequence[Scorecard], cells: int) -> list[int]:
    """Checkpoints of a screen that a walk of so many cells may come to, latest first: from the latest that is not
    surely less like the character than the likest, evenly spaced, so that it can reach the first of all."""
    latest = max(card.step for card in alive(cards))
    steps = sorted(card.step for card in cards if card.step <= latest)
    if len(steps) <= cells:
        return steps[::-1]
    gaps, last = cells - 1, len(steps) - 1
    return [steps[last * (gaps - turn) // gaps] for turn in range(cells)] if gaps else steps[-1:]


def onward(at: Cell, seen: Candidate, steps: Sequence[int], strengths: Sequence[float]) -> Cell | None:
    """The cell after one that was seen, by its gates as all cells drawn so far tell them; None where the walk is over.

    Beyond full strength it goes only by a measure that sees a LoRA overdriven. What fails, but not evidently, ends it:
    to go back for that would give likeness away to chance.
    """
    step, strength = at
    if seen.bearable:
        stronger = min((one for one in strengths if one > strength), default=0.0)
        worth = stronger and (stronger <= WHOLE or seen.by in DRIVEN)
        return (step, stronger) if worth else None
    earlier = max((one for one in steps if one < step), default=0)
    return (earlier, strength) if earlier and seen.too_dear else None


def most(checkpoints: int, strengths: Sequence[float], cells: int) -> tuple[int, int]:
    """Most cells that a walk can come to, and how many of those at least are at full strength, where the screen's
    pictures are theirs as well."""
    if not checkpoints:
        return 0, 0
    back = min(checkpoints, cells) - 1
    count = min(cells, back + len(set(strengths)))
    if WHOLE not in strengths:
        return count, 0
    below = sum(strength < WHOLE for strength in set(strengths))
    if len(set(strengths)) == 1:
        return count, count
    return count, int(below == 0 or count > back + below)
