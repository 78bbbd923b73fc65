"""The head: a ball with hair on it, and the face uncovered. Longitude 0 is the middle of the face."""

import math

import numpy as np

from portraitist.mini.face import features, hair_colour, seen
from portraitist.mini.pen import INK, Pen, Points, darker, lighter
from portraitist.mini.scenes import SKIN, Character, Colour, Context


def chin(x: np.ndarray, width: float) -> np.ndarray:
    """The lower edge of the face at x."""
    share = np.clip(1 - (x / (0.95 * width)) ** 2, 0, 1)
    return 0.1 + 0.88 * np.sqrt(share)


def face_window(pen: Pen, who: Character) -> Points | None:
    """The outline of the uncovered face, from the fringe down to the chin; None when it is turned away."""
    low, high = max(-88.0, -78 + pen.yaw), min(88.0, 78 + pen.yaw)
    if high - low < 50:
        return None
    width = who.build.face
    at = np.linspace(low, high, 15)
    x = 0.95 * width * np.sin(np.radians(at))
    own = at - pen.yaw
    waves = {
        "short": 0.1 * np.sin(np.radians(own * 3.4 + 40)), "spiky": 0.16 * np.abs((own / 17) % 2 - 1) - 0.05,
        "curly": 0.07 * np.cos(np.radians(own * 9)), "bob": 0.02 * np.cos(np.radians(own * 2)),
        "long": 0.2 * np.abs(own / 78) ** 0.7 - 0.1, "ponytail": 0.12 * np.sin(np.radians(own * 2.0 + 60)),
        "twintails": 0.16 * np.cos(np.radians(own * 2.2)), "bun": 0.16 * (np.abs(own) / 78) ** 1.5 - 0.12,
    }[who.hairstyle]  # fmt: skip
    top = -0.4 + waves + 0.35 * (np.abs(own) / 78) ** 4
    bottom = chin(x, width)
    upper, lower = np.stack([x, np.minimum(top, bottom)], 1), np.stack([x, bottom], 1)
    found: np.ndarray = np.concatenate([upper, lower[::-1]])
    return found


def head(pen: Pen, who: Character, how: Context) -> None:
    """Skull, hair over it, and the face."""
    skin, hair, width = SKIN[who.skin], hair_colour(who), who.build.face
    pen.on("face")
    t = np.linspace(-1, 1, 17)
    lower = np.stack([0.95 * width * t, chin(0.95 * width * t, width)], 1)
    arch = np.stack(
        [0.95 * width * np.cos(np.linspace(0, math.pi, 14)), -0.98 * np.sin(np.linspace(0, math.pi, 14))], 1
    )
    pen.shape(np.concatenate([lower, arch[1:-1]]), skin, smooth=False)
    window = face_window(pen, who)
    crown = 1.06 * width
    drop = {"short": 0.35, "spiky": 0.3, "curly": 0.5, "bun": 0.35, "ponytail": 0.4, "twintails": 0.4}.get(
        who.hairstyle, 0.75
    )
    if window is None:
        drop += 0.25
    t = np.linspace(math.pi, 2 * math.pi, 20)
    cap = np.stack([crown * np.cos(t), 1.08 * np.sin(t)], 1)
    hem = [
        (crown, drop * 0.5),
        (crown * 0.93, drop),
        (0.0, drop + (0.12 if window is None else 0.0)),
        (-crown * 0.93, drop),
        (-crown, drop * 0.5),
    ]
    pen.on("hair").shape(np.concatenate([cap, hem]), hair, smooth=False)
    if who.hairstyle == "spiky":
        spikes(pen, who, hair)
    shine = [(-0.55, -0.72), (-0.25, -0.85), (0.1, -0.88)]
    pen.stroke(shine, lighter(hair, 0.4), 0.09 * pen.scale)
    if window is None:
        return
    pen.on("face").shape(window, skin, width=0.8, smooth=False)
    for side in (-1, 1):
        x, facing = seen(pen, side * 86)
        if facing > -0.45 and abs(pen.yaw + side * 86) > 20:
            pen.oval(x * width, 0.14, 0.15, 0.2, darker(skin, 0.06), width=0.8)
    features(pen, who, how)


