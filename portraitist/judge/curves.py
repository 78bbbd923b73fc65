"""The curves of a run over its steps, as a page shows them: losses, likeness, and what they say in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from portraitist.events import Stepped
from portraitist.judge import charts, telling
from portraitist.judge.charts import Line
from portraitist.judge.dossier import Dossier
from portraitist.judge.evidence import held_out
from portraitist.judge.scorecard import BASE, Losses, Scorecard, Stage
from portraitist.judge.strips import one_a_step

BANDS = (("fine detail", 0.0, 1 / 3, "a"), ("middle", 1 / 3, 2 / 3, "b"), ("composition", 2 / 3, 1.01, "c"))
"""Noise levels in thirds: what a denoiser decides there, and the line it is drawn as."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A chart with its title, its legend (label, style) and a sentence."""

    title: str
    chart: Markup
    legend: Sequence[tuple[str, str]]
    says: str


def curves(dossier: Dossier) -> list[Curve]:
    """Training loss, held-out loss by noise level, and likeness over steps: those that there is something of."""
    found = [training_loss(dossier), banded_loss(dossier), likeness(dossier)]
    return [curve for curve in found if curve is not None]


def steps_taken(dossier: Dossier) -> list[Stepped]:
    """The run's steps, ascending; of a step taken again after a cut the latest counts."""
    return [event for _, event in sorted({event.step: event for event in dossier.of(Stepped)}.items())]


def training_loss(dossier: Dossier) -> Curve | None:
    """The loss of each step, faint, and smoothed over a twentieth of the run."""
    points = [(float(event.step), event.loss) for event in steps_taken(dossier)]
    if not points:
        return None
    span = max(5, round(len(points) / 20))
    lines = [Line("each step", points, "faint"), Line(f"mean over about {span} steps", charts.smoothed(points, span))]
    says = "Each step sees other noise and pictures: only the smoothed line can be read."
    return drawn(dossier, "Training loss", lines, says)


def banded_loss(dossier: Dossier) -> Curve | None:
    """Loss on held-out pictures by noise level as a ratio to the base; on training pictures where none are held out."""
    losses = list(dossier.losses)
    base = next((one for one in losses if one.step == BASE), None)
    if base is None or len(losses) < 2:
        return None
    held = bool(base.held_out)
    lines = [line for band in BANDS if (line := banded(losses, base, held, *band)) is not None]
    if held and (beside := banded(losses, base, False, "training pictures, all levels", 0.0, 1.01, "d")):
        lines.append(beside)
    whose = "held-out" if held else "training"
    says = (
        "The same noise for every checkpoint. A line that turns upwards while the training pictures' goes on falling is"
        " learning by heart."
        if held
        else "No picture was held out: these are losses on training pictures, which fall even when learning by heart."
    )
    return drawn(dossier, f"Loss on {whose} pictures, relative to the base", lines, says, rule=1.0, rule_name="base")


def banded(
    losses: Sequence[Losses], base: Losses, held: bool, label: str, low: float, high: float, style: str
) -> Line | None:
    """One band's loss over the base's, by step; None when no level lies in the band."""

    def mean(one: Losses) -> float:
        values = one.held_out if held else one.train
        within = [value for level, value in zip(one.levels, values, strict=True) if low <= level < high]
        return sum(within) / len(within) if within else 0.0

    zero = mean(base)
    points = [(float(one.step), mean(one) / zero) for one in losses] if zero else []
    return Line(label, points, style, dots=True) if points else None


def likeness(dossier: Dossier) -> Curve | None:
    """Likeness with its interval, agreement and copying over the checkpoints, as the screen saw them."""
    stage: Stage = "screen" if dossier.stage("screen") else "grid"
    cards = one_a_step(dossier, stage)
    if len(cards) < 2:
        return None
    lines = [line for name, style in (("likeness", "a"), ("agreement", "b"), ("copying", "c"))
             if (line := measured(cards, name, style)).points]  # fmt: skip
    if not lines:
        return None
    lines[0] = replace(lines[0], band=interval(cards, "likeness") if lines[0].style == "a" else ())
    return drawn(dossier, "Scores over training", lines, "As the screen saw them, at one strength; step 0 is the base.")


def measured(cards: Sequence[Scorecard], name: str, style: str) -> Line:
    """A measure's means by step."""
    points = [(float(c.step), c.scores[name].mean) for c in cards if name in c.scores and c.scores[name].count]
    return Line(telling.within(name), points, style, dots=True)


def interval(cards: Sequence[Scorecard], name: str) -> list[tuple[float, float, float]]:
    """A measure's intervals by step."""
    found = ((c.step, c.scores[name]) for c in cards if name in c.scores and c.scores[name].count)
    return [(float(step), score.low, score.high) for step, score in found]


def drawn(
    dossier: Dossier, title: str, lines: Sequence[Line], says: str, rule: float | None = None, rule_name: str = ""
) -> Curve:
    """A curve with the chosen step marked."""
    choice = dossier.choice
    ends = ", ".join(f"{line.label} {line.points[0][1]:.3g} to {line.points[-1][1]:.3g}" for line in lines)
    last = max(x for line in lines for x, _ in line.points)
    chart = charts.chart(
        lines,
        says=f"{title} from step {min(line.points[0][0] for line in lines):.0f} to {last:.0f}: {ends}.",
        rule=rule,
        rule_name=rule_name,
        mark=float(choice.step) if choice else None,
        mark_name="chosen",
    )
    return Curve(title, chart, [(line.label, line.style) for line in lines], says)


def numbers(dossier: Dossier) -> Iterator[tuple[int, str, str]]:
    """What the curves show at each checkpoint, in numbers: step, smoothed training loss, held-out loss ratio."""
    points = [(float(event.step), event.loss) for event in steps_taken(dossier)]
    smooth = dict(charts.smoothed(points, max(5, round(len(points) / 20))))
    for step in dossier.run.steps():
        ratio = held_out(dossier, step)
        loss = smooth.get(float(step))
        yield step, "" if loss is None else f"{loss:.4f}", f"{ratio.mean:.3f}" if ratio.count else ""
