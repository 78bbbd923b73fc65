"""Runs held against each other: whether they compare at all, by how much they differ, and what differs in what they
were made of.

Differences are taken picture by picture, over equal prompts and seeds, and only where both were drawn by one grid and
seen by one pair of eyes over one base: anything else would compare yardsticks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portraitist.judge import alike, settings, spreadsheet
from portraitist.judge.dossier import BEST, Dossier
from portraitist.judge.evidence import HELD_OUT, scores
from portraitist.judge.measures import MEASURES, difference, score
from portraitist.judge.overfit import ratios
from portraitist.judge.scorecard import BASE, Losses, Score, Scorecard, Stage
from portraitist.judge.telling import called, difference_words, title, within

LETTERS = "ABCD"
"""What runs go by on a page; no more of them than lines of a chart can be told apart."""

ASIDE = ("standing", "why", "format")
"""Values of a recipe that are words about it."""

RECORDED = {"data": "the training samples, SHA-256", "base": "the base, SHA-256", "start": "the file it starts from"}
"""Digests of a lock that tell what a run was made of."""


@dataclass(frozen=True, slots=True)
class Side:
    """One run of a comparison.

    card, base  its chosen cell and the base's, at the stage that compares; None where it does not compare
    obstacle    why it does not; "" where it does
    """

    letter: str
    dossier: Dossier
    card: Scorecard | None = None
    base: Scorecard | None = None
    obstacle: str = ""

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.dossier.run.name


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs beside each other; the first that compares is what the others are held against.

    stage        whose pictures compare; None where fewer than two runs do
    differences  by measure and letter: a run less the first that compares, picture by picture
    recipe       (key, value of each run, "" where it has none) of keys that differ; made_of: the same of digests
    """

    sides: Sequence[Side]
    stage: Stage | None
    differences: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)
    recipe: Sequence[tuple[str, Sequence[str]]] = ()
    made_of: Sequence[tuple[str, Sequence[str]]] = ()

    @property
    def comparing(self) -> list[Side]:
        """The runs that compare, in their order."""
        return [side for side in self.sides if side.card is not None]


def compare(dossiers: Sequence[Dossier]) -> Comparison:
    """At least two runs, at most as many as there are LETTERS, the one to hold the others against first."""
    stage, sides = seated(dossiers)
    comparing = [side for side in sides if side.card is not None]
    differences: dict[str, dict[str, Score]] = {}
    for name in MEASURES:
        taken = {side.letter: apart(name, side, comparing[0]) for side in comparing[1:]}
        if any(found.count for found in taken.values()):
            differences[name] = taken
    return Comparison(
        sides,
        stage,
        differences,
        list(differing([dict(leaves(of_recipe(dossier))) for dossier in dossiers])),
        list(differing([{RECORDED[k]: str(dossier.lock.get(k, "")) for k in RECORDED} for dossier in dossiers])),
    )


def seated(dossiers: Sequence[Dossier]) -> tuple[Stage | None, list[Side]]:
    """The runs as sides, at the stage where the most of them compare with the first; of equals the one that says most.

    Without a choice of the first no run compares.
    """
    lead, options = dossiers[0], []
    for stage in BEST:
        obstacles = [obstacle(lead, dossier, stage) for dossier in dossiers]
        options.append((obstacles.count(""), stage, obstacles))
    count, stage, obstacles = max(options, key=lambda option: option[0])
    sides = []
    for letter, dossier, why in zip(LETTERS, dossiers, obstacles, strict=False):
        card = dossier.card(stage, *dossier.cell) if dossier.cell and not why and count > 1 else None
        sides.append(Side(letter, dossier, card, dossier.base(card) if card else None, why))
    return (stage if count > 1 else None), sides


