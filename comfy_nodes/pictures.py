"""ComfyUI's IMAGE tensors to PNG files and back: (B, H, W, C) float32 in [0, 1], sRGB."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .child import PortraitistError
from .folders import write


def loaded(path: Path) -> torch.Tensor:
    """A picture file as an IMAGE of one, (1, H, W, 3)."""
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB"), np.float32) / 255)[None]


def pngs(images: Sequence[torch.Tensor]) -> Iterator[bytes]:
    """Every picture of some batches (B, H, W, C) as a PNG's bytes: RGB, or RGBA where there are four channels."""
    for batch in images:
        for picture in batch:
            pixels = (picture.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            yield buffer.getvalue()


def laid_out(folder: Path, images: Sequence[torch.Tensor], captions: Sequence[str]) -> int:
    """Write pictures with their captions beside them, named by content; returns how many.

    Raises PortraitistError for another number of captions than of pictures; none at all is a number too.
    """
    made = list(pngs(images))
    if captions and len(captions) != len(made):
        raise PortraitistError(
            f"{len(made)} pictures and {len(captions)} captions are connected", "Connect one caption for each picture."
        )
    for i, data in enumerate(made):
        path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.png"
        write(path, data)
        if captions and captions[i].strip():
            write(path.with_suffix(".txt"), (captions[i].strip() + "\n").encode())
    return len(made)
