"""The set-ups of the bank: which character, which pictures, which recipe, and what is done wrong on purpose.

Characters from 6000 on are used for nothing else.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from portraitist.mini.characters import album, told, unseen
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import Scene

TRIGGER = "zorblax"
STRENGTHS = (0.6, 0.8, 1.0, 1.25)
CHARACTERS, SEEDS, FLAWED, COMPARED = 12, 2, 10, 6
FIRST = 6000
LONG = ("stages.0.steps=450", "training.save_every=90")


@dataclass(frozen=True, slots=True)
class Setup:
    """One training.

    pictures  so many drawings of the character
    data      plain; room: all in one room that no caption tells; narrow: that, standing, and captions are the trigger
              alone; bare: captions are the trigger alone; close: close-ups alone; faces: close-ups count three times
    changes   of mini's preset, as `--set` takes them
    added     so many drawings more, of which nothing is done wrong; all captions then tell backgrounds
    of        what the added show by turns, as in "half body and full body"; "" is any
    cold      averages without the warm-up that the product gives them, as other trainers have them
    whole     whether every checkpoint is held to the truth, at every strength; else the last alone, at strength 1
    """

    name: str
    who: int
    seed: int = 0
    pictures: int = 40
    data: str = "plain"
    changes: tuple[str, ...] = ()
    added: int = 0
    of: str = ""
    cold: bool = False
    whole: bool = False


JOBS: tuple[Setup, ...] = (
    Setup("", 0, changes=("training.save_every=60",)),
    Setup("", 0, pictures=12, data="narrow", changes=LONG),
    Setup("", 0, pictures=8, changes=(*LONG, "training.rate=1e-2", "training.schedule=constant", "training.ema=0")),
    Setup("", 0, pictures=10, data="close", changes=LONG),
)
"""What characters of the groups that choices are made from take turns with, as people's folders and recipes differ: the
preset; a dozen pictures in one place that no caption tells; a few pictures at a rate that never falls; close-ups alone.
"""


def choice() -> list[Setup]:
    """Runs that a choice is made from: characters times seeds."""
    found = []
    for seed in range(SEEDS):
        for i in range(CHARACTERS):
            name, who = f"choice-{FIRST + i}-{seed}", FIRST + i
            found.append(replace(JOBS[i % len(JOBS)], name=name, who=who, seed=seed, whole=True))
    return found


def fresh() -> list[Setup]:
    """The same of other characters, by which nothing was set."""
    few = range(FIRST + 12, FIRST + 24)
    return [replace(JOBS[i % len(JOBS)], name=f"fresh-{who}-0", who=who, whole=True) for i, who in enumerate(few)]


def later() -> list[Setup]:
    """The same of others again, made when strain had been set by the two groups before."""
    few = range(FIRST + 24, FIRST + 36)
    return [replace(JOBS[i % len(JOBS)], name=f"later-{who}-0", who=who, whole=True) for i, who in enumerate(few)]


def close() -> list[Setup]:
    """Close-ups alone, of others again, made when strain had its price: by these too nothing was set."""
    return [replace(JOBS[3], name=f"close-{who}-0", who=who, whole=True) for who in range(FIRST + 36, FIRST + 42)]


FLAWS: dict[str, Setup] = {
    "overfit": Setup(
        "", 0, pictures=6, changes=("stages.0.steps=400", "training.save_every=100", "training.rate=6e-3")
    ),
    "leak": Setup("", 0, changes=("training.save_every=100",)),
    "underfit": Setup("", 0, changes=("stages.0.steps=60", "training.save_every=20", "training.rate=3e-4")),
    "dead": Setup("", 0, changes=("stages.0.steps=60", "training.save_every=20", "training.rate=1e-6")),
    "bleed": Setup("", 0, data="room", changes=("training.save_every=100",)),
    "partial": Setup("", 0, data="close", changes=("training.save_every=100",)),
    "kept": Setup("", 0, changes=("training.save_every=100", "training.preserve=1")),
}
"""Runs made ill on purpose, by flaw. By the preset every LoRA leaks on this base, and is healthy
otherwise; `kept` are made not to."""


def flawed() -> list[Setup]:
    """Ten of each flaw."""
    return [
        replace(setup, name=f"flawed-{flaw}-{who}", who=who)
        for flaw, setup in FLAWS.items()
        for who in range(FIRST + 100, FIRST + 100 + FLAWED)
    ]


EFFECTS: dict[str, Setup] = {
    "preset": Setup("", 0),
    "masks": Setup("", 0, changes=("data.masks=0.3",)),
    "rank-4": Setup("", 0, changes=("adapter.rank=4",)),
    "rank-16": Setup("", 0, changes=("adapter.rank=16",)),
    "rank-64": Setup("", 0, changes=("adapter.rank=64",)),
    "rate-half": Setup("", 0, changes=("training.rate=1.5e-3",)),
    "rate-double": Setup("", 0, changes=("training.rate=6e-3",)),
    "ema-none": Setup("", 0, changes=("training.ema=0",)),
    "ema-999": Setup("", 0, changes=("training.ema=0.999",)),
    "ema-999-cold": Setup("", 0, changes=("training.ema=0.999",), cold=True),
    "bare": Setup("", 0, data="bare"),
    "faces": Setup("", 0, data="faces"),
}
"""One thing changed at a time, on the same characters and pictures."""


def effects() -> list[Setup]:
    """Each change on six characters."""
    return [
        replace(setup, name=f"effects-{name}-{who}", who=who)
        for who in range(FIRST + 200, FIRST + 200 + COMPARED)
        for name, setup in EFFECTS.items()
    ]


GROUPS = {"choice": choice, "fresh": fresh, "later": later, "close": close, "flawed": flawed}
"""Runs that are judged."""


ASKED: dict[str, dict[str, Any]] = {
    "room": {"background": "room"},
    "narrow": {"background": "room", "pose": "standing"},
    "close": {"framing": "close-up"},
}
"""What a kind of dataset has in all its pictures."""


def illustrate(setup: Setup, folder: Path) -> None:
    """Draw a set-up's pictures with their captions, and with masks where the recipe weighs by them."""
    scenes = album(unseen(setup.who), setup.pictures + setup.added, setup.who)
    for number, scene in enumerate(scenes):
        asked = ASKED.get(setup.data, {})
        if number >= setup.pictures:
            turns = setup.of.split(" and ")
            asked = {"framing": turns[number % len(turns)]} if setup.of else {}
        one = replace(scene, context=replace(scene.context, **asked))
        place = folder / ("3_faces" if setup.data == "faces" and one.context.framing == "close-up" else "")
        place.mkdir(parents=True, exist_ok=True)
        drawing = draw(one)
        Image.fromarray(drawing.pixels).save(place / f"{number:02d}.png")
        (place / f"{number:02d}.txt").write_text(captioned(setup, one) + "\n", encoding="utf-8")
        if any(change.startswith("data.masks") for change in setup.changes):
            Image.fromarray(drawing.mask).save(place / f"{number:02d}-masklabel.png")


def captioned(setup: Setup, scene: Scene) -> str:
    """What a set-up's captions tell of a scene."""
    if setup.data in ("bare", "narrow") and not setup.added:
        return TRIGGER
    text = told(scene, TRIGGER)
    return text.replace(", room background", "") if setup.data == "room" and not setup.added else text