def obstacle(lead: Dossier, other: Dossier, stage: Stage) -> str:
    """Why the chosen cells of two runs do not compare at a stage, with what helps; "" where they do."""
    for dossier in (lead, other):
        at = f"{dossier.project.folder} --run {dossier.run.name}"
        if not dossier.cards:
            return f"{dossier.run.name} has not been judged. Run: portraitist evaluate {at}"
        if dossier.cell is None:
            return f"{dossier.run.name} has no choice yet. Run: portraitist choose {at}"
    if lead.lock.get("base") != other.lock.get("base"):
        return "They were trained on different bases, and the base is the zero line of every score."
    ours, theirs = (dossier.card(stage, *dossier.cell) for dossier in (lead, other) if dossier.cell)
    if ours is None or theirs is None:
        missing = lead if ours is None else other
        return (
            f"The choice of {missing.run.name} has not been drawn for the {stage}."
            f" Run: portraitist evaluate {missing.project.folder} --run {missing.run.name}"
        )
    if ours.eyes != theirs.eyes:
        return "They were seen by different eyes. Evaluate both with one version and one recipe."
    if ours.grid != theirs.grid:
        return f"They were drawn by different grids{of_settings(lead, other)}. Evaluate both by one recipe."
    return ""


def of_settings(lead: Dossier, other: Dossier) -> str:
    """Which settings of the judging differ, in brackets; "" where the pictures or the measures must be the reason."""
    ours, theirs = (settings.read(dossier.run).model_dump(mode="json") for dossier in (lead, other))
    found = [f"judging.{key}: {told(ours[key])} and {told(theirs[key])}" for key in ours if ours[key] != theirs[key]]
    return f" ({'; '.join(found)})" if found else ""


def apart(name: str, side: Side, lead: Side) -> Score:
    """A measure of one run less the other's, picture by picture; held-out loss sample by sample. Count 0: not taken."""
    if name == HELD_OUT:
        return score(
            [a - b for a, b in zip(losses_of(side), losses_of(lead), strict=True)] if paired(side, lead) else []
        )
    if side.card is None or lead.card is None:
        return score([])
    ours, theirs = (one.dossier.scored(one.card).get(name) for one in (side, lead) if one.card)
    if ours is None or theirs is None or yardsticks(ours[0]) != yardsticks(theirs[0]):
        return score([])
    return difference(ours[0], theirs[0], name)


def yardsticks(card: Scorecard) -> tuple[str, str, str]:
    """What two cards must share for their pictures to compare."""
    return card.grid, card.eyes, card.beside


def taken(side: Side) -> dict[str, Score]:
    """A run's scores at the stage that compares, with those of its probes and its losses; none where it does not."""
    return scores(side.dossier, side.card) if side.card else {}


def losses_of(side: Side) -> list[float]:
    """The chosen step's losses on held-out samples, over the base's."""
    by_step = {losses.step: losses for losses in side.dossier.losses}
    step = side.card.step if side.card else BASE
    return ratios(by_step[step], by_step[BASE]) if {step, BASE} <= by_step.keys() else []


def paired(side: Side, lead: Side) -> bool:
    """Whether held-out losses of both were taken of the same samples on the same noise."""
    ours, theirs = yardstick(side.dossier.losses), yardstick(lead.dossier.losses)
    return ours == theirs and len(losses_of(side)) == len(losses_of(lead))


def yardstick(losses: Sequence[Losses]) -> str:
    """What losses were taken by."""
    return losses[-1].yardstick if losses else ""


def of_recipe(dossier: Dossier) -> dict[str, Any]:
    """A run's recipe as nested values, without words about it."""
    return {key: value for key, value in dossier.recipe.model_dump(mode="json").items() if key not in ASIDE}


