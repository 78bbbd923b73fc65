"""Qwen-Image and Qwen-Image-Edit-2509 (arXiv 2508.02324): rectified flow on latents packed two by two, told by
Qwen2.5-VL, which in the edit family sees the reference pictures as well.

Shapes: B pictures of H x W pixels, h = H/8 and w = W/8 latent cells of 16 channels, T text tokens of d numbers.
Held to diffusers' QwenImagePipeline and QwenImageEditPlusPipeline by tests/integration/test_qwen.py and
test_qwen_edit.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from einops import rearrange

from portraitist.errors import PortraitistError
from portraitist.families import estimate, part
from portraitist.family import Base, Profile, Prompt, no_references

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from portraitist.family import Conditions
    from portraitist.learn.noise import Flow

TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
EDIT_TEMPLATE = (
    "<|im_start|>system\nDescribe the key features of the input image (color, shape, size, texture, objects, "
    "background), then explain how the user's text instruction should alter or modify the image. Generate a new image "
    "that meets the user's requirements while maintaining consistency with the original input where appropriate."
    "<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
DROPPED, EDIT_DROPPED = 34, 64
"""Tokens of the templates before the caption, which the transformer has never seen: the pipelines' constants."""

CLOSING = 5  # tokens of the template after the caption, which it has
READ, TOKENS = 1024, 512
"""Tokens after the dropped ones that the text encoder reads, and those of them that the transformer is given: the
pipeline's own limit and the default of its call."""

SEEN = "<|image_pad|>"  # stands for one patch of a picture that the text encoder sees
REFERENCES = 3


