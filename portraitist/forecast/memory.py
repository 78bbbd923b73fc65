"""Peak memory of a training by its parts, and which cards it fits. No torch: laws are read, not counted."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from portraitist.adapters.dialects import TREE_OF
from portraitist.forecast import placement
from portraitist.forecast.laws import Laws, Point, bytes_at
from portraitist.forecast.published import PUBLISHED, Published
from portraitist.judge.overfit import LEVELS
from portraitist.recipe import Recipe

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.0 + 4 / 1024, "nf4": 0.5 + 4 / 64}
"""Bytes a frozen number takes. The quantised count their scales: a float32 a row of at least 1024, or a block of 64."""

RUNTIME_GB = 0.6
"""A process's own share of a card: CUDA's context, kernels, their workspaces. Judged; usual reports are 0.3 to 0.6."""

SLACK = 0.05
"""Of activations: what the allocator rounds up and cannot give out again. Judged, no card has confirmed it."""

DOUBT = 0.3
"""Of all but weights and adapter, which are certain: a card with less to spare than that is called close. Judged."""

CERTAIN = ("frozen weights", "adapter")

REFERENCE, SEEN = 1024, 202
"""Of a reference picture: the side of the square whose area edit bases scale it to, and its tokens among the text's
(14 x 14 patches of some 384 x 384 pixels, and six that name it)."""

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


STATES = {"adamw": 2, "adafactor": 0, "adamw8bit": 0.51, "prodigy": 4, "schedulefree": 2}
"""Float32 numbers that an optimiser keeps for each one trained, or room for such; Adafactor's rows and columns are next
to nothing. Parameters below 4096 numbers, which adamw8bit keeps in float32, are not told apart."""


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


def point(base: Base, recipe: Recipe, side: int) -> Point:
    """What a recipe's batch is to the laws, at the longest captions and with the most references."""
    cells = sum((one // base.published.cell) ** 2 for one in (side, *[REFERENCE] * recipe.references))
    text = base.published.text + recipe.references * SEEN
    return Point(recipe.training.batch, cells, text, recipe.adapter.rank)


def usual(base: Base, recipe: Recipe, side: int) -> Point:
    """The same with captions as long as usual, for work: only the longest one decides the peak."""
    return replace(point(base, recipe, side), text=base.published.usual + recipe.references * SEEN)


def training(base: Base, recipe: Recipe, side: int) -> list[Share]:
    """The parts of the peak of `train` on a card, for a LoRA on the family's own targets."""
    at, model = point(base, recipe, side), recipe.model
    law = base.laws.wide if model.precision == "float32" else base.laws.recomputed
    wider, again = 1, "with gradient checkpointing"
    if recipe.training.recompute == "off":
        law, wider, again = base.laws.kept, 2 if model.precision == "float32" else 1, "all of them kept"
    kept_by, ema = STATES[recipe.training.optimiser], int(recipe.training.ema > 0)
    trained, copies = base.laws.adapter * recipe.adapter.rank, 2 + kept_by + ema
    words = f"weight, gradient, {kept_by} of {recipe.training.optimiser}{', and the average' if ema else ''}"
    kept = bytes_at(law, at) * wider / 1e9
    pictures = f"{at.batch} picture{'s' if at.batch > 1 else ''} of {at.cells:,} cells and {at.text:,} text tokens"
    size = BYTES[model.precision]
    shares = [
        Share(
            base.numbers * size / 1e9, "frozen weights", f"{base.numbers:,} numbers {base.source} x {size:.4g} bytes"
        ),
        Share(trained * 4 * copies / 1e9, "adapter", f"{trained:,} numbers x 4 bytes x {copies:g}: {words}"),
        Share(kept, "activations", f"counted, {again}, for {pictures}"),
        Share(kept * SLACK, "slack", f"{SLACK:.0%} of activations for the allocator, judged"),
        Share(RUNTIME_GB, "runtime", "CUDA's context and workspaces, judged"),
    ]
    return placement.spared(shares, recipe, base.numbers)


def judging(base: Base, recipe: Recipe, side: int) -> list[Share]:
    """The parts of the peak of `evaluate`, which `run` keeps beside the training on the same card, its weights too.

    Most pictures are in one forward pass where a held-out loss takes one at so many noise levels.
    """
    at = point(base, recipe, side)
    at, size = Point(LEVELS, at.cells, at.text, at.rank), BYTES[recipe.model.precision]
    wider = 2 if recipe.model.precision == "float32" else 1  # the law is of half precision
    forward = bytes_at(base.laws.drawn, at) * wider / 1e9
    shares = [
        Share(base.numbers * size / 1e9, "frozen weights", "a second copy"),
        Share(forward, "forward pass", f"{LEVELS} pictures, nothing kept"),
        Share(
            max(0.0, decoding(base, side) - forward), "decoder", "of a picture, in float32: what it takes beyond that"
        ),
        Share(RUNTIME_GB, "runtime", "of a second process, judged"),
    ]
    return placement.spared(shares, recipe, base.numbers)


def decoding(base: Base, side: int) -> float:
    """GB of the autoencoder while it decodes a picture; it needs less to encode one."""
    name = next(name for name, one in PUBLISHED.items() if one.trained == base.published.trained)
    return (base.encoders.get("vae", 0) * 4 + placement.DECODED[TREE_OF.get(name, name)] * side * side) / 1e9


def crowded(base: Base | None, recipe: Recipe, side: int, free_gb: float) -> str:
    """Why judging has no room beside training on a card with so many GB free, in words; "" where it has."""
    if base is None:
        return "What judging takes beside it is not known for this base"
    both = total(training(base, recipe, side)) + total(judging(base, recipe, side))
    return f"Training and judging need {both:.1f} GB, and {free_gb:.1f} are free" if both > free_gb else ""


def encoding(base: Base, recipe: Recipe, side: int) -> list[Share]:
    """What `encode` takes, one after the other: on the card, or in the machine's memory where that has no room."""
    size = BYTES[recipe.model.precision]
    text = sum(numbers for name, numbers in base.encoders.items() if name != "vae")
    return [
        Share(text * size / 1e9, "text encoders", f"{text:,} numbers x {size:.4g} bytes, let go before the pictures"),
        Share(decoding(base, side), "autoencoder", "in float32, with one picture"),
        Share(RUNTIME_GB, "runtime", "beside either; what a card has no room for works on the CPU, in main memory"),
    ]


def disk(base: Base, recipe: Recipe, side: int, samples: int, checkpoints: int) -> str:
    """GB that checkpoints and cache of so many samples take, in words; each sample holds its own empty caption."""
    trained, how = base.laws.adapter * recipe.adapter.rank * 4 / 1e9, recipe.training
    states = 1 + STATES[how.optimiser] + int(how.ema > 0)
    kept = min(checkpoints, how.keep)
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
    """Recipes that need less, the least change first: words, recipe and side. Exposures stay as they are."""
    half = recipe.model_copy(update={"model": recipe.model.model_copy(update={"precision": "bfloat16"})})
    firsts = [("model.precision=bfloat16", half)] if recipe.model.precision == "float32" else []
    for words, one in [("", recipe), *firsts]:
        batch = one.training.batch
        parts = [part for part in range(batch - 1, 0, -1) if batch % part == 0]
        smaller = [
            (
                f"training.batch={part} training.accumulate={one.training.accumulate * batch // part}",
                one.model_copy(update={"training": one.training.model_copy(update={"batch": part})}),
            )
            for part in parts
        ]
        if words:
            yield words, one, side
        for more, less in smaller:
            yield f"{words} {more}".strip(), less, side
        more, less = smaller[-1] if smaller else ("", one)
        for lightly, light in placement.lighter(less) if words or not firsts else ():
            yield f"{words} {more} {lightly}".strip().replace("  ", " "), light, side
        for low in (768, 512):
            if low < side and low % multiple == 0:
                yield f"{words} {more} data.resolution={low}".strip().replace("  ", " "), less, low


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
            return f"{short}; fits{closely(parts, card_gb)} with {setting}: {total(parts):.1f} GB{cost(base, less)}"
    return f"{short}; nothing in a recipe makes it fit"


def cost(base: Base, recipe: Recipe) -> str:
    """What a recipe's blocks in main memory cost in time."""
    return placement.price(recipe, base.numbers * BYTES[recipe.model.precision] / 1e9, base.numbers)


def closely(parts: list[Share], card_gb: float) -> str:
    """A word for a fit that the forecast's own doubt could undo."""
    doubt = DOUBT * sum(part.gb for part in parts if part.what not in CERTAIN)
    return " closely" if total(parts) + doubt > card_gb else ""
