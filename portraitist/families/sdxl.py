"""SDXL (arXiv 2307.01952): a UNet that is told the noise to find, the picture's first size and where it was cut.

Shapes: B pictures of H x W pixels, h = H/8 and w = W/8 latent cells, 77 text tokens.
Held to diffusers' StableDiffusionXLPipeline by tests/integration/test_families.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from portraitist.adapters.layouts import ldm as native
from portraitist.bases import prediction
from portraitist.errors import PortraitistError
from portraitist.families import estimate, part, refuse_more_inputs, to_latents, to_pixels
from portraitist.family import Base, Profile, Prompt, no_references
from portraitist.pictures import Crop

if TYPE_CHECKING:
    from torch import Tensor, nn

    from portraitist.family import Conditions
    from portraitist.learn.noise import Ddpm

TOKENS = 77  # of CLIP, with the begin and end markers


@dataclass(frozen=True, slots=True)
class Sdxl:
    """The family; stateless.

    prediction  what its base predicts: the noise, or v (arXiv 2202.00512, D)
    zero_snr    whether its base was taught on a last timestep that is all noise (arXiv 2305.08891)
    """

    prediction: Literal["epsilon", "v"] = "epsilon"
    zero_snr: bool = False
    name = "sdxl"
    profile = Profile(
        resolution=1024,
        guidance=7.0,
        sampling_steps=30,
        token_limit=TOKENS - 2,
        timesteps=True,
        captions="tags",
        readers="each of the two CLIPs",
    )
    references = 0
    pixel_multiple = 64  # the VAE divides by 8, the UNet by 4; its authors' buckets step by 64
    targets = ("to_q", "to_k", "to_v", "to_out.0")
    pipeline = "StableDiffusionXLPipeline"
    tokenizer = "tokenizer"  # both CLIPs read the same vocabulary

    @property
    def process(self) -> Ddpm:
        """Denoising diffusion over 1000 steps; the noise is predicted, or v."""
        from portraitist.learn.noise import Ddpm

        return Ddpm(self.prediction, zero_snr=self.zero_snr)

    def suited(self, base: Base, declared: str) -> Sdxl:
        """The family as it is for a base, by what the base says of itself and the recipe of it.

        Raises PortraitistError when the two disagree, and for a noise process that is none of ours.
        """
        said = prediction.said(base.place("unet"), base.folder)
        if declared and said.prediction and declared != said.prediction:
            raise PortraitistError(
                f"model.prediction = {declared!r}, but {said.where} says {said.prediction!r}",
                "Leave model.prediction out, or correct what is wrong there.",
            )
        found = Sdxl("v" if "v" in (declared, said.prediction) else "epsilon", said.zero_snr)
        if found.zero_snr and found.prediction != "v":
            raise PortraitistError(
                f"{said.where} says zero terminal SNR, where the noise is predicted: of all noise that tells nothing",
                "If the base predicts v, say so: --set model.prediction=v. Else correct what is wrong there.",
            )
        return found

    def file_name(self, module: str) -> str:
        """kohya's `lora_unet_` and the name in the publisher's own layout: the one form that every tool reads."""
        return "lora_unet_" + native(module).replace(".", "_")

    def levels(self, steps: int, height: int, width: int) -> Tensor:
        """Timesteps `1000 // steps` apart, the last at 1: "leading" with offset 1, as SDXL's scheduler is configured.

        Of 30 steps the first is 958, not 999: its first noise is a little less than all. A base with zero terminal SNR
        starts at 999 instead, "trailing": it knows nothing but noise there. The size does not matter.
        """
        import torch

        total = self.process.steps
        if self.zero_snr:
            ends = torch.arange(steps + 1, dtype=torch.float64).flip(0) * total / steps
            return (ends.round() / total).float()
        times = torch.arange(steps).flip(0) * (total // steps) + 1
        return torch.cat([(times.clamp(max=total - 1) + 1) / total, torch.zeros(1)])

    def count_tokens(self, text: str) -> int:
        """An estimate that errs high (families.estimate): CLIP's vocabulary lies in the base, which is not asked here.

        `families.token_counter` asks it.
        """
        return estimate(text)

    def load_encoder(self, base: Base) -> SdxlEncoder:
        """The VAE in float32, for it overflows in float16; both CLIPs in the base's type."""
        import torch
        from diffusers import AutoencoderKL
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        dtype = getattr(torch, base.dtype)
        return SdxlEncoder(
            vae=part(base, AutoencoderKL, "vae", torch_dtype=torch.float32),
            tokenizers=(part(base, CLIPTokenizer, "tokenizer"), part(base, CLIPTokenizer, "tokenizer_2")),
            clips=(
                part(base, CLIPTextModel, "text_encoder", dtype=dtype),
                part(base, CLIPTextModelWithProjection, "text_encoder_2", dtype=dtype),
            ),
            resolution=self.profile.resolution,
        )

    def load_denoiser(self, base: Base) -> nn.Module:
        """The UNet. While training it computes activations twice rather than keep them."""
        import torch
        from diffusers import UNet2DConditionModel

        denoiser = part(base, UNet2DConditionModel, "unet", torch_dtype=getattr(torch, base.dtype))
        refuse_more_inputs(denoiser, base, "unet")
        denoiser.enable_gradient_checkpointing()
        return denoiser  # type: ignore[no-any-return]

    def predict(self, denoiser: nn.Module, noisy: Tensor, level: Tensor, given: Mapping[str, Any]) -> Tensor:
        """Noise in `noisy` (B, 4, h, w) of noise `level` (B,) in [0, 1]; same shape as `noisy`.

        given  tokens (B, 77, d), pooled (B, d'), sizes (B, 6)
        """
        noise: Tensor = denoiser(
            noisy,
            self.process.timestep(level),
            encoder_hidden_states=given["tokens"].to(noisy.dtype),
            added_cond_kwargs={"text_embeds": given["pooled"].to(noisy.dtype), "time_ids": given["sizes"]},
            return_dict=False,
        )[0]
        return noise


