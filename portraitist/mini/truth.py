"""How like a LoRA's pictures are, held to the truth: drawings of the same character that nobody has learnt from.

Only a drawn world has this truth. Distances are in Lab at 64 pixels. A picture's likeness lies between 0, where other
characters in the same contexts are, and 1, where true drawings are once the autoencoder has had them.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from torch import Tensor

from portraitist.families.mini import MiniEncoder
from portraitist.judge.colour import lab, small
from portraitist.judge.render import Sampler
from portraitist.mini.characters import told
from portraitist.mini.corpus import to_pixels
from portraitist.mini.drawing import Drawn, draw
from portraitist.mini.evaluate import drawn, to_bytes
from portraitist.mini.probe import Probe
from portraitist.mini.scenes import Character, Colour, Context, Scene, a_character
from portraitist.sight.dual import DualEyes

SIDE, TRUE, SEEDS, STRANGERS = 64, 8, 3, 64
NEAR = 20.0
"""Lab distance within which a pixel has a mark's colour."""

LEAST = 8
"""Pixels of 128 x 128 that a mark covers in a true drawing, for it to be asked of a picture."""

AROUND, TINGED, ENOUGH = 5, 36.0, 0.25
"""How far from its place, in pixels, and from its colour, in Lab, a mark may be, and how much of its area suffices for
it to be there: benchmarks/mini.md tells how often true drawings with a mark and without it then count as with it."""

READ = ("framing", "view", "expression", "pose", "background", "light", "style")


