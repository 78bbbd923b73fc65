"""A comparison of runs as one page of HTML that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from portraitist.judge import charts, comparison, material, templates
from portraitist.judge.album import Album
from portraitist.judge.charts import Line
from portraitist.judge.comparison import Comparison, Side
from portraitist.judge.curves import Curve, interval, measured, steps_taken
from portraitist.judge.evidence import STAGES, held_out, in_two
from portraitist.judge.measures import MEASURES
from portraitist.judge.strips import MEDIUM, Pictures, Row, firsts, frame, matching, one_a_step
from portraitist.judge.telling import END, brief, called, difference_words, span, title, written

MOST_PROMPTS = 8
"""Prompts whose pictures stand side by side."""

STYLES = "abcd"


@dataclass(frozen=True, slots=True)
class Cell:
    """A run's score with its interval, and how it stands to the first that compares."""

    value: str
    interval: str
    against: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure over the runs that compare."""

    name: str
    better: str
    cells: Sequence[Cell | None]


def page(found: Comparison) -> str:
    """The page."""
    return templates.fitted("compare.html", lambda album: told(found, album))


def told(found: Comparison, album: Album) -> dict[str, Any]:
    """Everything the template shows."""
    return {
        "verdict": comparison.verdict(found),
        "sentences": comparison.sentences(found),
        "sides": found.sides,
        "facts": [facts(side) for side in found.sides],
        "comparing": found.comparing,
        "stage_words": STAGES[found.stage].partition(";")[0].removesuffix(".") + "." if found.stage else "",
        "scores": scores(found),
        "recipe": found.recipe,
        "made_of": found.made_of,
        "other_data": comparison.RECORDED["data"] in dict(found.made_of),
        "pictures": pictures(found, album),
        "curves": [curve for curve in (losses(found), held(found), likeness(found)) if curve],
        "interval_words": material.interval_words(),
        "missing": album.missing,
    }


def facts(side: Side) -> list[tuple[str, str]]:
    """What a run came to, a fact a line."""
    dossier, choice = side.dossier, side.dossier.choice
    judged = dossier.chosen()
    return [
        ("Project", dossier.project.facts.name),
        ("Chosen", called(judged[0]) if judged else f"step {choice.step}" if choice else "nothing yet"),
        *([("Why", in_two(choice.why)[0])] if choice and choice.why else []),
        *[fact for fact in material.recipe_facts(dossier) if fact[0] in ("Base", "Trains", "Budget", "Trained")],
    ]


def scores(found: Comparison) -> list[Measured]:
    """Every measure that was taken of a run that compares."""
    comparing, rows = found.comparing, []
    for name in MEASURES:
        cells = [cell(found, name, side) for side in comparing]
        if any(cells):
            rows.append(Measured(title(name), f"{END[MEASURES[name].better]} is better", cells))
    return rows


def cell(found: Comparison, name: str, side: Side) -> Cell | None:
    """One run's score in a measure; None where it was not taken."""
    score = comparison.taken(side).get(name)
    if score is None:
        return None
    change = found.differences.get(name, {}).get(side.letter)
    against = difference_words(name, change, found.comparing[0].letter) if change else ""
    return Cell(written(name, score.mean), span(name, score), against)


def pictures(found: Comparison, album: Album) -> Pictures | None:
    """The base beside every run that compares: same prompt and seed in a row."""
    comparing = found.comparing
    if not comparing or comparing[0].card is None:
        return None
    lead = comparing[0]
    columns = [("Base", brief(lead.base) if lead.base else "", "")]
    columns += [(side.letter, brief(side.card), "") for side in comparing if side.card]
    rows = []
    for drawn in firsts(comparing[0].card)[:MOST_PROMPTS]:
        cells = [frame(lead.dossier, album, lead.base, matching(lead.base, drawn), MEDIUM)]
        cells += [frame(s.dossier, album, s.card, matching(s.card, drawn), MEDIUM) for s in comparing]
        rows.append(Row(drawn.text, f"seed {drawn.seed}", "", cells))
    return Pictures(columns, rows, STAGES[found.stage] if found.stage else "")


def losses(found: Comparison) -> Curve | None:
    """The smoothed training loss of every run."""
    lines = []
    for side, style in zip(found.sides, STYLES, strict=False):
        points = [(float(event.step), event.loss) for event in steps_taken(side.dossier)]
        if points:
            lines.append(Line(side.letter, charts.smoothed(points, max(5, round(len(points) / 20))), style))
    says = "Smoothed over a twentieth of each run. Between other data or other noise the height means nothing."
    return drawn("Training loss", lines, says)


def held(found: Comparison) -> Curve | None:
    """Held-out loss of every run over the base's."""
    lines = []
    for side, style in zip(found.sides, STYLES, strict=False):
        steps = [losses.step for losses in side.dossier.losses]
        points = [(float(step), ratio.mean) for step in steps if (ratio := held_out(side.dossier, step)).count]
        if len(points) > 1:
            lines.append(Line(side.letter, points, style, dots=True))
    says = "Each run's loss on what it was not trained on, over that of the base on the same noise."
    return drawn("Loss on held-out pictures, relative to the base", lines, says, rule=1.0)


def likeness(found: Comparison) -> Curve | None:
    """Likeness of every run that compares, as the screen saw it."""
    lines = []
    for side, style in zip(found.sides, STYLES, strict=False):
        cards = one_a_step(side.dossier, "screen") or one_a_step(side.dossier, "grid")
        line = measured(cards, "likeness", style)
        if side.card and len(line.points) > 1:
            band = interval(cards, "likeness")
            lines.append(Line(side.letter, line.points, style, dots=True, band=band))
    return drawn("Likeness over training", lines, "As the screen saw it, at one strength; the band is the interval.")


def drawn(name: str, lines: Sequence[Line], says: str, rule: float | None = None) -> Curve | None:
    """A chart of one line a run; None without any."""
    if not lines:
        return None
    ends = ", ".join(f"{line.label} {line.points[0][1]:.3g} to {line.points[-1][1]:.3g}" for line in lines)
    chart: Markup = charts.chart(lines, says=f"{name}: {ends}.", rule=rule, rule_name="base" if rule else "")
    return Curve(name, chart, [(line.label, line.style) for line in lines], says)
