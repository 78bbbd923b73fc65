"""Eyes: what turns pictures and captions into numbers that can be compared. Two protocols, a loader, and a plain pair.

`Looks` sees who is in a picture. `Eyes` also read: pictures and captions lie in one space. Learned eyes come with a
family, since they must know the world it draws; where there are none, the plain ones look at colours and edges.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor

LEARNED: dict[str, str] = {"mini": "portraitist.sight.dual:load"}
"""By family: `module:function` that opens the eyes in a folder; the weights lie in `weights/eyes`."""


@runtime_checkable
class Looks(Protocol):
    """Sees who is in a picture."""

    @property
    def digest(self) -> str:
        """Names these eyes in scorecards: SHA-256 over names and bytes of their weights, or a word with a version."""
        ...

    def pictures(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], any size, to (B, d) unit float32: close when they show the same character,
        whatever pose and background."""
        ...


@runtime_checkable
class Eyes(Looks, Protocol):
    """Also reads: content of pictures and captions in one space."""

    def content(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, d2) unit float32: close to the captions that fit."""
        ...

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Captions to (B, d2) unit float32."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """Eyes that learned nothing: a soft histogram of colours, weighted to the middle, beside one of edges per quarter.

    They know the same drawing again, not the same person in another light; scorecards name them, so that nobody
    takes their numbers for those of learned eyes.
    """

    digest: str = "plain-1"
    side: int = 64
    bins: int = 6

    def pictures(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, bins ** 3 + 32) unit float32."""
        import torch
        from torch.nn.functional import interpolate, normalize

        small = interpolate(pixels.float(), size=(self.side, self.side), mode="bilinear", antialias=True)
        small = small.clamp(-1, 1)
        batch = small.shape[0]
        line = torch.linspace(-1, 1, self.side)
        middle = torch.exp(-(line[:, None] ** 2 + line[None, :] ** 2) * 2)
        place = ((small + 1) / 2 * (self.bins - 1)).flatten(2)
        lower = place.floor().clamp(max=self.bins - 2)
        part = place - lower
        colours = torch.zeros(batch, self.bins**3)
        for corner in range(8):
            up = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2 & 1]).reshape(1, 3, 1)
            share = torch.where(up == 1, part, 1 - part).prod(1) * middle.flatten()
            cell = (lower + up).long()
            colours.scatter_add_(1, (cell[:, 0] * self.bins + cell[:, 1]) * self.bins + cell[:, 2], share)
        luma = small.mean(1)
        across, down = luma[:, 1:-1, 2:] - luma[:, 1:-1, :-2], luma[:, 2:, 1:-1] - luma[:, :-2, 1:-1]
        turn = (torch.atan2(down, across) / torch.pi % 1 * 8).long().clamp(0, 7)
        force, half = torch.hypot(across, down), (self.side - 2) // 2
        edges = [
            torch.zeros(batch, 8).scatter_add_(1, turn[:, y, x].flatten(1), force[:, y, x].flatten(1))
            for y in (slice(0, half), slice(half, None))
            for x in (slice(0, half), slice(half, None))
        ]
        parts = (colours.sqrt(), torch.cat(edges, dim=1).sqrt() * 0.5)  # Hellinger's distance, as a cosine
        return normalize(torch.cat([normalize(parts[0]), 0.5 * normalize(parts[1])], dim=1))


def load(family: str) -> Eyes | None:
    """The learned eyes of a family; None when it has none, or when their weights are not installed."""
    if family not in LEARNED:
        return None
    module, _, name = LEARNED[family].partition(":")
    if find_spec(module) is None or not any(folder().glob("*.safetensors")):
        return None
    return cast(Eyes, getattr(importlib.import_module(module), name)(folder()))


def folder() -> Path:
    """Where learned eyes lie."""
    return Path(str(resources.files("portraitist"))) / "weights" / "eyes"


@cache
def opened(family: str) -> Eyes | None:
    """The learned eyes of a family, opened once a process."""
    return load(family)


def names(family: str) -> str:
    """The digest of a family's learned eyes, read without opening them, that is without torch; "" when it has none."""
    sha, there = hashlib.sha256(), sorted(folder().glob("*.safetensors"))
    for path in there if family in LEARNED else ():
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest() if family in LEARNED and there else ""


FRAMINGS = {"close-up": "close-up", "mid": "half body", "full": "full body"}
"""The guides' three framings, in the words that the drawn world's captions have for them."""


def glance(family: str, pixels: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """What a family's learned eyes see in one picture (H, W, 3) uint8: how well each framing fits, and who it is.

    The first are cosines by framing, the second a unit vector (d,) float32. Views are not asked for: knowing nothing
    else of a picture, these eyes tell four views apart in 56 of 100 drawings (framings in 90). Raises KeyError for a
    family without eyes.
    """
    import torch

    eyes = opened(family)
    if eyes is None:
        raise KeyError(family)
    batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    fits = eyes.content(batch) @ eyes.texts([f"{words} of a cartoon character" for words in FRAMINGS.values()]).T
    scores = {name: round(float(value), 4) for name, value in zip(FRAMINGS, fits[0], strict=True)}
    return scores, eyes.pictures(batch)[0].numpy()
