"""What a card is spared where blocks lie in main memory, what that costs, and what encoders take of it. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from portraitist.adapters.dialects import tree_of

if TYPE_CHECKING:
    from portraitist.forecast.memory import Share
    from portraitist.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of a published denoiser that may lie away: how many, all their numbers, those of the largest."""

    count: int
    numbers: int
    largest: int


BLOCKS = {
    "sdxl": Blocks(70, 2_185_401_600, 34_755_840),
    "flux": Blocks(57, 11_837_283_328, 339_831_296),
    "qwen-image": Blocks(60, 20_389_877_760, 339_831_296),
    "z-image": Blocks(34, 6_143_056_384, 180_910_336),
}
"""Counted on the real classes (tests/integration/test_counting.py)."""

THERE = 3
"""Blocks that lie away and are on the card all the same: one computed, one coming, one that is still going back."""

COPIED = 25.0
"""GB a second from main memory to a card: what PCIe 4 with 16 lanes reaches of its 32. Judged."""

DECODED = {"sdxl": 3.1e3, "flux": 3.1e3, "qwen-image": 7e3, "z-image": 3.1e3}
"""Bytes for each pixel that a VAE's decoder in float32 holds at its peak, counted on fake tensors; its encoder less.
Where there is room cuDNN takes workspaces beside: with them SDXL's took 5e3 on an H100."""

STEPS = (0.25, 0.5, 0.75, 1.0)


def blocks(recipe: Recipe) -> Blocks:
    """The blocks of the recipe's base."""
    return BLOCKS[tree_of(recipe.model.family)]


def spared(shares: list[Share], recipe: Recipe, block_gb: float) -> list[Share]:
    """The parts of a peak with the frozen weights that lie on the card: those of blocks that lie away are not there.

    block_gb  of the frozen weights, those in blocks
    """
    there, away = blocks(recipe), moved(recipe)
    if not away:
        return shares
    less = block_gb * (away / there.count - min(THERE, away) * there.largest / there.numbers)
    words = f"{away} of {there.count} blocks lie in main memory, {min(THERE, away)} of them pass through"

    def smaller(share: Share) -> Share:
        return replace(share, gb=share.gb - max(0.0, less), basis=f"{share.basis}; {words}")

    return [smaller(share) if share.what == "frozen weights" else share for share in shares]


def moved(recipe: Recipe) -> int:
    """How many blocks of the recipe's base lie away."""
    return max(1, round(recipe.model.offload * blocks(recipe).count)) if recipe.model.offload else 0


def price(recipe: Recipe, block_gb: float) -> str:
    """What blocks that lie away cost, in words: copies there, and again going back, for every micro-batch."""
    if not recipe.model.offload:
        return ""
    gb = 2 * block_gb * moved(recipe) / blocks(recipe).count
    return f"; {gb:.1f} GB are copied for each micro-batch, {gb / COPIED:.2g} s at {COPIED:g} GB/s if not hidden"


def recomputed(recipe: Recipe) -> tuple[str, Recipe]:
    """The recipe with its blocks computed again going back, and the word for that; "" where they are."""
    if recipe.training.recompute != "off":
        return "", recipe
    training = recipe.training.model_copy(update={"recompute": "on"})
    return "training.recompute=on", recipe.model_copy(update={"training": training})


def lighter(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Recipes that keep less on the card and end in the same numbers, the cheapest first: words and recipe."""
    for share in STEPS:
        if share > recipe.model.offload:
            model = recipe.model.model_copy(update={"offload": share})
            yield f"model.offload={share:g}", recipe.model_copy(update={"model": model})
