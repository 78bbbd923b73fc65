"""The verdict as a page shows it: pictures beside the base's, scores beside the base's, and what was not measured."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from markupsafe import Markup

from portraitist.judge import charts
from portraitist.judge.album import Album
from portraitist.judge.dossier import Dossier
from portraitist.judge.measures import CONFIDENCE, MEASURES, difference
from portraitist.judge.measures import score as score_of
from portraitist.judge.overfit import ratios
from portraitist.judge.scorecard import BASE, Score, Scorecard, Stage
from portraitist.judge.strips import Frame, firsts, frame, matching
from portraitist.judge.telling import END, difference_words, span, title, within, written

LARGE = 512
"""Longer side of a picture side by side with the base's, in pixels."""

HELD_OUT = "held_out"
"""The one measure that is not of pictures: it comes from losses.jsonl, and the base is 1 by definition."""

MOST_PAIRS = 6

TAKEN = {
    "report": "on pictures of prompts and seeds that nobody chose by; the sentences above tell of those that chose.",
    "grid": "on the pictures that chose.",
    "screen": "on the pictures of the cheap screen.",
}

STAGES = {
    "report": "Drawn from prompts and seeds that nobody chose by; the first seed of each prompt, not picked by hand.",
    "grid": "From the prompts that chose: pictures apart from those have not been drawn yet.",
    "screen": "From the cheap screen alone: the full grid has not been drawn yet.",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """The base beside the LoRA: same prompt, same seed."""

    text: str
    seed: int
    base: Frame | None
    lora: Frame


@dataclass(frozen=True, slots=True)
class Tile:
    """One measure of the chosen checkpoint. `against` says how it stands to the base; "" when there is no base."""

    name: str
    value: str
    interval: str
    base: str
    against: str
    better: str
    gauge: Markup
    count: str


def pairs(dossier: Dossier, album: Album) -> tuple[list[Pair], str]:
    """Base beside the chosen LoRA, and a sentence on where the pictures are from."""
    judged = dossier.chosen()
    if judged is None:
        return [], ""
    card, base = judged
    found = []
    for drawn in firsts(card)[:MOST_PAIRS]:
        lora = frame(dossier, album, card, drawn, LARGE)
        if lora is not None:
            theirs = frame(dossier, album, base, matching(base, drawn), LARGE)
            found.append(Pair(drawn.text, drawn.seed, theirs, lora))
    return found, STAGES[card.stage]


def taken_on(dossier: Dossier) -> str:
    """What pictures the chosen's numbers are of, after a comma."""
    judged = dossier.chosen()
    return TAKEN[judged[0].stage] if judged else ""


def tiles(dossier: Dossier) -> list[Tile]:
    """The chosen checkpoint's scores with intervals, and the base as the zero line.

    What decided the choice is told too where only the pictures that chose could be measured by it.
    """
    judged = dossier.chosen()
    if judged is None:
        return []
    known, found = decided(dossier) | dossier.scored(judged[0]), []
    for name in MEASURES:
        if name == HELD_OUT:
            score = held_out(dossier, judged[0].step)
            change = Score(score.mean - 1, score.low - 1, score.high - 1, score.count)
            found += [tile(name, score, Score(1.0, 1.0, 1.0, 1), change)] if score.count else []
        elif name in known:
            card, base = known[name]
            zero = base.scores.get(name) if base else None
            told = tile(name, card.scores[name], zero, difference(card, base, name) if base else None)
            apart = card.stage in ("grid", "screen") and judged[0].stage == "report"
            found.append(replace(told, against=f"{told.against}, on the pictures that chose") if apart else told)
    return found


def decided(dossier: Dossier) -> dict[str, tuple[Scorecard, Scorecard | None]]:
    """The measure that the choice was decided by, with the card of the chosen cell that has it and the base's."""
    by = str(dossier.choice.table.get("decides", "")) if dossier.choice else ""
    stages: tuple[Stage, ...] = ("grid", "screen")
    for stage in stages:
        card = dossier.card(stage, *dossier.cell) if dossier.cell else None
        if card and by in card.scores and card.scores[by].count:
            return {by: (card, dossier.base(card))}
    return {}


def scores(dossier: Dossier, card: Scorecard) -> dict[str, Score]:
    """All that is known of a card's cell by measure: of its own pictures, of its probes, and of its checkpoint's
    losses."""
    found = {name: by.scores[name] for name, (by, _) in dossier.scored(card).items()}
    held = held_out(dossier, card.step)
    return found | ({HELD_OUT: held} if held.count else {})


def held_out(dossier: Dossier, step: int) -> Score:
    """The losses of a checkpoint on what was kept from training, over the base's; count 0 when not measured."""
    by_step = {losses.step: losses for losses in dossier.losses}
    if step not in by_step or BASE not in by_step:
        return Score(0.0, 0.0, 0.0, 0)
    return score_of(ratios(by_step[step], by_step[BASE]))


def tile(name: str, score: Score, zero: Score | None, change: Score | None) -> Tile:
    """One measure beside the base's (`zero`), with the difference picture by picture (`change`)."""
    value, interval, zero = written(name, score.mean), span(name, score), zero if zero and zero.count else None
    says = f"{title(name)} {value}, interval {interval}" + (f", base {written(name, zero.mean)}" if zero else "")
    return Tile(
        name=title(name),
        value=value,
        interval=interval,
        base=written(name, zero.mean) if zero else "",
        against=difference_words(name, change, "the base") if change else "",
        better=f"{END[MEASURES[name].better]} is better",
        gauge=charts.gauge(score.low, score.mean, score.high, zero.mean if zero else None, MEASURES[name].range, says),
        count=f"{score.count} {'samples' if name == HELD_OUT else 'pictures'}"[: -1 if score.count == 1 else None],
    )


def in_two(words: str) -> list[str]:
    """A reason's first sentence, and the rest if there is any."""
    first, stop, rest = words.partition(". ")
    return [f"{first}.", rest] if stop and rest else [words]


def unmeasured(dossier: Dossier) -> Iterator[str]:
    """What no number on the page speaks of, and why."""
    if not dossier.cards:
        yield "Nothing has been judged yet: every score is missing."
    measured = {name for card in dossier.cards for name, score in card.scores.items() if score.count}
    measured |= {HELD_OUT} if any(losses.held_out for losses in dossier.losses) else set()
    if dossier.cards:
        if all(card.eyes == "plain" for card in dossier.cards):
            yield "This family ships no eyes, so identity and agreement are measured by plain means or not at all."
        if left := [within(name) for name in MEASURES if name not in measured]:
            yield f"Not measured on any checkpoint: {', '.join(left)}."
    if dossier.cell and not dossier.card("report", *dossier.cell):
        yield "The choice has not been drawn from prompts and seeds that nobody chose by, so its scores flatter it."
    if dossier.outdated:
        yield f"Scorecards of another grid or other eyes are left out ({dossier.outdated}): they do not compare."
    if not dossier.figures:
        yield (
            "Nothing here was held to a truth beyond these pictures: every score is by eyes that learned, or by plain "
            f"colour and layout. Intervals cover {CONFIDENCE:.0%} and only the chance of prompts and seeds."
        )
