"""The judgement as a page shows it: verdict with pictures, scores, strengths, checkpoints, curves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from portraitist.judge import charts
from portraitist.judge.album import Album, Shown
from portraitist.judge.dossier import Dossier
from portraitist.judge.measures import CONFIDENCE, MEASURES, difference
from portraitist.judge.measures import score as score_of
from portraitist.judge.overfit import ratios
from portraitist.judge.scorecard import BASE, Drawn, Score, Scorecard, Stage

LARGE, MEDIUM, SMALL = 512, 256, 176
"""Longer sides of pictures, in pixels: side by side, in the strip of strengths, in the grid of checkpoints."""

HELD_OUT = "held_out"
"""The one measure that is not of pictures: it comes from losses.jsonl, and the base is 1 by definition."""

MINUS = "\N{MINUS SIGN}"

MOST_PAIRS, MOST_STRIP, MOST_COLUMNS, MOST_ROWS = 6, 3, 8, 14

NAMES = {name: measure.title for name, measure in MEASURES.items()}

STAGES = {
    "report": "Drawn from prompts and seeds that nobody chose by; the first seed of each prompt, not picked by hand.",
    "grid": "From the prompts that chose: pictures apart from those have not been drawn yet.",
    "screen": "From the cheap screen alone: the full grid has not been drawn yet.",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture, None where its file cannot be read, with what it shows in words and a few numbers below it."""

    shown: Shown | None
    alt: str
    note: str = ""


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


@dataclass(frozen=True, slots=True)
class Row:
    """A row of pictures or of numbers with its heading; `mark` is what it is (chosen, runner-up, base)."""

    head: str
    note: str
    mark: str
    cells: Sequence[Frame | None]


@dataclass(frozen=True, slots=True)
class Pictures:
    """A table of pictures: column headings with a note and a mark each, and rows."""

    columns: Sequence[tuple[str, str, str]]
    rows: Sequence[Row]
    says: str


def written(measure: str, value: float) -> str:
    """A mean as people read it: Lab units with one decimal, everything else with two."""
    return figure(value, 1 if measure == "saturation" else 2)


def figure(value: float, decimals: int = 2) -> str:
    """A number with so many decimals and a true minus sign; never a negative zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", MINUS)


def span(measure: str, score: Score) -> str:
    """The interval in words."""
    return f"{written(measure, score.low)} to {written(measure, score.high)}"


def named(step: int, strength: float) -> str:
    """A checkpoint at a strength, as people call it."""
    return "Base" if step == BASE else f"Step {step:,} at {strength:g}"


def firsts(card: Scorecard) -> list[Drawn]:
    """The first picture of each prompt."""
    found: dict[str, Drawn] = {}
    for drawn in card.pictures:
        found.setdefault(drawn.text, drawn)
    return list(found.values())


def matching(card: Scorecard | None, drawn: Drawn) -> Drawn | None:
    """The picture of a card with the same prompt and seed."""
    pictures = card.pictures if card else ()
    return next((d for d in pictures if d.text == drawn.text and d.seed == drawn.seed), None)


def frame(dossier: Dossier, album: Album, card: Scorecard | None, drawn: Drawn | None, size: int) -> Frame | None:
    """One drawn picture with its identity and agreement below."""
    if card is None or drawn is None:
        return None
    note = in_short({name: drawn.scores[name] for name in ("identity", "agreement") if name in drawn.scores})
    alt = f"{named(card.step, card.strength)}: {drawn.text}, seed {drawn.seed}"
    return Frame(album.show(dossier.run.path / drawn.path, size), alt, note)


def pairs(dossier: Dossier, album: Album) -> tuple[list[Pair], str]:
    """Base beside the chosen LoRA, and a sentence on where the pictures are from."""
    choice = dossier.choice
    judged = dossier.judged(choice.step, choice.strength) if choice else None
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


def tiles(dossier: Dossier) -> list[Tile]:
    """The chosen checkpoint's scores with intervals, and the base as the zero line."""
    choice = dossier.choice
    judged = dossier.judged(choice.step, choice.strength) if choice else None
    if judged is None:
        return []
    card, base = judged
    found = []
    for name in MEASURES:
        score, zero, change = card.scores.get(name), base.scores.get(name) if base else None, None
        if name == HELD_OUT:
            score, zero = held_out(dossier, card.step), Score(1.0, 1.0, 1.0, 1)
            change = Score(score.mean - 1, score.low - 1, score.high - 1, score.count)
        elif base is not None:
            change = difference(card, base, name)
        if score and score.count:
            found.append(tile(name, score, zero if zero and zero.count else None, change))
    return found


def held_out(dossier: Dossier, step: int) -> Score:
    """The losses of a checkpoint on what was kept from training, over the base's; count 0 when not measured."""
    by_step = {losses.step: losses for losses in dossier.losses}
    if step not in by_step or BASE not in by_step:
        return Score(0.0, 0.0, 0.0, 0)
    return score_of(ratios(by_step[step], by_step[BASE]))


def tile(name: str, score: Score, zero: Score | None, change: Score | None) -> Tile:
    """One measure beside the base's (`zero`), with the difference picture by picture (`change`)."""
    value, interval = written(name, score.mean), span(name, score)
    says = f"{NAMES[name]} {value}, interval {interval}" + (f", base {written(name, zero.mean)}" if zero else "")
    ends = MEASURES[name].range
    return Tile(
        name=NAMES[name],
        value=value,
        interval=interval,
        base=written(name, zero.mean) if zero else "",
        against=compared(name, change) if change else "",
        better="higher is better" if MEASURES[name].better == "high" else "lower is better",
        gauge=charts.gauge(score.low, score.mean, score.high, zero.mean if zero else None, ends, says),
    )


