"""A scene to pixels: background, figure, light; with the truth about what every pixel shows."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from portraitist.mini.backgrounds import backdrop
from portraitist.mini.body import figure
from portraitist.mini.hats import headgear
from portraitist.mini.head import hair_before, hair_behind, head
from portraitist.mini.pen import Pen, turned
from portraitist.mini.scenes import VIEWS, Character, Scene

SIDE, FINE = 128, 3
STANDS = {"close-up": (0.285, 0.53), "half body": (0.185, 0.36), "full body": (0.128, 0.29)}
"""By framing: the head's radius, and how far down its middle is, as shares of the picture's side."""

TINTS = {
    "soft light": (1.0, 1.0, 1.0), "warm light": (1.06, 0.93, 0.72), "cool light": (0.8, 0.94, 1.1),
    "side light": (1.0, 1.0, 1.0), "dim light": (0.58, 0.58, 0.7),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """pixels (S, S, 3) uint8; mask (S, S) uint8, 255 where the subject is; parts (S, S) uint8, numbers of PARTS."""

    pixels: np.ndarray
    mask: np.ndarray
    parts: np.ndarray


def draw(scene: Scene, side: int = SIDE) -> Drawn:
    """The picture of a scene; a pure function of it."""
    chance, how = random.Random(scene.seed), scene.context
    wide = side * FINE
    canvas = backdrop(how.background, wide, chance)
    pen = Pen(wide, FINE, how.style)
    size, height = STANDS[how.framing]
    pen.yaw = VIEWS[how.view] + chance.uniform(-9, 9)
    pen.scale = wide * size * chance.uniform(0.95, 1.05)
    pen.line = max(2.0, pen.scale * 0.052 + wide * 0.0022)
    pen.origin = np.array([wide * (0.5 + chance.uniform(-0.04, 0.04)), wide * (height + chance.uniform(-0.025, 0.025))])
    lean, nod = chance.uniform(-4, 4), chance.uniform(-6, 6)
    person(pen, scene, lean, nod)
    canvas.paste(pen.image, (0, 0), pen.image)
    light = np.array(TINTS[how.light], np.float32)
    pixels = np.asarray(canvas.reduce(FINE), np.float32) * light
    if how.light == "side light":
        pixels = pixels * np.linspace(1.12, 0.48, side, dtype=np.float32)[None, :, None]
    mask = np.asarray(pen.image.getchannel("A").reduce(FINE))
    return Drawn(np.clip(pixels, 0, 255).astype(np.uint8), mask, np.asarray(pen.parts) * (mask > 127))


def person(pen: Pen, scene: Scene, lean: float, nod: float) -> None:
    """The whole figure; a second hair colour is drawn over the first, left of the middle of the head excepted."""
    who, how = scene.character, scene.context
    turn = math.radians(pen.yaw)
    pen.tilt = turned(lean + nod)
    hair_behind(pen, who)
    second_hair(pen, who, hair_behind)
    pen.tilt = turned(lean)
    figure(pen, who, how)
    pen.tilt = turned(lean + nod)
    head(pen, who, how)
    if who.marks.hair is not None:
        before = pen.image.copy()
        head(pen, dyed(who), how)
        pen.image.paste(before, (0, 0), Image.eval(half(pen, turn), lambda value: 255 - value))
    hair_before(pen, who)
    second_hair(pen, who, hair_before)
    headgear(pen, who)


def dyed(who: Character) -> Character:
    """The character with all hair in the second colour."""
    return replace(who, hair="second")


def second_hair(pen: Pen, who: Character, part: Callable[[Pen, Character], None]) -> None:
    """Draw a part of the hair again in the second colour, on its half."""
    if who.marks.hair is None:
        return
    pen.masked(half(pen, math.radians(pen.yaw)), lambda inner: part(inner, dyed(who)))


def half(pen: Pen, turn: float) -> Image.Image:
    """White on the half of the canvas where the second hair colour is: the figure's left, wherever it is turned."""
    across = (np.arange(pen.side)[None, :] - pen.origin[0]) * pen.tilt[0, 0] + (
        np.arange(pen.side)[:, None] - pen.origin[1]
    ) * pen.tilt[1, 0]
    middle = math.sin(turn) * 0.9 * pen.scale
    right = across > middle if math.cos(turn) >= 0 else across < middle
    return Image.fromarray((right * 255).astype(np.uint8), "L")
