"""Peak memory of a training by its parts, and which cards it fits. No torch: laws are read, not counted."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from portraitist.adapters.dialects import TREE_OF
from portraitist.forecast.laws import Laws, Point, bytes_at
from portraitist.forecast.published import PUBLISHED, Blocks, Published
from portraitist.recipe import Recipe

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes a frozen number takes where it is not quantised."""

RUNTIME_GB = 0.6
"""A process's own share of a card: CUDA's context, kernels, their workspaces. Judged; usual reports are 0.3 to 0.6."""

SLACK = 0.05
"""Of activations: what the allocator rounds up and cannot give out again. Judged, no card has confirmed it."""

DOUBT = 0.3
"""Of all but weights and adapter, which are certain: a card with less to spare than that is called close. Judged."""

CERTAIN = ("frozen weights", "rebuilt weight", "adapter")

LEVELS = 8
"""Pictures in one forward pass of judging: held-out losses take a picture at eight noise levels."""

CARDS_GB = (12, 16, 24, 32, 48, 80)
"""Sizes people buy. Taken as so many 1e9 bytes, which leaves a consumer card 7 % and one with ECC nothing over."""


@dataclass(frozen=True, slots=True)
class Share:
    """One part of the peak: GB (1e9 bytes), what it is, and what the number stands on."""

    gb: float
    what: str
    basis: str

    @property
    def says(self) -> str:
        """The number and what it stands on."""
        return f"{self.gb:.2f} GB, {self.basis}"


@dataclass(frozen=True, slots=True)
class Base:
    """What a forecast knows of a base.

    numbers   parameters of its denoiser: by the folder's headers, else as published
    encoders  the same of its text encoders and its autoencoder
    """

    published: Published
    laws: Laws
    numbers: int
    encoders: Mapping[str, int]
    source: str = "as published"


STATES = {"adamw": 2, "adafactor": 0, "prodigy": 4, "schedulefree": 2}
"""Numbers that an optimiser keeps for each one trained; Adafactor's rows and columns are next to nothing."""


@cache
def known(family: str) -> Base | None:
    """The published base of a family, or None where there is none."""
    if family not in PUBLISHED:
        return None
    published = PUBLISHED[family]
    name = TREE_OF.get(family, family)
    text = (resources.files("portraitist") / "forecast" / f"{name}.json").read_text(encoding="utf-8")
    encoders = {part: facts.parameters for part, facts in published.encoders.items()}
    return Base(published, Laws.of(json.loads(text)), published.trained.parameters, encoders)


