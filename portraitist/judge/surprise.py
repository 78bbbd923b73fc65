"""How much a picture surprises the base: its own denoising loss on it, without any LoRA."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch

from portraitist.dataset.encoding import to_tensor
from portraitist.family import Sample
from portraitist.judge.bench import Bench
from portraitist.judge.measuring.strain import LEVELS
from portraitist.judge.render import Artist
from portraitist.judge.shot import Shot
from portraitist.learn import memory
from portraitist.learn.loss import held_out


@dataclass(slots=True)
class Surprised:
    """The base of a sitting before pictures; call it while no adapter is on. What it has seen it remembers."""

    bench: Bench
    artist: Artist
    known: dict[tuple[str, str], float] = field(default_factory=dict)

    def __call__(self, shot: Shot, pixels: np.ndarray) -> float:
        """Log of the loss on a picture (H, W, 3) uint8, by the shot's own prompt; pictures of one shot meet the same
        noise."""
        key = (shot.prompt.text, hashlib.sha256(pixels.tobytes()).hexdigest())
        if key not in self.known:
            self.known[key] = self.seen(shot, pixels)
        return self.known[key]

    @torch.no_grad()
    def seen(self, shot: Shot, pixels: np.ndarray) -> float:
        """The same, taken anew."""
        sampler, conditions = self.bench.sampler(), self.bench.prompts()(shot.prompt.text)
        latents = self.bench.encoder().latents(to_tensor(pixels)[None])[0].float().cpu()
        references = tuple(one.cpu() for one in self.artist.references())
        sample = Sample(f"{shot.noise} {shot.seed}", latents, (conditions,), conditions, references=references)
        with memory.autocast(next(sampler.denoiser.parameters()).device, sampler.precision):
            losses = held_out(sampler.family, sampler.denoiser, [sample], 0, LEVELS)
        return float(losses.double().clamp_min(1e-12).log().mean())
