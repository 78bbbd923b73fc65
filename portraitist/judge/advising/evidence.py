"""What advice rests on: the numbers of one run, and a symptom with the facts that show it. No torch, no disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from portraitist.audit import Finding
from portraitist.events import Event, Stepped
from portraitist.judge.choosing import latest
from portraitist.judge.measures import difference, score
from portraitist.judge.overfit import ratios
from portraitist.judge.scorecard import BASE, OWN, WHOLE, Losses, Score, Scorecard
from portraitist.pictures import Picture
from portraitist.recipe import Recipe

CARDS, LOSSES, EVENTS, AUDIT = "evaluation/scorecards.jsonl", "evaluation/losses.jsonl", "events.jsonl", "audit.json"
"""Files that facts come from: the first three in the run's folder, the last in the project's."""

NONE = Score(0.0, 0.0, 0.0, 0)

EARLIER = 2 / 3
"""Share of a run's steps before which a checkpoint counts as earlier than its end."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One number that speaks for a symptom.

    measure    its name; limit: what it is held against
    low, high  its interval (90 %); both the value itself where there is none
    of         what it was taken on, in words; file: where it stands
    """

    measure: str
    value: float
    low: float
    high: float
    limit: float
    of: str
    file: str

    @classmethod
    def of_score(cls, measure: str, got: Score, limit: float, of: str, file: str) -> "Fact":
        """From a score."""
        return cls(measure, round(got.mean, 4), round(got.low, 4), round(got.high, 4), limit, of, file)

    @classmethod
    def plain(cls, measure: str, value: float, limit: float, of: str, file: str) -> "Fact":
        """From a number without an interval."""
        return cls(measure, round(value, 6), round(value, 6), round(value, 6), limit, of, file)


@dataclass(frozen=True, slots=True)
class Symptom:
    """Something that is wrong with a run.

    severity  how much of the work it spoils, in [0, 1]: what advice is ranked by. Judged
    certain   whether the intervals leave no other reading; else it is likely
    pictures  names of training pictures that it is about
    """

    name: str
    says: str
    severity: float
    certain: bool
    facts: tuple[Fact, ...]
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """A forecast of memory: what training takes, what the card has free (GB), and recipe keys that make it fit."""

    gb: float
    free_gb: float
    changes: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known of one run. What is absent was not measured, and nothing is concluded from that.

    cards     of every stage, the base's among them; losses: of every checkpoint and of the base
    events    of training; findings: of the audit; pictures: of the manifest
    """

    recipe: Recipe = field(default_factory=Recipe)
    cards: Sequence[Scorecard] = ()
    losses: Sequence[Losses] = ()
    events: Sequence[Event] = ()
    findings: Sequence[Finding] = ()
    pictures: Sequence[Picture] = ()
    need: Need | None = None

    def whole(self) -> tuple[Scorecard | None, list[Scorecard]]:
        """The base's card and one a checkpoint at full strength, by step, all on the same few pictures."""
        for stage in ("screen", "grid"):
            base, cards = latest(self.cards, stage)
            whole = [card for card in cards if card.strength == WHOLE and card.guidance == OWN]
            if base is not None and whole:
                return base, whole
        return None, []

    def last(self) -> tuple[Scorecard, Scorecard] | None:
        """The last checkpoint's card at full strength and the base's of the same stage: of the full grid if it is there
        for that step, else of the screen."""
        base, whole = self.whole()
        if base is None:
            return None
        of_grid, cards = latest(self.cards, "grid")
        same = [c for c in cards if (c.step, c.strength, c.guidance) == (whole[-1].step, WHOLE, OWN)]
        return (same[0], of_grid) if same and of_grid is not None else (whole[-1], base)

    def fullest(self) -> tuple[Scorecard, Scorecard] | None:
        """The last checkpoint's card on most pictures, at its greatest strength up to full, and the base's of the same
        stage: judging draws strong ones in full only where weak ones keep to the gates."""
        pair = self.last()
        base, cards = latest(self.cards, "grid")
        there = [c for c in cards if pair and c.step == pair[0].step and c.strength <= WHOLE and c.guidance == OWN]
        return (max(there, key=lambda c: c.strength), base) if base is not None and there else pair

    def earlier(self) -> Scorecard | None:
        """The latest card at full strength from before the last third of the run, on the pictures of `whole`."""
        _, whole = self.whole()
        before = [card for card in whole if card.step <= EARLIER * whole[-1].step]
        return before[-1] if before else None

    def taken(self, measure: str) -> tuple[Scorecard, Score] | None:
        """A measure where it was taken last: of the latest checkpoint, there at the greatest strength up to full."""
        found = [
            card
            for card in self.cards
            if card.step != BASE and card.strength <= WHOLE and card.guidance == OWN and not card.beside
            and card.scores.get(measure, NONE).count
        ]  # fmt: skip
        best = max(found, key=lambda c: (c.step, c.strength, c.scores[measure].count), default=None)
        return (best, best.scores[measure]) if best is not None else None

    def gained(self, measure: str) -> Score:
        """The last checkpoint's measure less the base's, picture by picture."""
        pair = self.last()
        return difference(*pair, measure) if pair else NONE

    def course(self, split: str) -> list[tuple[int, Score]]:
        """By step the losses over the base's on the same noise, of a split: train_each or held_each."""
        if not self.losses:
            return []
        newest = self.losses[-1].yardstick
        base = next((one for one in self.losses if one.step == BASE and one.yardstick == newest), None)
        if base is None:
            return []
        steps = sorted((o for o in self.losses if o.step != BASE and o.yardstick == newest), key=lambda one: one.step)
        found = [(one.step, score(ratios(one, base, split))) for one in steps]
        return [(step, got) for step, got in found if got.count]

    def between(self, split: str, late: int, early: int) -> Score:
        """Losses at one step over those at another, sample by sample."""
        by_step = {one.step: one for one in self.losses if one.yardstick == self.losses[-1].yardstick}
        if late not in by_step or early not in by_step:
            return NONE
        return score(ratios(by_step[late], by_step[early], split))

    def steps(self) -> list[Stepped]:
        """The steps of training, each once: of one that was done again after a kill, the last."""
        by_step = {event.step: event for event in self.events if isinstance(event, Stepped)}
        return [by_step[step] for step in sorted(by_step)]

    def found(self, *checks: str) -> Iterator[Finding]:
        """The audit's findings of these names, but for those let pass."""
        return (finding for finding in self.findings if finding.check in checks and not finding.waived)