@dataclass(frozen=True, slots=True)
class SdxlEncoder:
    """VAE and the two CLIPs, with their tokenizers.

    resolution  side in pixels that a prompt without a crop is taken to be for
    """

    vae: Any
    tokenizers: tuple[Any, Any]
    clips: tuple[Any, Any]
    resolution: int

    def latents(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 4, h, w), by the VAE's own constants; the mode, not a sample."""
        return to_latents(self.vae, pixels)

    def pixels(self, latents: Tensor) -> Tensor:
        """(B, 4, h, w) to (B, 3, H, W) in [-1, 1]."""
        return to_pixels(self.vae, latents)

    def conditions(self, prompt: Prompt) -> Conditions:
        """`tokens` (77, d), the last but one layer of both CLIPs side by side; `pooled` (d',) of the second; `sizes`.

        Refuses references.
        """
        import torch

        if prompt.references:
            raise no_references("sdxl")
        found = []
        for tokenizer, clip in zip(self.tokenizers, self.clips, strict=True):
            told = tokenizer(prompt.text, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
            with torch.no_grad():
                found.append(clip(told.input_ids.to(clip.device), output_hidden_states=True))
        side = self.resolution
        return {
            "tokens": torch.cat([one.hidden_states[-2][0] for one in found], dim=-1),
            "tokens_mask": torch.ones(TOKENS, dtype=torch.bool),  # the UNet attends to padding too
            "pooled": found[1].text_embeds[0],
            "sizes": sizes(prompt.crop or Crop(side, side, 0, 0, side, side, side, side)),
        }

    def reference(self, picture: Tensor) -> Tensor:
        """Refused."""
        raise no_references("sdxl")


def sizes(crop: Crop) -> Tensor:
    """(6,) float32: height and width of the source, top and left of the window, height and width as trained.

    The window's corner is in pixels of the resized picture, as in the paper's 2.2 and in sd-scripts. float32, for
    bfloat16 has no 1023.
    """
    import torch

    top = round(crop.top * crop.to_height / crop.height)
    left = round(crop.left * crop.to_width / crop.width)
    return torch.tensor(
        [crop.source_height, crop.source_width, top, left, crop.to_height, crop.to_width], dtype=torch.float32
    )
