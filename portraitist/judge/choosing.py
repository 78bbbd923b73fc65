"""The choice: scorecards and losses in, a checkpoint, a strength and a guidance out, and why. Pure; no torch.

Gates first (judge/gates.py). What passes is weighed by likeness against freedom; cells that another beats in both are
off the front, and from the front the likest is taken, or the freest that is like enough. Likeness is read off all cells
at once (judge/surface.py), for the means of so few pictures are noise among neighbours. What then differs by next to
nothing, and by no more than chance picture by picture, goes to the earlier step and the lower strength, unless losses
on held-out pictures say that the earlier had not learnt enough (docs/decisions/022-choice.md).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from portraitist.judge import words
from portraitist.judge.alike import DRIVEN, STRAIN, TELLS, apart, deciding, known, less, levels
from portraitist.judge.candidates import Candidate, Prefer, Verdict
from portraitist.judge.front import freedom, front
from portraitist.judge.gates import gates
from portraitist.judge.measures import PROBED, score
from portraitist.judge.overfit import ratios
from portraitist.judge.scorecard import BASE, WHOLE, Losses, Score, Scorecard, Stage
from portraitist.judge.surface import FIT, Fit, place, pooled


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides among what passes. Others than ours are there to be compared with it (benchmarks/chooser.md).

    fit     how a cell's neighbours count for its likeness
    near    two likenesses are no tie if they differ by more than this, however wide the interval: not knowing is not
            being equal
    free    the same of freedom
    ripe    whether a tie may go to no step before the first whose held-out loss is not surely above the lowest: that is
            where learning of what pictures share ends, and likeness is best there or later
    enough  for freedom: share of the way from the base to the likest that a cell must have come. Judged
    by      what tells likeness, see judge/alike.py
    """

    fit: Fit = FIT
    near: float = 0.005
    free: float = 0.01
    ripe: bool = True
    enough: float = 0.75
    by: tuple[str, ...] = TELLS


RULE = Rule()

GATED = ("agreement", "obedience", "identity", "saturation")
"""What gates hold to limits picture by picture: by all cells together, for few pictures alone are never evident."""

GAIN = 0.01
"""Likeness that is worth the time of later checkpoints, and of more pictures."""

HAIR = 0.1
"""How much more than the least may fail and is level with it: of agreement 0.01, of obedience 0.02. Judged."""


def latest(cards: Sequence[Scorecard], stage: Stage) -> tuple[Scorecard | None, list[Scorecard]]:
    """The base's card of a stage and those beside it, by the yardsticks (grid, eyes) that were used last.

    What probes of the same cells found stands among their scores, and their pictures beside the others. Cards of fewer
    pictures than the base's are left out: earlier versions drew a grid in rounds.
    """
    of_stage = [card for card in cards if card.stage == stage]
    if not of_stage:
        return None, []
    last = of_stage[-1]
    alike = [card for card in cards if (card.grid, card.eyes) == (last.grid, last.eyes)]
    probes = {place(card): card for card in alike if card.stage == "probe"}
    own = [card for card in alike if card.stage == stage]
    whole = next((len(card.pictures) for card in own if card.step == BASE), 0)
    same = [probed(card, probes.get(place(card))) for card in own if len(card.pictures) >= whole]
    base = next((card for card in same if card.step == BASE), None)
    return base, sorted((card for card in same if card.step != BASE), key=place)


def field(
    cards: Sequence[Scorecard], steps: Collection[int] | None, strengths: Collection[float]
) -> tuple[Scorecard | None, list[Scorecard]]:
    """The base's card and those that a choice is made among: of the full grid at the strengths that are asked for, of
    the screen before that is drawn.

    steps  checkpoints that are still there; None where all count
    """
    there = [card for card in cards if steps is None or card.step == BASE or card.step in steps]
    base, found = latest(there, "grid")
    found = [card for card in found if card.strength in strengths] or found
    return (base, found) if base is not None and found else latest(there, "screen")


def probed(card: Scorecard, probe: Scorecard | None) -> Scorecard:
    """A card with what a probe of the same cell found."""
    if probe is None:
        return card
    own = tuple(
        replace(drawn, scores={name: value for name, value in drawn.scores.items() if name in PROBED})
        for drawn in probe.pictures
    )
    pictures = (*card.pictures, *own)
    both = {
        name: score([drawn.scores[name] for drawn in pictures if name in drawn.scores])
        for name in card.scores.keys() & probe.scores.keys()
    }
    return replace(card, scores={**card.scores, **probe.scores, **both}, pictures=pictures)


