"""What a sitting draws with on this machine: a base's text encoders, decoder and denoiser, each when it is needed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from portraitist.dataset import cache as caching
from portraitist.dataset.cache import Cache
from portraitist.events import Emit
from portraitist.family import Base, Encoder, Family
from portraitist.judge import companions, render
from portraitist.judge.grid import Grid
from portraitist.judge.render import Prompts, Sampler
from portraitist.learn import encoders, memory, offload
from portraitist.pictures import Opened
from portraitist.project import Project
from portraitist.recipe import Recipe


@dataclass(slots=True)
class Bench:
    """The parts of one base, for one grid; nothing is loaded until it is asked for."""

    project: Project
    recipe: Recipe
    family: Family
    base: Base
    grid: Grid
    record: Emit
    references: Sequence[Opened] = ()
    second: tuple[str, dict[str, Tensor]] = ("", {})
    kept_sampler: Sampler | None = None
    kept_encoder: Encoder | None = None
    kept_prompts: Prompts | None = None

    @property
    def cache(self) -> Cache:
        """The project's samples and prompts of this base."""
        return Cache.of(self.project, self.family.name, self.base)

    def device(self) -> torch.device:
        """Where judging works."""
        return memory.place(self.recipe.model.device)

    def prompts(self) -> Prompts:
        """The grid's prompts, read."""
        if self.kept_prompts is None:
            crop = render.whole(self.grid.width, self.grid.height)
            self.kept_prompts = Prompts(self.family, self.base, self.cache, self.words, crop, self.references)
        return self.kept_prompts

    @contextmanager
    def words(self) -> Iterator[Encoder]:
        """Within: the base's text encoders, for prompts that are not in the cache."""
        encoder = encoders.read(self.family, self.base, "words", self.device(), self.record)
        yield encoder
        encoders.let_go(encoder)

    def encoder(self) -> Encoder:
        """The base's decoder of pictures."""
        if self.kept_encoder is None:
            pixels, device = self.grid.width * self.grid.height, self.device()
            self.kept_encoder = encoders.read(self.family, self.base, "pictures", device, self.record, pixels)
        return self.kept_encoder

    def sampler(self) -> Sampler:
        """The base's denoiser, ready to draw; all prompts are encoded before it comes."""
        if self.kept_sampler is None:
            device = self.device()
            memory.autocast(device, self.recipe.model.precision)  # refuses before anything is loaded
            offload.check(device, self.recipe.model.offload)
            shots = [*self.grid.choosing, *self.grid.reporting, *self.grid.probing]
            self.prompts().prepare([shot.prompt.text for shot in shots] + [self.family.profile.negative])
            entry = caching.load_index(self.project, self.recipe, self.base)[0]
            latents = self.cache.read_sample(entry.key).latents
            cell = entry.width // latents.shape[-1]
            self.kept_sampler = Sampler(
                family=self.family,
                denoiser=offload.settle(self.family.load_denoiser(self.base), self.recipe.model.offload, device),
                latent=(int(latents.shape[0]), self.grid.height // cell, self.grid.width // cell),
                width=self.grid.width,
                height=self.grid.height,
                steps=self.grid.steps,
                guidance=self.grid.guidance,
                precision=self.base.dtype,
            )
            self.companion()  # refused, if need be, before anything is drawn
        return self.kept_sampler

    def companion(self) -> dict[str, Tensor]:
        """The parts of the second LoRA."""
        file = companions.path(self.project, self.recipe.judging)
        if file is None:
            return {}
        if self.second[0] != str(file):
            self.second = (str(file), companions.read(file, self.family, self.sampler().denoiser))
        return self.second[1]
