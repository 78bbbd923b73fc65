"""What is cached of a picture: its crops with their keys, and what the encoder is told of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from portraitist.dataset import captions, references
from portraitist.dataset.cache import Cache, Placed, prompt_key, sample_key
from portraitist.dataset.encoding import Encoding
from portraitist.errors import PortraitistError
from portraitist.family import Base, Family
from portraitist.pictures import Crop, Opened, Picture, open_upright
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference picture: its file, and the SHA-256 of its pixels."""

    path: Path
    digest: str

    @classmethod
    def of(cls, path: Path) -> Reference:
        """A file's. Raises PortraitistError when it cannot be read as a picture."""
        return cls(path, open_upright(path).digest)

    def opened(self) -> Opened:
        """Its pixels, which must be those that it was known by."""
        found = open_upright(self.path)
        if found.digest != self.digest:
            raise PortraitistError(f"{self.path} changed while it was read", "Run the same command again.")
        return found


@dataclass(frozen=True, slots=True)
class Told:
    """What the encoder is told of a picture.

    texts  every caption variant; one empty text where there is none
    nouns  of each the same with the noun in the trigger's place, "" without the trigger; empty where none is needed
    shown  reference pictures, in order
    """

    texts: tuple[str, ...]
    nouns: tuple[str, ...]
    shown: tuple[Reference, ...] = ()

    @classmethod
    def of(cls, picture: Picture, facts: Facts, recipe: Recipe, shown: tuple[Reference, ...] = ()) -> Told:
        """By the picture's captions and the project's words; only what is trained on needs the noun."""
        texts = tuple(captions.rendered(text, facts.trigger) for text in (picture.caption, *picture.variants))
        needed = recipe.training.preserve > 0 and picture.split == "train"
        nouns = tuple(captions.by_noun(t, facts.trigger, facts.noun) for t in texts) if needed else ()
        return cls(texts, nouns, shown)

    @property
    def digests(self) -> tuple[str, ...]:
        """Of the reference pictures."""
        return tuple(reference.digest for reference in self.shown)


def told(project: Project, recipe: Recipe, pictures: Sequence[Picture]) -> dict[str, Told]:
    """What the encoder is told of every picture, by its name.

    Raises PortraitistError for a reference picture that is missing or cannot be read, and where the noun is to be
    preserved and cannot be.
    """
    paths = references.shown(project, recipe, pictures)
    opened = {path: Reference.of(path) for path in sorted({path for each in paths.values() for path in each})}
    found = {
        picture.name: Told.of(
            picture, project.facts, recipe, tuple(opened[path] for path in paths.get(picture.name, ()))
        )
        for picture in pictures
    }
    require_nouns(found.values(), project.facts, recipe)
    return found


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
            sample_key(picture.digest, family.name, base, crop, told.texts, told.digests),
            crop,
            tuple(prompt_key(family.name, base, text, crop, told.digests) if text else "" for text in told.nouns),
        )
        for crop in crops
    ]


@torch.no_grad()
def listen(encoding: Encoding, told: Told, placed: Placed) -> None:
    """Find the conditions of all that a crop is told with, and keep them in `encoding`."""
    with naming(told):
        shown = [reference.opened() for reference in told.shown]
        for text in ("", *told.texts, *filter(None, told.nouns)):
            encoding.conditions(text, placed.crop, shown)


@torch.no_grad()
def fill(cache: Cache, placed: Placed, encoding: Encoding, opened: Opened, told: Told, name: str) -> None:
    """Encode what the cache lacks of a crop of the picture of a name.

    Raises PortraitistError for a reference that the family does not take, and for latents that are not finite.
    """
    with naming(told):
        shown = [reference.opened() for reference in told.shown]
        if not cache.has(placed.key):
            sample = encoding.sample(placed.key, opened, placed.crop, told.texts, shown)
            if not all(bool(found.isfinite().all()) for found in (sample.latents, *sample.references)):
                raise PortraitistError(
                    f"{name}: the base's VAE gives NaN or infinity", "Copy the base's vae again, or take another."
                )
            cache.write_sample(placed.key, sample)
        for key, text in zip(placed.nouns, told.nouns, strict=True):
            if key and not cache.has(key):
                cache.write_prompt(key, encoding.conditions(text, placed.crop, shown))


@contextmanager
def naming(told: Told) -> Iterator[None]:
    """Within: what is refused is told with the names of the reference pictures, where there are some."""
    try:
        yield
    except PortraitistError as error:
        if not told.shown:
            raise
        names = ", ".join(reference.path.name for reference in told.shown)
        raise PortraitistError(f"With the reference {names}: {error.problem}", error.remedy) from error
