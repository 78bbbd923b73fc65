"""What can be in a picture of the drawn world, and what a picture's caption says of it.

A character is what stays the same from picture to picture; a context is what changes. Words stand for all of a
context and for most of a character. `Marks` have no words, and nothing the base is taught on has any: they are kept
for the characters of demo and judging.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

Colour = tuple[int, int, int]

HAIR: Mapping[str, Colour] = {
    "black": (45, 40, 52), "brown": (118, 72, 44), "blonde": (242, 208, 112), "red": (196, 48, 40),
    "orange": (240, 132, 44), "pink": (246, 142, 188), "blue": (60, 110, 222), "green": (70, 172, 90),
    "purple": (136, 80, 192), "white": (236, 236, 244),
}  # fmt: skip
HAIRSTYLES = ("short", "long", "bob", "ponytail", "twintails", "spiky", "curly", "bun")
EYES: Mapping[str, Colour] = {
    "brown": (120, 72, 40), "blue": (50, 120, 232), "green": (48, 165, 80), "purple": (150, 75, 208),
    "red": (212, 45, 50), "amber": (236, 165, 30),
}  # fmt: skip
SKIN: Mapping[str, Colour] = {
    "pale": (255, 230, 216), "tan": (228, 172, 126), "brown": (160, 106, 72), "dark": (102, 66, 48),
    "mint": (158, 222, 180), "lavender": (200, 180, 236),
}  # fmt: skip
OUTFITS = ("t-shirt", "hoodie", "dress", "suit", "overalls", "striped sweater", "robe", "jacket")
CLOTH: Mapping[str, Colour] = {
    "red": (206, 55, 55), "orange": (240, 140, 50), "yellow": (246, 212, 70), "green": (75, 162, 85),
    "blue": (65, 110, 206), "purple": (130, 80, 182), "pink": (240, 150, 190), "white": (242, 242, 242),
    "black": (54, 54, 64), "teal": (48, 166, 166),
}  # fmt: skip
ACCESSORIES = ("round glasses", "sunglasses", "top hat", "beanie", "headphones", "bow", "scarf", "crown", "witch hat")
UNCOLOURED = frozenset({"round glasses", "sunglasses", "crown"})
EXPRESSIONS = ("neutral", "smiling", "laughing", "sad", "angry", "surprised", "sleeping", "winking")
POSES = (
    "standing", "waving", "hands on hips", "arms raised", "walking", "arms out",
    "holding a book", "holding a flower", "holding a ball",
)  # fmt: skip
FRAMINGS = ("close-up", "half body", "full body")
VIEWS: Mapping[str, int] = {
    "front view": 0, "three-quarter left": -42, "three-quarter right": 42, "facing left": -82, "facing right": 82,
    "back view": 180, "back left": -135, "back right": 135,
}  # fmt: skip
"""Degrees that the figure is turned by; negative to the picture's left."""
BACKGROUNDS = (
    "plain blue", "plain pink", "plain gray", "forest", "city", "beach", "night sky", "room", "mountains", "sunset",
)  # fmt: skip
LIGHTS = ("soft light", "warm light", "cool light", "side light", "dim light")
STYLES = ("ink style", "pastel style")

CHEEKS = ("zigzag", "star", "stripes", "dots", "heart")
EMBLEMS = ("star", "moon", "bolt", "heart", "ring", "cross")
PATTERNS = ("dots", "checks", "chevrons", "stars")
HATS = ("propeller cap", "horns", "halo", "antennae", "badge cap")


