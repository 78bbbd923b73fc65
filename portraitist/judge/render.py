"""Drawing: prompts and seeds through the family's own `predict`, to PNG files that say what they were drawn with.

What is measured is always what lies on the disk, so that a judging that was cut and continued sees the same pixels.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from portraitist import durable
from portraitist.dataset.cache import Cache, prompt_key
from portraitist.dataset.draws import generator
from portraitist.dataset.encoding import require_finite, to_tensor
from portraitist.family import Base, Encoder, Family, Prompt, collate
from portraitist.judge.grid import Grid, Manner
from portraitist.judge.shot import Shot
from portraitist.learn import memory
from portraitist.pictures import Crop, Opened, png

PIXELS = 16 * 128 * 128
"""Of the pictures drawn side by side: sixteen of the small base, one of a megapixel."""

MARK = "portraitist"
"""The PNG text that holds the digest of what a picture was drawn with."""

Conditions = dict[str, Tensor]
Adapted = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Sampler:
    """A family's denoiser as judging draws with it.

    latent     (C, h, w) of a picture of width x height pixels
    precision  of the arithmetic, as in training
    """

    family: Family
    denoiser: nn.Module
    latent: tuple[int, int, int]
    width: int
    height: int
    steps: int
    guidance: float
    precision: str

    @torch.no_grad()
    def latents(
        self, given: Sequence[Conditions], negative: Conditions, noise: Tensor, references: Sequence[Tensor] = ()
    ) -> Tensor:
        """Finished latents (B, C, h, w) float32 on the CPU, from unit noise (B, C, h, w) and a prompt for each.

        With true guidance g the prediction is n + g (p - n) of the prompt's p and the negative's n (arXiv 2207.12598),
        both in one forward pass, and in each patch as long as p where the profile has a `norm_patch`; a distilled base
        is told g instead (`guidance` (B,) among the conditions).
        References are latents, each (B, C, h', w'); the negative sees them too, as in diffusers' edit pipelines.
        """
        device = next(self.denoiser.parameters()).device
        count, process = len(given), self.family.process
        double = self.family.profile.true_guidance and self.guidance != 1
        both = collate([*given, *([negative] * count if double else [])])
        both |= {f"reference_{i}": torch.cat([r, r]) if double else r for i, r in enumerate(references)}
        both = {name: value.to(device) for name, value in both.items()}
        if not self.family.profile.true_guidance:
            both["guidance"] = torch.full((count,), self.guidance, device=device)
        levels = self.family.levels(self.steps, self.height, self.width).float()
        noisy = process.start(noise.float(), levels).to(device)
        with memory.autocast(device, self.precision):
            for now, then in pairwise(levels):
                doubled = torch.cat([noisy, noisy]) if double else noisy
                level = now.to(device).expand(len(doubled))
                predicted = self.family.predict(self.denoiser, doubled, level, both).float()
                if double:
                    asked, plain = predicted.chunk(2)
                    predicted = plain + self.guidance * (asked - plain)
                    if self.family.profile.norm_patch:
                        predicted = as_long(predicted, asked, self.family.profile.norm_patch)
                noisy = process.step(noisy, predicted, now.to(device), then.to(device)).float()
        return noisy.cpu()

    def noise(self, shot: Shot) -> Tensor:
        """The unit noise (C, h, w) of a picture: the same for every checkpoint, strength and batch."""
        draw = generator(shot.seed, f"render {shot.noise}", 0)
        return torch.randn(self.latent, generator=draw)


def as_long(guided: Tensor, asked: Tensor, side: int) -> Tensor:
    """`guided` (B, C, h, w), scaled in each patch of side x side cells to the norm that `asked` has there.

    The norm goes over the channels and cells of the patch: one token of a transformer that packs them.
    """

    def norm(values: Tensor) -> Tensor:
        return avg_pool2d(values.square().sum(1, keepdim=True), side).sqrt()

    ratio = norm(asked) / norm(guided).clamp_min(1e-12)
    return guided * ratio.repeat_interleave(side, 2).repeat_interleave(side, 3)


class Elsewhere(Protocol):
    """Another program that draws, one picture at a time, with the base and the models that it has."""

    @property
    def name(self) -> str:
        """Which program, and by what it draws: pictures of two names are never mixed."""
        ...

    def wear(self, adapter: str, tensors: Mapping[str, Tensor], strength: float) -> None:
        """Draw with an adapter from now on, by its canonical names; `adapter` is the SHA-256 of its file, "" for the
        base alone."""
        ...

    def draw(self, text: str, seed: int, guidance: float, steps: int) -> np.ndarray:
        """A picture (H, W, 3) uint8 of a prompt from a seed, 0 to 2^31 - 1. Raises PortraitistError where none comes,
        and Interrupted when a stop is asked for."""
        ...


@dataclass(slots=True)
class Prompts:
    """Conditions of the grid's prompts, from the cache where they are there; else encoded, once, and kept.

    words       within it there are text encoders, and after it none
    references  pictures that every prompt is asked with
    """

    family: Family
    base: Base
    cache: Cache
    words: Callable[[], AbstractContextManager[Encoder]]
    crop: Crop
    references: Sequence[Opened] = ()
    known: dict[str, Conditions] = field(default_factory=dict)

    def __call__(self, text: str) -> Conditions:
        """The conditions of a text, without batch dimension."""
        self.prepare([text])
        return self.known[text]

    @torch.no_grad()
    def prepare(self, texts: Sequence[str]) -> None:
        """Have the conditions of all these at hand, so that the text encoders come but once, before the denoiser."""
        missing = []
        for text in dict.fromkeys(texts):
            if text not in self.known:
                found = self.cache.read(self.key(text))
                if found is None:
                    missing.append(text)
                else:
                    self.known[text] = found
        if missing:
            shown = tuple(to_tensor(reference.pixels) for reference in self.references)
            with self.words() as encoder:
                for text in missing:
                    conditions = encoder.conditions(Prompt(text, self.crop, shown))
                    self.known[text] = {name: require_finite(value, text).cpu() for name, value in conditions.items()}
                    self.cache.write_prompt(self.key(text), self.known[text])

    def key(self, text: str) -> str:
        """The content key of a text's conditions, with the references."""
        digests = [reference.digest for reference in self.references]
        return prompt_key(self.family.name, self.base, text, self.crop, digests)


