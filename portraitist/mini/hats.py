"""What is worn on the head: hats that captions name, and hats that are a mark."""

from collections.abc import Callable, Mapping

import numpy as np

from portraitist.mini.face import DARK, seen
from portraitist.mini.pen import INK, Pen, darker, lighter, star
from portraitist.mini.scenes import CLOTH, Character, Colour

Hat = Callable[[Pen, Colour, float, float], None]


def top_hat(pen: Pen, cloth: Colour, wide: float, lean: float) -> None:
    """Tall, with a band."""
    tall = [(-0.62 + lean, -0.85), (-0.66 + lean, -1.75), (0.66 + lean, -1.75), (0.62 + lean, -0.85)]
    band = [(-0.62 + lean, -1.0), (0.62 + lean, -1.0), (0.63 + lean, -1.2), (-0.63 + lean, -1.2)]
    pen.shape(tall, cloth, smooth=False)
    pen.oval(lean, -0.8, 1.08 * wide, 0.2, cloth)
    pen.shape(band, lighter(cloth, 0.55), width=0.5, smooth=False)


def beanie(pen: Pen, cloth: Colour, wide: float, lean: float) -> None:
    """Woollen, with a brim and a bobble."""
    pen.shape([(-1.05 * wide, -0.38), (-0.94, -1.0), (0, -1.38), (0.94, -1.0), (1.05 * wide, -0.38)], cloth)
    brim = [(-1.1 * wide, -0.32), (1.1 * wide, -0.32), (1.06 * wide, -0.6), (-1.06 * wide, -0.6)]
    pen.shape(brim, lighter(cloth, 0.4), smooth=False)
    pen.oval(0, -1.4, 0.22, 0.22, lighter(cloth, 0.65))


def headphones(pen: Pen, cloth: Colour, wide: float, lean: float) -> None:
    """A band over the head and a shell at each ear that is seen."""
    t = np.linspace(np.pi, 2 * np.pi, 20)
    pen.stroke(np.stack([1.1 * wide * np.cos(t), 1.16 * np.sin(t)], 1), cloth, 0.15 * pen.scale, smooth=False)
    for side in (-1, 1):
        x, facing = seen(pen, side * 90, 1.06 * wide)
        if facing > -0.5:
            pen.oval(x, 0.1, 0.14 + 0.2 * max(facing, 0.3), 0.36, cloth)


def bow(pen: Pen, cloth: Colour, wide: float, lean: float) -> None:
    """Two loops and a knot."""
    for side in (-1, 1):
        loop = [(lean, -1.0), (lean + side * 0.55, -1.36), (lean + side * 0.57, -0.76)]
        pen.shape(loop, cloth, smooth=False)
    pen.oval(lean, -1.03, 0.14, 0.14, darker(cloth, 0.18))


def crown(pen: Pen, cloth: Colour, wide: float, lean: float) -> None:
    """Gold, whatever the cloth, with a red stone."""
    rim = [(-0.7, -0.8), (-0.8, -1.45), (-0.38, -1.1), (0, -1.55), (0.38, -1.1), (0.8, -1.45), (0.7, -0.8)]
    pen.shape([(x + lean, y) for x, y in rim], (250, 210, 70), smooth=False)
    pen.oval(lean, -1.0, 0.11, 0.11, (220, 50, 70), width=0.5)


def witch_hat(pen: Pen, cloth: Colour, wide: float, lean: float) -> None:
    """Pointed and bent, with a wide brim."""
    cone = [(-0.68 + lean, -0.78), (-0.3, -1.4), (0.25, -2.0), (0.35, -1.4), (0.68 + lean, -0.78)]
    band = [(-0.64 + lean, -0.84), (0.64 + lean, -0.84), (0.55 + lean, -1.05), (-0.53 + lean, -1.05)]
    pen.shape(cone, cloth, smooth=False)
    pen.oval(lean, -0.74, 1.28 * wide, 0.2, cloth)
    pen.shape(band, (246, 216, 90), width=0.5, smooth=False)


NAMED: Mapping[str, Hat] = {
    "top hat": top_hat, "beanie": beanie, "headphones": headphones, "bow": bow, "crown": crown,
    "witch hat": witch_hat,
}  # fmt: skip


def headgear(pen: Pen, who: Character) -> None:
    """Whatever the character wears on its head."""
    lean = 0.1 * float(np.sin(np.radians(pen.yaw)))
    pen.on("accessory")
    if who.accessory in NAMED:
        NAMED[who.accessory](pen, CLOTH[who.accessory_cloth], who.build.face, lean)
    colour = who.marks.hat_colour
    if colour is None:
        return
    if who.marks.hat.endswith("cap"):
        cap(pen, who, colour)
    elif who.marks.hat == "halo":
        halo(pen, colour)
    else:
        sprouts(pen, who.marks.hat, colour)


def cap(pen: Pen, who: Character, colour: Colour) -> None:
    """A peaked cap, with a propeller on top or a starred badge in front."""
    x, facing = seen(pen, 0, 0.35)
    wide, second = who.build.face, who.marks.badge_colour or lighter(colour, 0.6)
    dome = [(-1.06 * wide, -0.42), (-0.92, -1.0), (0, -1.34), (0.92, -1.0), (1.06 * wide, -0.42)]
    pen.shape([*dome, (0.5, -0.55), (-0.5, -0.55)], colour)
    if facing > -0.2:
        pen.oval(x * 1.5, -0.5, 0.9, 0.17, darker(colour, 0.2))
    if who.marks.hat == "propeller cap":
        pen.stroke([(0, -1.3), (0, -1.55)], DARK, pen.line * 1.5, smooth=False)
        for side in (-1, 1):
            pen.oval(side * 0.36, -1.58, 0.34, 0.11, second)
    elif facing > 0:
        pen.oval(x, -0.9, 0.29, 0.29, (250, 250, 250), width=0.6)
        star(pen, x, -0.89, 0.26, second, None)


def halo(pen: Pen, colour: Colour) -> None:
    """A ring above the head."""
    t = np.linspace(0, 2 * np.pi, 26)
    ring = np.stack([0.75 * np.cos(t), -1.42 + 0.2 * np.sin(t)], 1)
    pen.stroke(ring, INK, 0.13 * pen.scale + 2 * pen.line, smooth=False)
    pen.stroke(ring, colour, 0.13 * pen.scale, smooth=False)


def sprouts(pen: Pen, kind: str, colour: Colour) -> None:
    """Horns, or antennae with a bead each."""
    for side in (-1, 1):
        if kind == "horns":
            a, _ = seen(pen, side * 50, 0.75)
            pen.shape([(a - 0.2, -0.75), (a + side * 0.38, -1.6), (a + 0.22, -0.72)], colour)
        else:
            a, _ = seen(pen, side * 40, 0.6)
            pen.stroke([(a * 0.7, -0.95), (a, -1.35), (a * 1.4, -1.5)], DARK, pen.line * 1.6)
            pen.oval(a * 1.4, -1.55, 0.19, 0.19, colour)
