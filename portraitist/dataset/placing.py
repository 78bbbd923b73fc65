"""What is cached of a picture: its crops with their keys, and what the encoder is told of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from portraitist.dataset import captions
from portraitist.dataset.cache import Cache, Placed, prompt_key, sample_key
from portraitist.dataset.encoding import Encoding
from portraitist.errors import PortraitistError
from portraitist.family import Base, Family
from portraitist.pictures import Crop, Opened, Picture
from portraitist.project import Facts
from portraitist.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Told:
    """What the encoder is told of a picture.

    texts  every caption variant; one empty text where there is none
    nouns  of each the same with the noun in the trigger's place, "" without the trigger; empty where none is needed
    """

    texts: tuple[str, ...]
    nouns: tuple[str, ...]

    @classmethod
    def of(cls, picture: Picture, facts: Facts, recipe: Recipe) -> Told:
        """By the picture's captions and the project's words; only what is trained on needs the noun."""
        texts = tuple(captions.rendered(text, facts.trigger) for text in (picture.caption, *picture.variants))
        needed = recipe.training.preserve > 0 and picture.split == "train"
        return cls(texts, tuple(captions.by_noun(t, facts.trigger, facts.noun) for t in texts) if needed else ())


def require_nouns(told: Iterable[Told], facts: Facts, recipe: Recipe) -> None:
    """Refuse to preserve what the noun draws where there is no noun, or no caption to put it in."""
    if not recipe.training.preserve:
        return
    setting = f"training.preserve = {recipe.training.preserve:g}"
    if not facts.noun.strip() or captions.holds(facts.noun, facts.trigger):
        raise PortraitistError(
            f"{setting} needs a noun that does not name the character; project.toml has noun = {facts.noun!r}",
            'Say there what the character is, such as noun = "a woman", or set training.preserve = 0.',
        )
    if not any(text for each in told for text in each.nouns):
        raise PortraitistError(
            f"{setting}: no caption has the trigger {facts.trigger!r}, so there is nothing to put the noun in place of",
            "Put the trigger into the captions, or set training.preserve = 0.",
        )


def places(picture: Picture, told: Told, family: Family, base: Base, crops: Sequence[Crop]) -> list[Placed]:
    """Every crop of a picture with the keys of what is cached of it."""
    return [
        Placed(
            sample_key(picture.digest, family.name, base, crop, told.texts),
            crop,
            tuple(prompt_key(family.name, base, text, crop) if text else "" for text in told.nouns),
        )
        for crop in crops
    ]


@torch.no_grad()
def fill(cache: Cache, placed: Placed, encoding: Encoding, opened: Opened, told: Told) -> None:
    """Encode what the cache lacks of a crop."""
    if not cache.has(placed.key):
        cache.write_sample(placed.key, encoding.sample(placed.key, opened, placed.crop, told.texts))
    for key, text in zip(placed.nouns, told.nouns, strict=True):
        if key and not cache.has(key):
            cache.write_prompt(key, encoding.conditions(text, placed.crop))
