"""Clothes: what makes an outfit that outfit, and the marks that can lie on it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from portraitist.mini.pen import INK, Pen, darker, heart, lighter, star
from portraitist.mini.scenes import CLOTH, SKIN, Character, Colour, Marks

Line = list[tuple[float, float]]

WHITE: Colour = (248, 248, 246)


@dataclass(frozen=True, slots=True)
class Cut:
    """What an outfit is cut to: its cloth, the chest's width, and whether the front is seen.

    shift  of the middle of the front across; slim is the width of what lies there
    """

    cloth: Colour
    skin: Colour
    width: float
    front: bool
    shift: float
    slim: float

    def here(self, points: Line) -> Line:
        """Points of the front, as it is turned."""
        return [(x * self.slim + self.shift, y) for x, y in points]

    def wide(self, points: Line) -> Line:
        """Points around the chest."""
        return [(x * self.width, y) for x, y in points]


def striped(pen: Pen, cut: Cut) -> None:
    """Pale stripes."""
    for k in range(4):
        y = 1.3 + 0.3 * k
        stripe = cut.wide([(-0.59, y), (0.59, y), (0.58, y + 0.13), (-0.58, y + 0.13)])
        pen.shape(stripe, (246, 242, 232), None, smooth=False)


def overalls(pen: Pen, cut: Cut) -> None:
    """A bib with straps."""
    pen.shape(cut.wide([(-0.45, 1.6), (0.45, 1.6), (0.62, 2.55), (-0.62, 2.55)]), cut.cloth, smooth=False)
    for side in (-1, 1):
        strap = cut.wide([(side * 0.42, 1.05), (side * 0.36, 1.65)])
        pen.stroke(strap, cut.cloth, 0.14 * pen.scale, smooth=False)


def robe(pen: Pen, cut: Cut) -> None:
    """A golden belt, and a pale border down the front."""
    pen.stroke(cut.wide([(-0.6, 2.05), (0.6, 2.05)]), (236, 196, 80), 0.15 * pen.scale, smooth=False)
    if cut.front:
        border = cut.here([(-0.12, 1.0), (0.12, 1.0), (0.2, 3.6), (-0.2, 3.6)])
        pen.shape(border, lighter(cut.cloth, 0.45), width=0.6, smooth=False)


def dress(pen: Pen, cut: Cut) -> None:
    """A pale belt."""
    pen.stroke(cut.wide([(-0.46, 1.85), (0.46, 1.85)]), lighter(cut.cloth, 0.55), 0.14 * pen.scale, smooth=False)


def hoodie(pen: Pen, cut: Cut) -> None:
    """A hood about the neck, and a pocket."""
    hood = [(-0.46, 1.04), (0, 1.36 if cut.front else 1.6), (0.46, 1.04), (0.3, 0.92), (-0.3, 0.92)]
    pen.shape(hood, darker(cut.cloth, 0.25))
    if cut.front:
        pocket = cut.here([(-0.35, 1.95), (0.35, 1.95), (0.42, 2.32), (-0.42, 2.32)])
        pen.shape(pocket, darker(cut.cloth, 0.15), width=0.7, smooth=False)


def suit(pen: Pen, cut: Cut) -> None:
    """A shirt and a tie."""
    if cut.front:
        pen.shape(cut.here([(-0.27, 1.0), (0.27, 1.0), (0, 1.8)]), WHITE, width=0.7, smooth=False)
        tie = [(-0.08, 1.1), (0.08, 1.1), (0.11, 1.55), (0, 1.72), (-0.11, 1.55)]
        pen.shape(cut.here(tie), (60, 50, 66), width=0.5, smooth=False)


def jacket(pen: Pen, cut: Cut) -> None:
    """Open over a white shirt, with lapels."""
    if cut.front:
        pen.shape(cut.here([(-0.2, 1.0), (0.2, 1.0), (0.2, 2.46), (-0.2, 2.46)]), WHITE, width=0.8, smooth=False)
        for side in (-1, 1):
            lapel = cut.here([(side * 0.2, 1.0), (side * 0.5, 1.1), (side * 0.2, 1.6)])
            pen.shape(lapel, darker(cut.cloth, 0.2), width=0.7, smooth=False)


def shirt(pen: Pen, cut: Cut) -> None:
    """A neckline."""
    if cut.front:
        neckline = cut.here([(-0.28, 0.98), (0.28, 0.98), (0.2, 1.16), (-0.2, 1.16)])
        pen.shape(neckline, darker(cut.skin, 0.05), width=0.7)


DETAILS: Mapping[str, Callable[[Pen, Cut], None]] = {
    "striped sweater": striped, "overalls": overalls, "robe": robe, "dress": dress, "hoodie": hoodie, "suit": suit,
    "jacket": jacket, "t-shirt": shirt,
}  # fmt: skip


def details(pen: Pen, who: Character, width: float) -> None:
    """What makes an outfit that outfit. Some of it is on the front alone."""
    turn = math.radians(pen.yaw)
    slim = width * max(abs(math.cos(turn)), 0.35)
    cut = Cut(CLOTH[who.cloth], SKIN[who.skin], width, math.cos(turn) > 0, 0.4 * math.sin(turn), slim)
    DETAILS[who.outfit](pen, cut)


def pattern(pen: Pen, marks: Marks) -> None:
    """The pattern, for the clothes of the torso."""
    colour = marks.pattern_colour or INK
    if marks.pattern == "checks":
        for i in range(-4, 5):
            for j in range(10):
                if (i + j) % 2:
                    x, y = i * 0.32, 0.9 + j * 0.32
                    pen.shape([(x, y), (x + 0.32, y), (x + 0.32, y + 0.32), (x, y + 0.32)], colour, None, smooth=False)
    elif marks.pattern == "chevrons":
        for j in range(7):
            y = 1.1 + j * 0.45
            points = [(-1.2, y), (-0.6, y + 0.28), (0, y), (0.6, y + 0.28), (1.2, y)]
            pen.stroke(points, colour, 0.15 * pen.scale, smooth=False)
    else:
        for j in range(8):
            for i in range(-3, 4):
                x, y = (i + 0.5 * (j % 2)) * 0.42, 1.05 + j * 0.36
                if marks.pattern == "stars":
                    star(pen, x, y, 0.16, colour, None)
                else:
                    pen.oval(x, y, 0.11, 0.11, colour, None)


def emblem(pen: Pen, marks: Marks) -> None:
    """A sign on a white field on the chest."""
    x, y, seen = pen.spot(0.0, 1.66, 0.5)
    if marks.emblem_colour is None or seen <= 0.12:
        return
    colour = marks.emblem_colour
    pen.on("torso").oval(x, y, 0.36 * max(seen * 2, 0.6), 0.36, (250, 250, 246), width=0.7)
    if marks.emblem == "star":
        star(pen, x, y, 0.3, colour, None)
    elif marks.emblem == "heart":
        heart(pen, x, y, 0.27, colour, None)
    elif marks.emblem == "moon":
        pen.oval(x, y, 0.26, 0.26, colour, None)
        pen.oval(x + 0.13, y - 0.06, 0.21, 0.21, (250, 250, 246), None)
    elif marks.emblem == "bolt":
        bolt = [(0.1, -0.3), (-0.18, 0.06), (0.0, 0.06), (-0.1, 0.32), (0.2, -0.06), (0.03, -0.06)]
        pen.shape([(x + a, y + b) for a, b in bolt], colour, None, smooth=False)
    elif marks.emblem == "ring":
        pen.oval(x, y, 0.27, 0.27, colour, None)
        pen.oval(x, y, 0.13, 0.13, (250, 250, 246), None)
    else:
        for a, b in ((0.28, 0.1), (0.1, 0.28)):
            pen.shape([(x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b)], colour, None, smooth=False)
