"""The face: features at longitudes of the head, of which 0 is the middle of the face."""

import math

import numpy as np

from portraitist.mini.pen import INK, Pen, blend, darker, heart, star
from portraitist.mini.scenes import EYES, HAIR, SKIN, Character, Colour, Context

DARK: Colour = (38, 32, 44)


def hair_colour(who: Character) -> Colour:
    """The colour of the hair by its word, or the mark that stands in for it."""
    return HAIR.get(who.hair, who.marks.hair or DARK)


def seen(pen: Pen, longitude: float, radius: float = 0.95) -> tuple[float, float]:
    """Where a longitude (degrees) of the head lies across, and how squarely it faces the viewer (<= 0: away)."""
    a = math.radians(longitude + pen.yaw)
    return radius * math.sin(a), math.cos(a)


def features(pen: Pen, who: Character, how: Context) -> None:
    """Cheeks, mark, eyes, brows, nose, mouth, glasses."""
    skin, mood = SKIN[who.skin], how.expression
    for side in (-1, 1):
        x, facing = seen(pen, side * 38)
        if facing > 0.2:
            pen.on("face").oval(x, 0.46, 0.18 * facing, 0.1, blend(skin, (240, 90, 100), 0.35), None)
    cheek_mark(pen, who)
    for side in (-1, 1):
        eye(pen, who, mood, side)
    nose, facing = seen(pen, 0, 1.0)
    tip = 0.1 * math.sin(math.radians(pen.yaw))
    pen.stroke([(nose - tip * 0.2, 0.3), (nose + tip + 0.03, 0.4), (nose - 0.02, 0.44)], darker(skin, 0.35), pen.line)
    mouth(pen, mood)
    glasses(pen, who)


def eye(pen: Pen, who: Character, mood: str, side: int) -> None:
    """One eye with its brow."""
    x, facing = seen(pen, side * 25)
    if facing < 0.2:
        return
    w, y, big = max(facing, 0.45), 0.1, who.build.eyes
    second = who.marks.eye
    iris = second if second is not None and side > 0 else EYES[who.eyes]
    pen.on("eyes")
    if mood in ("sleeping", "laughing") or (mood == "winking" and side > 0):
        dip = -0.13 if mood == "laughing" else 0.1
        pen.stroke(
            [(x - 0.21 * w, y + (0.04 if dip < 0 else 0)), (x, y + dip), (x + 0.21 * w, y + (0.04 if dip < 0 else 0))],
            INK,
            pen.line * 1.4,
        )
    else:
        tall = (0.32 if mood == "surprised" else 0.26) * big
        pen.oval(x, y, 0.21 * w * big, tall, (255, 255, 255))
        look = 0.05 * math.sin(math.radians(pen.yaw))
        pen.oval(x + look, y + 0.03, 0.155 * w * big, tall * 0.8, iris, None)
        pen.oval(x + look, y + 0.05, 0.075 * w * big, tall * 0.42, (25, 18, 30), None)
        pen.oval(x - 0.05 * w, y - 0.08, 0.055 * w, 0.065, (255, 255, 255), None)
    lift = y - 0.4 - (0.12 if mood == "surprised" else 0)
    tilt = {"angry": 0.13, "sad": -0.12}.get(mood, 0.0)
    brow = darker(hair_colour(who), 0.35)
    pen.stroke(
        [(x - side * 0.18 * w, lift + tilt), (x + side * 0.2 * w, lift - tilt)], brow, pen.line * 1.6, smooth=False
    )


def mouth(pen: Pen, mood: str) -> None:
    """What the mouth does."""
    x, facing = seen(pen, 0, 0.74)
    w, y = max(facing, 0.4), 0.66
    red: Colour = (150, 40, 50)
    pen.on("mouth")
    if mood in ("smiling", "winking"):
        pen.stroke([(x - 0.24 * w, y - 0.06), (x, y + 0.09), (x + 0.24 * w, y - 0.06)], INK, pen.line * 1.3)
    elif mood == "laughing":
        pen.shape(
            [(x - 0.29 * w, y - 0.09), (x + 0.29 * w, y - 0.09), (x + 0.15 * w, y + 0.2), (x - 0.15 * w, y + 0.2)], red
        )
    elif mood == "sad":
        pen.stroke([(x - 0.2 * w, y + 0.08), (x, y - 0.05), (x + 0.2 * w, y + 0.08)], INK, pen.line * 1.3)
    elif mood == "surprised":
        pen.oval(x, y + 0.04, 0.13 * w, 0.17, red)
    elif mood == "angry":
        pen.stroke([(x - 0.22 * w, y + 0.06), (x - 0.05 * w, y - 0.03), (x + 0.22 * w, y + 0.04)], INK, pen.line * 1.6)
    elif mood == "sleeping":
        pen.oval(x, y, 0.08 * w, 0.07, (150, 60, 60), width=0.7)
    else:
        pen.stroke([(x - 0.16 * w, y), (x + 0.16 * w, y)], INK, pen.line * 1.3, smooth=False)


def glasses(pen: Pen, who: Character) -> None:
    """Round glasses or sunglasses."""
    if who.accessory not in ("round glasses", "sunglasses"):
        return
    pen.on("accessory")
    middles = []
    for side in (-1, 1):
        x, facing = seen(pen, side * 26, 0.98)
        if facing < 0.2:
            continue
        w = max(facing, 0.45)
        middles.append(x)
        if who.accessory == "sunglasses":
            pen.oval(x, 0.1, 0.33 * w, 0.28, (30, 28, 40))
            pen.stroke([(x - 0.12 * w, 0.0), (x, -0.06)], (150, 150, 170), pen.line)
        else:
            t = np.linspace(0, 2 * math.pi, 24)
            pen.stroke(
                np.stack([x + 0.31 * w * np.cos(t), 0.1 + 0.31 * np.sin(t)], 1), DARK, pen.line * 1.4, smooth=False
            )
    if len(middles) == 2:
        pen.stroke([(middles[0] + 0.3, 0.08), (middles[1] - 0.3, 0.08)], DARK, pen.line * 1.4, smooth=False)


def cheek_mark(pen: Pen, who: Character) -> None:
    """A mark on the left cheek."""
    colour = who.marks.cheek_colour
    x, facing = seen(pen, -40)
    if colour is None or facing < 0.25:
        return
    pen.on("face")
    if who.marks.cheek == "zigzag":
        pen.stroke(
            [(x - 0.12, 0.28), (x + 0.1, 0.4), (x - 0.1, 0.5), (x + 0.08, 0.66)], colour, 0.1 * pen.scale, smooth=False
        )
    elif who.marks.cheek == "star":
        star(pen, x, 0.46, 0.22, colour, None)
    elif who.marks.cheek == "heart":
        heart(pen, x, 0.46, 0.2, colour, None)
    elif who.marks.cheek == "stripes":
        for k in range(3):
            pen.stroke(
                [(x - 0.16, 0.34 + 0.12 * k), (x + 0.14, 0.38 + 0.12 * k)], colour, 0.075 * pen.scale, smooth=False
            )
    else:
        for a, b in ((-0.12, 0.38), (0.08, 0.38), (-0.02, 0.56)):
            pen.oval(x + a, b, 0.08, 0.08, colour, None)
