"""How long training takes: counted operations, and the share of a card's peak that measured trainings reach."""

from dataclasses import dataclass

from portraitist.adapters.dialects import tree_of
from portraitist.errors import PortraitistError
from portraitist.forecast.laws import Laws, Point, operations_at
from portraitist.forecast.memory import Base, known, usual
from portraitist.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Card:
    """A card by name: memory in GB, and dense bfloat16 operations a second, 1e12, by its maker's tables."""

    name: str
    gb: int
    tflops: float


CARDS = {
    card.name: card
    for card in (
        Card("RTX 4090", 24, 165),
        Card("RTX 5090", 32, 210),
        Card("A40", 48, 150),
        Card("A6000", 48, 155),
        Card("L40S", 48, 362),
        Card("A100", 80, 312),
        Card("H100", 80, 989),
    )
}


@dataclass(frozen=True, slots=True)
class Timed:
    """A measured step time: seconds for `batch` pictures of `side` pixels, with or without checkpointing.

    text  tokens of a caption; 0 is as many as usual
    """

    family: str
    card: str
    side: int
    batch: int
    seconds: float
    recomputed: bool
    source: str
    text: int = 0


OWN = "benchmarks/memory_forecast.md"
TIMED = (
    Timed("sdxl", "RTX 4090", 1024, 8, 3.0, True, "kohya_ss #1288"),
    Timed("sdxl", "RTX 4090", 1024, 1, 1.4, False, "kohya_ss #1288"),
    Timed("sdxl", "L40S", 1024, 1, 1.029, True, "SimpleTuner, SEGMENTED_CHECKPOINTING"),
    Timed("sdxl", "L40S", 1024, 1, 0.585, False, "SimpleTuner, SEGMENTED_CHECKPOINTING"),
    Timed("sdxl", "H100", 1024, 1, 1.080, True, "SimpleTuner, SEGMENTED_CHECKPOINTING"),
    Timed("sdxl", "H100", 1024, 1, 0.606, False, "SimpleTuner, SEGMENTED_CHECKPOINTING"),
    Timed("flux", "RTX 4090", 1024, 1, 3.5, True, "SimpleTuner, FLUX.md"),
    Timed("flux", "A6000", 1024, 1, 8.25, True, "kohya_ss #2701"),
    Timed("flux", "A40", 1024, 1, 6.5, True, "ai-toolkit #145"),
    Timed("qwen-image", "H100", 1024, 1, 1.202, True, "SimpleTuner, SEGMENTED_CHECKPOINTING"),
    Timed("qwen-image", "L40S", 1024, 1, 3.377, True, "SimpleTuner, SEGMENTED_CHECKPOINTING"),
    Timed("qwen-image", "RTX 5090", 1328, 1, 5.39, True, "musubi-tuner PR #722"),
    Timed("qwen-image", "RTX 5090", 1328, 1, 4.50, True, "musubi-tuner PR #722"),
    Timed("z-image", "H100", 1024, 1, 0.479, True, "SimpleTuner, SEGMENTED_CHECKPOINTING"),
    Timed("sdxl", "H100", 1024, 1, 1.094, True, OWN),
    Timed("sdxl", "H100", 1024, 1, 0.689, False, OWN),
    Timed("flux", "H100", 1024, 1, 0.863, True, OWN),
    Timed("flux", "H100", 1024, 1, 0.611, False, OWN),
    Timed("qwen-image", "H100", 1024, 1, 1.385, True, OWN, 512),
    Timed("z-image", "H100", 1024, 1, 0.812, True, OWN, 512),
)

BEST = 0.66
"""The share of a card's peak that large matrix products alone reach (650 of an H100's 989 TFLOP/s); no whole training
comes near: the best published are 0.43 for a language model on an H100 and 0.46 here, recomputation counted."""

MOST = 0.46
"""The most that any of these reached."""

ALONE = 0.25
"""How far from the figures of a single source another trainer may be taken to lie, either way. Judged."""


