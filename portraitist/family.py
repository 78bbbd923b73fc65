"""What a model family is to the rest of the house: three protocols and the values that pass between them.

No module here loads weights or imports torch at run time: faces may import it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from portraitist.arithmetic import settled
from portraitist.errors import PortraitistError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from portraitist.pictures import Crop

    Conditions = dict[str, Tensor]


Needs = Literal["", "words", "pictures"]


@dataclass(frozen=True, slots=True)
class Base:
    """Where a base model lies, and the digest of its weights.

    folder     in diffusers' layout, each part in a folder of its name; or a publisher's file, or a folder of such
    digest     SHA-256 over names and bytes of all its weight files, recorded in every lock
    precision  a recipe's word for what its frozen weights are held in; dtype is what it comes to on its device
    elsewhere  parts that do not lie in a folder of their name below `folder`: in a publisher's file, or another folder
    family     by whose tables publishers' files are read; "" reads none
    needs      what of its encoders is read: those of words, that of pictures, or both ("")
    quantised  "int8", "fp8", "nf4", "int3" or "int2": what the layers of its denoiser's blocks are held in instead; ""
               is dtype
    recovery   where the file lies that gives back what that lost (`learn.recovery`); None for none
    recovered  SHA-256 of that file's bytes; "" where there is none yet
    device     a recipe's word: where a denoiser is quantised, tensor by tensor, and left; and where it is computed
    away       whether it is left in main memory and computed on a card all the same
    """

    folder: Path
    digest: str
    precision: str = "float32"
    elsewhere: tuple[tuple[str, Path], ...] = ()
    family: str = ""
    needs: Needs = ""
    quantised: str = ""
    device: str = "cpu"
    recovery: Path | None = None
    recovered: str = ""
    away: bool = False

    @property
    def dtype(self) -> str:
        """What its frozen weights are held in: "float32", "bfloat16" or "float16"."""
        return settled(self.precision, "cuda" if self.away else self.device)

    def place(self, part: str) -> Path:
        """The folder or the file that a part is read from."""
        return dict(self.elsewhere).get(part, self.folder / part)


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that conditions may depend on: text, the crop (SDXL is told it), references (edit encoders see them).

    references  upright sRGB pictures, each (3, H, W) in [-1, 1]
    """

    text: str
    crop: Crop | None = None
    references: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One encoded crop of one picture.

    latents     (C, h, w), canonical: in the denoiser's units, unpacked
    captions    conditions of each caption variant, without batch dimension
    empty       conditions of the empty caption with the same crop and references: what caption dropout takes
    nouns       conditions of each caption variant with the noun in the trigger's place, None for one without the
                trigger; empty where nothing is preserved
    references  latents of 0-n reference pictures, each (C, h', w')
    mask        (1, h, w) weight of each latent cell in [0, 1], or None: every cell counts alike
    weight      how often it is seen per pass, relative to others (integer >= 1)
    loss_weight factor on its loss
    """

    key: str
    latents: Tensor
    captions: tuple[Conditions, ...]
    empty: Conditions
    nouns: tuple[Conditions | None, ...] = ()
    references: tuple[Tensor, ...] = ()
    mask: Tensor | None = None
    weight: int = 1
    loss_weight: float = 1.0
    role: str = "identity"
    set: str = ""
    split: str = "train"
    picture: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one latent shape, stacked.

    latents  (B, C, h, w)
    given    conditions with batch dimension; those of any length are padded, their `*_mask` tells the true part
    mask     (B, 1, h, w) in [0, 1]
    weight   (B,) factor on each picture's loss
    index    the global sample index of each picture: what its randomness is keyed by
    nouns    the same exposures told by the noun, those that have such a caption; None where nothing is preserved
    """

    latents: Tensor
    given: Conditions
    mask: Tensor
    weight: Tensor
    index: tuple[int, ...]
    keys: tuple[str, ...] = ()
    nouns: Batch | None = None


