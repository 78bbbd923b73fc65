"""The embedded base's autoencoder: principal components of 8 x 8 patches, and what convolutions add to them.

Part of the family `mini`, in a file of its own because it is a model, and models need torch when they are imported.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn.functional import silu


class Residual(nn.Module):
    """Two convolutions beside a shortcut; the second begins at zero, so that the block begins as nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        begin_at_zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        found: Tensor = x + self.second(silu(self.first(silu(x))))
        return found


def begin_at_zero(layer: nn.Conv2d) -> None:
    """Let a convolution give nothing at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Autoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Pixels to latents an eighth as large, and back.

    The linear path is set by `mini.teach` from patches; the convolutions begin at zero and learn the rest.
    """

    mean: Tensor
    spread: Tensor

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, narrow: int = 64, wide: int = 144, channels: int = 16) -> None:
        super().__init__()
        self.linear_in = nn.Conv2d(3, channels, 8, stride=8)
        self.linear_out = nn.ConvTranspose2d(channels, 3, 8, stride=8)
        last_in, last_out = nn.Conv2d(wide, channels, 1), nn.Conv2d(narrow, 48, 3, padding=1)
        begin_at_zero(last_in)
        begin_at_zero(last_out)
        self.down = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(48, narrow, 3, padding=1), Residual(narrow),
            nn.Conv2d(narrow, wide, 2, stride=2), Residual(wide), nn.SiLU(), last_in,
        )  # fmt: skip
        self.up = nn.Sequential(
            nn.Conv2d(channels, wide, 3, padding=1), Residual(wide), Residual(wide), Residual(wide),
            nn.Conv2d(wide, narrow * 4, 1), nn.PixelShuffle(2), Residual(narrow), Residual(narrow), Residual(narrow),
            nn.SiLU(), last_out, nn.PixelShuffle(4),
        )  # fmt: skip
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("spread", torch.ones(1))

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 16, H/8, W/8), centred, of unit mean square."""
        found: Tensor = (self.linear_in(pixels) + self.down(pixels) - self.mean) / self.spread
        return found

    def decode(self, latents: Tensor) -> Tensor:
        """The way back; values may leave [-1, 1] a little."""
        raw = latents * self.spread + self.mean
        found: Tensor = self.linear_out(raw) + self.up(raw)
        return found