@dataclass(frozen=True, slots=True)
class QwenImage:
    """The family; stateless."""

    name = "qwen-image"
    profile = Profile(
        resolution=1024,
        guidance=4.0,  # with steps and negative as in the publisher's README
        sampling_steps=50,
        negative=" ",
        norm_patch=2,
        token_limit=TOKENS - CLOSING,
    )
    pixel_multiple = 16  # the VAE divides by 8, packing by 2
    targets = (
        "to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out",
        "img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2",
    )  # fmt: skip
    """Attention and both MLPs, 720 layers: the defaults of musubi-tuner (which leaves modulation out) and OneTrainer's
    "attn-mlp". ai-toolkit adds `img_mod.1` and `txt_mod.1` for 840; they see the noise level alone, and neither the
    picture nor the words."""
    pipeline = "QwenImagePipeline"
    tokenizer = "tokenizer"
    references = 0  # at most

    @property
    def process(self) -> Flow:
        """Rectified flow; levels are logit-normal as in OneTrainer's presets for Qwen-Image, densest halfway."""
        from portraitist.learn.noise import Flow

        return Flow("logit-normal")

    def file_name(self, module: str) -> str:
        """ComfyUI's own name, which is diffusers' behind a prefix, 846 of 846 layers; ai-toolkit writes the same.

        diffusers reads it together with an alpha, which it does not behind `transformer.`.
        """
        return f"diffusion_model.{module}"

    def levels(self, steps: int, height: int, width: int) -> Tensor:
        """Even steps, shifted towards noise the more the larger the picture is, then stretched to end at 0.02.

        As the published scheduler is configured: the exponent grows linearly from 0.5 at 256 packed cells to 0.9 at
        8192; the last level before 0 is 0.02. A single step is from 1, for there is nothing to stretch.
        """
        import torch

        cells = (height // 16) * (width // 16)
        shift = math.exp(0.5 + (0.9 - 0.5) * (cells - 256) / (8192 - 256))
        even = torch.linspace(1, 1 / steps, steps, dtype=torch.float64)
        clean = 1 - shift * even / (1 + (shift - 1) * even)
        if steps > 1:
            clean = clean / clean[-1] * (1 - 0.02)
        return torch.cat([1 - clean, even.new_zeros(1)]).float()

    def count_tokens(self, text: str) -> int:
        """An estimate that errs high (families.estimate): the vocabulary lies in the base, which is not asked here.

        `families.token_counter` asks it.
        """
        return estimate(text)

    def load_encoder(self, base: Base) -> QwenEncoder:
        """The VAE in float32, Qwen2.5-VL in the base's type.

        Raises PortraitistError for a tokenizer that is not Qwen2.5-VL's.
        """
        return QwenEncoder(**encoder_parts(base, TEMPLATE, DROPPED))

    def load_denoiser(self, base: Base) -> nn.Module:
        """The transformer. While training it computes activations twice rather than keep them."""
        import torch
        from diffusers import QwenImageTransformer2DModel

        denoiser = part(base, QwenImageTransformer2DModel, "transformer", torch_dtype=getattr(torch, base.dtype))
        denoiser.enable_gradient_checkpointing()
        return denoiser  # type: ignore[no-any-return]

    def predict(self, denoiser: nn.Module, noisy: Tensor, level: Tensor, given: Mapping[str, Any]) -> Tensor:
        """Velocity at `noisy` (B, 16, h, w) of noise `level` (B,) in [0, 1]; same shape as `noisy`.

        given  tokens (B, T, d), tokens_mask (B, T); in the edit family `reference_0` to `reference_2`, each
               (B, 16, h', w'): their tokens follow the picture's, as frames 1 to 3
        Raises PortraitistError for more references than the family takes.
        """
        import torch

        count, _, h, w = noisy.shape
        mask = given["tokens_mask"]
        shown = [given[name].to(noisy) for name in sorted(given) if name.startswith("reference_")]
        require_few(self.name, len(shown), self.references)
        frames = [noisy, *shown]
        velocity: Tensor = denoiser(
            hidden_states=torch.cat([packed(frame) for frame in frames], 1),
            timestep=level.to(noisy.dtype),  # the model multiplies by 1000 itself
            encoder_hidden_states=given["tokens"].to(noisy.dtype),
            encoder_hidden_states_mask=None if mask.all() else mask,  # as in the pipeline: attention is faster without
            img_shapes=[[(1, frame.shape[2] // 2, frame.shape[3] // 2) for frame in frames]] * count,
            return_dict=False,
        )[0][:, : h // 2 * (w // 2)]
        return rearrange(velocity, "b (h w) (c p q) -> b c (h p) (w q)", h=h // 2, w=w // 2, p=2, q=2)


@dataclass(frozen=True, slots=True)
class QwenImageEdit(QwenImage):
    """The edit family, of up to three reference pictures; stateless. What is not said here is as in Qwen-Image.

    Without a reference, as most characters are trained, prompts go through the edit template all the same, only no
    picture stands in them: that is what the pipeline's own `encode_prompt` and ComfyUI's TextEncodeQwenImageEditPlus
    do with words alone, so that training, use without and use with pictures share one template. Nobody has measured
    whether Qwen-Image's template, which these weights began with, would do better.
    """

    name = "qwen-image-edit"
    profile = Profile(
        resolution=1024,
        guidance=4.0,  # with steps and negative as in the publisher's README
        sampling_steps=40,
        negative=" ",
        norm_patch=2,
        token_limit=READ,
    )
    pipeline = "QwenImageEditPlusPipeline"
    references = REFERENCES

    def load_encoder(self, base: Base) -> QwenEditEncoder:
        """The VAE in float32, Qwen2.5-VL in the base's type, and what cuts pictures into patches for its eyes.

        Raises PortraitistError for a tokenizer that is not Qwen2.5-VL's.
        """
        from transformers import Qwen2VLImageProcessorPil  # the other one wants torchvision

        processor = part(base, Qwen2VLImageProcessorPil, "processor")
        return QwenEditEncoder(**encoder_parts(base, EDIT_TEMPLATE, EDIT_DROPPED), processor=processor)


@dataclass(frozen=True, slots=True)
class QwenEncoder:
    """VAE, Qwen2.5-VL and its tokenizer."""

    vae: Any
    text: Any
    tokenizer: Any

    def latents(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 16, h, w), each channel centred and scaled by the VAE's own constants.

        The mode, not a sample: a cached latent is a function of its picture. To the VAE a picture is a film of one.
        """
        import torch

        with torch.no_grad():
            film = self.vae.encode(pixels.to(self.vae.device, self.vae.dtype)[:, :, None]).latent_dist.mode()
        mean, spread = self.scale(film)
        return (film[:, :, 0] - mean) / spread  # type: ignore[no-any-return]

    def pixels(self, latents: Tensor) -> Tensor:
        """(B, 16, h, w) to (B, 3, H, W) in [-1, 1]."""
        import torch

        mean, spread = self.scale(latents)
        film = (latents.to(self.vae.device, self.vae.dtype) * spread + mean)[:, :, None]
        with torch.no_grad():
            return self.vae.decode(film, return_dict=False)[0][:, :, 0].clamp(-1, 1)  # type: ignore[no-any-return]

    def scale(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of each channel, (16, 1, 1), where and as the VAE is."""
        import torch

        config = self.vae.config
        found = torch.tensor([config.latents_mean, config.latents_std], device=self.vae.device, dtype=self.vae.dtype)
        return found[0][:, None, None], found[1][:, None, None]

    def conditions(self, prompt: Prompt) -> Conditions:
        """`tokens` (T, d) of the caption and the template's closing, at most 512, and `tokens_mask` (T,).

        The crop is not told. Refuses references.
        """
        import torch

        if prompt.references:
            raise no_references("qwen-image")
        told = self.tokenizer(
            TEMPLATE.format(prompt.text), max_length=READ + DROPPED, truncation=True, return_tensors="pt"
        ).to(self.text.device)
        with torch.no_grad():
            found = self.text.model(**told).last_hidden_state
        tokens = found[0, DROPPED:][:TOKENS].clone()
        return {"tokens": tokens, "tokens_mask": torch.ones(len(tokens), dtype=torch.bool)}

    def reference(self, picture: Tensor) -> Tensor:
        """Refused."""
        raise no_references("qwen-image")


@dataclass(frozen=True, slots=True)
class QwenEditEncoder(QwenEncoder):
    """VAE, Qwen2.5-VL with its eyes in use, and its tokenizer.

    processor  transformers' Qwen2VLImageProcessorPil
    """

    processor: Any

    def conditions(self, prompt: Prompt) -> Conditions:
        """`tokens` (T, d) of references, caption and the template's closing, and `tokens_mask` (T,).

        References, 0 to 3, are seen at about 384 x 384 pixels. Nothing is cut, as in the pipeline; the crop is not
        told. Raises PortraitistError for a fourth reference, for a caption of more tokens than READ (the transformer
        has no places for thousands) and for one with a picture's token in it.
        """
        import torch
        from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import CONDITION_IMAGE_SIZE
        from PIL import Image

        require_few("qwen-image-edit", len(prompt.references), REFERENCES)
        if SEEN in prompt.text:
            raise PortraitistError(f"A caption contains {SEEN}", "Take it out: it stands for a piece of a picture.")
        count = len(self.tokenizer(prompt.text).input_ids)
        if count > READ:
            raise PortraitistError(f"A caption of {count} tokens; qwen-image-edit reads {READ}", "Shorten it.")
        told: dict[str, Any] = {}
        pads: list[int] = []
        if prompt.references:
            shown = [Image.fromarray(scaled(picture, CONDITION_IMAGE_SIZE)) for picture in prompt.references]
            told = dict(self.processor(images=shown, return_tensors="pt"))
            pads = (told["image_grid_thw"].prod(-1) // self.processor.merge_size**2).tolist()
        places = [f"Picture {i}: <|vision_start|>{SEEN * n}<|vision_end|>" for i, n in enumerate(pads, start=1)]
        told |= self.tokenizer(EDIT_TEMPLATE.format("".join(places) + prompt.text), return_tensors="pt")
        # without these transformers 5 numbers the patches of a picture like words: huggingface/diffusers#14194
        told["mm_token_type_ids"] = (told["input_ids"] == self.text.config.image_token_id).int()
        with torch.no_grad():
            found = self.text.model(**{name: value.to(self.text.device) for name, value in told.items()})
        tokens = found.last_hidden_state[0, EDIT_DROPPED:].clone()
        return {"tokens": tokens, "tokens_mask": torch.ones(len(tokens), dtype=torch.bool)}

    def reference(self, picture: Tensor) -> Tensor:
        """(3, H, W) of any size to (16, h', w'), scaled to about a megapixel of the same shape."""
        from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import VAE_IMAGE_SIZE

        from portraitist.dataset.encoding import to_tensor

        return self.latents(to_tensor(scaled(picture, VAE_IMAGE_SIZE))[None])[0]


def scaled(picture: Tensor, area: int) -> np.ndarray:
    """A picture (3, H, W) in [-1, 1] as (h, w, 3) uint8 of about so many pixels, its sides multiples of 32.

    Raises PortraitistError for a picture more than 200 times as long as wide, which Qwen2.5-VL does not look at.
    """
    from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import calculate_dimensions

    from portraitist.pictures import resize

    _, height, width = picture.shape
    if max(height, width) > 200 * min(height, width):
        raise PortraitistError(f"A reference of {width} x {height} pixels is too narrow", "Cut it, or leave it out.")
    width, height = calculate_dimensions(area, width / height)
    pixels = ((picture.float().cpu() + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return resize(pixels, width, height)


def require_few(family: str, count: int, most: int) -> None:
    """Refuse more references than a family takes."""
    if count and not most:
        raise no_references(family)
    if count > most:
        raise PortraitistError(f"{family} takes {most} reference pictures at most, not {count}", f"Leave {most}.")


def packed(latents: Tensor) -> Tensor:
    """(B, 16, h, w) as tokens (B, h/2 * w/2, 64): four cells side by side, row by row."""
    return rearrange(latents, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)


def encoder_parts(base: Base, template: str, dropped: int) -> dict[str, Any]:
    """VAE, text encoder and tokenizer of a base.

    Raises PortraitistError when the template before the caption is not `dropped` tokens long: the transformer has never
    seen those, and one too many or too few would shift every word.
    """
    import torch
    from diffusers import AutoencoderKLQwenImage
    from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

    tokenizer = part(base, Qwen2Tokenizer, "tokenizer")
    found = len(tokenizer(template.partition("{}")[0]).input_ids)
    if found != dropped:
        raise PortraitistError(
            f"{base.place('tokenizer')} is not Qwen2.5-VL's: the template is {found} tokens by it, not {dropped}",
            "Copy this part of the base again.",
        )
    return {
        "vae": part(base, AutoencoderKLQwenImage, "vae", torch_dtype=torch.float32),
        "text": part(base, Qwen2_5_VLForConditionalGeneration, "text_encoder", dtype=getattr(torch, base.dtype)),
        "tokenizer": tokenizer,
    }
