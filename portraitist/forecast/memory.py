"""Peak memory of a training by its parts, and which cards it fits. No torch: laws are read, not counted."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from portraitist import durable
from portraitist.adapters.dialects import tree_of
from portraitist.arithmetic import AUTO
from portraitist.forecast import placement
from portraitist.forecast.laws import Laws, Point, bytes_at
from portraitist.forecast.published import PUBLISHED, Blocks, Published
from portraitist.recipe import Recipe

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, AUTO: 2}  # on a card, which is what is foretold
"""Bytes a frozen number takes where it is not quantised."""

BITS = {"int3": 3, "int2": 2}
RANK = 32  # of a recovery adapter that is yet to be made

RUNTIME_GB = 0.85
"""A process's own share of a card: CUDA's context, kernels, their workspaces. On an H100 0.81 to 0.91
(benchmarks/memory_forecast.md)."""

SLACK_GB = 0.6
"""What the allocator rounds up and cannot give out again, where its segments grow: on an H100 0.49 to 0.63 where no
blocks lie away, with which it was 3.9 before sending for them was held back."""

DOUBT = 0.2
"""Of all but weights and adapter, which are certain: a card with less to spare than that is called close. Judged; of
twelve settings on an H100 none but one with blocks in main memory took 6 % more (benchmarks/memory_forecast.md)."""

CERTAIN = ("frozen weights", "rebuilt weight", "adapter")

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
    name = tree_of(family)
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


def stored(blocks: Blocks, how: str) -> int:
    """Bytes that layers take which are held in 8 bits or fewer, with their scales; the layers' sizes as published.

    A float32 for each row; of nf4 a byte for each block of 64 numbers, a float32 for each 256 of those bytes, and one a
    layer; of int3 and int2 two numbers in bfloat16 for each 64. Held to what lies in memory by
    tests/integration/test_quantise.py.
    """
    if how in BITS:
        return blocks.numbers * BITS[how] // 8 + blocks.numbers // 16
    if how == "nf4":
        return blocks.numbers // 2 + blocks.numbers // 64 + 4 * (blocks.numbers // (64 * 256) + blocks.layers)
    return blocks.numbers + 4 * blocks.rows


def recovery(blocks: Blocks, recipe: Recipe) -> int:
    """Bytes of the recipe's recovery adapter, if it has one: of its file, else of one of the usual rank in bfloat16."""
    if not recipe.model.recovery:
        return 0
    path = durable.expanded(recipe.model.recovery)
    return path.stat().st_size if path.is_file() else 2 * RANK * (blocks.rows + blocks.columns)


def weights(base: Base, recipe: Recipe) -> list[Share]:
    """The denoiser as it is frozen; where it is quantised, with the one layer that is rebuilt at a time."""
    size, how, blocks = BYTES[recipe.model.precision], recipe.model.quantised, base.published.blocks
    if not how:
        words = f"{base.numbers:,} numbers {base.source} x {size} bytes"
        return [Share(base.numbers * size / 1e9, "frozen weights", words)]
    rest = base.numbers - blocks.numbers
    words = f"{blocks.numbers:,} numbers in {how} with their scales, {rest:,} {base.source} x {size} bytes"
    given = recovery(blocks, recipe)
    words += f", {given / 1e9:.2f} GB of recovery adapter" if given else ""
    # while they are rebuilt: of nf4 two float32 for each 64 numbers, below that a byte a number
    scales = blocks.largest // 8 if how == "nf4" else blocks.largest if how in BITS else 0
    return [
        Share((stored(blocks, how) + given + rest * size) / 1e9, "frozen weights", words),
        Share((blocks.largest * size + scales) / 1e9, "rebuilt weight", f"one layer's {blocks.largest:,} numbers"),
    ]


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
    shares = [
        *weights(base, recipe),
        Share(trained * 4 * copies / 1e9, "adapter", f"{trained:,} numbers x 4 bytes x {copies:g}: {words}"),
        Share(kept, "activations", f"counted, {again}, for {pictures}"),
        Share(SLACK_GB, "slack", "what the allocator cannot give out again, as on an H100"),
        Share(RUNTIME_GB, "runtime", "CUDA's context and workspaces, as on an H100"),
    ]
    return placement.spared(shares, recipe, in_blocks(base, recipe, shares[0].gb))


def judging(base: Base, recipe: Recipe, side: int) -> list[Share]:
    """The parts of the peak of `evaluate`, which `run` keeps beside the training on the same card, its weights too.

    Most pictures are in one forward pass where a held-out loss takes one at so many noise levels.
    """
    from portraitist.judge.overfit import LEVELS  # and numpy with it, which training's share needs none of

    at = point(base, recipe, side)
    at = Point(LEVELS, at.cells, at.text, at.rank)
    wider = 2 if recipe.model.precision == "float32" else 1  # the law is of half precision
    forward = bytes_at(base.laws.drawn, at) * wider / 1e9
    shares = [
        *(replace(part, basis=f"a second copy: {part.basis}") for part in weights(base, recipe)),
        Share(forward, "forward pass", f"{LEVELS} pictures, nothing kept"),
        Share(
            max(0.0, decoding(base, side) - forward), "decoder", "of a picture, in float32: what it takes beyond that"
        ),
        Share(RUNTIME_GB, "runtime", "of a second process, as on an H100"),
    ]
    return placement.spared(shares, recipe, in_blocks(base, recipe, shares[0].gb))


