"""The published bases: what their config.json files say, and how many numbers are in each part. Loads no torch.

`parameters` and `blocks` are counted on the meta device from the classes named
(tests/integration/test_counting.py); the first are those of the files their publishers hand out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from portraitist.bases import layouts
from portraitist.configs import config


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
class Blocks:
    """The linear layers of a denoiser's repeated blocks, which may be held in fewer bits (`learn.quantise`).

    numbers, rows, layers  in their weights, together
    largest                numbers in the largest
    columns                of their weights, together
    """

    numbers: int = 0
    rows: int = 0
    layers: int = 0
    largest: int = 0
    columns: int = 0


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
    blocks     its layers that may be held in fewer bits
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
    blocks: Blocks
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

CLIP_L = "transformers.CLIPTextModel", 123_060_480


def parts(family: str, known: Mapping[str, tuple[str, int]]) -> dict[str, Part]:
    """The parts of a base, by folder, of its classes and their numbers; a family that says their sizes is asked."""
    own = layouts.of(family)
    sizes = own.config if own else partial(config, family)
    return {name: Part(kind, sizes(name), count) for name, (kind, count) in known.items()}


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
    blocks=Blocks(2_183_987_200, 1_414_400, 700, 13_107_200, 1_201_920),
    one={"transformer_layers_per_block": (1, 1, 1)},
    more=((1, {"transformer_layers_per_block": (1, 2, 1)}), (9, {"transformer_layers_per_block": (1, 1, 2)})),
    parts=parts(
        "sdxl",
        {
            "unet": ("diffusers.UNet2DConditionModel", 2_567_463_684),
            "text_encoder": CLIP_L,
            "text_encoder_2": ("transformers.CLIPTextModelWithProjection", 694_659_840),
            "vae": ("diffusers.AutoencoderKL", 83_653_863),
        },
    ),
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
    blocks=Blocks(11_834_228_736, 3_035_136, 494, 56_623_104, 2_334_720),
    one={"num_layers": 1, "num_single_layers": 1},
    more=((18, {"num_layers": 2}), (37, {"num_single_layers": 2})),
    parts=parts(
        "flux",
        {
            "transformer": ("diffusers.FluxTransformer2DModel", 11_901_408_320),
            "text_encoder": CLIP_L,
            "text_encoder_2": ("transformers.T5EncoderModel", 4_762_310_656),
            "vae": ("diffusers.AutoencoderKL", 83_819_683),
        },
    ),
)

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
    blocks=Blocks(20_384_317_440, 5_529_600, 840, 56_623_104, 3_686_400),
    parts=parts(
        "qwen-image",
        {
            "transformer": ("diffusers.QwenImageTransformer2DModel", 20_430_401_088),
            "text_encoder": ("transformers.Qwen2_5_VLForConditionalGeneration", 8_292_166_656),
            "vae": ("diffusers.AutoencoderKLQwenImage", 126_892_531),
        },
    ),
    one={"num_layers": 1},
    more=((59, {"num_layers": 2}),),
)

QWEN_EDIT = replace(QWEN_IMAGE, name="Qwen-Image-Edit-2509", text=1029)

Z_IMAGE = Published(
    name="Z-Image",
    denoiser="transformer",
    channels=16,
    cell=16,
    text=512,
    usual=CAPTION,
    width=2560,
    pooled=0,
    targets=(*ATTENTION, "w1", "w2", "w3"),
    blocks=Blocks(6_142_033_920, 1_840_640, 270, 39_321_600, 1_139_712),
    parts=parts(
        "z-image",
        {
            "transformer": ("diffusers.ZImageTransformer2DModel", 6_154_908_736),
            "text_encoder": ("transformers.Qwen3Model", 4_022_468_096),
            "vae": ("diffusers.AutoencoderKL", 83_819_683),
        },
    ),
    one={"n_layers": 1, "n_refiner_layers": 1},
    more=((29, {"n_layers": 2}), (1, {"n_refiner_layers": 2})),
)

PUBLISHED = {
    "sdxl": SDXL,
    "flux": FLUX,
    "qwen-image": QWEN_IMAGE,
    "qwen-image-edit": QWEN_EDIT,
    "z-image": Z_IMAGE,
    "z-image-turbo": replace(Z_IMAGE, name="Z-Image-Turbo"),
}
"""By the family's name."""
