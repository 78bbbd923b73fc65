"""The embedded base's eyes: a small network that sees who is in a picture and what it shows, and reads captions.

Taught by `portraitist.mini.teach eyes` on characters of the drawn world. They know cartoons of that world and nothing
else; what they are blind to stands in the card beside their weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, gelu, interpolate, normalize

from portraitist.errors import PortraitistError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SIDE = 128


class Block(nn.Module):
    """A 3 x 3 and a 1 x 1 convolution beside a shortcut (arXiv 1512.03385, 1603.05027).

    Plain convolutions: on a CPU the backward pass of depth-wise ones costs more than twice as much.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.around = nn.Conv2d(channels, channels, 3, padding=1)
        self.mixed = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        found: Tensor = x + self.mixed(gelu(self.around(self.norm(x))))
        return found


class Trunk(nn.Module):
    """Pictures (B, 3, 128, 128) in [-1, 1] to features (B, width): means and maxima over places."""

    def __init__(self, widths: Sequence[int] = (48, 96, 160, 224), depths: Sequence[int] = (1, 1, 2, 2)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=4)]
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            if i:
                layers += [nn.GroupNorm(1, widths[i - 1]), nn.Conv2d(widths[i - 1], width, 2, stride=2)]
            layers += [Block(width) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)
        self.width = 2 * widths[-1]

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, width)."""
        found = self.layers(pixels)
        return torch.cat([found.mean((2, 3)), found.amax((2, 3))], 1)


class Dual(nn.Module):
    """A trunk with two heads, and a reader of captions whose tokens count as a bag: phrases are single tokens."""

    def __init__(self, vocabulary: int, width: int = 128) -> None:
        super().__init__()
        self.config = {"vocabulary": vocabulary, "width": width}
        self.trunk = Trunk()
        self.who = nn.Sequential(nn.Linear(self.trunk.width, 256), nn.GELU(), nn.Linear(256, width))
        self.what = nn.Sequential(nn.Linear(self.trunk.width, 384), nn.GELU(), nn.Linear(384, width))
        self.words = nn.Embedding(vocabulary, 192)
        self.reader = nn.Sequential(nn.Linear(192, 384), nn.GELU(), nn.Linear(384, width))
        self.sharpness = nn.Parameter(torch.tensor(2.5))

    def identity(self, features: Tensor) -> Tensor:
        """Trunk features to unit vectors (B, width): close when they show the same character."""
        return normalize(self.who(features).float(), dim=1)

    def content(self, features: Tensor) -> Tensor:
        """Trunk features to unit vectors (B, width): close to captions that fit."""
        return normalize(self.what(features).float(), dim=1)

    def read(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Token ids (B, T) and their mask to unit vectors (B, width)."""
        weight = mask[..., None].float()
        bag = (self.words(tokens) * weight).sum(1) / weight.sum(1).clamp_min(1).sqrt()
        return normalize(self.reader(bag).float(), dim=1)


def resized(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, 3, 128, 128): the middle square, scaled."""
    side = min(pixels.shape[-2:])
    top, left = (pixels.shape[-2] - side) // 2, (pixels.shape[-1] - side) // 2
    square = pixels[..., top : top + side, left : left + side]
    if side % SIDE == 0:
        return avg_pool2d(square, side // SIDE) if side > SIDE else square
    return interpolate(square, size=(SIDE, SIDE), mode="bilinear", antialias=True)


@dataclass(frozen=True, slots=True)
class DualEyes:
    """Eyes as judging uses them."""

    model: Dual
    tokenizer: Tokenizer
    digest: str

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to trunk features, 32 pictures at a time."""
        return torch.cat([self.model.trunk(part.float()) for part in torch.split(resized(pixels), 32)])

    @torch.no_grad()
    def pictures(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 128) unit float32: close when they show the same character."""
        return self.model.identity(self.features(pixels))

    @torch.no_grad()
    def content(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 128) unit float32: close to the captions that fit."""
        return self.model.content(self.features(pixels))

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Captions to (B, 128) unit float32."""
        return self.model.read(*bags([self.tokenizer.encode(text).ids for text in texts]))


def bags(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids (B, T), padded with zeros, and their mask; an empty row gets one masked place."""
    longest = max([1, *map(len, rows)])
    tokens, mask = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)], mask[i, : len(row)] = torch.tensor(row, dtype=torch.long), True
    return tokens, mask


def load(folder: Path) -> DualEyes:
    """The eyes in a folder. Raises PortraitistError when a file is absent or damaged."""
    from tokenizers import Tokenizer

    sha = hashlib.sha256()
    found: dict[str, Tensor] = {}
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        words = Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.safetensors")):
            data = path.read_bytes()
            sha.update(path.name.encode() + data)
            found |= safetensors.torch.load(data)
        model = Dual(**config)
        model.load_state_dict({name: value.float() for name, value in found.items()})
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise PortraitistError(f"{folder}: the eyes cannot be read: {error}", "Install portraitist again.") from error
    return DualEyes(model.eval().requires_grad_(False), words, sha.hexdigest())
