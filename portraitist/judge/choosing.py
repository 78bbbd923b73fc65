"""The choice: scorecards and losses in, a checkpoint and a strength out, and the reason in words. Pure; no torch.

Gates first: what no longer does what is asked, copies, burns colours or looks less like the character than the base
is out. Then the best by likeness, in which a learned and an unlearned measure count alike; near-ties, within their
intervals, go to the earlier step and the lower strength. What a gate holds against a limit is the mean; how certain
that is, its interval says. Agreement is out of bounds only where it is no chance that any of it was lost: on a dozen
pictures a mean alone goes beyond the limit too easily, and weaker LoRAs would be taken for it (benchmarks/demo.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from portraitist.judge.measures import READABLE, difference, score
from portraitist.judge.overfit import ratios
from portraitist.judge.scorecard import BASE, Losses, Score, Scorecard, Stage

Prefer = Literal["likeness", "freedom"]
DECIDES: dict[Prefer, tuple[str, str]] = {"likeness": ("likeness", "agreement"), "freedom": ("agreement", "likeness")}
"""What decides among what passes, and what decides among its near-ties before the step does."""

COPIES = 0.5
"""Most copying: half the way from the character's own other pictures to a training picture itself. Judged."""

BURNS = 8.0
"""Most saturation beyond the base's own, Lab units. Judged: about the difference of a vivid from a plain print."""

NEAR = 0.01
"""Two scores are no tie if they differ by more than this, however wide the interval: not knowing is not being equal."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition: `value` (low to high) may be at most `limit`; over is by how much of its scale it fails.

    evident  it is not broken either while `low` is no more than this, however high the mean
    """

    name: str
    value: float
    low: float
    high: float
    limit: float
    says: str
    scale: float = 1.0
    evident: float = float("-inf")

    @property
    def passed(self) -> bool:
        """Whether the mean keeps to the limit, or what goes beyond it is not evident."""
        return self.value <= self.limit or self.low <= self.evident

    @property
    def certain(self) -> bool:
        """Whether the whole interval is on the mean's side of the limit."""
        return self.high <= self.limit or self.low > self.limit

    @property
    def over(self) -> float:
        """How far beyond the limit, in units that compare between gates; 0 when passed."""
        return 0.0 if self.passed else (self.value - self.limit) / self.scale


@dataclass(frozen=True, slots=True)
class Candidate:
    """A checkpoint at a strength, with its gates."""

    card: Scorecard
    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Whether it keeps to every limit."""
        return all(gate.passed for gate in self.gates)

    @property
    def over(self) -> float:
        """How far beyond its limits in all."""
        return sum(gate.over for gate in self.gates)

    @property
    def place(self) -> tuple[int, float]:
        """Step and strength: what near-ties go by."""
        return self.card.step, self.card.strength

    def mean(self, measure: str) -> float:
        """The mean of a measure; 0 when it was not taken."""
        found = self.card.scores.get(measure)
        return found.mean if found else 0.0

    def __str__(self) -> str:
        return f"step {self.card.step} at strength {self.card.strength:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The chosen, what was second, those near-tied with the chosen, and why."""

    chosen: Candidate
    second: Candidate | None
    ties: tuple[Candidate, ...]
    base: Scorecard
    why: str


def latest(cards: Sequence[Scorecard], stage: Stage) -> tuple[Scorecard | None, list[Scorecard]]:
    """The base's card of a stage and those beside it, by the yardsticks (grid, eyes) that were used last."""
    of_stage = [card for card in cards if card.stage == stage]
    if not of_stage:
        return None, []
    last = of_stage[-1]
    same = [card for card in of_stage if (card.grid, card.eyes) == (last.grid, last.eyes)]
    base = next((card for card in same if card.step == BASE), None)
    return base, sorted((c for c in same if c.step != BASE), key=lambda card: (card.step, card.strength))


