"""Z-Image and Z-Image-Turbo (arXiv 2511.22699): rectified flow in one stream of picture and words, told by Qwen3-4B.

Shapes: B pictures of H x W pixels, h = H/8 and w = W/8 latent cells of 16 channels, T text tokens of d numbers.
Held to diffusers' ZImagePipeline by tests/integration/test_families.py. What ComfyUI loads is read from its source
(comfy/lora.py, comfy/utils.py of September 2026).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from portraitist.adapters.dialects import AI_TOOLKIT, ALL, PEFT, PEFT_NAMED, Dialect
from portraitist.adapters.layouts import Place
from portraitist.adapters.modules import ALL_LINEAR, Layers
from portraitist.bases import headers
from portraitist.bases.layouts import LDM, Layout, Written
from portraitist.configs import config
from portraitist.errors import PortraitistError
from portraitist.families import estimate, part, refuse_declared, to_latents, to_pixels
from portraitist.family import Base, Profile, Prompt, no_references

if TYPE_CHECKING:
    from torch import Tensor, nn

    from portraitist.family import Conditions
    from portraitist.learn.noise import Flow

TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
"""Qwen3's chat template of one message, thinking left open, as the pipeline has it made."""

BEFORE, CLOSING, TOKENS = 3, 5, 512
"""Tokens of the template before the caption and after it, and all of them that are read: a longer text is cut."""

TRANSFORMER = {
    "in_channels": 16, "dim": 3840, "n_layers": 30, "n_refiner_layers": 2, "n_heads": 30, "n_kv_heads": 30,
    "norm_eps": 1e-5, "qk_norm": True, "cap_feat_dim": 2560, "rope_theta": 256.0, "t_scale": 1000.0,
    "axes_dims": [32, 48, 48], "axes_lens": [1536, 512, 512], "all_patch_size": [2], "all_f_patch_size": [1],
}  # fmt: skip
QWEN3_4B = {
    "vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "bos_token_id": 151643, "eos_token_id": 151645,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
}  # fmt: skip
"""The parts as published, of Z-Image and Turbo alike; the VAE is FLUX's."""

ATTENTION = r"\.attention\.to_(q|k|v|out\.0)$"
SETS = {
    "attention": Layers(ATTENTION),
    "attention-mlp": Layers(rf"{ATTENTION}|\.feed_forward\."),
    "blocks": Layers(r"^(layers|noise_refiner|context_refiner)\."),
    "all-linear": ALL_LINEAR,
}
ENDS = {"all_x_embedder.2-1": "x_embedder", "all_final_layer.2-1": "final_layer"}


def original(module: str) -> Place:
    """A module in the publisher's own layout, which ComfyUI has too: qkv fused, one size of patch."""
    for ours, theirs in ENDS.items():
        if module == ours or module.startswith(f"{ours}."):
            return Place(theirs + module.removeprefix(ours))
    found = re.fullmatch(r"(.+\.attention)\.to_(q|k|v|out\.0)", module)
    if found is None:
        return Place(module)
    fused = found[2] in ("q", "k", "v")
    return Place(f"{found[1]}.qkv", "qkv".index(found[2]), 3) if fused else Place(f"{found[1]}.out")


