"""Drawing with outlines, in a figure's own coordinates, on a large canvas that is made small at the end.

Figure coordinates: x to the right, y down, z towards the viewer before the figure is turned; the head is a ball of
radius 1 about the origin, the feet are near y = 4.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from portraitist.mini.scenes import Colour

Points = Sequence[Sequence[float]] | np.ndarray
INK: Colour = (52, 36, 48)

PARTS = ("background", "hair", "face", "eyes", "mouth", "neck", "torso", "arm", "hand", "leg", "foot", "accessory")
"""What a pixel shows; the ground truth that comes with every drawing."""


def blend(a: Colour, b: Colour, share: float) -> Colour:
    """Between two colours: 0 is the first, 1 the second."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float = 0.25) -> Colour:
    """Towards a dark violet."""
    return blend(colour, (30, 15, 40), share)


def lighter(colour: Colour, share: float = 0.3) -> Colour:
    """Towards white."""
    return blend(colour, (255, 255, 255), share)


def rounded(points: Points, closed: bool = True, each: int = 6) -> np.ndarray:
    """A smooth curve through points (N, 2), `each` points a stretch (Catmull-Rom)."""
    given = np.asarray(points, float)
    ring = np.vstack([given[-1:], given, given[:2]]) if closed else np.vstack([given[:1], given, given[-1:]])
    t = np.linspace(0, 1, each, endpoint=False)[:, None]
    parts = []
    for i in range(1, len(ring) - 2):
        a, b, c, d = ring[i - 1], ring[i], ring[i + 1], ring[i + 2]
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.vstack(parts if closed else [*parts, given[-1:]])


def turned(degrees: float) -> np.ndarray:
    """The matrix of a turn in the picture's plane."""
    a = math.radians(degrees)
    return np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])


class Pen:
    """A transparent canvas, and where and how large the figure stands on it.

    side   of the canvas in pixels
    fine   pixels of the canvas per pixel of the finished picture
    style  "ink style" draws dark outlines, "pastel style" ones of the shape's own darker colour, and paler fills
    """

    def __init__(self, side: int, fine: int, style: str) -> None:
        self.side, self.fine, self.pastel = side, fine, style == "pastel style"
        self.image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self.parts = Image.new("L", (side // fine, side // fine), 0)
        self.canvas, self.labels = ImageDraw.Draw(self.image), ImageDraw.Draw(self.parts)
        self.origin, self.scale, self.tilt = np.zeros(2), 1.0, np.eye(2)
        self.line, self.part, self.yaw = 1.0, 0, 0.0

    def on(self, part: str) -> "Pen":
        """Let what is drawn from here on count as `part`."""
        self.part = PARTS.index(part)
        return self

    def placed(self, points: Points) -> list[tuple[float, float]]:
        """Canvas pixels of figure points (N, 2)."""
        found = np.asarray(points, float) @ self.tilt.T * self.scale + self.origin
        return [(float(x), float(y)) for x, y in found]

    def spot(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """A point of the turned figure: x, y as seen, and how much it faces the viewer (> 0: seen)."""
        a = math.radians(self.yaw)
        return x * math.cos(a) + z * math.sin(a), y, z * math.cos(a) - x * math.sin(a)

    def fill(self, colour: Colour) -> Colour:
        """A fill in this drawing's style."""
        return lighter(colour, 0.14) if self.pastel else colour

    def edge(self, colour: Colour, line: Colour | None) -> Colour | None:
        """An outline in this drawing's style."""
        return darker(colour, 0.3) if self.pastel and line is not None else line

    def shape(
        self, points: Points, colour: Colour, line: Colour | None = INK, width: float = 1.0, smooth: bool = True
    ) -> None:
        """A filled shape, outlined unless `line` is None."""
        where = self.placed(rounded(points) if smooth else points)
        self.canvas.polygon(where, fill=self.fill(colour))
        edge = self.edge(colour, line)
        if edge is not None:
            self.canvas.line([*where, where[0], where[1]], edge, max(1, round(self.line * width)), joint="curve")
        self.labels.polygon([(x / self.fine, y / self.fine) for x, y in where], fill=self.part)

    def oval(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, line: Colour | None = INK, width: float = 1.0
    ) -> None:
        """A filled ellipse."""
        t = np.linspace(0, 2 * math.pi, 24, endpoint=False)
        self.shape(np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1), colour, line, width, smooth=False)

    def stroke(self, points: Points, colour: Colour, width: float, smooth: bool = True) -> None:
        """A round-ended line; `width` in canvas pixels."""
        where, wide = self.placed(rounded(points, closed=False) if smooth else points), max(1, round(width))
        self.canvas.line(where, colour, wide, joint="curve")
        for x, y in (where[0], where[-1]):
            self.canvas.ellipse([x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2], fill=colour)
        if wide >= 2 * self.fine:
            small = [(x / self.fine, y / self.fine) for x, y in where]
            self.labels.line(small, self.part, max(1, round(wide / self.fine)), joint="curve")

    def limb(self, points: Points, colour: Colour, thick: float) -> None:
        """An outlined thick line; `thick` in figure units."""
        edge = self.edge(colour, INK) or INK
        self.stroke(points, edge, thick * self.scale + 2 * self.line)
        self.stroke(points, self.fill(colour), thick * self.scale)

    def within(self, points: Points, paint: Callable[["Pen"], None], smooth: bool = True) -> None:
        """Paint only inside a shape: what `paint` draws outside of it is lost."""
        stencil = Image.new("L", self.image.size, 0)
        ImageDraw.Draw(stencil).polygon(self.placed(rounded(points) if smooth else points), fill=255)
        self.masked(stencil, paint)

    def masked(self, stencil: Image.Image, paint: Callable[["Pen"], None]) -> None:
        """Paint only where `stencil` (L, of the canvas' size) lets through."""
        other = Pen(self.side, self.fine, "pastel style" if self.pastel else "ink style")
        other.origin, other.scale, other.tilt, other.line, other.yaw = (
            self.origin, self.scale, self.tilt, self.line, self.yaw,
        )  # fmt: skip
        paint(other)
        clear = Image.new("RGBA", self.image.size, (0, 0, 0, 0))
        self.image.alpha_composite(Image.composite(other.image, clear, stencil))


def star(pen: Pen, x: float, y: float, radius: float, colour: Colour, line: Colour | None = INK, rays: int = 5) -> None:
    """A star about (x, y)."""
    t = np.arange(2 * rays) * math.pi / rays - math.pi / 2
    r = np.where(np.arange(2 * rays) % 2 == 0, radius, radius * 0.45)
    pen.shape(np.stack([x + r * np.cos(t), y + r * np.sin(t)], 1), colour, line, 0.6, smooth=False)


def heart(pen: Pen, x: float, y: float, radius: float, colour: Colour, line: Colour | None = INK) -> None:
    """A heart about (x, y)."""
    outline = [(0, 0.95), (-0.9, 0.0), (-0.75, -0.65), (-0.3, -0.7), (0, -0.3), (0.3, -0.7), (0.75, -0.65), (0.9, 0.0)]
    pen.shape([(x + a * radius, y + b * radius) for a, b in outline], colour, line, 0.6, smooth=False)
