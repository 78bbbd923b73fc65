"""One crop of one picture, through a base's encoder, to a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from portraitist.errors import PortraitistError
from portraitist.family import Encoder, Prompt, Sample
from portraitist.pictures import Crop, Opened, cut

if TYPE_CHECKING:
    from portraitist.family import Conditions

    Known = dict[tuple[str, Crop | None, tuple[str, ...]], Conditions]


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1


def cell_mask(alpha: np.ndarray, height: int, width: int) -> Tensor:
    """Alpha (H, W) uint8 to (1, height, width): the opaque share of each latent cell, in [0, 1]."""
    small = Image.fromarray(alpha.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small).copy())[None].clamp(0, 255) / 255


def require_finite(tensor: Tensor, text: str) -> Tensor:
    """A condition, refused where the text encoder's precision could not hold it."""
    if not torch.isfinite(tensor).all():
        raise PortraitistError(
            f"The text encoder finds numbers in {tensor.dtype} that are not finite, for {text[:60]!r}",
            "Use a wider precision: --set model.precision=auto, or float32.",
        )
    return tensor


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoder and the conditions it has already found: most captions' empty twin is the same.

    encoder  of words for conditions; of pictures for a sample whose conditions are known; or of both
    """

    encoder: Encoder
    known: Known = field(default_factory=dict)

    def conditions(self, text: str, crop: Crop | None = None, references: Sequence[Opened] = ()) -> Conditions:
        """Of a text at a crop and with references, without batch dimension."""
        key = (text, crop, tuple(picture.digest for picture in references))
        if key not in self.known:
            shown = tuple(to_tensor(picture.pixels) for picture in references)
            found = self.encoder.conditions(Prompt(text, crop, shown))
            self.known[key] = {name: require_finite(tensor, text).cpu() for name, tensor in found.items()}
        return self.known[key]

    @torch.no_grad()
    def sample(
        self, key: str, opened: Opened, crop: Crop, captions: Sequence[str], references: Sequence[Opened] = ()
    ) -> Sample:
        """The sample of a crop, one picture at a time: its numbers then depend on nothing else in the folder.

        references  whole pictures of any size, in order. The encoder scales them, for the eyes of the text encoder and
                    for latents; the empty caption sees them too. Raises PortraitistError where the family takes none
        """
        pixels, alpha = cut(opened, crop)
        latents = self.encoder.latents(to_tensor(pixels)[None])[0].float().cpu()
        mask = None if alpha is None else cell_mask(alpha, *latents.shape[-2:])
        return Sample(
            key=key,
            latents=latents,
            captions=tuple(self.conditions(text, crop, references) for text in captions),
            empty=self.conditions("", crop, references),
            references=tuple(self.encoder.reference(to_tensor(r.pixels)).float().cpu() for r in references),
            mask=mask,
        )