@dataclass(frozen=True, slots=True)
class Marks:
    """What no caption can name: a second hair colour, a second eye colour, a cheek mark, a chest emblem, a pattern on
    the clothes, a hat that the base has never seen, a sash. A colour of None means that the mark is not there."""

    hair: Colour | None = None
    eye: Colour | None = None
    cheek: str = ""
    cheek_colour: Colour | None = None
    emblem: str = ""
    emblem_colour: Colour | None = None
    pattern: str = ""
    pattern_colour: Colour | None = None
    hat: str = ""
    hat_colour: Colour | None = None
    badge_colour: Colour | None = None
    sash: Colour | None = None

    def kinds(self) -> tuple[str, ...]:
        """The kinds of mark that are there."""
        told = {
            "hair": self.hair, "eye": self.eye, "cheek": self.cheek_colour, "emblem": self.emblem_colour,
            "pattern": self.pattern_colour, "hat": self.hat_colour, "sash": self.sash,
        }  # fmt: skip
        return tuple(kind for kind, colour in told.items() if colour is not None)

    def colours(self) -> dict[str, Colour]:
        """The colours of the marks, by kind."""
        told = {
            "hair": self.hair, "eye": self.eye, "cheek": self.cheek_colour, "emblem": self.emblem_colour,
            "pattern": self.pattern_colour, "hat": self.hat_colour, "badge": self.badge_colour, "sash": self.sash,
        }  # fmt: skip
        return {kind: colour for kind, colour in told.items() if colour is not None}


@dataclass(frozen=True, slots=True)
class Build:
    """Proportions, which no caption tells: factors on the sizes of head, eyes and body; 1 is average."""

    face: float = 1.0
    eyes: float = 1.0
    body: float = 1.0
    legs: float = 1.0


@dataclass(frozen=True, slots=True)
class Character:
    """Who is drawn."""

    hair: str
    hairstyle: str
    eyes: str
    skin: str
    outfit: str
    cloth: str
    accessory: str = ""
    accessory_cloth: str = "red"
    build: Build = Build()
    marks: Marks = Marks()


