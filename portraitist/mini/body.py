"""The figure below the chin: legs, arms with hands, clothes, and what is held."""

import math

import numpy as np

from portraitist.mini.clothes import WHITE, Line, details, emblem, pattern
from portraitist.mini.pen import INK, Pen, blend, darker, lighter
from portraitist.mini.scenes import CLOTH, SKIN, Character, Colour, Context

SHOULDER, WAIST, HIP = 1.12, 1.85, 2.4


def trousers(who: Character, cloth: Colour) -> Colour:
    """What the legs wear."""
    plain = {"suit": darker(cloth, 0.2), "overalls": (70, 95, 160), "dress": SKIN[who.skin], "robe": cloth}
    return plain.get(who.outfit, (78, 82, 112))


def upper(who: Character) -> Colour:
    """The colour of the chest: overalls have a pale shirt under them."""
    cloth = CLOTH[who.cloth]
    return blend(cloth, (255, 255, 255), 0.75) if who.outfit == "overalls" else cloth


def arm(side: int, pose: str, width: float) -> Line:
    """Shoulder, elbow and hand of one arm (side -1 or 1), seen from the front."""
    x = 0.6 * width
    ways: dict[str, Line] = {
        "down": [(x, 1.25), (x + 0.27, 1.78), (x + 0.24, 2.32)],
        "hip": [(x, 1.25), (x + 0.6, 1.75), (x + 0.08, 2.15)],
        "up": [(x, 1.25), (x + 0.62, 0.95), (x + 0.85, 0.15)],
        "out": [(x, 1.25), (x + 0.55, 1.33), (x + 1.1, 1.22)],
        "held": [(x, 1.25), (x + 0.3, 1.85), (0.3, 1.95)],
    }
    both = {
        "standing": ("down", "down"), "waving": ("down", "up"), "hands on hips": ("hip", "hip"),
        "arms raised": ("up", "up"), "walking": ("down", "hip"), "arms out": ("out", "out"),
    }.get(pose, ("held", "held"))  # fmt: skip
    return [(side * a, b) for a, b in ways[both[0 if side < 0 else 1]]]


def narrowed(pen: Pen, line: Line, side: int) -> Line:
    """An arm as the turned figure shows it: shoulders draw together, the near arm comes before the chest."""
    turn = math.radians(pen.yaw)
    cosine, depth = math.cos(turn), 0.25 * math.sin(turn)
    reach = 0.55 + 0.45 * abs(cosine)
    sign = 1 if cosine >= 0 else -1
    shoulder = 0.6 * side * (cosine if abs(cosine) > 0.2 else 0.2 * sign)
    return [(shoulder + (x - side * 0.6) * reach * sign - side * depth * 0.3, y) for x, y in line]


def legs(pen: Pen, who: Character, how: Context) -> None:
    """Two legs with shoes."""
    cloth, step = CLOTH[who.cloth], 0.2 if how.pose == "walking" else 0.0
    turn = math.radians(pen.yaw)
    spread = 0.16 + 0.14 * abs(math.cos(turn))
    long = who.build.legs
    for side in (-1, 1):
        x = side * (spread + step)
        foot = x * 1.1
        ankle = 2.35 + 1.5 * long
        pen.on("leg").limb([(side * spread, 2.3), (x, 2.35 + 0.75 * long), (foot, ankle)], trousers(who, cloth), 0.38)
        toe = 0.2 * math.sin(turn) + side * 0.07 * math.cos(turn)
        pen.on("foot").oval(
            foot + toe, ankle + 0.12, 0.31, 0.18, (98, 62, 46) if who.outfit != "suit" else (48, 42, 50)
        )


def sleeves(pen: Pen, who: Character, how: Context, side: int) -> None:
    """One arm with its hand."""
    skin, cloth = SKIN[who.skin], upper(who)
    line = narrowed(pen, arm(side, how.pose, who.build.body), side)
    if who.outfit in ("t-shirt", "dress"):
        pen.on("arm").limb(line, skin, 0.27)
        half = [line[0], ((line[0][0] + line[1][0]) / 2, (line[0][1] + line[1][1]) / 2)]
        pen.on("torso").limb([*half, half[-1]], cloth, 0.33)
    else:
        pen.on("arm").limb(line, darker(cloth, 0.06), 0.42 if who.outfit == "robe" else 0.32)
    pen.on("hand").oval(line[-1][0], line[-1][1], 0.19, 0.19, skin)


