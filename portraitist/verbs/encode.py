"""encode: pictures and captions through the base's VAE and text encoders, once, into the cache by content."""

import time
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable, families
from portraitist.audit.survey import cleared
from portraitist.dataset import buckets, captions
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Encoded, Finished, Started, ignore
from portraitist.pictures import Opened, Picture, open_upright
from portraitist.project import Project
from portraitist.recipe import Recipe


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

    Held-out pictures are encoded as well. Raises PortraitistError for a real person without consent, when the audit
    blocks or is out of date, when the base cannot be found, and when a picture changes meanwhile.
    """
    from portraitist.dataset.cache import Cache, Placed, sample_key
    from portraitist.dataset.encoding import Encoding
    from portraitist.learn.memory import set_threads

    began = time.monotonic()
    project.require_consent()
    family = families.get(recipe.model.family)
    side = recipe.data.resolution or family.profile.resolution
    sizes = buckets.buckets(side, family.pixel_multiple, recipe.data.aspect)
    pictures = cleared(project, recipe, side)
    family, base = families.pair(recipe.model, emit)
    set_threads(recipe.model.threads)
    cache = Cache.of(project, family.name, base)
    placed: dict[str, list[Placed]] = {}
    for picture in pictures:
        texts = texts_of(picture, project.facts.trigger)
        crops = buckets.crops(picture.width, picture.height, sizes, recipe.data.crops)
        placed[picture.name] = [(sample_key(picture.digest, family.name, base, crop, texts), crop) for crop in crops]
    total, done, encoded = sum(map(len, placed.values())), 0, 0
    emit(Started(verb="encode", total=total))
    encoding: Encoding | None = None
    with durable.lock(cache.folder):
        durable.sweep(cache.folder)
        for picture in pictures:
            missing = [(key, crop) for key, crop in placed[picture.name] if not cache.has(key)]
            if missing:
                opened = unchanged(project, picture)
                encoding = encoding or Encoding(family.load_encoder(base))
                for key, crop in missing:
                    texts = texts_of(picture, project.facts.trigger)
                    cache.write_sample(key, encoding.sample(key, opened, crop, texts))
            encoded += len(missing)
            for one in placed[picture.name]:
                done += 1
                emit(Encoded(name=picture.name, cached=one not in missing, done=done, total=total))
        cache.write_index(recipe, pictures, placed)
    held = sum(len(placed[p.name]) for p in pictures if p.split == "held-out")
    emit(Finished(verb="encode", seconds=time.monotonic() - began, facts={"encoded": encoded, "samples": total}))
    return EncodeResult(cache.folder, encoded, total - encoded, total - held, held)


def texts_of(picture: Picture, trigger: str) -> list[str]:
    """Every caption variant of a picture as the encoder gets it; one empty text where there is none."""
    return [captions.rendered(text, trigger) for text in (picture.caption, *picture.variants)]


def unchanged(project: Project, picture: Picture) -> Opened:
    """A picture's pixels, which must be those that were audited."""
    opened = open_upright(project.pictures / picture.name)
    if opened.digest != picture.digest:
        raise PortraitistError(f"{picture.name} changed since the audit", f"Run: portraitist audit {project.folder}")
    return opened
