"""Picture files and measured pictures for tests, drawn from seeds."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from portraitist.audit.measure import measure
from portraitist.pictures import Opened, Picture


def scenery(seed: int, width: int = 96, height: int = 96) -> np.ndarray:
    """(height, width, 3) uint8 with a photograph's spectrum, so that hashes differ as theirs do."""
    draw = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(width), np.fft.fftfreq(height)))
    frequency[0, 0] = 1
    shared, planes = draw.standard_normal((height, width)), []
    for _ in range(3):
        plane = np.fft.ifft2(np.fft.fft2(shared + 0.4 * draw.standard_normal((height, width))) / frequency**1.1).real
        planes.append((plane - plane.mean()) / plane.std() * 50 + 128)
    return np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)


def saved(path: Path, pixels: np.ndarray, **how: Any) -> Path:
    """Pixels as a file of the suffix's format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **how)
    return path


def png_header(width: int, height: int) -> bytes:
    """A well-formed PNG that claims a size and holds almost nothing: a decompression bomb."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def jpeg_bytes(pixels: np.ndarray, quality: int = 90) -> bytes:
    """Pixels as a JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def looked_at(pixels: np.ndarray, name: str = "a.png", side: int = 64, **facts: Any) -> Picture:
    """A picture with its measures."""
    opened = Opened(pixels, None)
    return Picture(name, opened.digest, opened.width, opened.height, measures=measure(opened, side), **facts)


def png_bytes(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
