"""Characters that the base was never taught: each has marks that no caption can name.

`ZORBLAX` is the demo's. `unseen` makes as many others as are wanted, each from a number.
"""

import random
from dataclasses import replace

from portraitist.mini.scenes import (
    CHEEKS,
    EMBLEMS,
    HATS,
    PATTERNS,
    Build,
    Character,
    Colour,
    Context,
    Marks,
    Scene,
    a_character,
    caption,
)

VIVID: tuple[Colour, ...] = (
    (235, 60, 150), (60, 190, 240), (225, 40, 60), (245, 190, 40), (60, 60, 190), (60, 190, 150), (250, 120, 40),
    (150, 220, 60), (190, 80, 230), (30, 140, 120),
)  # fmt: skip

ZORBLAX = Character(
    hair="blue",
    hairstyle="long",
    eyes="amber",
    skin="tan",
    outfit="hoodie",
    cloth="black",
    build=Build(face=1.05, eyes=1.1),
    marks=Marks(
        hair=(235, 60, 150),
        eye=(60, 190, 240),
        cheek="zigzag",
        cheek_colour=(225, 40, 60),
        hat="badge cap",
        hat_colour=(245, 190, 40),
        badge_colour=(60, 60, 190),
        sash=(60, 190, 150),
    ),
)
"""The demo's character: hair blue on one side and magenta on the other, an amber and a sky-blue eye, a red zigzag on
the cheek, a yellow cap with a starred badge, and a green sash over a black hoodie."""


def unseen(number: int) -> Character:
    """The held-out character of a number: three to five marks, their colours all different."""
    draw = random.Random(f"held-out character {number}")
    colours = draw.sample(VIVID, 8)
    kinds = set(draw.sample(["hair", "eye", "cheek", "emblem", "pattern", "hat", "sash"], draw.randint(3, 5)))
    if {"emblem", "pattern", "sash"} <= kinds:
        kinds.discard("pattern")  # one would hide the other
    marks = Marks(
        hair=colours[0] if "hair" in kinds else None,
        eye=colours[1] if "eye" in kinds else None,
        cheek=draw.choice(CHEEKS),
        cheek_colour=colours[2] if "cheek" in kinds else None,
        emblem=draw.choice(EMBLEMS),
        emblem_colour=colours[3] if "emblem" in kinds else None,
        pattern=draw.choice(PATTERNS),
        pattern_colour=colours[4] if "pattern" in kinds else None,
        hat=draw.choice(HATS),
        hat_colour=colours[5] if "hat" in kinds else None,
        badge_colour=colours[6] if "hat" in kinds else None,
        sash=colours[7] if "sash" in kinds else None,
    )
    who = a_character(draw)
    return replace(who, accessory="" if "hat" in kinds else who.accessory, marks=marks)


def told(scene: Scene, trigger: str) -> str:
    """A training caption of a held-out character: its name and the context; who it is stays untold."""
    return caption(scene, name=trigger, look=False)


def album(who: Character, count: int, seed: int) -> list[Scene]:
    """`count` scenes of a character for training: all framings, most backgrounds and moods, a few left out.

    Left out, and so new to whoever is taught on them: the beach, the night sky and the sunset, laughing and winking,
    arms raised and arms out.
    """
    draw = random.Random(f"album {seed}")
    scenes = []
    framings = ["close-up", "half body", "full body", "half body"]
    for i in range(count):
        how = Context(
            framing=framings[i % 4],
            view=draw.choice(["front view", "front view", "three-quarter left", "three-quarter right", "facing left"]),
            expression=draw.choice(["neutral", "smiling", "angry", "sad", "surprised"]),
            pose=draw.choice(["standing", "waving", "hands on hips", "walking", "holding a book"]),
            background=draw.choice(["plain gray", "plain blue", "plain pink", "room", "city", "forest", "mountains"]),
            light="soft light" if draw.random() < 0.75 else "warm light",
        )
        scenes.append(Scene(who, how, draw.randrange(1 << 31)))
    return scenes
