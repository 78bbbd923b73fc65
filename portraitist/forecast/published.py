"""The published bases: what their config.json files say, and how many numbers are in each part. Loads no torch.

Values that are a class's own default are left out. `parameters` are counted on the meta device from the classes named
(tests/integration/test_counting.py) and are those of the files their publishers hand out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a base, as it lies in a folder of that name.

    kind        its class, as library.Class
    config      what its config.json says, as far as sizes depend on it
    parameters  numbers in it
    """

    kind: str
    config: Mapping[str, Any]
    parameters: int


@dataclass(frozen=True, slots=True)
class Published:
    """A base of a family.

    name       as people know it
    denoiser   which part is trained; the others encode
    channels   of a latent
    cell       pixels along the side of what the denoiser sees as one cell: a token, or a latent cell of a UNet
    text       tokens of text that the denoiser is given at most: memory has to do for them
    usual      the same of a usual caption, which tells time: all of them where captions are padded, else judged
    pooled     numbers of the pooled text; 0 when it is given none
    targets    where the family puts an adapter
    one        settings that leave one block of each kind
    more       for each kind, how many blocks more the real one has, and the setting that adds the first of them
    """

    name: str
    denoiser: str
    channels: int
    cell: int
    text: int
    usual: int
    width: int
    pooled: int
    targets: tuple[str, ...]
    parts: Mapping[str, Part]
    one: Mapping[str, Any]
    more: tuple[tuple[int, Mapping[str, Any]], ...]

    def shallow(self, added: Mapping[str, Any] | None = None) -> "Published":
        """The same with one block of each kind, but for what `added` sets."""
        part = replace(self.trained, config={**self.trained.config, **self.one, **(added or {})})
        return replace(self, parts={self.denoiser: part})

    @property
    def trained(self) -> Part:
        """The denoiser."""
        return self.parts[self.denoiser]

    @property
    def encoders(self) -> dict[str, Part]:
        """Text encoders and autoencoder, by folder."""
        return {name: part for name, part in self.parts.items() if name != self.denoiser}


ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
BOTH_STREAMS = (
    *ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out",
    "img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2",
)  # fmt: skip

CAPTION = 128
"""Tokens of a usual caption with its template's closing, some 90 words. Judged; others count Qwen's work by it too."""

CLIP_L = Part(
    "transformers.CLIPTextModel",
    {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    123_060_480,
)

LEVELS = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}

SDXL = Published(
    name="SDXL 1.0",
    denoiser="unet",
    channels=4,
    cell=8,
    text=77,
    usual=77,
    width=2048,
    pooled=1280,
    targets=ATTENTION,
    one={"transformer_layers_per_block": (1, 1, 1)},
    more=((1, {"transformer_layers_per_block": (1, 2, 1)}), (9, {"transformer_layers_per_block": (1, 1, 2)})),
    parts={
        "unet": Part(
            "diffusers.UNet2DConditionModel",
            {
                "block_out_channels": (320, 640, 1280),
                "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                "attention_head_dim": (5, 10, 20),
                "transformer_layers_per_block": (1, 2, 10),
                "use_linear_projection": True,
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
                "cross_attention_dim": 2048,
                "sample_size": 128,
            },
            2_567_463_684,
        ),
        "text_encoder": CLIP_L,
        "text_encoder_2": Part(
            "transformers.CLIPTextModelWithProjection",
            {
                "hidden_size": 1280,
                "intermediate_size": 5120,
                "num_hidden_layers": 32,
                "num_attention_heads": 20,
                "projection_dim": 1280,
                "hidden_act": "gelu",
            },
            694_659_840,
        ),
        "vae": Part("diffusers.AutoencoderKL", {**LEVELS, "latent_channels": 4}, 83_653_863),
    },
)

FLUX = Published(
    name="FLUX.1-dev",
    denoiser="transformer",
    channels=16,
    cell=16,
    text=512,
    usual=512,
    width=4096,
    pooled=768,
    targets=ATTENTION,
    one={"num_layers": 1, "num_single_layers": 1},
    more=((18, {"num_layers": 2}), (37, {"num_single_layers": 2})),
    parts={
        "transformer": Part(
            "diffusers.FluxTransformer2DModel",
            {
                "in_channels": 64,
                "num_layers": 19,
                "num_single_layers": 38,
                "attention_head_dim": 128,
                "num_attention_heads": 24,
                "joint_attention_dim": 4096,
                "pooled_projection_dim": 768,
                "guidance_embeds": True,
            },
            11_901_408_320,
        ),
        "text_encoder": CLIP_L,
        "text_encoder_2": Part(
            "transformers.T5EncoderModel",
            {
                "vocab_size": 32_128,
                "d_model": 4096,
                "d_kv": 64,
                "d_ff": 10_240,
                "num_layers": 24,
                "num_heads": 64,
                "feed_forward_proj": "gated-gelu",
            },
            4_762_310_656,
        ),
        "vae": Part(
            "diffusers.AutoencoderKL",
            {**LEVELS, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False},
            83_819_683,
        ),
    },
)

QWEN_PARTS = {
    "transformer": Part(
        "diffusers.QwenImageTransformer2DModel",
        {
            "patch_size": 2,
            "in_channels": 64,
            "out_channels": 16,
            "num_layers": 60,
            "attention_head_dim": 128,
            "num_attention_heads": 24,
            "joint_attention_dim": 3584,
        },
        20_430_401_088,
    ),
    "text_encoder": Part(
        "transformers.Qwen2_5_VLForConditionalGeneration",
        {
            "text_config": {
                "vocab_size": 152_064,
                "hidden_size": 3584,
                "intermediate_size": 18_944,
                "num_hidden_layers": 28,
                "num_attention_heads": 28,
                "num_key_value_heads": 4,
            },
            "vision_config": {"hidden_size": 1280, "out_hidden_size": 3584, "intermediate_size": 3420, "depth": 32},
            "tie_word_embeddings": False,
        },
        8_292_166_656,
    ),
    "vae": Part("diffusers.AutoencoderKLQwenImage", {}, 126_892_531),
}

QWEN_IMAGE = Published(
    name="Qwen-Image",
    denoiser="transformer",
    channels=16,
    cell=16,
    text=512,
    usual=CAPTION,
    width=3584,
    pooled=0,
    targets=BOTH_STREAMS,
    parts=QWEN_PARTS,
    one={"num_layers": 1},
    more=((59, {"num_layers": 2}),),
)

QWEN_EDIT = Published(
    name="Qwen-Image-Edit-2509",
    denoiser="transformer",
    channels=16,
    cell=16,
    text=1029,
    usual=CAPTION,
    width=3584,
    pooled=0,
    targets=BOTH_STREAMS,
    parts=QWEN_PARTS,
    one={"num_layers": 1},
    more=((59, {"num_layers": 2}),),
)

PUBLISHED = {"sdxl": SDXL, "flux": FLUX, "qwen-image": QWEN_IMAGE, "qwen-image-edit": QWEN_EDIT}
"""By the family's name."""

TRANSFORMER_OF = {"qwen-image-edit": "qwen-image"}
"""Families whose denoiser is another's, layer by layer: they share its laws and what is published of its speed."""