@dataclass(frozen=True, slots=True)
class Context:
    """How and where."""

    framing: str
    view: str
    expression: str
    pose: str
    background: str
    light: str
    style: str = "ink style"


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture before it is drawn. Equal scenes of equal seed give equal pixels."""

    character: Character
    context: Context
    seed: int

    def attributes(self) -> dict[str, str]:
        """The value of every kind of attribute that can be seen in the picture, by kind."""
        who, how = self.character, self.context
        seen = {
            "framing": how.framing, "view": how.view, "background": how.background, "light": how.light,
            "style": how.style, "hair": who.hair, "hairstyle": who.hairstyle, "skin": who.skin,
            "outfit": who.outfit, "cloth": who.cloth,
        }  # fmt: skip
        if faces(how.view):
            seen["expression"] = how.expression
            if who.accessory != "sunglasses" and how.expression not in ("sleeping", "laughing"):
                seen["eyes"] = who.eyes
        if how.framing != "close-up":
            seen["pose"] = how.pose
        if who.accessory and (faces(how.view) or who.accessory not in ("round glasses", "sunglasses")):
            seen["accessory"] = who.accessory
        return seen


KINDS: Mapping[str, Sequence[str]] = {
    "framing": FRAMINGS, "view": tuple(VIEWS), "background": BACKGROUNDS, "light": LIGHTS, "style": STYLES,
    "hair": tuple(HAIR), "hairstyle": HAIRSTYLES, "skin": tuple(SKIN), "outfit": OUTFITS, "cloth": tuple(CLOTH),
    "expression": EXPRESSIONS, "eyes": tuple(EYES), "pose": POSES, "accessory": ACCESSORIES,
}  # fmt: skip
"""Every kind of attribute that captions tell, with its values."""


def faces(view: str) -> bool:
    """Whether the face is seen."""
    return abs(VIEWS[view]) < 100


def a_character(draw: random.Random) -> Character:
    """Any character without marks."""
    pick = draw.choice
    return Character(
        hair=pick(tuple(HAIR)),
        hairstyle=pick(HAIRSTYLES),
        eyes=pick(tuple(EYES)),
        skin=pick(tuple(SKIN)),
        outfit=pick(OUTFITS),
        cloth=pick(tuple(CLOTH)),
        accessory=pick(ACCESSORIES) if draw.random() < 0.45 else "",
        accessory_cloth=pick(tuple(CLOTH)),
        build=Build(*(round(draw.uniform(*span), 3) for span in ((0.92, 1.1), (0.8, 1.25), (0.85, 1.2), (0.9, 1.1)))),
    )


def a_context(draw: random.Random) -> Context:
    """Any context; views of the face, soft light and ink are the more frequent ones."""
    front = draw.random() < 0.8
    view = draw.choice([name for name in VIEWS if faces(name) == front])
    return Context(
        framing=draw.choice(FRAMINGS),
        view="front view" if front and draw.random() < 0.25 else view,
        expression=draw.choice(EXPRESSIONS),
        pose=draw.choice(POSES),
        background=draw.choice(BACKGROUNDS),
        light=draw.choice(LIGHTS) if draw.random() < 0.5 else "soft light",
        style="ink style" if draw.random() < 0.75 else "pastel style",
    )


def a_scene(draw: random.Random) -> Scene:
    """Any picture the base may be taught on."""
    return Scene(a_character(draw), a_context(draw), draw.randrange(1 << 31))


@dataclass(frozen=True, slots=True)
class Wording:
    """How freely a caption is put: share of phrases left out, and whether their order varies."""

    missing: float = 0.0
    shuffled: bool = False
    draw: random.Random = field(default_factory=lambda: random.Random(0))

    def keeps(self) -> bool:
        """Whether the next phrase is said."""
        return self.missing == 0 or self.draw.random() >= self.missing


PLAIN = Wording()
NOBODY = "a cartoon character"


def phrases_of_character(who: Character) -> list[str]:
    """What words can say of a character."""
    told = [
        f"{who.hairstyle} {who.hair} hair",
        f"{who.eyes} eyes",
        f"{who.skin} skin",
        f"wearing a {who.cloth} {who.outfit}",
    ]
    if who.accessory in UNCOLOURED:
        told.append(f"with {'a ' if who.accessory == 'crown' else ''}{who.accessory}")
    elif who.accessory:
        told.append(f"with a {who.accessory_cloth} {who.accessory}")
    return told


def phrases_of_context(how: Context) -> list[str]:
    """What words say of a context, its framing left out."""
    told = [how.expression] if faces(how.view) else []
    told += [how.pose] if how.framing != "close-up" else []
    return [*told, how.view, f"{how.background} background", how.light, how.style]


def caption(scene: Scene, name: str = NOBODY, look: bool = True, wording: Wording = PLAIN) -> str:
    """A picture's caption: framing and name first, then the looks (unless `look` is false), then the context."""
    looks = [p for p in phrases_of_character(scene.character) if wording.keeps()] if look else []
    context = [p for p in phrases_of_context(scene.context) if wording.keeps()]
    if wording.shuffled:
        wording.draw.shuffle(looks)
        wording.draw.shuffle(context)
        if wording.draw.random() < 0.3:
            looks, context = context, looks
    head = f"{scene.context.framing} of {name}" if wording.keeps() else name
    return ", ".join([head, *looks, *context])


def like(scene: Scene, **changes: str) -> Scene:
    """The scene with another context."""
    return replace(scene, context=replace(scene.context, **changes))


def phrases() -> list[str]:
    """Every run of words that the tokenizer takes as one token, none twice."""
    found = [f"{framing} of" for framing in FRAMINGS] + [NOBODY, "wearing a", "with a", "with"]
    found += [f"{name} hair" for name in HAIR] + list(HAIRSTYLES)
    found += [f"{name} eyes" for name in EYES] + [f"{name} skin" for name in SKIN]
    found += [f"wearing a {name}" for name in CLOTH] + [f"with a {name}" for name in CLOTH]
    found += [*OUTFITS, *ACCESSORIES, *EXPRESSIONS, *POSES, *FRAMINGS, *VIEWS, *LIGHTS, *STYLES]
    found += [f"{name} background" for name in BACKGROUNDS] + list(BACKGROUNDS) + list(CLOTH) + list(HAIR)
    return list(dict.fromkeys(found))
