"""FLUX.1-dev: rectified flow on latents packed two by two, guidance-distilled.

Shapes: B pictures of H x W pixels, h = H/8 and w = W/8 latent cells, T text tokens.
Held to diffusers' FluxPipeline by tests/integration/test_families.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from einops import rearrange

from portraitist.bases import headers
from portraitist.errors import PortraitistError
from portraitist.families import estimate, part, refuse_declared, refuse_more_inputs, to_latents, to_pixels
from portraitist.family import Base, Profile, Prompt, no_references

if TYPE_CHECKING:
    from torch import Tensor, nn

    from portraitist.family import Conditions
    from portraitist.learn.noise import Flow

TOKENS = 512  # of T5, padding included: the model attends to all of them, as it did when it was made


@dataclass(frozen=True, slots=True)
class Flux:
    """The family.

    guidance  the distilled guidance it is trained and measured at: 1, as sd-scripts and ai-toolkit do. Sampling puts
              the profile's into the conditions as `guidance` (B,), which goes before
    """

    guidance: float = 1.0
    name = "flux"
    profile = Profile(resolution=1024, guidance=3.5, sampling_steps=28, true_guidance=False, token_limit=TOKENS - 1)
    references = 0
    pipeline = "FluxPipeline"
    pixel_multiple = 16  # the VAE divides by 8, packing by 2
    targets = ("to_q", "to_k", "to_v", "to_out.0")
    tokenizer = "tokenizer_2"  # T5's; of CLIP only the pooled vector is used

    @property
    def process(self) -> Flow:
        """Rectified flow; levels are logit-normal as in ai-toolkit and sd-scripts ("sigmoid"), densest halfway."""
        from portraitist.learn.noise import Flow

        return Flow("logit-normal")

    def suited(self, base: Base, declared: str) -> Flux:
        """The family, for a base whose transformer is told guidance.

        Raises PortraitistError for a prediction declared, and for FLUX.1-schnell and the like, which are told none and
        draw in a few steps by another schedule.
        """
        refuse_declared(self.name, declared)
        place = base.place("transformer")
        if place.is_file():
            told = any("guidance_in." in name or "guidance_embedder." in name for name in headers.read(place).shapes)
        else:
            config = headers.table(place / "config.json")
            told = not config or bool(config.get("guidance_embeds"))
        if not told:
            raise PortraitistError(
                f"{place} is told no guidance, as FLUX.1-schnell is not; {self.name} is FLUX.1-dev's family",
                "Give FLUX.1-dev, or a model made from it.",
            )
        return self

    def file_name(self, module: str) -> str:
        """diffusers' own name: ComfyUI maps it to the slices of its fused layers, 504 of 504 modules."""
        return f"transformer.{module}"

    def levels(self, steps: int, height: int, width: int) -> Tensor:
        """Even steps, shifted towards noise the more the larger the picture is (FluxPipeline's calculate_shift).

        The exponent grows linearly from 0.5 at 256 packed cells to 1.15 at 4096.
        """
        import torch

        cells = (height // 16) * (width // 16)
        shift = math.exp(0.5 + (1.15 - 0.5) * (cells - 256) / (4096 - 256))
        even = torch.linspace(1, 1 / steps, steps, dtype=torch.float64)
        return torch.cat([shift * even / (1 + (shift - 1) * even), even.new_zeros(1)]).float()

    def count_tokens(self, text: str) -> int:
        """An estimate that errs high (families.estimate): T5's vocabulary lies in the base, which is not asked here.

        `families.token_counter` asks it.
        """
        return estimate(text)

    def load_encoder(self, base: Base) -> FluxEncoder:
        """The VAE in float32, CLIP and T5 in the base's type."""
        import torch
        from diffusers import AutoencoderKL
        from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5Tokenizer

        dtype = getattr(torch, base.dtype)
        return FluxEncoder(
            vae=part(base, AutoencoderKL, "vae", torch_dtype=torch.float32),
            tokenizers=(part(base, CLIPTokenizer, "tokenizer"), part(base, T5Tokenizer, "tokenizer_2")),
            clip=part(base, CLIPTextModel, "text_encoder", dtype=dtype),
            t5=part(base, T5EncoderModel, "text_encoder_2", dtype=dtype),
        )

    def load_denoiser(self, base: Base) -> nn.Module:
        """The transformer. While training it computes activations twice rather than keep them."""
        import torch
        from diffusers import FluxTransformer2DModel

        denoiser = part(base, FluxTransformer2DModel, "transformer", torch_dtype=getattr(torch, base.dtype))
        refuse_more_inputs(denoiser, base, "transformer")
        denoiser.enable_gradient_checkpointing()
        return denoiser  # type: ignore[no-any-return]

    def predict(self, denoiser: nn.Module, noisy: Tensor, level: Tensor, given: Mapping[str, Any]) -> Tensor:
        """Velocity at `noisy` (B, 16, h, w) of noise `level` (B,) in [0, 1]; same shape as `noisy`.

        given  tokens (B, T, d), pooled (B, d'), and guidance (B,) if it is not to be the family's
        """
        model: Any = denoiser
        _, _, h, w = noisy.shape
        guidance = given.get("guidance", level.new_full(level.shape, self.guidance))
        velocity: Tensor = model(
            hidden_states=rearrange(noisy, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2),
            timestep=level.to(noisy.dtype),  # the model multiplies by 1000 itself
            guidance=guidance.to(noisy.dtype) if model.config.guidance_embeds else None,
            pooled_projections=given["pooled"].to(noisy.dtype),
            encoder_hidden_states=given["tokens"].to(noisy.dtype),
            txt_ids=noisy.new_zeros(given["tokens"].shape[1], 3),
            img_ids=positions(h // 2, w // 2).to(noisy),
            return_dict=False,
        )[0]
        return rearrange(velocity, "b (h w) (c p q) -> b c (h p) (w q)", h=h // 2, w=w // 2, p=2, q=2)


@dataclass(frozen=True, slots=True)
class FluxEncoder:
    """VAE, CLIP and T5, with the tokenizers of the two."""

    vae: Any
    tokenizers: tuple[Any, Any]
    clip: Any
    t5: Any

    def latents(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 16, h, w), by the VAE's own constants; the mode, not a sample."""
        return to_latents(self.vae, pixels)

    def pixels(self, latents: Tensor) -> Tensor:
        """(B, 16, h, w) to (B, 3, H, W) in [-1, 1]."""
        return to_pixels(self.vae, latents)

    def conditions(self, prompt: Prompt) -> Conditions:
        """`pooled` (d',) of CLIP, `tokens` (512, d) of T5; the crop is not told. Refuses references."""
        import torch

        if prompt.references:
            raise no_references("flux")
        ids = [
            tokenizer(
                prompt.text, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            ).input_ids.to(model.device)
            for tokenizer, model, length in zip(self.tokenizers, (self.clip, self.t5), (77, TOKENS), strict=True)
        ]
        with torch.no_grad():
            pooled, tokens = self.clip(ids[0]).pooler_output[0], self.t5(ids[1])[0][0]
        return {"tokens": tokens, "tokens_mask": torch.ones(TOKENS, dtype=torch.bool), "pooled": pooled}

    def reference(self, picture: Tensor) -> Tensor:
        """Refused."""
        raise no_references("flux")


def positions(rows: int, columns: int) -> Tensor:
    """(rows * columns, 3): zero, row and column of each packed cell, row by row."""
    import torch

    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).reshape(-1, 3)