@dataclass(slots=True)
class Artist:
    """Draws shots into a folder, some side by side, and passes over what lies there already.

    sampler  loaded when it is first needed; so is
    encoder  of pictures, for their decoder
    shelf    folder of the base's pictures by their marks: runs of one project share them
    elsewhere  another program that draws in their place, picture by picture
    drawn    how many have been drawn, and not taken from the shelf
    """

    family: Family
    base: Base
    grid: Grid
    sampler: Callable[[], Sampler]
    encoder: Callable[[], Encoder]
    prompts: Callable[[], Prompts]
    shelf: Path
    elsewhere: Elsewhere | None = None
    kept_references: list[Tensor] | None = None
    drawn: int = 0

    def mark(self, shot: Shot, adapter: str, strength: float, manner: Manner | None = None) -> str:
        """Digest of all that decides a picture; `adapter` is the SHA-256 of the adapter's file, "" for the base."""
        how = manner or self.grid.manner()
        parts = [shot.prompt.text, shot.seed, adapter, strength if adapter else 0.0, self.base.digest, self.base.dtype]
        parts += [how.guidance, how.steps, self.grid.width, self.grid.height, self.family.name]
        parts += self.grid.references
        parts += [f"noise of {shot.twin}"] if shot.twin else []
        parts += [self.base.quantised] if self.base.quantised else []
        parts += [self.base.recovered] if self.base.recovered else []
        parts += ["merged"] if adapter and self.merged else []
        parts += [self.elsewhere.name] if self.elsewhere else []
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def merged(self) -> bool:
        """Whether LoRAs are drawn with in the weights, and not beside them."""
        return self.family.profile.merged and not self.base.quantised

    def draw(
        self,
        shots: Sequence[tuple[Shot, Path]],
        adapter: str,
        strength: float,
        adapted: Adapted,
        manner: Manner,
        *,
        shelved: bool,
    ) -> Iterator[int]:
        """Draw each shot that its path does not hold yet; yields how many pictures each batch brought.

        adapter  as in `mark`
        adapted  within it the denoiser is the checkpoint at the strength. Batches are the same whether or not one was
        cut short: when one of its pictures is missing, all are drawn again.
        shelved  whether they come from the shelf where they are there, and go there where not
        """
        side_by_side = max(1, PIXELS // (self.grid.width * self.grid.height))
        if self.elsewhere is not None:  # picture by picture, and prompt by prompt: it keeps what it last read
            shots, side_by_side = sorted(shots, key=lambda placed: placed[0].prompt.text), 1
        for at in range(0, len(shots), side_by_side):
            batch = shots[at : at + side_by_side]
            marks = [self.mark(shot, adapter, strength, manner) for shot, _ in batch]
            if all(marked(path) == mark for (_, path), mark in zip(batch, marks, strict=True)):
                continue
            places = [self.shelf / f"{mark}.png" for mark in marks] if shelved else []
            if places and all(marked(place) == mark for place, mark in zip(places, marks, strict=True)):
                made = [place.read_bytes() for place in places]
            else:
                pictures = self.rendered([shot for shot, _ in batch], adapted, manner)
                made = [with_mark(pixels, mark) for pixels, mark in zip(pictures, marks, strict=True)]
                for place, data in zip(places, made, strict=False):
                    durable.write_bytes(place, data)
                self.drawn += len(batch)
            for (_, path), data in zip(batch, made, strict=True):
                durable.write_bytes(path, data)
            yield len(batch)

    def rendered(self, shots: Sequence[Shot], adapted: Adapted, manner: Manner) -> np.ndarray:
        """Shots side by side: (B, H, W, 3) uint8."""
        if self.elsewhere is not None:
            with adapted():
                how = (manner.guidance, manner.steps)
                made = [self.elsewhere.draw(shot.prompt.text, seeded(shot), *how) for shot in shots]
            return np.stack(made)
        prompts = self.prompts()
        given = [prompts(shot.prompt.text) for shot in shots]
        negative = prompts(self.family.profile.negative)
        sampler = replace(self.sampler(), guidance=manner.guidance, steps=manner.steps)
        noise = torch.stack([sampler.noise(shot) for shot in shots])
        shown = [one.expand(len(shots), *one.shape) for one in self.references()]
        with adapted():
            return self.pixels(sampler.latents(given, negative, noise, shown))

    @torch.no_grad()
    def references(self) -> list[Tensor]:
        """Latents of the reference pictures, each (C, h', w'), encoded once."""
        if self.kept_references is None:
            pictures = [to_tensor(reference.pixels) for reference in self.prompts().references]
            self.kept_references = [self.encoder().reference(picture).float() for picture in pictures]
        return self.kept_references

    @torch.no_grad()
    def pixels(self, latents: Tensor) -> np.ndarray:
        """Latents (B, C, h, w) through the decoder: (B, H, W, 3) uint8."""
        found = self.encoder().pixels(latents).float().clamp(-1, 1)
        return np.asarray(((found + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())


def seeded(shot: Shot) -> int:
    """The seed of a picture for a program that makes noise of a number alone, 0 to 2^31 - 1: shots of one noise have
    the same."""
    return int(hashlib.sha256(f"render {shot.noise} {shot.seed}".encode()).hexdigest()[:8], 16) % 2**31


def with_mark(pixels: np.ndarray, mark: str) -> bytes:
    """The bytes of a PNG with its mark."""
    facts = PngImagePlugin.PngInfo()
    facts.add_text(MARK, mark)
    return png(pixels, facts)


def marked(path: Path) -> str:
    """The mark of a picture that was drawn here; "" when it is absent, torn or of someone else."""
    try:
        with Image.open(path) as image:
            image.load()
            return str(getattr(image, "text", {}).get(MARK, ""))
    except (OSError, SyntaxError, ValueError):
        return ""


def read(path: Path) -> np.ndarray:
    """A drawn picture's pixels (H, W, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def whole(width: int, height: int) -> Crop:
    """The crop of a picture that is drawn whole: what a base that is told crops is told when it samples."""
    return Crop(width, height, 0, 0, width, height, width, height)


def digest(adapter: Path, manifest: Mapping[str, object]) -> str:
    """SHA-256 of a checkpoint's adapter file, from its manifest where that tells it."""
    files = manifest.get("files")
    found = files.get(adapter.name) if isinstance(files, dict) else None
    return str(found) if found else durable.digest(adapter)
