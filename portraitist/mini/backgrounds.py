"""What stands behind the figure."""

import math
import random

import numpy as np
from PIL import Image, ImageDraw

from portraitist.mini.pen import blend, lighter
from portraitist.mini.scenes import Colour

PLAIN: dict[str, Colour] = {"plain blue": (150, 200, 240), "plain pink": (248, 190, 210), "plain gray": (190, 192, 198)}


class Board:
    """A square canvas addressed in shares of its side."""

    def __init__(self, side: int) -> None:
        self.side, self.image = side, Image.new("RGB", (side, side))
        self.canvas = ImageDraw.Draw(self.image)

    def shades(self, top: Colour, bottom: Colour, start: float = 0.0, end: float = 1.0) -> None:
        """Bands from one colour to another, downwards."""
        first, last, count = int(start * self.side), int(end * self.side), 24
        for i in range(count):
            y = (first + (last - first) * i // count, first + (last - first) * (i + 1) // count)
            self.canvas.rectangle([0, y[0], self.side, y[1]], fill=blend(top, bottom, i / (count - 1)))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A rectangle."""
        self.canvas.rectangle([v * self.side for v in (left, top, right, bottom)], fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A disc."""
        self.canvas.ellipse([v * self.side for v in (x - radius, y - radius, x + radius, y + radius)], fill=colour)

    def shape(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """A polygon."""
        self.canvas.polygon([(x * self.side, y * self.side) for x, y in points], fill=colour)


def backdrop(name: str, side: int, chance: random.Random) -> Image.Image:
    """(side, side) RGB of a background by name."""
    board = Board(side)
    if name in PLAIN:
        board.shades(lighter(PLAIN[name], 0.25), PLAIN[name])
    else:
        SCENERY[name](board, chance)
    return board.image


def forest(board: Board, chance: random.Random) -> None:
    """Firs on grass."""
    board.shades((190, 230, 200), (120, 185, 130))
    board.box(0, 0.72, 1, 1, (95, 155, 80))
    for i in range(6):
        x, tall, green = (i + chance.uniform(0.1, 0.9)) / 6, chance.uniform(0.35, 0.6), chance.random()
        colour = blend((40, 110, 65), (70, 150, 80), green)
        board.box(x - 0.02, 0.66, x + 0.02, 0.76, (105, 70, 45))
        for k in range(3):
            wide, low = 0.13 * (1 - 0.2 * k), 0.7 - tall * 0.25 * k
            board.shape([(x - wide, low), (x + wide, low), (x, low - tall * 0.45)], lighter(colour, 0.06 * k))


def city(board: Board, chance: random.Random) -> None:
    """Houses with lit windows above a street."""
    board.shades((170, 205, 235), (225, 230, 235))
    x = -0.02
    while x < 1:
        wide, tall = chance.uniform(0.12, 0.2), chance.uniform(0.35, 0.75)
        board.box(x, 0.85 - tall, x + wide, 0.85, blend((120, 125, 150), (165, 150, 160), chance.random()))
        for y in np.arange(0.88 - tall, 0.82, 0.085):
            for a in np.arange(x + 0.022, x + wide - 0.03, 0.06):
                board.box(float(a), float(y), float(a) + 0.028, float(y) + 0.04, (250, 235, 170))
        x += wide + 0.01
    board.box(0, 0.84, 1, 1, (110, 110, 118))


def beach(board: Board, chance: random.Random) -> None:
    """Sky, sea and sand, with a sun."""
    board.shades((140, 205, 245), (205, 235, 250), 0, 0.5)
    board.box(0, 0.5, 1, 0.7, (60, 150, 205))
    board.box(0, 0.68, 1, 1, (240, 220, 165))
    board.disc(chance.uniform(0.1, 0.9), 0.14, 0.08, (255, 240, 150))


def night(board: Board, chance: random.Random) -> None:
    """Stars and a crescent."""
    board.shades((20, 22, 60), (60, 50, 110))
    for _ in range(40):
        board.disc(chance.random(), chance.random(), chance.uniform(0.004, 0.01), (250, 245, 210))
    x = chance.choice([0.15, 0.82])
    board.disc(x, 0.16, 0.09, (250, 245, 215))
    board.disc(x + 0.04, 0.13, 0.08, (26, 27, 66))


def room(board: Board, chance: random.Random) -> None:
    """A wall with a window above a wooden floor."""
    board.box(0, 0, 1, 0.74, (238, 220, 190))
    board.box(0, 0.74, 1, 1, (170, 115, 75))
    x = chance.choice([0.05, 0.68])
    board.box(x, 0.12, x + 0.27, 0.46, (120, 80, 55))
    board.box(x + 0.02, 0.14, x + 0.25, 0.44, (165, 215, 245))
    board.box(x + 0.125, 0.14, x + 0.145, 0.44, (120, 80, 55))
    board.box(0, 0.72, 1, 0.75, (205, 180, 150))


def mountains(board: Board, chance: random.Random) -> None:
    """Two ranges with snow above a meadow."""
    board.shades((170, 210, 245), (230, 240, 248))
    for i, colour in enumerate([(150, 165, 195), (115, 135, 165)]):
        for k in range(3):
            x, tall = (k + chance.random()) / 3, chance.uniform(0.3, 0.48) * (1 - 0.2 * i)
            board.shape([(x - 0.32, 0.8), (x + 0.32, 0.8), (x, 0.8 - tall)], colour)
            snow = 0.8 - tall * 0.75
            board.shape([(x - 0.08, snow), (x + 0.08, snow), (x, 0.8 - tall)], (245, 248, 252))
    board.box(0, 0.78, 1, 1, (120, 170, 100))


def sunset(board: Board, chance: random.Random) -> None:
    """A low sun over dark hills."""
    board.shades((110, 60, 130), (250, 150, 90), 0, 0.7)
    board.disc(chance.uniform(0.25, 0.75), 0.57, 0.15, (255, 220, 120))
    hill = [(k / 12, 0.7 - 0.03 * math.sin(k * 1.1 + chance.random())) for k in range(13)]
    board.shape([*hill, (1, 1), (0, 1)], (90, 50, 80))


SCENERY = {
    "forest": forest, "city": city, "beach": beach, "night sky": night, "room": room, "mountains": mountains,
    "sunset": sunset,
}  # fmt: skip