def torso(pen: Pen, who: Character, how: Context) -> list[tuple[float, float]]:
    """Neck and clothes; returns the outline of the clothed chest."""
    width = who.build.body * (0.7 + 0.3 * abs(math.cos(math.radians(pen.yaw))))
    chest: Line = [(-0.3, 1.0), (0.3, 1.0), (0.66, SHOULDER), (0.6, WAIST), (0.58, 2.48), (-0.58, 2.48), (-0.6, WAIST)]
    if who.outfit == "dress":
        chest = [(-0.3, 1.0), (0.3, 1.0), (0.62, SHOULDER), (0.47, 1.8), (0.98, 2.95), (0, 3.05), (-0.98, 2.95)]
        chest += [(-0.47, 1.8)]
    elif who.outfit == "robe":
        chest = [(-0.3, 1.0), (0.3, 1.0), (0.7, SHOULDER), (0.62, 1.9), (0.86, 3.55), (0, 3.65), (-0.86, 3.55)]
        chest += [(-0.62, 1.9)]
    chest += [(-chest[2][0], SHOULDER)]
    outline = [(x * width, y) for x, y in chest]
    pen.on("neck").shape(
        [(-0.2, 0.7), (0.2, 0.7), (0.22, 1.15), (-0.22, 1.15)], darker(SKIN[who.skin], 0.14), smooth=False
    )
    pen.on("torso").shape(outline, upper(who))
    if who.marks.pattern_colour is not None:
        pen.within(outline, lambda inner: pattern(inner, who.marks))
    details(pen, who, width)
    return outline


def held(pen: Pen, who: Character, how: Context) -> None:
    """What the hands hold before the chest."""
    x, y, seen = pen.spot(0.0, 1.95, 0.75)
    if seen <= -0.2:
        return
    cloth = CLOTH[who.accessory_cloth]
    if how.pose == "holding a book":
        top, bottom = [(-0.42, -0.33), (0, -0.24), (0.42, -0.33)], [(0.42, 0.3), (0, 0.38), (-0.42, 0.3)]
        pen.on("accessory").shape([(x + a, y + b) for a, b in (*top, *bottom)], cloth, smooth=False)
        pen.stroke([(x, y - 0.22), (x, y + 0.36)], INK, pen.line, smooth=False)
        pen.shape(
            [(x - 0.34, y - 0.22), (x - 0.06, y - 0.17), (x - 0.06, y - 0.06), (x - 0.34, y - 0.1)],
            WHITE,
            None,
            smooth=False,
        )
    elif how.pose == "holding a ball":
        pen.on("accessory").oval(x, y, 0.42, 0.42, cloth)
        pen.oval(x - 0.12, y - 0.14, 0.12, 0.1, lighter(cloth, 0.6), None)
    elif how.pose == "holding a flower":
        pen.on("accessory").stroke([(x, y + 0.25), (x + 0.02, y - 0.4)], (70, 140, 70), 0.08 * pen.scale, smooth=False)
        for k in range(6):
            a = k * math.pi / 3
            pen.oval(x + 0.2 * math.cos(a), y - 0.5 + 0.2 * math.sin(a), 0.14, 0.14, cloth, width=0.6)
        pen.oval(x, y - 0.5, 0.12, 0.12, (255, 226, 90), width=0.5)


def figure(pen: Pen, who: Character, how: Context) -> None:
    """All below the chin, the far arm behind the chest and the near one before it."""
    side = math.sin(math.radians(pen.yaw))
    far, near = (1, -1) if side > 0 else (-1, 1)
    legs(pen, who, how)
    front = math.cos(math.radians(pen.yaw)) > 0
    for which in (far, near) if not front else (far,):
        sleeves(pen, who, how, which)
    holding = how.pose.startswith("holding")
    if front and not holding and abs(side) < 0.9:
        sleeves(pen, who, how, near)
    outline = torso(pen, who, how)
    if who.marks.sash is not None:
        colour = who.marks.sash
        band = [(-0.66, 1.1), (-0.34, 1.0), (0.62, 2.2), (0.6, 2.5), (0.4, 2.5)]
        sign = 1 if front else -1
        pen.within(
            outline, lambda inner: inner.shape([(sign * x, y) for x, y in band], colour, width=0.7, smooth=False)
        )
    emblem(pen, who.marks)
    if who.accessory == "scarf":
        cloth = CLOTH[who.accessory_cloth]
        pen.on("accessory").shape([(-0.5, 0.86), (0.5, 0.86), (0.55, 1.16), (0, 1.28), (-0.55, 1.16)], cloth)
        end = np.array([(0.12, 1.1), (0.42, 1.1), (0.46, 1.85), (0.16, 1.85)]) * [1 if front else -1, 1]
        pen.shape(end, darker(cloth, 0.12), smooth=False)
    if front and holding:
        held(pen, who, how)
        sleeves(pen, who, how, near)
        if abs(side) < 0.6:
            pen.on("hand").oval(-0.34 if near > 0 else 0.34, 1.97, 0.18, 0.18, SKIN[who.skin])
    elif front and abs(side) >= 0.9:
        sleeves(pen, who, how, near)