def contexts() -> list[Context]:
    """The twelve contexts of the report: four with backgrounds that albums show, eight with ones they never do.

    The last four ask for moods and poses that albums never show either.
    """
    framings = ("close-up", "half body", "full body")
    views = ("front view", "three-quarter left", "three-quarter right")
    seen, unseen = ("city", "forest", "room", "mountains"), ("beach", "night sky", "sunset", "beach")
    found = []
    for i in range(12):
        new = i >= 8
        mood = ("laughing", "winking")[i % 2] if new else ("smiling", "neutral", "angry", "surprised")[i % 4]
        pose = ("arms raised", "arms out")[i % 2] if new else ("standing", "hands on hips", "waving", "walking")[i % 4]
        place = seen[i] if i < 4 else unseen[i % 4]
        found.append(Context(framings[i % 3], views[i // 4 % 3 if i % 2 else 0], mood, pose, place, "soft light"))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One context of the report: its caption, true drawings of it, and the same in Lab (T, 64, 64, 3) with masks."""

    scene: Scene
    text: str
    drawings: list[Drawn]
    shades: np.ndarray
    masks: np.ndarray


def prompts(who: Character, trigger: str) -> list[Prompt]:
    """The report's twelve, with `TRUE` drawings each, of seeds that no album has."""
    found = []
    for i, how in enumerate(contexts()):
        scenes = [Scene(who, how, 7_000_000 + 100 * i + k) for k in range(TRUE)]
        drawings = [draw(one) for one in scenes]
        shades = np.stack([lab(small(d.pixels, SIDE)) for d in drawings])
        masks = np.stack([small(np.repeat(d.mask[..., None], 3, -1), SIDE)[..., 0] > 127 for d in drawings])
        found.append(Prompt(scenes[0], told(scenes[0], trigger), drawings, shades, masks))
    return found


def apart(prompt: Prompt, picture: np.ndarray, outside: bool = False) -> list[float]:
    """Mean Lab distance of a picture (S, S, 3) uint8 to each true drawing, on its subject or `outside` of it."""
    pixels = np.linalg.norm(lab(small(picture, SIDE))[None] - prompt.shades, axis=-1)
    return [float(p[~m if outside else m].mean()) for p, m in zip(pixels, prompt.masks, strict=True)]


def distance(prompt: Prompt, picture: np.ndarray, outside: bool = False) -> float:
    """Mean Lab distance of a picture (S, S, 3) uint8 to the nearest true drawing, on its subject or `outside` of it."""
    inside = apart(prompt, picture)
    return apart(prompt, picture, outside=True)[int(np.argmin(inside))] if outside else min(inside)


def signature(prompt: Prompt, picture: np.ndarray, marks: dict[str, Colour]) -> dict[str, float]:
    """By mark that the true drawing shows: how much of its colour the picture's subject has, as the lesser over the
    greater area, in [0, 1]."""
    nearest = prompt.drawings[0]
    inside, found = nearest.mask > 127, {}
    mine, true = lab(picture), lab(nearest.pixels)
    for kind, colour in marks.items():
        wanted = lab(np.array([[colour]], np.uint8))
        a, b = (int(((np.linalg.norm(x - wanted, axis=-1) < NEAR) & inside).sum()) for x in (mine, true))
        if b >= LEAST:
            found[kind] = min(a, b) / max(a, b)
    return found


def without(who: Character, kind: str) -> Character:
    """The character without one kind of mark."""
    field = {"cheek": "cheek_colour", "emblem": "emblem_colour", "pattern": "pattern_colour", "hat": "hat_colour"}
    cleared: dict[str, Any] = {field.get(kind, kind): None}
    return replace(who, marks=replace(who.marks, **cleared))


def placed(prompt: Prompt, picture: np.ndarray) -> dict[str, bool]:
    """By kind of mark: whether it is drawn where it belongs.

    That is: around the place that it has in the nearest true drawing (`AROUND` pixels of 128 more on every side), at
    least `ENOUGH` of its area is in about its colour. Its place is where a drawing with it differs from one without;
    where the colour is there without it, it is not asked for.
    """
    nearest = int(np.argmin(apart(prompt, picture)))
    scene, true = replace(prompt.scene, seed=prompt.scene.seed + nearest), prompt.drawings[nearest]
    mine, found = lab(picture), {}
    for kind in scene.character.marks.kinds():
        bare = draw(replace(scene, character=without(scene.character, kind)))
        place = (true.pixels != bare.pixels).any(-1)
        wanted = lab(np.array([[scene.character.marks.colours()[kind]]], np.uint8))
        ours, right, without_it = (
            np.linalg.norm(x - wanted, axis=-1) < TINGED for x in (mine, lab(true.pixels), lab(bare.pixels))
        )
        zone = np.asarray(Image.fromarray(place).convert("L").filter(ImageFilter.MaxFilter(2 * AROUND + 1))) > 0
        enough = ENOUGH * (area := int((right & place).sum()))
        if area >= LEAST and (without_it & zone).sum() < enough:
            found[kind] = bool((ours & zone).sum() >= enough)
    return found


@dataclass(frozen=True, slots=True)
class Scale:
    """The two ends of likeness for a character, in Lab: other characters, and true drawings through the autoencoder."""

    floor: float
    ceiling: float

    def __call__(self, apart: float) -> float:
        """Likeness of a distance: 0 at the floor, 1 at the ceiling."""
        return (self.floor - apart) / (self.floor - self.ceiling)


def scale(asked: Sequence[Prompt], encoding: MiniEncoder) -> Scale:
    """The scale of the report's prompts: 64 fixed strangers in each context, and two more true drawings of each."""
    strangers = [a_character(random.Random(f"stranger {k}")) for k in range(STRANGERS)]
    far = [
        distance(p, draw(replace(p.scene, character=who, seed=9_000_000 + k)).pixels)
        for p in asked
        for k, who in enumerate(strangers)
    ]
    more = [draw(replace(p.scene, seed=8_000_000 + 10 * i + k)).pixels for i, p in enumerate(asked) for k in range(2)]
    again = to_bytes(encoding.pixels(encoding.latents(to_pixels(more))))
    near = [distance(asked[i // 2], picture) for i, picture in enumerate(again)]
    return Scale(float(np.mean(far)), float(np.mean(near)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the truth says of one set of pictures, as means over prompts and seeds.

    truth       likeness on the scale
    eyes        mean cosine with the true drawings, by the shipped eyes
    agreement   share of asked attributes that the probe reads
    signature   mean over marks; marks by kind beside it
    background  Lab distance outside the subject
    placed      by kind of mark: share of the pictures that have it where it belongs
    """

    truth: float
    eyes: float
    agreement: float
    signature: float
    background: float
    marks: dict[str, float]
    placed: dict[str, float]


def render(by: Sampler, encoding: MiniEncoder, asked: Sequence[Prompt]) -> list[Tensor]:
    """Each seed's pictures of the report's prompts, (12, 3, 128, 128); these seeds are used for nothing else."""
    return [drawn(by, encoding, [p.text for p in asked], seed, "truth") for seed in range(SEEDS)]


def verdict(
    asked: Sequence[Prompt], renders: Sequence[Tensor], measure: Scale, eyes: DualEyes, probe: Probe
) -> Verdict:
    """Measure pictures against the truth."""
    marks = asked[0].scene.character.marks.colours()
    inside, outside, right, cosines = [], [], [], []
    shown: dict[str, list[float]] = {kind: [] for kind in marks}
    there: dict[str, list[bool]] = {kind: [] for kind in asked[0].scene.character.marks.kinds()}
    true = [eyes.pictures(to_pixels([d.pixels for d in prompt.drawings])) for prompt in asked]
    for pixels in renders:
        read, seen = probe.read(pixels), eyes.pictures(pixels)
        for i, (prompt, picture) in enumerate(zip(asked, to_bytes(pixels), strict=True)):
            inside.append(distance(prompt, picture))
            outside.append(distance(prompt, picture, outside=True))
            cosines.append(float((true[i] @ seen[i]).mean()))
            wanted = {k: v for k, v in prompt.scene.attributes().items() if k in READ}
            right.append(np.mean([read[i][kind] == value for kind, value in wanted.items()]))
            for kind, share in signature(prompt, picture, marks).items():
                shown[kind].append(share)
            for kind, is_there in placed(prompt, picture).items():
                there[kind].append(is_there)
    kinds = {kind: round(float(np.mean(shares)), 3) for kind, shares in shown.items() if shares}
    return Verdict(
        truth=round(measure(float(np.mean(inside))), 4),
        eyes=round(float(np.mean(cosines)), 4),
        agreement=round(float(np.mean(right)), 4),
        signature=round(float(np.mean(list(kinds.values()))), 4),
        background=round(float(np.mean(outside)), 2),
        marks=kinds,
        placed={kind: round(float(np.mean(hits)), 3) for kind, hits in there.items() if hits},
    )