def choose(
    base: Scorecard,
    cards: Sequence[Scorecard],
    losses: Sequence[Losses],
    prefer: Prefer,
    max_drop: float,
    rule: Rule = RULE,
) -> Verdict:
    """The verdict over cards (at least one, one a cell) against the base's of the same stage and yardsticks.

    Where nothing passes, the likest of what fails least is taken, and the words say so.
    """
    candidates = weighed(base, cards, max_drop, rule)
    passing = admitted(candidates)
    edge: list[Candidate] = []
    if passing:
        ripe = ripeness(losses) if rule.ripe else BASE
        chosen, ties = best(passing, base, prefer, ripe, rule)
        others = [candidate for candidate in passing if candidate is not chosen]
        second = best(others, base, prefer, ripe, rule)[0] if others else None
        at = {candidate.place: candidate for candidate in passing}
        edge = [at[cell] for cell in front({c.place: (c.likeness, c.freedom or 0.0) for c in passing}, at)]
    else:
        near = nearly(candidates)
        chosen, ties, others = best(near, base, prefer, BASE, rule)[0], (), []
        rest = [candidate for candidate in candidates if candidate is not chosen]
        level = [candidate for candidate in near if candidate is not chosen]
        second = likest(level) if level else min(rest, key=lambda c: (round(c.over, 6), c.place), default=None)
    unsure = tuple(candidate for candidate in others if undecided(chosen, candidate))
    failing = [candidate for candidate in candidates if not candidate.passed]
    verdict = Verdict(chosen, second, ties, base, "", tuple(edge), unsure, tuple(passing))
    return replace(verdict, why=words.reason(verdict, others, failing, prefer) + words.alarm(chosen, losses))


def weighed(base: Scorecard, cards: Sequence[Scorecard], max_drop: float, rule: Rule = RULE) -> list[Candidate]:
    """Cards as what may be chosen: gates, likeness and freedom of each, by step, strength and guidance."""
    by = deciding(cards, rule.by)
    like, free = levels(cards, by, rule.fit), freedom(base, cards, rule.fit)
    held = [gates(card, base, max_drop) for card in pooled(cards, GATED, rule.fit)]
    found = [
        Candidate(card, kept, like[place(card)][0], free.get(place(card)), by, like[place(card)][1])
        for card, kept in zip(cards, held, strict=True)
    ]
    return sorted(found, key=lambda candidate: candidate.place)