def point(base: Base, recipe: Recipe, side: int, references: tuple[int, ...] = ()) -> Point:
    """What a recipe's batch is to the laws, at the longest captions; references by their sides in pixels."""
    cells = sum((one // base.published.cell) ** 2 for one in (side, *references))
    return Point(recipe.training.batch, cells, base.published.text, recipe.adapter.rank)


def usual(base: Base, recipe: Recipe, side: int) -> Point:
    """The same with captions as long as usual, for work: only the longest one decides the peak."""
    return replace(point(base, recipe, side), text=base.published.usual)


def stored(blocks: Blocks, how: str) -> int:
    """Bytes that layers take which are held in int8, fp8 or nf4, with their scales; the layers' sizes as published.

    A float32 for each row; of nf4 a byte for each block of 64 numbers, a float32 for each 256 of those bytes, and one a
    layer. Held to what lies in memory by tests/integration/test_quantise.py.
    """
    if how == "nf4":
        return blocks.numbers // 2 + blocks.numbers // 64 + 4 * (blocks.numbers // (64 * 256) + blocks.layers)
    return blocks.numbers + 4 * blocks.rows


def weights(base: Base, recipe: Recipe) -> list[Share]:
    """The denoiser as it is frozen; where it is quantised, with the one layer that is rebuilt at a time."""
    size, how, blocks = BYTES[recipe.model.precision], recipe.model.quantised, base.published.blocks
    if not how:
        words = f"{base.numbers:,} numbers {base.source} x {size} bytes"
        return [Share(base.numbers * size / 1e9, "frozen weights", words)]
    rest = base.numbers - blocks.numbers
    words = f"{blocks.numbers:,} numbers in {how} with their scales, {rest:,} {base.source} x {size} bytes"
    scales = blocks.largest // 8 if how == "nf4" else 0  # two float32 for each 64 numbers while they are rebuilt
    return [
        Share((stored(blocks, how) + rest * size) / 1e9, "frozen weights", words),
        Share((blocks.largest * size + scales) / 1e9, "rebuilt weight", f"one layer's {blocks.largest:,} numbers"),
    ]


def training(base: Base, recipe: Recipe, side: int, references: tuple[int, ...] = ()) -> list[Share]:
    """The parts of the peak of `train` on a card, for a LoRA on the family's own targets."""
    at, model = point(base, recipe, side, references), recipe.model
    law = base.laws.wide if model.precision == "float32" else base.laws.recomputed
    kept_by, ema = STATES[recipe.training.optimiser], int(recipe.training.ema > 0)
    trained, copies = base.laws.adapter * recipe.adapter.rank, 2 + kept_by + ema
    words = f"weight, gradient, {kept_by} of {recipe.training.optimiser}{', and the average' if ema else ''}"
    kept, frozen = bytes_at(law, at) / 1e9, weights(base, recipe)
    pictures = f"{at.batch} picture{'s' if at.batch > 1 else ''} of {at.cells:,} cells and {at.text:,} text tokens"
    return [
        *frozen,
        Share(trained * 4 * copies / 1e9, "adapter", f"{trained:,} numbers x 4 bytes x {copies}: {words}"),
        Share(kept, "activations", f"counted with gradient checkpointing, for {pictures}"),
        Share(kept * SLACK, "slack", f"{SLACK:.0%} of activations for the allocator, judged"),
        Share(RUNTIME_GB, "runtime", "CUDA's context and workspaces, judged"),
    ]


def judging(base: Base, recipe: Recipe, side: int) -> list[Share]:
    """The parts of the peak of `evaluate`, which `run` keeps beside the training on the same card, its weights too."""
    at = point(base, recipe, side)
    at = Point(LEVELS, at.cells, at.text, at.rank)
    wider = 2 if recipe.model.precision == "float32" else 1  # the law is of half precision
    return [
        *(replace(part, basis=f"a second copy: {part.basis}") for part in weights(base, recipe)),
        Share(bytes_at(base.laws.drawn, at) * wider / 1e9, "forward pass", f"{LEVELS} pictures, nothing kept"),
        Share(RUNTIME_GB, "runtime", "of a second process, judged"),
    ]


def encoding(base: Base, recipe: Recipe) -> list[Share]:
    """The parts of the peak of `encode`, which works on the CPU: memory of the machine, not of the card."""
    size, vae = BYTES[recipe.model.precision], base.encoders.get("vae", 0)
    text = sum(numbers for name, numbers in base.encoders.items() if name != "vae")
    return [
        Share(text * size / 1e9, "text encoders", f"{text:,} numbers x {size:.4g} bytes"),
        Share(vae * 4 / 1e9, "autoencoder", f"{vae:,} numbers in float32"),
        Share(
            RUNTIME_GB,
            "runtime",
            "Python with torch, diffusers and transformers: all of this on the CPU, not on the card",
        ),
    ]


def disk(base: Base, recipe: Recipe, side: int, samples: int, checkpoints: int) -> str:
    """GB that checkpoints and cache of so many samples take, in words; each sample holds its own empty caption."""
    trained, states = base.laws.adapter * recipe.adapter.rank * 4 / 1e9, 4 if recipe.training.ema else 3
    kept = min(checkpoints, recipe.training.keep)
    what, size = base.published, BYTES[recipe.model.precision]
    sample = (what.channels * (side // 8) ** 2 * 4 + 2 * what.usual * what.width * size) / 1e9
    says = (
        f"{checkpoints * trained + kept * states * trained:.2g} GB of checkpoints ({checkpoints} adapters, {kept} to "
    )
    return says + f"resume from), {samples * sample:.2g} GB of cache ({samples} samples with a caption each)"


def total(shares: list[Share]) -> float:
    """GB of all parts."""
    return sum(share.gb for share in shares)


def changes(recipe: Recipe, side: int, multiple: int) -> Iterator[tuple[str, Recipe, int]]:
    """Recipes that need less, the least change first: words, recipe and side. Exposures stay as they are.

    Weights in fewer bits go before fewer pixels: the adapter learns the same picture.
    """
    kinds = list(held(recipe))
    batch = recipe.training.batch
    parts = [part for part in range(batch - 1, 0, -1) if batch % part == 0]
    for words, one in kinds:
        if words:
            yield words, one, side
        for part in parts:
            more, less = smaller(one, part)
            yield f"{words} {more}".strip(), less, side
    for low in (768, 512):
        for words, one in kinds if low < side and low % multiple == 0 else ():
            more, less = smaller(one, 1) if parts else ("", one)
            yield " ".join(filter(None, (words, more, f"data.resolution={low}"))), less, low


def smaller(recipe: Recipe, batch: int) -> tuple[str, Recipe]:
    """A recipe with so many pictures in a forward pass, and as many in a step as before."""
    more = recipe.training.accumulate * recipe.training.batch // batch
    training = recipe.training.model_copy(update={"batch": batch, "accumulate": more})
    return f"training.batch={batch} training.accumulate={more}", recipe.model_copy(update={"training": training})


def held(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """A recipe, and the same with its frozen weights in fewer and fewer bits.

    fp8 is not among them: it takes what int8 takes, and is coarser.
    """
    words: dict[str, str] = {}
    steps = [("precision", "bfloat16")] if recipe.model.precision == "float32" else []
    ways = {"": ("int8", "nf4"), "int8": ("nf4",), "fp8": ("nf4",), "nf4": ()}[recipe.model.quantised]
    yield "", recipe
    for key, value in steps + [("quantised", way) for way in ways]:
        words[key] = value
        model = recipe.model.model_copy(update=words)
        yield " ".join(f"model.{k}={v}" for k, v in words.items()), recipe.model_copy(update={"model": model})


def verdict(base: Base, recipe: Recipe, side: int, multiple: int, card_gb: float) -> str:
    """Whether `train` fits a card of so many GB, by how much, and else the least change of the recipe that makes it."""
    parts = training(base, recipe, side)
    peak = total(parts)
    if peak <= card_gb:
        both = peak + total(judging(base, recipe, side))
        beside = "also with judging beside it" if both <= card_gb else f"`run` judges beside it and needs {both:.1f} GB"
        return f"fits{closely(parts, card_gb)}: {card_gb - peak:.1f} GB to spare; {beside}"
    short = f"does not fit: {peak - card_gb:.1f} GB short"
    for words, less, low in changes(recipe, side, multiple):
        parts = training(base, less, low)
        if total(parts) <= card_gb:
            setting = " ".join(f"--set {word}" for word in words.split())
            return f"{short}; fits{closely(parts, card_gb)} with {setting}: {total(parts):.1f} GB"
    return f"{short}; nothing in a recipe makes it fit"


def closely(parts: list[Share], card_gb: float) -> str:
    """A word for a fit that the forecast's own doubt could undo."""
    doubt = DOUBT * sum(part.gb for part in parts if part.what not in CERTAIN)
    return " closely" if total(parts) + doubt > card_gb else ""