def gates(card: Scorecard, base: Scorecard, max_drop: float) -> tuple[Gate, ...]:
    """The conditions on one card; those whose measure could not be taken are left out.

    Agreement is held to the base's, or to what can be read of the character's own pictures where that is less: a LoRA
    that draws like them would else seem to lose what the base's plainer pictures show.
    """
    found = []

    def condition(name: str, got: Score, limit: float, says: str, scale: float, evident: float = float("-inf")) -> None:
        if got.count:
            found.append(Gate(name, got.mean, got.low, got.high, limit, says, scale, evident))

    lost = negative(difference(card, base, "agreement"))
    less = beyond(base)
    drop = Score(lost.mean - less, lost.low - less, lost.high - less, lost.count)
    against = "what is read of its own pictures" if less else "the base"
    condition("agreement", drop, max_drop, f"prompt agreement falls by {drop.mean:.2f} against {against}", 0.1, 0.0)
    worse = negative(difference(card, base, "identity"))
    condition("identity", worse, 0.0, "it is no more like the character than the base", 0.5)
    copying = card.scores.get("copying", Score(0, 0, 0, 0))
    condition("copying", copying, COPIES, f"it copies training pictures ({copying.mean:.2f})", 0.5)
    burnt = difference(card, base, "saturation")
    condition("saturation", burnt, BURNS, f"its colours leave the references' range by {burnt.mean:.0f} Lab units", 10)
    return tuple(found)


def beyond(base: Scorecard) -> float:
    """By how much the base agrees with its prompts more than the character's own pictures are read to agree."""
    both = [
        (d.scores["agreement"], d.scores[READABLE]) for d in base.pictures if {"agreement", READABLE} <= {*d.scores}
    ]
    return max(0.0, sum(own - readable for own, readable in both) / len(both)) if both else 0.0


def negative(found: Score) -> Score:
    """A score's negative."""
    return Score(-found.mean, -found.high, -found.low, found.count)


def choose(
    base: Scorecard, cards: Sequence[Scorecard], losses: Sequence[Losses], prefer: Prefer, max_drop: float
) -> Verdict:
    """The verdict over cards (at least one) against the base's of the same stage and yardsticks.

    Where nothing passes, what fails least is taken, and the words say so.
    """
    candidates = [Candidate(card, gates(card, base, max_drop)) for card in cards]
    passing = [candidate for candidate in candidates if candidate.passed]
    first, then = DECIDES[prefer]
    if passing:
        chosen, ties = best(passing, first, then)
        others = [candidate for candidate in passing if candidate is not chosen]
        second = best(others, first, then)[0] if others else None
    else:
        ranked = sorted(candidates, key=lambda c: (round(c.over, 6), -c.mean("likeness"), c.place))
        chosen, ties, second = ranked[0], (), ranked[1] if len(ranked) > 1 else None
    failing = [candidate for candidate in candidates if not candidate.passed]
    words = reason(chosen, ties, second, base, failing, prefer) + alarm(chosen, losses)
    return Verdict(chosen, second, ties, base, words)


def best(candidates: Sequence[Candidate], first: str, then: str) -> tuple[Candidate, tuple[Candidate, ...]]:
    """The best by one measure, and what is near-tied with it.

    For likeness the earliest and lowest of the near-ties is taken; for freedom the near-ties in agreement are many,
    and likeness decides among them first.
    """
    top = highest(candidates, first)
    tied = [candidate for candidate in candidates if near(top, candidate, first)]
    if first == "agreement":
        top = highest(tied, then)
        tied = [candidate for candidate in tied if near(top, candidate, then)]
    chosen = min(tied, key=lambda c: c.place)
    return chosen, tuple(candidate for candidate in tied if candidate is not chosen)


def highest(candidates: Sequence[Candidate], measure: str) -> Candidate:
    """The one with the highest mean; of equals the earliest and lowest."""
    return max(candidates, key=lambda c: (c.mean(measure), -c.place[0], -c.place[1]))


def near(top: Candidate, other: Candidate, measure: str) -> bool:
    """Whether what separates two candidates is small, and could be chance."""
    if top is other:
        return True
    apart = difference(top.card, other.card, measure)
    return apart.mean <= 0 or (apart.low <= 0 and apart.mean <= NEAR)


def contenders(base: Scorecard, cards: Sequence[Scorecard], count: int, max_drop: float) -> list[int]:
    """Steps that go on from the screen to the full grid: those most like the character, ascending.

    A checkpoint whose loss of agreement is surely too large goes behind the others; so few pictures say no more.
    """

    def lost(card: Scorecard) -> bool:
        drop = difference(base, card, "agreement")
        return drop.count > 0 and drop.low - beyond(base) > max_drop

    ranked = sorted(cards, key=lambda card: (lost(card), -mean(card, "likeness"), card.step))
    return sorted(card.step for card in ranked[:count])