def spikes(pen: Pen, who: Character, hair: Colour) -> None:
    """Hair that stands up."""
    width = who.build.face
    for k in range(7):
        a = math.pi * (1.06 + 0.88 * k / 6)
        x, y = width * math.cos(a), math.sin(a)
        side = np.array([-math.sin(a), math.cos(a)]) * 0.24
        tip = (1.5 * x, 1.48 * y)
        pen.shape(
            [(x * 0.9 - side[0], y * 0.9 - side[1]), tip, (x * 0.9 + side[0], y * 0.9 + side[1])],
            hair,
            None,
            smooth=False,
        )
        pen.stroke([(x * 0.98 - side[0], y * 0.98 - side[1]), tip, (x * 0.98 + side[0], y * 0.98 + side[1])],
                   pen.edge(hair, INK) or INK, pen.line, smooth=False)  # fmt: skip


def hair_behind(pen: Pen, who: Character) -> None:
    """Hair that hangs or stands behind the body and head."""
    hair, style, back = hair_colour(who), who.hairstyle, -0.3 * math.sin(math.radians(pen.yaw))
    shade = darker(hair, 0.1)
    pen.on("hair")
    if style == "long":
        shape = [
            (-1.05, -0.3),
            (0, -1.1),
            (1.05, -0.3),
            (1.16, 0.7),
            (1.05, 1.75),
            (0.4, 1.9),
            (-0.4, 1.9),
            (-1.05, 1.75),
            (-1.16, 0.7),
        ]
        pen.shape([(x + back, y) for x, y in shape], shade)
    elif style == "bob":
        shape = [(-1.06, -0.3), (0, -1.1), (1.06, -0.3), (1.2, 0.5), (0.95, 0.92), (-0.95, 0.92), (-1.2, 0.5)]
        pen.shape([(x + back * 0.6, y) for x, y in shape], shade)
    elif style == "ponytail":
        x, _ = seen(pen, 180)
        side = 1 if x > 0.1 or abs(x) <= 0.1 else -1
        tail = [(0.55, -0.9), (1.35, -0.85), (1.66, 0.1), (1.45, 1.0), (1.18, 0.4), (0.85, -0.3)]
        pen.shape([(side * a, b) for a, b in tail], shade)
    elif style == "twintails":
        for side in (-1, 1):
            x, _ = seen(pen, side * 90, 1.0)
            x = x if abs(x) > 0.35 else 0.35 * side
            tail = [(-0.15, -0.75), (0.5, -0.65), (0.75, 0.4), (0.5, 1.25), (0.3, 0.5), (0.05, -0.1)]
            pen.shape([(x * 0.92 + (a if x > 0 else -a), b) for a, b in tail], shade)
    elif style == "curly":
        for k in range(11):
            a = math.pi * (0.86 + 1.28 * k / 10)
            pen.oval(1.02 * math.cos(a) + back * 0.4, 0.98 * math.sin(a) - 0.05, 0.42, 0.42, shade)
    elif style == "bun":
        x, _ = seen(pen, 180, 0.55)
        pen.oval(x, -1.2, 0.44, 0.4, shade)


def hair_before(pen: Pen, who: Character) -> None:
    """From behind, hair that hangs over the back and is seen whole."""
    if face_window(pen, who) is not None:
        return
    hair = hair_colour(who)
    pen.on("hair")
    if who.hairstyle == "long":
        shape = [
            (-1.06, 0.1),
            (0, -0.4),
            (1.06, 0.1),
            (1.1, 0.8),
            (0.95, 1.8),
            (0.3, 1.95),
            (-0.3, 1.95),
            (-0.95, 1.8),
            (-1.1, 0.8),
        ]
        pen.shape(shape, hair)
    elif who.hairstyle == "ponytail":
        x, facing = seen(pen, 180, 0.8)
        if facing > 0.3:
            pen.shape(
                [(x - 0.2, -0.5), (x + 0.2, -0.5), (x + 0.38, 0.5), (x, 1.5), (x - 0.38, 0.5)], darker(hair, 0.12)
            )
    elif who.hairstyle == "bun":
        x, facing = seen(pen, 180, 0.8)
        if facing > 0.3:
            pen.oval(x, -0.75, 0.44, 0.4, darker(hair, 0.1))
