"""mini, the embedded base: a small Qwen-Image, rectified flow on latents packed two by two.

Shapes: B pictures of H x W pixels, h = H/8 and w = W/8 latent cells of 16 channels, T text tokens of 192 numbers. The
transformer is diffusers' `QwenImageTransformer2DModel`; 16 of its input channels are places (sines and cosines of row
and column), which small models need beside rotary positions. Autoencoder and tokenizer are our own.
Held to diffusers' QwenImagePipeline by tests/integration/test_mini.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portraitist.errors import PortraitistError
from portraitist.families import part
from portraitist.family import Base, Profile, Prompt

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from torch import Tensor, nn

    from portraitist.families.mini_autoencoder import Autoencoder
    from portraitist.family import Conditions
    from portraitist.learn.noise import Flow

PLACES = 16
TOKENS = 64
END = "<end>"
ONE_REFERENCE = "mini takes one reference picture at most", "Leave one."


@dataclass(frozen=True, slots=True)
class Mini:
    """The family of the embedded base; stateless."""

    name = "mini"
    profile = Profile(
        resolution=128, guidance=1.5, sampling_steps=20, token_limit=TOKENS, captions="phrases", merged=True
    )
    pixel_multiple = 16  # the autoencoder divides by 8, packing by 2
    targets = (
        "to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out",
        "img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2",
    )  # fmt: skip
    references = 1  # at most
    shift = 3.0  # of the sampling schedule; the base was taught with the same

    @property
    def process(self) -> Flow:
        """Rectified flow, its training levels moved towards noise: colours and shapes are decided there."""
        from portraitist.learn.noise import Flow

        return Flow(shift=2.0)

    def file_name(self, module: str) -> str:
        """ComfyUI's Qwen-Image names are diffusers' with a prefix."""
        return f"transformer.{module}"

    def levels(self, steps: int, height: int, width: int) -> Tensor:
        """(steps + 1,) from 1 to 0, drawn together near noise, where words decide; the size does not matter."""
        import torch

        even = torch.linspace(1, 0, steps + 1)
        return self.shift * even / (1 + (self.shift - 1) * even)

    def count_tokens(self, text: str) -> int:
        """By the embedded tokenizer: a phrase of the drawn world is one token, other text a token a byte."""
        return len(tokenizer(Path(str(resources.files("portraitist"))) / "weights" / "mini").encode(text).ids)

    def load_encoder(self, base: Base) -> MiniEncoder:
        """Both in float32: they are small, and cached numbers should not depend on precision."""
        import torch
        from transformers import Qwen2Model

        from portraitist.families.mini_autoencoder import Autoencoder

        vae = part(base, Autoencoder, "vae", torch_dtype=torch.float32)
        if vae is not None:
            vae = vae.to(memory_format=torch.channels_last)
        text = part(base, Qwen2Model, "text_encoder", dtype=torch.float32)
        return MiniEncoder(vae, text, tokenizer(base.folder))

    def load_denoiser(self, base: Base) -> nn.Module:
        """The transformer, frozen."""
        import torch
        from diffusers import QwenImageTransformer2DModel

        found: nn.Module = part(
            base, QwenImageTransformer2DModel, "transformer", torch_dtype=getattr(torch, base.dtype)
        )
        return found

    def predict(self, denoiser: nn.Module, noisy: Tensor, level: Tensor, given: Mapping[str, Any]) -> Tensor:
        """Velocity at `noisy` (B, 16, h, w) of noise `level` (B,) in [0, 1]; same shape as `noisy`.

        A reference, `reference_0` (B, 16, h', w') of `given`, follows as tokens of a second frame, as in diffusers'
        QwenImageEditPipeline; its places are told with the opposite sign. Raises PortraitistError for a second one.
        """
        import torch
        from einops import rearrange

        if "reference_1" in given:
            raise PortraitistError(*ONE_REFERENCE)
        count, _, h, w = noisy.shape
        dtype = next(denoiser.parameters()).dtype
        rows, shapes = [picture_tokens(noisy, 1.0)], [(1, h // 2, w // 2)]
        if "reference_0" in given:
            reference = given["reference_0"].to(noisy)
            rows.append(picture_tokens(reference, -1.0))
            shapes.append((1, reference.shape[2] // 2, reference.shape[3] // 2))
        velocity: Tensor = denoiser(
            hidden_states=torch.cat(rows, 1).to(dtype),
            timestep=level.to(dtype),  # the model multiplies by 1000 itself
            encoder_hidden_states=given["tokens"].to(dtype),
            encoder_hidden_states_mask=given["tokens_mask"],
            img_shapes=[shapes] * count,
            return_dict=False,
        )[0][:, : h // 2 * (w // 2)]
        return rearrange(velocity, "b (h w) (c p q) -> b c (h p) (w q)", h=h // 2, w=w // 2, p=2, q=2)


@dataclass(frozen=True, slots=True)
class MiniEncoder:
    """Autoencoder, text encoder and tokenizer of the embedded base."""

    vae: Autoencoder
    text: nn.Module
    tokenizer: Tokenizer

    def latents(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 16, h, w)."""
        import torch

        with torch.no_grad():
            return self.vae.encode(pixels.to(place(self.vae))).contiguous()

    def pixels(self, latents: Tensor) -> Tensor:
        """(B, 16, h, w) to (B, 3, H, W) in [-1, 1]."""
        import torch

        with torch.no_grad():
            return self.vae.decode(latents.float().to(place(self.vae))).clamp(-1, 1).contiguous()

    def conditions(self, prompt: Prompt) -> Conditions:
        """`tokens` (T, 192), the text encoder's last states, and `tokens_mask` (T,); a text over the limit is cut.

        The text encoder sees no pictures: a reference reaches the transformer as latents alone. Raises PortraitistError
        for more than one.
        """
        import torch

        if len(prompt.references) > 1:
            raise PortraitistError(*ONE_REFERENCE)
        with torch.no_grad():
            told = torch.tensor([ids(self.tokenizer, prompt.text)], device=place(self.text))
            found = self.text(input_ids=told).last_hidden_state[0]
        return {"tokens": found.float(), "tokens_mask": torch.ones(len(found), dtype=torch.bool)}

    def reference(self, picture: Tensor) -> Tensor:
        """(3, H, W) to (16, H/8, W/8): as large as it is, as the base was taught. Refuses sides that are no multiples
        of 16 pixels."""
        if picture.shape[1] % 16 or picture.shape[2] % 16:
            raise PortraitistError(
                f"A reference of {picture.shape[2]} x {picture.shape[1]} pixels: mini takes multiples of 16",
                "Scale or cut it, best to the size of what is drawn.",
            )
        return self.latents(picture[None])[0]


