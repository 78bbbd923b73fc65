"""encode: pictures and captions through the base's VAE and text encoders, once, into the cache by content."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist import durable, families
from portraitist.audit.survey import cleared
from portraitist.dataset import buckets, captions
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Encoded, Finished, Started, ignore
from portraitist.family import Base, Family
from portraitist.pictures import Crop, Opened, Picture, open_upright
from portraitist.project import Project
from portraitist.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from portraitist.dataset.encoding import Known


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
    out of date, when the base cannot be found or encodes to what is not finite, and when a picture changes meanwhile.
    """
    from portraitist.dataset.cache import Cache, Placed, sample_key
    from portraitist.dataset.encoding import Encoding
    from portraitist.learn import encoders, memory

    began = time.monotonic()
    project.require_consent()
    family = families.get(recipe.model.family)
    side = recipe.data.resolution or family.profile.resolution
    sizes = buckets.buckets(side, family.pixel_multiple, recipe.data.aspect)
    pictures = cleared(project, recipe, side)
    family, base = families.pair(recipe.model)
    memory.set_threads(recipe.model.threads)
    cache = Cache.of(project, family.name, base)
    placed: dict[str, list[Placed]] = {}
    for picture in pictures:
        texts = texts_of(picture, project.facts.trigger)
        crops = buckets.crops(picture.width, picture.height, sizes, recipe.data.crops)
        placed[picture.name] = [(sample_key(picture.digest, family.name, base, crop, texts), crop) for crop in crops]
    total, done, encoded = sum(map(len, placed.values())), 0, 0
    emit(Started(verb="encode", total=total))
    device = memory.place(recipe.model.device)
    with durable.lock(cache.folder):
        durable.sweep(cache.folder)
        missing = {name: [one for one in crops if not cache.has(one[0])] for name, crops in placed.items()}
        wanted = [(p, crop) for p in pictures for _, crop in missing[p.name]]
        known = told(project, family, base, wanted, device, emit)
        encoding: Encoding | None = None
        for picture in pictures:
            if missing[picture.name]:
                opened = unchanged(project, picture)
                if encoding is None:
                    encoding = Encoding(encoders.read(family, base, "pictures", device, emit, side * side), known)
                for key, crop in missing[picture.name]:
                    texts = texts_of(picture, project.facts.trigger)
                    sample = encoding.sample(key, opened, crop, texts)
                    refuse_wild(sample.latents, picture, base)
                    cache.write_sample(key, sample)
            encoded += len(missing[picture.name])
            for one in placed[picture.name]:
                done += 1
                emit(Encoded(name=picture.name, cached=one not in missing[picture.name], done=done, total=total))
        if encoding is not None:
            encoders.let_go(encoding.encoder)
        cache.write_index(recipe, pictures, placed)
    held = sum(len(placed[p.name]) for p in pictures if p.split == "held-out")
    emit(Finished(verb="encode", seconds=time.monotonic() - began, facts={"encoded": encoded, "samples": total}))
    return EncodeResult(cache.folder, encoded, total - encoded, total - held, held)


def refuse_wild(latents: "Tensor", picture: Picture, base: Base) -> None:
    """Refuse what the VAE made of a picture when it is not finite: no training could use it."""
    if not bool(latents.isfinite().all()):
        wider = "." if base.dtype == "float32" else ", or set model.precision to float32."
        raise PortraitistError(
            f"{picture.name}: the base's VAE gives NaN or infinity", f"Copy the vae of {base.folder} again{wider}"
        )


def told(
    project: Project,
    family: Family,
    base: Base,
    wanted: Sequence[tuple[Picture, Crop]],
    device: "torch.device",
    emit: Emit,
) -> "Known":
    """The conditions of all captions that samples are wanted for; the text encoders are let go before it returns."""
    from portraitist.dataset.encoding import Encoding
    from portraitist.learn import encoders

    if not wanted:
        return {}
    encoding = Encoding(encoders.read(family, base, "words", device, emit))
    for picture, crop in wanted:
        for text in ["", *texts_of(picture, project.facts.trigger)]:
            encoding.conditions(text, crop)
    encoders.let_go(encoding.encoder)
    return encoding.known


def texts_of(picture: Picture, trigger: str) -> list[str]:
    """Every caption variant of a picture as the encoder gets it; one empty text where there is none."""
    return [captions.rendered(text, trigger) for text in (picture.caption, *picture.variants)]


def unchanged(project: Project, picture: Picture) -> Opened:
    """A picture's pixels, which must be those that were audited."""
    opened = open_upright(project.pictures / picture.name)
    if opened.digest != picture.digest:
        raise PortraitistError(f"{picture.name} changed since the audit", f"Run: portraitist audit {project.folder}")
    return opened