def plateau(cards: Sequence[Scorecard], patience: int) -> int:
    """The step after which `patience` checkpoints brought no better likeness, by at least 0.01; 0 while there is hope
    or when patience is 0."""
    best_step, best_mean, since = 0, float("-inf"), 0
    for card in sorted(cards, key=lambda card: card.step):
        if mean(card, "likeness") > best_mean + 0.01:
            best_step, best_mean, since = card.step, mean(card, "likeness"), 0
        else:
            since += 1
    return best_step if patience and since >= patience else 0


def mean(card: Scorecard, measure: str) -> float:
    """The mean of a measure on a card; 0 when it was not taken."""
    return card.scores[measure].mean if measure in card.scores else 0.0


def reason(
    chosen: Candidate,
    ties: Sequence[Candidate],
    second: Candidate | None,
    base: Scorecard,
    failing: Sequence[Candidate],
    prefer: Prefer,
) -> str:
    """The choice in words: what it reached, what it was weighed against, and what was out."""
    card, words = chosen.card, []
    got = card.scores.get("identity", Score(0, 0, 0, 0))
    start = str(chosen).capitalize()
    if chosen.passed:
        words.append(
            f"{start} is {share(got.mean)} of the way from the base to the references in identity"
            f" ({share(got.low)} to {share(got.high)})"
        )
        if "signature" in card.scores:
            words[-1] += f" and shows {share(card.scores['signature'].mean)} of the character's own colours"
    else:
        faults = "; ".join(gate.says for gate in chosen.gates if not gate.passed)
        words.append(f"Nothing passes every gate; {chosen} fails least: {faults}. Its identity is {share(got.mean)}")
    if "agreement" in card.scores and "agreement" in base.scores:
        words[-1] += f", prompt agreement {card.scores['agreement'].mean:.2f} against the base's " + (
            f"{base.scores['agreement'].mean:.2f}"
        )
        if less := beyond(base):
            words[-1] += f"; of the character's own pictures {base.scores['agreement'].mean - less:.2f} can be read"
    else:
        words.append("Prompt agreement was not measured: this family has no eyes that read")
    if ties:
        measure = DECIDES[prefer][0]
        top = highest(ties, measure)
        words.append(
            f"{str(top).capitalize()} differs by no more than chance ({measure} {top.mean(measure):.2f} against"
            f" {chosen.mean(measure):.2f}); near-ties go to the earlier step and the lower strength"
        )
    if chosen.passed and not all(gate.certain for gate in chosen.gates):
        names = ", ".join(gate.name for gate in chosen.gates if not gate.certain)
        words.append(f"So few pictures leave it uncertain whether it keeps to the limit of {names}")
    if second is not None:
        words.append(
            f"Second is {second} with {second.mean('likeness'):.2f} in likeness, the mean of both,"
            f" against {chosen.mean('likeness'):.2f}"
        )
    more = [c for c in failing if c.mean("likeness") > chosen.mean("likeness")] if chosen.passed else []
    if more:
        top = highest(more, "likeness")
        faults = "; ".join(gate.says for gate in top.gates if not gate.passed)
        words.append(f"{str(top).capitalize()} would be liker ({top.mean('likeness'):.2f}) but is out: {faults}")
    return ". ".join(words) + "."


def share(value: float) -> str:
    """A share in whole percent, without a negative zero."""
    return f"{round(100 * value):d}%"


def alarm(chosen: Candidate, losses: Sequence[Losses]) -> str:
    """A sentence when the chosen checkpoint draws held-out pictures surely worse than the base would; else ""."""
    by_step = {found.step: found for found in losses}
    if BASE not in by_step or chosen.card.step not in by_step:
        return ""
    ratio = score(ratios(by_step[chosen.card.step], by_step[BASE]))
    if ratio.count == 0 or ratio.low <= 1:
        return ""
    return (
        f" Overfitting: its loss on held-out pictures is {ratio.mean:.2f} times the base's;"
        " see that its pictures do not repeat training scenes."
    )
