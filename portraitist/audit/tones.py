"""Tones and colours of a picture's subject: what is cut off, where its middle lies, and what it leans to.

Shares come from the histogram of all pixels; colours from a picture of 64 x 64 in CIELAB (D65; L 0 to 100, a and b
roughly -100 to 100), which tells them 40 times as fast and to a tenth of a unit.
"""

from typing import Any

import cv2
import numpy as np

from portraitist.audit.sharpness import Luma


def exposure(luma: Luma, inside: np.ndarray | None) -> dict[str, Any]:
    """Shares and places of luma in the subject, 0 to 255.

    inside  (H, W) uint8, 255 where the subject is; None for everywhere

    dark, bright, midtones  shares of luma <= 2, >= 253 and 32..223
    low, high   its 5th and 99th percentile
    tones       the entropy of its histogram in bits, 8 at most
    dark_end, bright_end    how what is cut off there ends, see `cut_off`; zeros where next to nothing is

    After SceneWorks (midtones) and cleanvision (percentiles, entropy).
    """
    counts = cv2.calcHist([luma], [0], inside, [256], [0, 256]).ravel()
    share = counts / max(float(counts.sum()), 1.0)
    upto = np.cumsum(share)
    told = share[share > 0]
    ends = {
        "dark_end": cut_off(255 - luma, inside, float(share[3:12].sum()))
        if share[:3].sum() > 0.02
        else [0.0, 0.0, 0.0],
        "bright_end": cut_off(luma, inside, float(share[244:253].sum()))
        if share[253:].sum() > 0.02
        else [0.0, 0.0, 0.0],
    }
    return {
        "dark": round(float(share[:3].sum()), 4),
        "bright": round(float(share[253:].sum()), 4),
        "midtones": round(float(share[32:224].sum()), 4),
        "low": float(np.searchsorted(upto, 0.05)),
        "high": float(np.searchsorted(upto, 0.99)),
        "tones": round(float(-(told * np.log2(told)).sum()), 2),
        **ends,
    }


def cut_off(luma: Luma, inside: np.ndarray | None, tail: float) -> list[float]:
    """How white ends where it ends (for black, of the negative): three shares, 0 to 1.

    Of the pixels beside white ones, those within 17 levels of it: light that was cut off runs up to white, a white
    shirt or backdrop has an edge. Of the subject, those within 9 levels of white (`tail`). Of the picture's rim, the
    white: a backdrop has most of it.
    """
    white = cv2.inRange(luma, 253, 255)
    beside = np.asarray(cv2.dilate(white, np.ones((3, 3), np.uint8)) - white)
    if inside is not None:
        beside = np.asarray(cv2.bitwise_and(beside, inside))
    ramp = cv2.countNonZero(cv2.bitwise_and(beside, cv2.inRange(luma, 236, 255))) / max(cv2.countNonZero(beside), 1)
    rim = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    return [round(ramp, 3), round(tail, 4), round(float((rim > 0).mean()) if inside is None else 0.0, 3)]


def colours(few: np.ndarray, inside: np.ndarray) -> dict[str, Any]:
    """Colours of a small picture (S, S, 3) uint8 where `inside` (S, S) is true, everywhere when nowhere.

    colour  mean sRGB, 0 to 255
    tone    median L, a and b
    chroma  95th percentile of the distance from grey, of what is neither black nor white; below 4 is grey to the eye
    hues    root mean square of what of a and b no quadratic in L explains: a grey or toned grey picture has one colour
            for each tone, and reads below 2
    cast    how far all but a twentieth of the picture lies to one side of grey, towards its mean hue; 0 for none
    leans   the word for that hue
    burnt   share of what is not white with a channel at 254 or more: overexposure that has not reached white

    Blind: a scene that is of one colour (sunset, forest) leans as a badly balanced one does.
    """
    within = inside if inside.any() else np.ones_like(inside)
    lab = cv2.cvtColor(few.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[within]
    told = lab[(lab[:, 0] > 15) & (lab[:, 0] < 97)]
    if len(told) < 64:
        told = np.zeros((64, 3), np.float32)
    tones, told = np.vander(told[:, 0] / 100, 3), told[:, 1:]
    left = told - tones @ np.linalg.lstsq(tones, told, rcond=None)[0]
    mean = told.mean(axis=0)
    rest = few[within & (few.min(axis=2) < 250)]
    towards = mean / max(float(np.hypot(*mean)), 1e-6)
    return {
        "colour": [round(float(v), 1) for v in few[within].mean(axis=0)],
        "tone": [round(float(v), 1) for v in np.median(lab, axis=0)],
        "chroma": round(float(np.quantile(np.hypot(told[:, 0], told[:, 1]), 0.95)), 1),
        "hues": round(float(np.sqrt((left**2).sum(axis=1).mean())), 2),
        "cast": round(max(0.0, float(np.quantile(told @ towards, 0.05))), 1),
        "burnt": round(float((rest.max(axis=1) >= 254).mean()) if len(rest) else 0.0, 3),
        "leans": hue(float(mean[0]), float(mean[1])),
    }


def hue(a: float, b: float) -> str:
    """The word for a direction from grey."""
    words = ("red", "orange", "yellow", "green", "green", "blue", "blue", "magenta")
    return words[int(np.degrees(np.arctan2(b, a)) // 45) % 8]


def missing_tones(pixels: np.ndarray) -> float:
    """Share of the 256 levels of a channel that no pixel (of every second line) has, between its first and last
    hundredth; the least of three.

    Near 0 for what a camera or a pen made; 0.75 where 64 levels are left of 256, 0.5 where contrast was doubled
    afterwards. Blind: any JPEG or scaling afterwards fills the gaps in.
    """
    found = []
    for channel in range(3):
        counts = cv2.calcHist([pixels[::2]], [channel], None, [256], [0, 256]).ravel()
        upto = np.cumsum(counts) / max(float(counts.sum()), 1.0)
        first, last = int(np.searchsorted(upto, 0.01)), int(np.searchsorted(upto, 0.99))
        found.append(float((counts[first : last + 1] == 0).mean()) if last - first >= 32 else 0.0)
    return min(found)
