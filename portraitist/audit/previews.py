"""Pictures before and after, side by side, on one sheet for people."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TILE, GAP, TEXT = 224, 8, 18
ACROSS, MOST = 3, 24
"""Pairs in a row, and pairs that are shown at most."""

PAPER, INK = (250, 249, 245), (40, 38, 46)

Pair = tuple[str, Image.Image, Image.Image]
"""A name, and what `fitted` gave of it before and after."""


def before_after(pairs: Sequence[Pair], total: int) -> bytes:
    """The bytes of a PNG that shows the first of `total` pairs of pictures."""
    shown = pairs[:MOST]
    across, rows = min(ACROSS, max(1, len(shown))), -(-len(shown) // ACROSS)
    wide, high = 2 * TILE + 3 * GAP, TILE + TEXT + GAP
    sheet = Image.new("RGB", (across * wide, max(1, rows) * high + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, (name, before, after) in enumerate(shown):
        x, y = i % ACROSS * wide + GAP, i // ACROSS * high + GAP
        for j, tile in enumerate((before, after)):
            left = x + j * (TILE + GAP) + (TILE - tile.width) // 2
            sheet.paste(tile, (left, y + (TILE - tile.height) // 2))
        words = name if i < MOST - 1 or total <= MOST else f"{name} (and {total - MOST} more)"
        pen.text((x, y + TILE + 2), words[-64:], INK, font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def fitted(pixels: np.ndarray) -> Image.Image:
    """A picture (H, W, 3), or (H, W, 4) with alpha, uint8, scaled to fit a tile; over a chequer where transparent."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    if image.mode != "RGBA":
        return image.convert("RGB")
    rows, columns = np.indices((image.height, image.width)) // 8
    chequer = np.where((rows + columns) % 2, 204, 238).astype(np.uint8)
    under = Image.fromarray(chequer).convert("RGB")
    under.paste(image, mask=image.getchannel("A"))
    return under


def weighed(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 as a loss with this mask (H, W) uint8 sees it: what does not count is dim and blue."""
    share = mask[..., None].astype(np.float32) / 255
    dim = pixels.astype(np.float32) * 0.25 + np.array([20, 30, 90], np.float32)
    return np.asarray((pixels * share + dim * (1 - share)).clip(0, 255).astype(np.uint8))