def place(model: nn.Module) -> torch.device:
    """Where a network lies."""
    return next(model.parameters()).device


@cache
def tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a base folder. Raises PortraitistError when it is absent or damaged."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises plain Exception for what is no tokenizer
        raise PortraitistError(
            f"{path} cannot be read as a tokenizer: {error}", "Install portraitist again, or name another base."
        ) from error


def ids(tokens: Tokenizer, text: str) -> list[int]:
    """Token ids of a text, the end mark last: the empty text is that mark alone."""
    return all_ids(tokens, [text])[0]


def all_ids(tokens: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of many texts, as `ids` has them, in one call: the library reads them side by side."""
    end = tokens.token_to_id(END)
    close = [] if end is None else [end]
    return [[*found.ids[: TOKENS - 1], *close] for found in tokens.encode_batch(list(texts))]


def picture_tokens(latents: Tensor, sign: float) -> Tensor:
    """(B, 16, h, w) as tokens (B, h/2 * w/2, 80): four cells side by side, and the place of each, times `sign`."""
    import torch
    from einops import rearrange

    count, _, h, w = latents.shape
    packed = rearrange(latents, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)
    return torch.cat([packed, sign * places(h // 2, w // 2).to(latents).expand(count, -1, -1)], -1)


def places(rows: int, columns: int) -> Tensor:
    """(rows * columns, 16): sines and cosines of 1 to 4 half turns down and across, row by row."""
    import torch

    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    angles = torch.stack([y, x], -1).reshape(-1, 2, 1) * math.pi * torch.arange(1.0, 5.0)
    return torch.cat([angles.sin(), angles.cos()], -1).reshape(-1, PLACES)