class Process(Protocol):
    """A noise process: what a level means, and what the denoiser is asked to predict."""

    def level(self, uniform: Tensor) -> Tensor:
        """Training levels (B,) in (0, 1) from uniform draws (B,) in (0, 1): the family's usual distribution."""
        ...

    def mix(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Noisy latents (B, C, h, w) at `level` (B,); level 1 is all noise."""
        ...

    def target(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """What the denoiser is asked for, (B, C, h, w)."""
        ...

    def start(self, noise: Tensor, levels: Tensor) -> Tensor:
        """Where sampling starts, from unit noise (B, C, h, w) and the levels (steps + 1,)."""
        ...

    def step(self, noisy: Tensor, predicted: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """One deterministic sampling step from level `now` to `then` (scalars)."""
        ...


class Encoder(Protocol):
    """The parts of a base that turn pictures and prompts into numbers: VAE and text encoders.

    Each works where its networks are, which may be moved, and takes tensors from anywhere.
    """

    def latents(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, C, h, w); the mode, not a sample."""
        ...

    def pixels(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 3, H, W) in [-1, 1]."""
        ...

    def conditions(self, prompt: Prompt) -> Conditions:
        """Of one prompt, without batch dimension; `tokens` (T, d) goes with `tokens_mask` (T,) bool."""
        ...

    def reference(self, picture: Tensor) -> Tensor:
        """Latents (C, h', w') of a reference picture (3, H, W) in [-1, 1] of any size, scaled as the family sees it.

        Raises PortraitistError in a family that takes none.
        """
        ...


@dataclass(frozen=True, slots=True)
class Profile:
    """A base's defaults for use: data beside the family, not knowledge in the loop.

    guidance       of sampling: true guidance by the negative, or what a distilled base is told
    true_guidance  whether the negative is predicted too, and the prompt's prediction moved away from it
    norm_patch     with true guidance: side in latent cells of the patches in each of which the guided prediction is
                   scaled to the norm of the prompt's own, as Qwen-Image's pipelines do; 0 leaves it as it is
    timesteps      whether its noise has timesteps, as denoising diffusion's; a flow's has none
    captions       how captions for it are put: tags, sentences, or phrases of a small vocabulary
    readers        what reads them, of which `token_limit` is true
    merged         whether judging adds a LoRA to the weights: faster, and the weights are there twice meanwhile
    """

    resolution: int
    guidance: float
    sampling_steps: int
    negative: str = ""
    true_guidance: bool = True
    norm_patch: int = 0
    token_limit: int = 512
    timesteps: bool = False
    captions: Literal["tags", "sentences", "phrases"] = "sentences"
    readers: str = "the text encoder"
    merged: bool = False


class Family(Protocol):
    """What is particular to a model architecture. Stateless: it is handed the denoiser, so base, adapted, averaged
    and compiled models are all the same call."""

    @property
    def name(self) -> str:
        """As in recipes and in the registry."""
        ...

    @property
    def process(self) -> Process:
        """Its noise process."""
        ...

    @property
    def profile(self) -> Profile:
        """Defaults for sampling and resolution."""
        ...

    @property
    def pixel_multiple(self) -> int:
        """Sides of a training picture are multiples of this many pixels."""
        ...

    @property
    def references(self) -> int:
        """The most reference pictures that it takes beside a prompt."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """peft suffixes of the modules an adapter is put on by default."""
        ...

    def file_name(self, module: str) -> str:
        """A denoiser module's name in the adapter file ComfyUI loads completely (without the weight's suffix)."""
        ...

    def levels(self, steps: int, height: int, width: int) -> Tensor:
        """The sampling schedule (steps + 1,), from the first level down to 0, for a picture of so many pixels."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a caption by the family's own tokenizer, end markers not counted. Loads no torch."""
        ...

    def load_encoder(self, base: Base) -> Encoder:
        """VAE and text encoders, in evaluation mode; those that the base's `needs` leaves out are None."""
        ...

    def load_denoiser(self, base: Base) -> nn.Module:
        """The denoiser, frozen, in evaluation mode."""
        ...

    def predict(self, denoiser: nn.Module, noisy: Tensor, level: Tensor, given: Mapping[str, Any]) -> Tensor:
        """The process's target at `noisy` (B, C, h, w) of `level` (B,) in [0, 1]; same shape as `noisy`."""
        ...


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """One prompt of a judging grid: `asks` are the attributes whose presence is checked, by kind."""

    name: str
    text: str
    asks: Mapping[str, str] = field(default_factory=dict)


def no_references(family: str) -> PortraitistError:
    """The refusal of reference pictures by a family that takes none."""
    return PortraitistError(f"{family} takes no reference pictures", "Leave them out, or choose an edit family.")


def collate(conditions: Sequence[Conditions]) -> Conditions:
    """Conditions of several prompts, stacked along a new first dimension.

    Tensors of unequal first dimension are padded with zeros (masks with False) to the longest.
    """
    import torch
    from torch.nn.functional import pad

    stacked: Conditions = {}
    for name in conditions[0]:
        parts = [c[name] for c in conditions]
        if parts[0].ndim:
            longest = max(p.shape[0] for p in parts)
            parts = [pad(p, [0, 0] * (p.ndim - 1) + [0, longest - p.shape[0]]) for p in parts]
        stacked[name] = torch.stack(parts)
    return stacked
