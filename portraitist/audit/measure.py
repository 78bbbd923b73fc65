"""Pixels to numbers, once a picture; the manifest keeps them, and every finding is judged from them alone.

The definitions lie beside this: how much detail (`sharpness`), what compression did (`compression`), tones and colours
(`tones`), rim and marks (`edges`), what it looks like (`looks`). What each reads on good and on spoilt pictures is in
docs/audit.md. A picture is decoded once, its luma computed once, and what needs no detail is read off a small copy.
"""

from typing import Any

import cv2
import numpy as np

from portraitist.audit import compression, edges, looks, sharpness, tones
from portraitist.dataset.split import written
from portraitist.pictures import Opened

VERSION = 2
"""Raised when a definition changes: manifests of another version are measured again."""


def measure(opened: Opened, side: int) -> dict[str, Any]:
    """All measures of a picture; `side` is the training side in pixels, at which sharpness and noise are judged.

    short       its shorter side, pixels
    effective   share of its size that holds its detail: `sharpness.effective`
    sharpness, noise        `sharpness.sharpness` and `sharpness.noise`, of the picture at the training side
    dark, bright, midtones, low, high, tones, dark_end, bright_end  `tones.exposure`, of the subject, without bars
    colour, tone, chroma, hues, cast, leans, burnt     `tones.colours`, of the subject
    missing     share of tones that no pixel has: `tones.missing_tones`
    format, camera          the file's format, and whether a camera's maker stands in it
    jpeg, exact, chroma_kept    quality by a JPEG's tables (0 for other files), whether it is exact, and its subsampling
    earlier     JPEG quality the pixels were once saved with: `compression.earlier_quality`
    blocks, moved           `compression.blockiness`, and whether blocks begin elsewhere than at the corner
    banding     `edges.staircases`
    borders     pixels of plain bars at left, top, right, bottom; none where there is transparency
    lettering   boxes that look like lettering; edges: where edges are: `edges.edge_map`
    phash, dhash, thumbnail, descriptor     `looks`; hashes also of the mirrored picture; bytes in hexadecimal
    covers      share of the picture that is opaque
    """
    luma = grey(opened.pixels)
    inside = None if opened.alpha is None else cv2.inRange(opened.alpha, 128, 255)
    if inside is not None and not inside.any():
        inside = None
    few = looks.small(opened.pixels)
    little = looks.luma_of(few)
    within = np.ones((64, 64), bool) if inside is None else looks.shrunk(inside, 64, 64) > 127
    tiny = cv2.resize(few, (64, 64), interpolation=cv2.INTER_AREA)
    at_side = sharpness.at_side(luma, side)
    left, above, right, below = edges.borders(luma, opened.pixels) if opened.alpha is None else (0, 0, 0, 0)
    framed = luma[above : opened.height - below, left : opened.width - right]
    return {
        "short": min(opened.width, opened.height),
        "effective": sharpness.effective(luma),
        "sharpness": round(sharpness.sharpness(at_side), 2),
        "noise": round(sharpness.noise(at_side), 2),
        **tones.exposure(framed, inside),
        **tones.colours(tiny, within),
        "missing": round(tones.missing_tones(opened.pixels), 3),
        **history(opened, luma),
        "banding": round(edges.staircases(luma), 3),
        "borders": [left, above, right, below],
        "lettering": edges.lettering(luma),
        "edges": edges.edge_map(luma),
        "phash": f"{looks.phash(little):016x}",
        "dhash": f"{looks.dhash(little):016x}",
        "phash_mirrored": f"{looks.phash(little[:, ::-1]):016x}",
        "dhash_mirrored": f"{looks.dhash(little[:, ::-1]):016x}",
        "thumbnail": looks.thumbnail(little),
        "descriptor": written(looks.descriptor(tiny)),
        "covers": 1.0 if inside is None else round(float((inside > 0).mean()), 4),
    }


def history(opened: Opened, luma: np.ndarray) -> dict[str, Any]:
    """What file a picture lies in, and what JPEG did to it: there, or before it came there."""
    header = opened.header
    quality, exact = compression.table_quality(header.tables) if header.tables else (0.0, False)
    blocks, begins = compression.blockiness(luma)
    corner = compression.earlier_quality(luma, (0, 0))
    moved = 0 if corner or begins == (0, 0) else compression.earlier_quality(luma, begins)
    return {
        "format": header.format,
        "camera": header.camera,
        "jpeg": quality,
        "exact": exact,
        "chroma_kept": compression.subsampling(header.layers),
        "earlier": corner or moved,
        "blocks": round(blocks, 2),
        "moved": begins != (0, 0) if not corner else False,
    }


def grey(pixels: np.ndarray) -> sharpness.Luma:
    """(H, W, 3) uint8 to luma (Rec. 601, as JPEG), (H, W) uint8."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