def admitted(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that pass every gate, at strengths that are borne out where there is one."""
    passing = [candidate for candidate in candidates if candidate.passed]
    return [candidate for candidate in passing if borne_out(candidate, candidates)] or passing


def nearly(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of those that fail, what fails no more than the least by a hair, at strengths that are borne out where there is
    one: where a gate is broken everywhere alike, as by eyes that misread a character, it says nothing of steps."""
    least = min(candidate.over for candidate in candidates)
    near = [candidate for candidate in candidates if round(candidate.over - least, 6) <= HAIR]
    return [candidate for candidate in near if borne_out(candidate, candidates)] or near


def borne_out(candidate: Candidate, others: Sequence[Candidate]) -> bool:
    """Whether a strength above that of training is worth it: by a measure that sees overdriving, and over all
    checkpoints that were drawn at both, pictures are surely liker than at full strength. What lies beyond is not to be
    told from the rise before it."""
    _, strength, guidance = candidate.place
    if strength <= WHOLE or candidate.by not in DRIVEN:
        return strength <= WHOLE
    cards = {other.place: other.card for other in others}
    there = [(card, plain) for (step, *rest), card in cards.items()
             if rest == [strength, guidance] and (plain := cards.get((step, WHOLE, guidance)))]  # fmt: skip
    gained = gain(there, candidate.by)
    if candidate.cost is not None:
        gained = less(gained, gain(there, STRAIN))
    return gained.count > 1 and gained.low > 0


def gain(pairs: Sequence[tuple[Scorecard, Scorecard]], measure: str) -> Score:
    """First minus second of pairs in a measure, on the mean of all pairs, shot by shot."""
    gains: dict[tuple[str, int], list[float]] = {}
    for one, other in pairs:
        row, plain = taken(one, measure), taken(other, measure)
        for shot in row.keys() & plain.keys():
            gains.setdefault(shot, []).append(row[shot] - plain[shot])
    return score([float(np.mean(gains[shot])) for shot in sorted(gains)])


def best(
    candidates: Sequence[Candidate], base: Scorecard, prefer: Prefer, ripe: int, rule: Rule
) -> tuple[Candidate, tuple[Candidate, ...]]:
    """The best of some, and what is near-tied with it.

    For freedom near-ties are many, and likeness decides among them first. Of near-ties the earliest and lowest is
    taken that is not before the step `ripe`, and none above full strength while there is another.
    """
    top = likest(candidates)
    if prefer == "freedom" and top.freedom is not None:
        own = mean(base, top.by)
        like = [c for c in candidates if c is top or c.likeness - own >= rule.enough * max(0.0, top.likeness - own)]
        freest = max(candidate.freedom or 0.0 for candidate in like)
        candidates = [candidate for candidate in like if (candidate.freedom or 0.0) >= freest - rule.free]
        top = likest(candidates)
    tied = [c for c in candidates if c is top or (top.likeness - c.likeness <= rule.near and undecided(top, c))]
    grown = [candidate for candidate in tied if candidate.card.step >= ripe] or tied
    safe = [candidate for candidate in grown if candidate.card.strength <= WHOLE] or grown
    chosen = min(safe, key=lambda candidate: candidate.place)
    return chosen, tuple(candidate for candidate in tied if candidate is not chosen)


def likest(candidates: Sequence[Candidate]) -> Candidate:
    """The likest; of equals the earliest and lowest."""
    return min(candidates, key=lambda candidate: (-candidate.likeness, candidate.place))


def undecided(one: Candidate, other: Candidate) -> bool:
    """Whether chance alone could separate two in likeness, picture by picture."""
    found = apart(one.card, other.card, one.by, one.cost is not None)
    return found.count < 2 or found.low <= 0 <= found.high


def ripeness(losses: Sequence[Losses]) -> int:
    """The first step whose held-out loss is not surely above that of the lowest; 0 (BASE) where none was taken."""
    base = next((found for found in losses if found.step == BASE), None)
    taken = {found.step: ratios(found, base) for found in losses if base is not None and found.step != BASE}
    means = {step: float(np.mean(each)) for step, each in taken.items() if len(each) > 1}  # one knows of no chance
    if not means:
        return BASE
    lowest = min(means, key=lambda step: (means[step], step))
    for step in sorted(means):
        above = score([a - b for a, b in zip(taken[step], taken[lowest], strict=True)])
        if above.low <= 0:
            return step
    return lowest


def alive(cards: Sequence[Scorecard]) -> list[Scorecard]:
    """Those that may still be the likest: not surely less like the character than the likest, by more than GAIN."""
    by = deciding(cards)
    like = levels(cards, by, FIT)
    top = min(cards, key=lambda card: (-like[place(card)][0], place(card)))
    strained = known(cards, STRAIN)
    return [card for card in cards if apart(top, card, by, strained).low <= GAIN]


def plateau(cards: Sequence[Scorecard], patience: int) -> int:
    """The step after which `patience` checkpoints brought no better likeness, and that is certain; 0 while there is
    hope, or when patience is 0.

    The likest of those before is held to the last `patience` of them together, picture by picture: the whole interval
    of what they gain must lie below GAIN. Strain is left out: it may still fall when portrayal no longer rises.
    """
    ordered = sorted(cards, key=lambda card: card.step)
    before, after = ordered[:-patience], ordered[-patience:]
    if not patience or not before:
        return 0
    by = deciding(cards)
    peak = max(before, key=lambda card: (mean(card, by), -card.step))
    rows = [taken(card, by) for card in after]
    gains = [
        np.mean([row[shot] - own for row in rows if shot in row])
        for shot, own in taken(peak, by).items()
        if any(shot in row for row in rows)
    ]
    gained = score([float(gain) for gain in gains])
    return peak.step if gained.count and gained.high < GAIN else 0


def taken(card: Scorecard, measure: str) -> dict[tuple[str, int], float]:
    """A measure by prompt and seed."""
    return {(d.text, d.seed): d.scores[measure] for d in card.pictures if measure in d.scores}


def mean(card: Scorecard, measure: str) -> float:
    """The mean of a measure on a card; 0 when it was not taken."""
    return card.scores[measure].mean if measure in card.scores else 0.0