def operations(laws: Laws, at: Point, *, recomputed: bool = True) -> float:
    """Floating-point operations of one batch, there and back."""
    again = laws.again * operations_at(laws.work_drawn, at) if recomputed else 0.0
    return operations_at(laws.work, at) + again


def batch_work(base: Base, recipe: Recipe, side: int) -> float:
    """Operations of one batch as the recipe trains it: to preserve is to predict twice more, and to go back once."""
    at = usual(base, recipe, side)
    once = operations(base.laws, at, recomputed=recipe.training.recompute != "off")
    return 2 * once + operations_at(base.laws.work_drawn, at) if recipe.training.preserve else once


def reached(timed: Timed) -> float:
    """The share of its card's peak that a measured step reached, recomputation counted as work."""
    base = known(timed.family)
    if base is None:
        raise PortraitistError(f"No base of {timed.family} is published", "Name one of forecast/published.py.")
    at = Point(timed.batch, (timed.side // base.published.cell) ** 2, timed.text or base.published.usual)
    done = operations(base.laws, at, recomputed=timed.recomputed)
    return done / timed.seconds / CARDS[timed.card].tflops / 1e12


def shares(family: str, card: Card) -> tuple[float, float, str]:
    """The least and the largest share of the peak to reckon with on a card, and whose figures they are.

    The card's own figures where there are some, else those of the family on any card. Those of a single source are
    taken with a quarter either way, but to no more than the most that any has reached.
    """
    family = tree_of(family)
    of_family = [timed for timed in TIMED if timed.family == family]
    own = [timed for timed in of_family if timed.card == card.name]
    found = sorted(reached(timed) for timed in own or of_family)
    low, high = found[0], found[-1]
    sources = list(dict.fromkeys(timed.source for timed in own or of_family))
    if len(sources) == 1:
        low, high = low * (1 - ALONE), min(high * (1 + ALONE), MOST)
    return low, high, f"measured {'on this card' if own else 'on other cards'}: {', '.join(sources)}"


def named(word: str) -> Card:
    """A card by its name, however it is written. Raises PortraitistError for one whose peak is not known here."""
    plain = {"".join(name.lower().split()).removeprefix("rtx"): card for name, card in CARDS.items()}
    asked = "".join(word.lower().replace("-", "").split()).removeprefix("nvidia").removeprefix("rtx")
    if asked not in plain:
        raise PortraitistError(
            f"--card {word}: no such card is known here",
            f"Give its memory in GB, such as --card 24, or one of: {', '.join(CARDS)}.",
        )
    return plain[asked]


def foretold(family: str, work: float, card: Card, price: float = 0.0) -> str:
    """Hours for so many operations on a card, the share of the peak they stand on, and the cost at a price an hour."""
    low, high, source = shares(family, card)
    quick, slow = (work / (card.tflops * 1e12 * share) / 3600 for share in (high, low))
    cost = f", {quick * price:.2f} to {slow * price:.2f} at {price:g} an hour" if price else ""
    return f"{quick:.2g} to {slow:.2g} hours{cost} ({low:.0%} to {high:.0%} of {card.tflops:g} TFLOP/s, {source})"


def promise(work: float, steps: int, hours: float, card: Card) -> str:
    """Whether so many operations in so many steps can be done in so many hours on a card, with the arithmetic."""
    seconds, needed = hours * 3600 / steps, work / (hours * 3600) / (card.tflops * 1e12)
    sum_ = f"{work / steps / 1e12:,.0f} TFLOP a step x {steps:,} steps / {hours:g} h = {needed:.0%} of {card.name}'s"
    sum_ += f" {card.tflops:g} TFLOP/s ({seconds:.2f} s a step)"
    if needed > BEST:
        return f"impossible: {sum_}; matrix products alone reach {BEST:.0%}"
    if needed > MOST:
        return f"beyond anything measured: {sum_}; the most is {MOST:.0%}"
    return f"possible: {sum_}; measured trainings reach up to {MOST:.0%}"
