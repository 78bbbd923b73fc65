"""A tiny family to encode with: a real autoencoder, and bytes for words."""

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from diffusers import AutoencoderKL

from portraitist.family import Base, Profile

BASE = Base(folder=SimpleNamespace(), digest="ab" * 32)  # type: ignore[arg-type] - nothing is read from it


@dataclass(frozen=True)
class TinyEncoder:
    """A real VAE of 4 x 4 pixel cells, and bytes of the text as tokens."""

    vae: AutoencoderKL

    @torch.no_grad()
    def latents(self, pixels):
        return self.vae.encode(pixels).latent_dist.mode()

    @torch.no_grad()
    def conditions(self, prompt):
        data = list(prompt.text.encode()) or [0]
        crop = prompt.crop
        sizes = [crop.source_height, crop.source_width, crop.top, crop.left] if crop else [0] * 4
        tokens = torch.tensor(data, dtype=torch.bfloat16)[:, None].expand(-1, 4)
        return {"tokens": tokens, "tokens_mask": torch.ones(len(data), dtype=torch.bool), "sizes": torch.tensor(sizes)}


@dataclass(frozen=True)
class Tiny:
    """A family of that encoder; what it loaded is counted."""

    loaded: list
    name = "tiny"
    profile = Profile(resolution=32, guidance=1, sampling_steps=2, token_limit=60)
    pixel_multiple = 8

    def count_tokens(self, text):
        return len(text.encode())

    def load_encoder(self, base):
        torch.manual_seed(0)
        blocks = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
        vae = AutoencoderKL(block_out_channels=(8, 8, 8), latent_channels=4, norm_num_groups=2, **blocks)
        assert all(p.device.type == "meta" for _, e in self.loaded for p in e.vae.parameters()), "two at a time"
        self.loaded.append((base.needs, TinyEncoder(vae.eval())))
        return self.loaded[-1][1]