def compared(name: str, change: Score) -> str:
    """A paired difference to the base in words: better or worse only where its interval leaves zero out."""
    if not change.count:
        return ""
    sign = "+" if change.mean > 0 else ""
    amount = f"{sign}{written(name, change.mean)} ({span(name, change)})"
    if change.low <= 0 <= change.high:
        return f"{amount}: no certain difference to the base"
    good = (change.mean > 0) == (MEASURES[name].better == "high")
    return f"{amount}: {'better' if good else 'worse'} than the base"


def strip(dossier: Dossier, album: Album) -> Pictures | None:
    """The chosen checkpoint (the newest before a choice) at every strength of the full grid, base first."""
    choice, cards = dossier.choice, [c for c in dossier.stage("grid") if c.step != BASE]
    if not cards:
        return None
    steps = {card.step for card in cards}
    step = choice.step if choice and choice.step in steps else max(steps)
    base = dossier.card("grid", BASE, 0.0)
    shown = [*([base] if base else []), *(card for card in cards if card.step == step)]
    columns = []
    for card in shown:
        mark = "chosen" if choice and (card.step, card.strength) == (choice.step, choice.strength) else ""
        columns.append(("Base" if card.step == BASE else f"{card.strength:g}", brief(card), mark))
    rows = []
    for drawn in firsts(shown[-1])[:MOST_STRIP]:
        cells = [frame(dossier, album, card, matching(card, drawn), MEDIUM) for card in shown]
        rows.append(Row(drawn.text, f"seed {drawn.seed}", "", cells))
    return Pictures(columns, rows, f"Step {step:,} at each strength that was tried, same prompt and seed in a row.")


def brief(card: Scorecard) -> str:
    """A card's identity and agreement in a line."""
    known = [name for name in ("identity", "agreement") if name in card.scores and card.scores[name].count]
    return in_short({name: card.scores[name].mean for name in known})


def in_short(means: Mapping[str, float]) -> str:
    """Means in a line; each stays with its name when the line is broken."""
    return ", ".join(f"{NAMES[name].split()[-1].lower()}\u00a0{written(name, mean)}" for name, mean in means.items())


def checkpoints(dossier: Dossier, album: Album) -> Pictures | None:
    """Every checkpoint against every prompt of the screen, base first, in the order they were trained."""
    stage: Stage = "screen" if dossier.stage("screen") else "grid"
    cards = one_a_step(dossier, stage)
    if not cards:
        return None
    wanted = firsts(max(cards, key=lambda card: len(card.pictures)))[:MOST_COLUMNS]
    columns = [(drawn.text, f"seed {drawn.seed}", "") for drawn in wanted]
    choice, rows = dossier.choice, []
    for card in spaced(cards, choice.step if choice else BASE):
        head = "Base" if card.step == BASE else f"{card.step:,}"
        mark = "chosen" if choice and card.step == choice.step else ""
        cells = [frame(dossier, album, card, matching(card, drawn), SMALL) for drawn in wanted]
        rows.append(Row(head, brief(card), mark, cells))
    strengths = sorted({card.strength for card in cards if card.step != BASE})
    at = f" at strength {strengths[0]:g}" if len(strengths) == 1 else ""
    left = f" {len(cards) - len(rows)} checkpoints between these are left out." if len(cards) > len(rows) else ""
    return Pictures(columns, rows, f"Each row is a checkpoint{at}; down a column only training differs.{left}")


def one_a_step(dossier: Dossier, stage: Stage) -> list[Scorecard]:
    """One card a step: at the strength that most steps have, the highest of equals."""
    cards = dossier.stage(stage)
    strengths = [card.strength for card in cards if card.step != BASE]
    usual = max(strengths, key=lambda s: (strengths.count(s), s), default=0.0)
    found: dict[int, Scorecard] = {}
    for card in cards:
        if card.step not in found or card.strength == usual:
            found[card.step] = card
    return [found[step] for step in sorted(found)]


def spaced(cards: Sequence[Scorecard], keep: int) -> list[Scorecard]:
    """At most MOST_ROWS of the cards, evenly spaced, with the first, the last and that of step `keep` among them."""
    if len(cards) <= MOST_ROWS:
        return list(cards)
    places = {round(i * (len(cards) - 1) / (MOST_ROWS - 2)) for i in range(MOST_ROWS - 1)}
    return [card for i, card in enumerate(cards) if i in places or card.step == keep]


def unmeasured(dossier: Dossier) -> Iterator[str]:
    """What no number on the page speaks of, and why."""
    if not dossier.cards:
        yield "Nothing has been judged yet: every score is missing."
    measured = {name for card in dossier.cards for name, score in card.scores.items() if score.count}
    measured |= {HELD_OUT} if any(losses.held_out for losses in dossier.losses) else set()
    if dossier.cards:
        if all(card.eyes == "plain" for card in dossier.cards):
            yield "This family ships no eyes, so identity and agreement are measured by plain means or not at all."
        for name in MEASURES:
            if name not in measured:
                yield f"{NAMES.get(name, name)} was not measured on any checkpoint."
    if dossier.choice and not dossier.card("report", dossier.choice.step, dossier.choice.strength):
        yield "The choice has not been drawn from prompts and seeds that nobody chose by, so its scores flatter it."
    if dossier.outdated:
        yield f"Scorecards of another grid or other eyes are left out ({dossier.outdated}): they do not compare."
    if not dossier.figures:
        yield (
            "There is no ground truth for this character: every score here is by eyes that learned, or by plain "
            f"colour and layout. Intervals cover {CONFIDENCE:.0%} and only the chance of prompts and seeds."
        )
