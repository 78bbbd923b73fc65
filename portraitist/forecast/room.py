"""What the checkpoints of a whole denoiser take on disk, told by `plan` and asked for by `train` before it begins."""

from pathlib import Path

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.forecast.memory import STATES
from portraitist.recipe import Recipe


def needed(recipe: Recipe, numbers: int, saves: int) -> tuple[float, str]:
    """Bytes that the checkpoints of so many numbers take at the most, of so many that will be saved; and words for it.

    The newest `training.keep` can be resumed from, one more is there while it is written, and those that judging holds
    are weights alone.
    """
    training, size = recipe.training, 2 if recipe.adapter.weights == "bfloat16" else 4
    averaged = training.ema > 0 or training.optimiser == "schedulefree"
    resume = 4 * STATES[training.optimiser] + (size if averaged else 0) + (4 if training.ema else 0)
    newest = min(saves, training.keep + 1)
    older = min(saves - newest, recipe.judging.in_full + 1)
    total = numbers * (newest * (size + resume) + older * size)
    words = f"{newest} to resume from, one of them while it is written, {older} held for judging"
    return total, f"{total / 1e9:,.3g} GB of checkpoints of {numbers * size / 1e9:,.3g} GB of weights each ({words})"


def refuse_full(recipe: Recipe, numbers: int, saves: int, checkpoints: Path) -> None:
    """Refuse to begin what the disk cannot hold; what lies in `checkpoints` already is counted as room."""
    total, words = needed(recipe, numbers, saves)
    there = sum(path.stat().st_size for path in checkpoints.rglob("*.safetensors")) if checkpoints.is_dir() else 0
    free = durable.room(checkpoints) + there
    if total > free:
        raise PortraitistError(
            f"The disk has room for {free / 1e9:,.3g} GB, and the run takes up to {words}",
            "Free some space, or ask for less:"
            " --set training.keep=1 --set judging.cells=1 --set adapter.weights=bfloat16",
        )
