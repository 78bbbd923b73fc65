"""encode: pictures and captions through the base's VAE and text encoders, once, into the cache by content."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist import durable, families, rules
from portraitist.audit.survey import cleared
from portraitist.dataset import buckets, masks, references
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Encoded, Finished, Read, Started, ignore
from portraitist.family import Base, Family
from portraitist.pictures import Opened, Picture
from portraitist.project import Project
from portraitist.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from portraitist.dataset.cache import Placed
    from portraitist.dataset.encoding import Known
    from portraitist.dataset.placing import Told


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """Samples by what became of them, and by split; `folder` is the cache they lie in."""

    folder: Path
    encoded: int
    cached: int
    train: int
    held_out: int


def encode(project: Project, recipe: Recipe, emit: Emit = ignore) -> EncodeResult:
    """Encode what the cache lacks, and write the listing that training and judging read.

    Held-out pictures are encoded as well. On the device of the recipe the text encoders go through all captions first,
    and make room for the VAE. Raises PortraitistError for a real person without consent, when the audit blocks or is
    out of date, when the base cannot be found or encodes to what is not finite, when a picture changes meanwhile, when
    the noun is to be preserved and there is none, or no caption with the trigger, and for references that are missing
    or not taken.
    """
    from portraitist.dataset import placing
    from portraitist.dataset.cache import Cache
    from portraitist.dataset.encoding import Encoding
    from portraitist.learn import encoders, memory

    began = time.monotonic()
    project.require_consent()
    family = families.get(recipe.model.family)
    rules.about_noise(family.profile, recipe)  # what training would refuse, before anything is spent
    references.require_able(family.name, getattr(family, "references", 0), recipe)  # others' families may not know it
    side = recipe.data.resolution or family.profile.resolution
    sizes = buckets.buckets(side, family.pixel_multiple, recipe.data.aspect)
    pictures = cleared(project, recipe, side)
    family, base = families.pair(recipe.model, emit)
    memory.set_threads(recipe.model.threads)
    cache = Cache.of(project, family.name, base)
    told = placing.told(project, recipe, pictures)
    placed = {
        p.name: placing.places(
            p, told[p.name], family, base, buckets.crops(p.width, p.height, sizes, recipe.data.crops)
        )
        for p in pictures
    }
    total, done, encoded = sum(map(len, placed.values())), 0, 0
    device = memory.place(recipe.model.device)
    with durable.lock(cache.folder):
        durable.sweep(cache.folder)
        missing = {name: [one for one in crops if not all(map(cache.has, one.keys))] for name, crops in placed.items()}
        wanted = [(name, one) for name, crops in missing.items() for one in crops]
        emit(Started(verb="encode", total=total))
        known = words(wanted, told, family, base, device, emit)
        encoding: Encoding | None = None
        for picture in pictures:
            if missing[picture.name]:
                opened = unchanged(project, picture)
                if encoding is None:
                    encoding = Encoding(encoders.read(family, base, "pictures", device, emit, side * side), known)
                for one in missing[picture.name]:
                    placing.fill(cache, one, encoding, opened, told[picture.name], picture.name)
            encoded += len(missing[picture.name])
            for one in placed[picture.name]:
                done += 1
                emit(Encoded(name=picture.name, cached=one not in missing[picture.name], done=done, total=total))
        if encoding is not None:
            encoders.let_go(encoding.encoder)
        cache.write_index(project, recipe, pictures, placed)
    held = sum(len(placed[p.name]) for p in pictures if p.split == "held-out")
    emit(Finished(verb="encode", seconds=time.monotonic() - began, facts={"encoded": encoded, "samples": total}))
    return EncodeResult(cache.folder, encoded, total - encoded, total - held, held)


def words(
    wanted: "Sequence[tuple[str, Placed]]",
    told: "Mapping[str, Told]",
    family: Family,
    base: Base,
    device: "torch.device",
    emit: Emit,
) -> "Known":
    """The conditions of all captions of crops that are wanted, by picture; the text encoders are let go then."""
    from portraitist.dataset import placing
    from portraitist.dataset.encoding import Encoding
    from portraitist.learn import encoders

    if not wanted:
        return {}
    encoding = Encoding(encoders.read(family, base, "words", device, emit))
    for done, (name, one) in enumerate(wanted, 1):
        placing.listen(encoding, told[name], one)
        emit(Read(name=name, done=done, total=len(wanted)))
    encoders.let_go(encoding.encoder)
    return encoding.known


def unchanged(project: Project, picture: Picture) -> Opened:
    """A picture's pixels and mask, which must be those that were audited."""
    opened = masks.open_masked(project.pictures / picture.name)
    if opened.digest != picture.digest:
        raise PortraitistError(f"{picture.name} changed since the audit", f"Run: portraitist audit {project.folder}")
    return opened
