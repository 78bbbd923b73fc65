"""Tags of a picture by a tagger of the WD14 kind, from a folder on this machine: `model.onnx`, `selected_tags.csv`.

The contract is that of SmilingWolf's taggers. Rows of the list are in the order of the model's outputs, which are
probabilities; category 0 is general, 4 a known character, 9 a rating. A picture, transparent parts over white, is
padded to a square with white, scaled to the model's input by bicubic, and given as BGR, float32 from 0 to 255, NHWC.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from portraitist import durable
from portraitist.pictures import Opened
from portraitist.sight import onnx

MODEL, LIST = "model.onnx", "selected_tags.csv"
GENERAL, CHARACTER, RATING = 0, 4, 9
SIDE = 448
"""Pixels of the input's side where a model leaves it open."""

KEPT = 0.05
"""Probability from which a tag is remembered at all: thresholds below it find nothing more."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """What a tagger saw: probabilities by tag, most probable first, of each category; tags below `KEPT` are left out.

    ratings  of how far a picture goes (general, sensitive, questionable, explicit); never part of a caption
    """

    general: dict[str, float]
    characters: dict[str, float]
    ratings: dict[str, float]

    @property
    def rating(self) -> str:
        """The most probable rating; "" where the model has none."""
        return max(self.ratings, key=lambda name: self.ratings[name], default="")

    def counted(self, general: float, characters: float, thresholds: Mapping[str, float]) -> list[str]:
        """Tags that reach their thresholds, most probable first, characters before the rest.

        characters  0 takes none. thresholds  of single tags, by name, go before the general one
        """
        own = {spoken(name.strip().lower()): value for name, value in thresholds.items()}
        named = [name for name, value in self.characters.items() if characters and value >= characters]
        return named + [name for name, value in self.general.items() if value >= own.get(name, general)]


@dataclass(frozen=True, slots=True)
class Tagger:
    """A tagger that is ready.

    digest  SHA-256 of its model's bytes, and list_digest of its list's
    names   as captions have them, one an output, with categories likewise
    side    pixels of its input's
    """

    network: onnx.Network
    digest: str
    list_digest: str
    names: tuple[str, ...]
    categories: tuple[int, ...]
    side: int

    def __call__(self, opened: Opened) -> Tagged:
        """The tags of a picture. Raises ModelError where the model gives no probability for each tag."""
        found = np.asarray(self.network(prepared(opened.pixels, self.side))[0], np.float32).ravel()
        if found.size != len(self.names):
            raise unusable(f"it has {found.size} outputs, and its list {len(self.names)} tags")
        if not np.isfinite(found).all() or found.min() < -1e-3 or found.max() > 1 + 1e-3:
            raise unusable(f"its outputs, {found.min():.3g} to {found.max():.3g}, are no probabilities")
        order = np.argsort(-found, kind="stable")

        def of(category: int, least: float) -> dict[str, float]:
            there = [int(i) for i in order if self.categories[i] == category and found[i] >= least]
            return {self.names[i]: round(float(found[i]), 4) for i in there}

        return Tagged(of(GENERAL, KEPT), of(CHARACTER, KEPT), of(RATING, -1.0))


def load(folder: Path, threads: int) -> Tagger:
    """The tagger in a folder, on `threads` threads of the CPU.

    Raises ModelError where `onnx.network` does, and where a file is missing, damaged or of another kind.
    """
    for name in (MODEL, LIST):
        if not (folder / name).is_file():
            raise onnx.ModelError(
                f"{folder} holds no {name}",
                f"Name a tagger's folder as captioning.tagger.folder: one with {MODEL} and {LIST}.",
            )
    names, categories = listed(folder / LIST)
    network = onnx.network(folder / MODEL, threads)
    shape = network.shape
    if len(shape) != 4 or shape[3] != 3:
        raise unusable(f"{folder / MODEL} takes {list(shape)}, not one picture as (N, H, W, 3)")
    side = next((size for size in shape[1:3] if isinstance(size, int)), SIDE)
    return Tagger(network, onnx.digest(folder / MODEL), durable.digest(folder / LIST), names, categories, side)


def listed(path: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and categories of a tagger's list. Raises ModelError where it has not the columns of one."""
    rows = csv.DictReader(io.StringIO(durable.read_text(path), newline=""))
    names, categories = [], []
    try:
        for row in rows:
            names.append(spoken(row["name"].strip()))
            categories.append(int(row["category"]))
    except (KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise onnx.ModelError(
            f"{path} is no list of tags: line {rows.line_num}", "It needs the columns tag_id,name,category,count."
        ) from error
    if not names:
        raise onnx.ModelError(f"{path} lists no tags", "Copy it again from where the model came from.")
    return tuple(names), tuple(categories)


def spoken(name: str) -> str:
    """A tag as a caption has it: spaces for underscores, but in faces drawn by signs (^_^, o_o), which have no word.

    A word is two letters together.
    """
    return name.replace("_", " ") if re.search(r"[^\W\d_]{2}", name) else name


def prepared(pixels: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB to what a tagger takes: (1, side, side, 3) float32 BGR from 0 to 255.

    Padded with white to a square, equally on both sides, an odd pixel after; scaled by Pillow's bicubic.
    """
    height, width = pixels.shape[:2]
    longest = max(height, width)
    square = np.full((longest, longest, 3), 255, np.uint8)
    top, left = (longest - height) // 2, (longest - width) // 2
    square[top : top + height, left : left + width] = pixels
    if longest != side:
        square = np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(square[None, :, :, ::-1]).astype(np.float32)


def unusable(why: str) -> onnx.ModelError:
    """The refusal of a model that is no tagger."""
    return onnx.ModelError(f"The tagger cannot be used: {why}", "Choose one of the WD14 kind, with its own list.")
