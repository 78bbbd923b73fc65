"""What other trainers do otherwise with a recipe that they are given: said when it is exported, and in their files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portraitist.recipe import Recipe

NO_SEED = "draws go by no seed, so that no two trainings are alike (training.seed)"
NO_AVERAGE = "no average of the weights is kept (training.ema)"


def held_out(recipe: Recipe) -> Iterator[str]:
    """Of a tool that holds no pictures out by itself."""
    if recipe.data.held_out:
        yield "it trains on all pictures, also on those that data.held_out keeps from training here"


def remarked(lines: Iterator[str], text: str) -> str:
    """A TOML file with remarks before it."""
    return "".join(f"# Unlike the recipe: {line}.\n" for line in lines) + text