def from_original(tensors: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """The transformer out of the publisher's layout, by diffusers' converter."""
    from diffusers.loaders.single_file_utils import convert_z_image_transformer_checkpoint_to_diffusers

    return convert_z_image_transformer_checkpoint_to_diffusers(dict(tensors))  # type: ignore[no-any-return]


def from_causal(tensors: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Qwen3 out of a file that says `model.` before its names; the way back to words is not used."""
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name != "lm_head.weight"}


@dataclass(frozen=True, slots=True)
class ZImage:
    """The family; stateless.

    shift  of the sampling schedule towards noise: what the base's own scheduler says, else the published one
    """

    shift: float = 6.0
    name = "z-image"
    profile = Profile(
        resolution=1024,
        guidance=5.0,  # the pipeline counts from 0 where others count from 1: its README's 4
        sampling_steps=50,
        token_limit=TOKENS - BEFORE - CLOSING,
    )
    pixel_multiple = 16  # the VAE divides by 8, patches are 2 x 2
    targets = ("to_q", "to_k", "to_v", "to_out.0", "w1", "w2", "w3")
    """Attention and MLP, 238 layers: musubi-tuner's, and the same in the refiners. ai-toolkit takes those of the 30
    blocks with their modulation, which sees the noise level alone."""
    pipeline = "ZImagePipeline"
    tokenizer = "tokenizer"
    tree_of = "z-image"
    words = ("z-image", "z_image", "zimage")
    architecture = "Z-Image"
    version = "zimage"
    sets = SETS
    dialects = (
        Dialect("ai-toolkit", "z-image", "diffusion_model.", suffixes=AI_TOOLKIT),
        Dialect("diffusers", "z-image", "transformer.", suffixes=PEFT),
        Dialect("comfyui", "z-image", "diffusion_model.", original),
        Dialect("kohya", "z-image", "lora_unet_", original),
        Dialect("musubi", "z-image", "lora_unet_", lost=r"\.attention\.|^all_"),
        Dialect("diffsynth", "z-image", "", suffixes=PEFT_NAMED),
        Dialect("lycoris", "z-image", "lycoris_"),
        Dialect("peft", "z-image", "base_model.model.", suffixes=PEFT, lost=ALL),
    )
    layout = Layout(
        "z-image",
        {
            "transformer": Written(
                from_original,
                "z_image_bf16.safetensors",
                LDM,
                ("noise_refiner.0.attention.qkv.weight", "noise_refiner.0.attention.to_q.weight"),
                TRANSFORMER,
            ),
            "vae": Written(
                "ldm_vae", "ae.safetensors", "vae.", ("decoder.conv_in.weight",), config=config("flux", "vae")
            ),
            "text_encoder": Written(
                from_causal, "qwen_3_4b.safetensors", signs=("model.layers.0.self_attn.q_norm.weight",), config=QWEN3_4B
            ),
        },
        ("tokenizer",),
    )

    @property
    def process(self) -> Flow:
        """Rectified flow; levels are logit-normal as in ai-toolkit ("sigmoid"), densest halfway."""
        from portraitist.learn.noise import Flow

        return Flow("logit-normal")

    def suited(self, base: Base, declared: str) -> ZImage:
        """The family with the shift that a base's scheduler says.

        Raises PortraitistError for a prediction declared, and for another schedule.
        """
        refuse_declared(self.name, declared)
        scheduler = base.folder / "scheduler" / "scheduler_config.json"
        said = headers.table(scheduler)
        shift = said.get("shift", self.shift)
        if said.get("use_dynamic_shifting") or not isinstance(shift, int | float) or not shift > 0:
            raise PortraitistError(
                f"{scheduler} says another schedule than a fixed shift", "Give it Z-Image's: shift 6, or Turbo's 3."
            )
        return replace(self, shift=float(shift))

    def file_name(self, module: str) -> str:
        """diffusers' name behind ComfyUI's prefix, which it maps to the slices of its fused layers; so ai-toolkit."""
        return f"diffusion_model.{module}"

    @staticmethod
    def published() -> nn.Module:
        """The published transformer, without its weights where torch is told so."""
        from diffusers import ZImageTransformer2DModel

        return ZImageTransformer2DModel(**TRANSFORMER)  # type: ignore[no-any-return]

    def levels(self, steps: int, height: int, width: int) -> Tensor:
        """Even steps from 1, shifted towards noise; the size of the picture does not matter."""
        import torch

        even = torch.linspace(1, 1 / steps, steps, dtype=torch.float64)
        return torch.cat([self.shift * even / (1 + (self.shift - 1) * even), even.new_zeros(1)]).float()

    def count_tokens(self, text: str) -> int:
        """An estimate that errs high (families.estimate): the vocabulary lies in the base, which is not asked here.

        `families.token_counter` asks it.
        """
        return estimate(text)

    def load_encoder(self, base: Base) -> ZImageEncoder:
        """The VAE in float32, Qwen3 in the base's type. Raises PortraitistError for a tokenizer that is not Qwen3's."""
        import torch
        from diffusers import AutoencoderKL
        from transformers import Qwen2Tokenizer, Qwen3Model

        tokenizer = part(base, Qwen2Tokenizer, "tokenizer")
        found = [len(tokenizer(text).input_ids) for text in TEMPLATE.split("{}")]
        if found != [BEFORE, CLOSING]:
            raise PortraitistError(
                f"{base.place('tokenizer')} is not Qwen3's: its chat template is {sum(found)} tokens by it, not "
                f"{BEFORE + CLOSING}",
                "Copy this part of the base again.",
            )
        return ZImageEncoder(
            vae=part(base, AutoencoderKL, "vae", torch_dtype=torch.float32),
            text=part(base, Qwen3Model, "text_encoder", dtype=getattr(torch, base.dtype)),
            tokenizer=tokenizer,
        )

    def load_denoiser(self, base: Base) -> nn.Module:
        """The transformer. While training it computes activations twice rather than keep them."""
        import torch
        from diffusers import ZImageTransformer2DModel

        denoiser = part(base, ZImageTransformer2DModel, "transformer", torch_dtype=getattr(torch, base.dtype))
        denoiser.enable_gradient_checkpointing()
        return denoiser  # type: ignore[no-any-return]

    def predict(self, denoiser: nn.Module, noisy: Tensor, level: Tensor, given: Mapping[str, Any]) -> Tensor:
        """Velocity at `noisy` (B, 16, h, w) of noise `level` (B,) in [0, 1]; same shape as `noisy`.

        given  tokens (B, T, d), tokens_mask (B, T)
        """
        import torch

        tokens, mask = given["tokens"].to(noisy.dtype), given["tokens_mask"]
        captions = tokens.unbind(0) if mask.all() else [t[true] for t, true in zip(tokens, mask, strict=True)]
        found = denoiser(
            list(noisy[:, :, None].unbind(0)),
            1 - level,  # it counts from noise to picture, times 1000, and points there too
            list(captions),
            return_dict=False,
        )[0]
        return -torch.stack(found)[:, :, 0]


@dataclass(frozen=True, slots=True)
class ZImageTurbo(ZImage):
    """The distilled family: few steps, no negative. What is not said here is as in Z-Image."""

    shift: float = 3.0
    name = "z-image-turbo"
    profile = Profile(
        resolution=1024,
        guidance=1.0,  # none
        sampling_steps=8,
        token_limit=TOKENS - BEFORE - CLOSING,
    )


@dataclass(frozen=True, slots=True)
class ZImageEncoder:
    """VAE, Qwen3 and its tokenizer."""

    vae: Any
    text: Any
    tokenizer: Any

    def latents(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 16, h, w), by the VAE's own constants; the mode, not a sample."""
        return to_latents(self.vae, pixels)

    def pixels(self, latents: Tensor) -> Tensor:
        """(B, 16, h, w) to (B, 3, H, W) in [-1, 1]."""
        return to_pixels(self.vae, latents)

    def conditions(self, prompt: Prompt) -> Conditions:
        """`tokens` (T, d) of the caption in its template, as the last block but one reads them, and `tokens_mask` (T,).

        At most 512; the crop is not told. Refuses references.
        """
        import torch

        if prompt.references:
            raise no_references("z-image")
        told = self.tokenizer(TEMPLATE.format(prompt.text), max_length=TOKENS, truncation=True, return_tensors="pt").to(
            self.text.device
        )
        with torch.no_grad():
            tokens = self.text(**told, output_hidden_states=True).hidden_states[-2][0].clone()
        return {"tokens": tokens, "tokens_mask": torch.ones(len(tokens), dtype=torch.bool)}

    def reference(self, picture: Tensor) -> Tensor:
        """Refused."""
        raise no_references("z-image")