def decoding(base: Base, side: int) -> float:
    """GB of the autoencoder while it decodes a picture; it needs less to encode one."""
    name = next(name for name, one in PUBLISHED.items() if one.trained == base.published.trained)
    return (base.encoders.get("vae", 0) * 4 + placement.DECODED[tree_of(name)] * side * side) / 1e9


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
    """Recipes that need less, the least change first: words, recipe and side. Exposures stay as they are.

    What ends in the same numbers goes before what does not, and int8, which is near, before what takes time; nf4 is
    coarser. Fewer pixels come last: with all else the adapter learns the same picture.
    """
    words, again = placement.recomputed(recipe)
    kinds = [(f"{words} {more}".strip(), one) for more, one in held(again)]
    if words:
        yield from batches("", recipe, side)
    for coarse in (False, True):
        group = [kind for kind in kinds if (kind[1].model.quantised == "nf4") == coarse]
        for more, one in group:
            if one != recipe:
                yield more, one, side
            yield from batches(more, one, side)
        for more, one in group:
            least, less = smaller(one, 1)
            for lightly, light in placement.lighter(less) if less.model.precision != "float32" else ():
                yield " ".join(filter(None, (more, least, lightly))), light, side
    for low in (768, 512):
        for more, one in kinds if low < side and low % multiple == 0 else ():
            least, less = smaller(one, 1)
            yield " ".join(filter(None, (more, least, f"data.resolution={low}"))), less, low


def batches(words: str, recipe: Recipe, side: int) -> Iterator[tuple[str, Recipe, int]]:
    """The recipe with ever fewer pictures in a forward pass."""
    batch = recipe.training.batch
    for part in range(batch - 1, 0, -1):
        if batch % part == 0:
            more, less = smaller(recipe, part)
            yield f"{words} {more}".strip(), less, side


def smaller(recipe: Recipe, batch: int) -> tuple[str, Recipe]:
    """A recipe with so many pictures in a forward pass, and as many in a step as before."""
    if batch == recipe.training.batch:
        return "", recipe
    more = recipe.training.accumulate * recipe.training.batch // batch
    training = recipe.training.model_copy(update={"batch": batch, "accumulate": more})
    return f"training.batch={batch} training.accumulate={more}", recipe.model_copy(update={"training": training})


def held(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """A recipe, and the same with its frozen weights in fewer and fewer bits.

    fp8 is not among them: it takes what int8 takes, and is coarser. Nor are int3 and int2: they want a recovery
    adapter, which a person has to have made first.
    """
    words: dict[str, str] = {}
    steps = [("precision", "bfloat16")] if recipe.model.precision == "float32" else []
    ways = {"": ("int8", "nf4"), "int8": ("nf4",), "fp8": ("nf4",), "nf4": ()}.get(recipe.model.quantised, ())
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
        judged = beside(recipe, peak, total(judging(base, recipe, side)), card_gb)
        return f"fits{closely(parts, card_gb)}: {card_gb - peak:.1f} GB to spare; {judged}{cost(base, recipe)}"
    short = f"does not fit: {peak - card_gb:.1f} GB short"
    for words, less, low in changes(recipe, side, multiple):
        parts = training(base, less, low)
        if total(parts) <= card_gb:
            setting = " ".join(f"--set {word}" for word in words.split())
            return f"{short}; fits{closely(parts, card_gb)} with {setting}: {total(parts):.1f} GB{cost(base, less)}"
    return f"{short}; nothing in a recipe makes it fit"


def beside(recipe: Recipe, training_gb: float, judging_gb: float, card_gb: float) -> str:
    """How judging goes on a card that the training fits."""
    both = training_gb + judging_gb
    if both <= card_gb:
        return "also with judging beside it"
    if recipe.judging.beside == "always":
        return f"`run` judges beside it and needs {both:.1f} GB"
    if judging_gb <= card_gb:
        return f"`run` judges after it, for both at once need {both:.1f} GB"
    return f"judging needs {judging_gb:.1f} GB, and does not fit"


def cost(base: Base, recipe: Recipe) -> str:
    """What a recipe's blocks in main memory cost in time."""
    return placement.price(recipe, in_blocks(base, recipe, weights(base, recipe)[0].gb))


def in_blocks(base: Base, recipe: Recipe, frozen_gb: float) -> float:
    """Of so many GB of frozen weights, those in blocks that may lie away: what is outside them has its own type."""
    outside = base.numbers - placement.blocks(recipe).numbers
    return frozen_gb - outside * BYTES[recipe.model.precision] / 1e9


def closely(parts: list[Share], card_gb: float) -> str:
    """A word for a fit that the forecast's own doubt could undo."""
    doubt = DOUBT * sum(part.gb for part in parts if part.what not in CERTAIN)
    return " closely" if total(parts) + doubt > card_gb else ""