def leaves(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value of nested tables by its dotted key, list items by their place, as it would stand in TOML."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from leaves(value, f"{prefix}.{key}" if prefix else key)
    elif isinstance(values, list) and any(isinstance(value, Mapping) for value in values):
        for place, value in enumerate(values):
            yield from leaves(value, f"{prefix}.{place}")
    else:
        yield prefix, told(values)


def told(value: Any) -> str:
    """A value in short, nearly as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(told, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def differing(tables: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """The keys whose values are not all equal, with the value of each table ("" where it has none)."""
    for key in dict.fromkeys(key for table in tables for key in table):
        values = [table.get(key, "") for table in tables]
        if len(set(values)) > 1:
            yield key, values


def verdict(found: Comparison) -> str:
    """Which run is the likest, in a sentence, or that it cannot be told."""
    comparing = found.comparing
    if len(comparing) < 2:
        return "These runs cannot be compared"
    by = alike.deciding([side.card for side in comparing if side.card])
    if not all(by in side.card.scores for side in comparing if side.card):
        return "Likeness was not measured on all of these runs"
    strained = alike.known([side.card for side in comparing if side.card], alike.STRAIN)
    likest = max(comparing, key=lambda side: liking(side, by, strained))
    others = [side for side in comparing if side is not likest]
    beaten = [side.letter for side in others if surely(liker(likest, side, by, strained))]
    level = [side.letter for side in others if side.letter not in beaten]
    if not beaten:
        what = f"{within(by)}{' less strain' if strained else ''}"
        pairs = [(one, other) for one in others for other in others if surely(liker(one, other, by, strained))]
        if not pairs:
            return f"{listed(sorted([likest.letter, *level]))} are not distinguishable in {what}"
        apart_ = "; ".join(f"{one.letter} is surely ahead of {other.letter}" for one, other in pairs)
        return f"{likest.letter} has the highest {what}, but is not distinguishable from {listed(level)}; {apart_}"
    words = f"{likest.letter} is more like the character than {listed(beaten)}"
    return f"{words}, and not distinguishable from {listed(level)}" if level else words


def liking(side: Side, by: str, strained: bool) -> float:
    """How like a run's choice is, as choices are made."""
    scores = side.card.scores if side.card else {}
    return (scores[by].mean if by in scores else 0.0) - (alike.PRICE * scores[alike.STRAIN].mean if strained else 0.0)


def liker(one: Side, other: Side, by: str, strained: bool) -> Score:
    """One run's likeness less another's, as choices are made."""
    found = apart(by, one, other)
    return alike.less(found, apart(alike.STRAIN, one, other)) if strained else found


def surely(change: Score) -> bool:
    """Whether a difference is above zero with its whole interval."""
    return change.count > 1 and change.low > 0


def listed(words: Sequence[str]) -> str:
    """Words with commas, and an "and" before the last."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def sentences(found: Comparison) -> dict[str, str]:
    """By measure, likeness first, what tells runs apart; under "Not distinguishable" the measures that tell none."""
    lead, same, sure = found.comparing[0].letter if found.comparing else "", [], {}
    for name, by_letter in sorted(found.differences.items(), key=lambda item: item[0] != "likeness"):
        told_apart = {k: change for k, change in by_letter.items() if change.low > 0 or change.high < 0}
        if told_apart:
            each = [f"{k} {difference_words(name, change, lead)}" for k, change in told_apart.items()]
            sure[title(name)] = "; ".join(each)
        else:
            same.append(within(name))
    return sure | ({"Not distinguishable": listed(same)} if same else {})


def summary(found: Comparison) -> dict[str, Any]:
    """A comparison for machines.

    says         what tells the runs apart, by measure, in words
    runs         each with its project, chosen cell, whether it compares, and its scores at the stage that compares
    differences  by measure and letter: mean, low, high and count of a run less the first that compares, and in words
    recipe, data  what differs, by key, in the order of the runs
    """
    lead = found.comparing[0].letter if found.comparing else ""
    return {
        "format": 1,
        "verdict": verdict(found),
        "says": sentences(found),
        "stage": found.stage or "",
        "runs": [
            {
                "letter": side.letter,
                "project": side.dossier.project.facts.name,
                "run": side.name,
                "cell": called(side.card) if side.card else "",
                "obstacle": side.obstacle,
                "scores": {name: numbers(score) for name, score in taken(side).items()},
            }
            for side in found.sides
        ],
        "differences": {
            name: {k: numbers(s) | {"says": difference_words(name, s, lead)} for k, s in by_letter.items() if s.count}
            for name, by_letter in found.differences.items()
        },
        "recipe": {key: list(values) for key, values in found.recipe},
        "data": {key: list(values) for key, values in found.made_of},
    }


def numbers(found: Score) -> dict[str, float]:
    """A score's numbers by name."""
    return {"mean": found.mean, "low": found.low, "high": found.high, "count": found.count}


def rows(found: Comparison) -> list[dict[str, Any]]:
    """A row a measure and run: its score, and its difference to the first that compares; what was not taken is ""."""
    lines = []
    for side in found.comparing:
        known = taken(side)
        for name in spreadsheet.ranked(known):
            got, change = known[name], found.differences.get(name, {}).get(side.letter)
            line = {"letter": side.letter, "run": side.name, "stage": found.stage, "measure": name, **numbers(got)}
            apart_by = numbers(change) if change and change.count else dict.fromkeys(numbers(got), "")
            lines.append(line | {f"difference_{key}": value for key, value in apart_by.items()})
    return lines
