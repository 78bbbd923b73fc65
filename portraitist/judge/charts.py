"""Charts as inline SVG, drawn small: text in them is as large as text beside them at phone and at desktop width.

Colours are classes that the page's style fills in, so that a chart follows light and dark. Shapes in pixels of the
view box; y grows downwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT, TALL = 360, 236, 300
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 14, 34
ROOM = 24
"""Pixels above a scatter's frame, where the upright axis has its name."""

LETTER, LINE = 6.4, 13.0
"""About the width of a letter and the height of a line in a chart, in pixels: by them labels keep clear."""

MOST_POINTS = 240
"""Columns a long line is thinned to; each keeps its least and its most, so that no spike is lost."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    label   what it is, for the legend
    points  (x, y), by x ascending
    style   a class of the page: a, b, c or d for lines to be told apart, faint for what lies behind another
    dots    whether each point is marked: where points are few
    band    (x, low, high) of an interval around it
    """

    label: str
    points: Sequence[Point]
    style: str = "a"
    dots: bool = False
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of values and the pixels it is laid over; values beyond it are drawn at its end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) inside [low, high], about `count` of them."""
    if not math.isfinite(low) or not math.isfinite(high) or high <= low:
        return [low] if math.isfinite(low) else []
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / rough)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def number(value: float) -> str:
    """A tick's label: as short as it can be said."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def smoothed(points: Sequence[Point], span: float) -> list[Point]:
    """Exponential moving average over about `span` points, corrected for its start (Kingma & Ba 2015, section 3)."""
    keep, mean, weight, found = (max(span, 1) - 1) / (max(span, 1) + 1), 0.0, 0.0, []
    for x, y in points:
        mean = keep * mean + (1 - keep) * y
        weight = keep * weight + (1 - keep)
        found.append((x, mean / weight))
    return found


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most two points a column: the least and the most of it, in the order they came."""
    if len(points) <= 2 * most:
        return list(points)
    found: list[Point] = []
    for i in range(most):
        part = points[i * len(points) // most : (i + 1) * len(points) // most]
        ends = {part.index(min(part, key=lambda p: p[1])), part.index(max(part, key=lambda p: p[1]))}
        found += [part[k] for k in sorted(ends)]
    return found


def extent(lines: Sequence[Line], rule: float | None) -> tuple[float, float]:
    """Least and most y to show: everything, but of a faint line only what nine points in ten keep to."""
    values = [] if rule is None else [rule]
    for line in lines:
        ys = sorted(y for _, y in line.points if math.isfinite(y))
        if line.style == "faint" and len(ys) >= 20:
            ys = [ys[len(ys) // 20], ys[-1 - len(ys) // 20]]
        values += ys + [edge for _, low, high in line.band for edge in (low, high) if math.isfinite(edge)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = (high - low) * 0.06 or max(abs(high) * 0.1, 1e-6)
    return low - room, high + room


def chart(
    lines: Sequence[Line],
    *,
    says: str,
    x_name: str = "step",
    rule: float | None = None,
    rule_name: str = "",
    mark: float | None = None,
    mark_name: str = "",
) -> Markup:
    """Lines over common axes.

    says  what a person who cannot see it is told
    rule  a y to rule across, such as the base; mark: an x to mark, such as the choice
    """
    lines = [line for line in lines if line.points]
    xs = [x for line in lines for x, _ in line.points]
    if not xs:
        return Markup("")
    low, high = extent(lines, rule)
    right = max(xs) if max(xs) > min(xs) else min(xs) + 1
    across = Scale(min(xs), right, LEFT, WIDTH - RIGHT)
    down = Scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [*axes(across, down, x_name)]
    if rule is not None:
        y = down(rule)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        if rule_name:
            above = y - 5 if y > TOP + 16 else y + 13
            parts.append(f'<text x="{LEFT + 4}" y="{above:.1f}">{escape(rule_name)}</text>')
    if mark is not None and across.low <= mark <= across.high:
        parts.append(marked(across(mark), mark_name))
    parts += [drawn(line, across, down) for line in lines]
    body = "".join(parts)
    opening = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(says)}">'
    return Markup(f"{opening}{body}</svg>")  # every word in it is escaped


def axes(across: Scale, down: Scale, x_name: str, height: int = HEIGHT) -> list[str]:
    """Ruled y ticks, x ticks, and the name of the x axis."""
    parts = []
    for value in ticks(down.low, down.high, 5):
        y = down(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick y" x="{LEFT - 7}" y="{y + 3.5:.1f}">{number(value)}</text>')
    base = height - BOTTOM
    for value in ticks(across.low, across.high, 4):
        parts.append(f'<text class="tick x" x="{across(value)}" y="{base + 15}">{number(value)}</text>')
    parts.append(f'<text class="tick x" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 4}">{escape(x_name)}</text>')
    return parts


def marked(x: float, name: str) -> str:
    """An upright line with a word on top, kept inside the frame."""
    anchor = "start" if x < WIDTH / 2 else "end"
    beside = x + 4 if anchor == "start" else x - 4
    return (
        f'<line class="mark" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="marked" x="{beside}" y="{TOP + 1}" text-anchor="{anchor}">{escape(name)}</text>'
    )


def drawn(line: Line, across: Scale, down: Scale) -> str:
    """A line with its band and dots."""
    style, parts = escape(line.style), []
    points = [(x, y) for x, y in thinned(line.points) if math.isfinite(y)]
    if line.band:
        upper = [f"{across(x)},{down(high)}" for x, _, high in line.band]
        lower = [f"{across(x)},{down(low)}" for x, low, _ in reversed(line.band)]
        parts.append(f'<polygon class="band {style}" points="{" ".join(upper + lower)}"/>')
    path = " ".join(f"{across(x)},{down(y)}" for x, y in points)
    parts.append(f'<polyline class="line {style}" points="{path}"/>')
    if line.dots or len(points) == 1:
        parts += [f'<circle class="dot {style}" cx="{across(x)}" cy="{down(y)}" r="2.6"/>' for x, y in points]
    return "".join(parts)


def gauge(low: float, value: float, high: float, base: float | None, ends: Point, says: str) -> Markup:
    """A score on its range: a dot with its interval, and a tick where the base is; 240 x 22."""
    shown = [low, value, high, *([] if base is None else [base])]
    scale = Scale(min([ends[0], *shown]), max([ends[1], *shown]), 5, 235)
    parts = ['<line class="track" x1="5" x2="235" y1="11" y2="11"/>']
    if base is not None:
        x = scale(base)
        parts.append(f'<line class="zero" x1="{x}" x2="{x}" y1="3" y2="19"/>')
    parts.append(f'<line class="spread" x1="{scale(low)}" x2="{scale(high)}" y1="11" y2="11"/>')
    parts.append(f'<circle class="value" cx="{scale(value)}" cy="11" r="5"/>')
    opening = f'<svg class="gauge" viewBox="0 0 240 22" role="img" aria-label="{escape(says)}">'
    return Markup(f"{opening}{''.join(parts)}</svg>")


@dataclass(frozen=True, slots=True)
class Spot:
    """One point of a scatter.

    kind   a class of the page: chosen, front, out (hollow), or "" for any other
    label  what stands beside it where there is room; says: what it is, when it is pointed at or heard
    across, upright  the interval of x and of y; () where none is drawn
    """

    x: float
    y: float
    says: str
    label: str = ""
    kind: str = ""
    across: Point | tuple[()] = ()
    upright: Point | tuple[()] = ()


def scatter(spots: Sequence[Spot], front: Sequence[Point], *, x_name: str, y_name: str, says: str) -> Markup:
    """Points over two axes of which more is better on both, with the front as a line through points (x, y)."""
    if not spots:
        return Markup("")
    xs = [x for spot in spots for x in (spot.x, *spot.across)]
    ys = [y for spot in spots for y in (spot.y, *spot.upright)]
    across = Scale(*roomy(min(xs), max(xs)), LEFT, WIDTH - RIGHT)
    down = Scale(*roomy(min(ys), max(ys)), TALL - BOTTOM, ROOM)
    parts = [*axes(across, down, x_name, TALL), f'<text class="tick" x="4" y="12">{escape(y_name)}</text>']
    strokes: list[Box] = []
    for spot in spots:
        x, y = across(spot.x), down(spot.y)
        if spot.across:
            strokes.append((across(spot.across[0]), y, across(spot.across[1]), y))
        if spot.upright:
            strokes.append((x, down(spot.upright[1]), x, down(spot.upright[0])))
    parts += [whisker(*stroke) for stroke in strokes]
    if len(front) > 1:
        placed = [(across(x), down(y)) for x, y in front]
        path = " ".join(f"{x},{y}" for x, y in placed)
        parts.append(f'<polyline class="line a" points="{path}"/>')
        strokes += dotted(placed)
    for spot in sorted(spots, key=lambda spot: spot.kind == "chosen"):  # the chosen last: nothing lies over it
        size = 5.5 if spot.kind == "chosen" else 4
        parts.append(
            f'<circle class="spot {escape(spot.kind)}" cx="{across(spot.x)}" cy="{down(spot.y)}" r="{size}">'
            f"<title>{escape(spot.says)}</title></circle>"
        )
    parts += labels([(across(spot.x), down(spot.y), spot) for spot in spots], strokes)
    opening = f'<svg viewBox="0 0 {WIDTH} {TALL}" role="img" aria-label="{escape(says)}">'
    return Markup(f"{opening}{''.join(parts)}</svg>")


def dotted(line: Sequence[Point]) -> list["Box"]:
    """A line through points of a chart as boxes without size, a letter apart at most."""
    found = []
    for (x1, y1), (x2, y2) in pairwise(line):
        count = max(1, math.ceil(math.hypot(x2 - x1, y2 - y1) / LETTER))
        shares = [i / count for i in range(count + 1)]
        found += [(x1 + (x2 - x1) * s, y1 + (y2 - y1) * s) * 2 for s in shares]
    return found


def whisker(x1: float, y1: float, x2: float, y2: float) -> str:
    """An interval."""
    return f'<line class="whisker" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def roomy(low: float, high: float) -> Point:
    """A range with some room at both ends, also where it is a single value."""
    room = (high - low) * 0.08 or max(abs(high) * 0.05, 0.01)
    return low - room, high + room


def labels(placed: Sequence[tuple[float, float, Spot]], strokes: Sequence["Box"] = ()) -> list[str]:
    """Labels (x, y, spot) beside their points, each where it covers neither a point nor another label, nor leaves the
    frame; one that finds no place is left out, the chosen's never. `strokes` are boxes of what else a label may not
    cover."""
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y, _ in placed] + list(strokes)
    parts = []
    for x, y, spot in sorted(placed, key=lambda p: p[2].kind != "chosen"):
        if not spot.label:
            continue
        wide = LETTER * len(spot.label)
        left, middle, right = x - 9 - wide, x - wide / 2, x + 9
        places = [(right, y + 4), (middle, y - 9), (middle, y + 17), (left, y + 4)]
        places += [(a, b) for b in (y - 7, y + 15) for a in (right, left)]
        places = [(min(max(a, LEFT), WIDTH - wide), b) for a, b in places]
        boxes = [(a, b - LINE + 3, a + wide, b + 3) for a, b in places]
        free = [i for i, box in enumerate(boxes) if box[1] > ROOM - 12 and box[3] < TALL - BOTTOM and clear(box, taken)]
        if not free and spot.kind != "chosen":
            continue
        chosen = free[0] if free else 0
        taken.append(boxes[chosen])
        a, b = places[chosen]
        style = "marked" if spot.kind == "chosen" else "tick"
        parts.append(f'<text class="{style}" x="{a:.1f}" y="{b:.1f}">{escape(spot.label)}</text>')
    return parts


Box = tuple[float, float, float, float]


def clear(box: Box, taken: Sequence[Box]) -> bool:
    """Whether a box (left, top, right, bottom) overlaps none of those taken."""
    return all(box[2] <= t[0] or box[0] >= t[2] or box[3] <= t[1] or box[1] >= t[3] for t in taken)
