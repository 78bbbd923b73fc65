"""A pairwise cover: few recipes in which every two values of two options meet, where the two go together."""

from collections import Counter
from itertools import combinations, product
from typing import Any

from tests.tiny import KNOWN

SETS = ("family", "attention", "attention-mlp", "blocks", "locon", "all-linear")
BITS = ("", "int8", "fp8", "nf4")
SHOWN = {"mini": 1, "qwen-image-edit": 3}
"""Most reference pictures of the families that take any."""

OPTIONS: dict[str, tuple[Any, ...]] = {
    "family": tuple(KNOWN),
    "kind": ("lora", "loha", "lokr", "full"),
    "modules": SETS,
    "quantised": BITS,
    "optimiser": ("adamw", "adafactor", "adamw8bit", "prodigy", "schedulefree"),
    "masks": (1.0, 0.3, 0.0),
    "references": (0, 1, 2, 3),
    "precision": ("float32", "bfloat16"),
    "recompute": ("off", "on"),
    "preserve": (0.0, 1.0),
    "weights": ("float32", "bfloat16"),
}
APART = [
    ("kind", ("full",), "modules", SETS[1:], "adapter.modules"),
    ("kind", ("full",), "quantised", BITS[1:], "cannot be trained"),
    ("kind", ("full",), "preserve", (1.0,), "training.preserve"),
    ("kind", ("loha", "lokr"), "quantised", ("nf4",), "model.quantised"),
    ("kind", ("lora", "loha", "lokr"), "weights", ("bfloat16",), "adapter.weights"),
    ("precision", ("float32",), "weights", ("bfloat16",), "model.precision"),
    ("optimiser", ("prodigy", "schedulefree"), "weights", ("bfloat16",), "training.optimiser"),
    ("family", tuple(name for name in KNOWN if name != "sdxl"), "modules", ("locon",), "no such set of layers"),
    *(("family", (name,), "references", OPTIONS["references"][SHOWN.get(name, 0) + 1 :], "takes") for name in KNOWN),
]
"""What does not go together, by two options and their values, and what its refusal speaks of."""

Pair = frozenset[tuple[str, Any]]
REFUSED: dict[Pair, str] = {
    frozenset({(one, left), (other, right)}): says
    for one, lefts, other, rights, says in APART
    for left, right in product(lefts, rights)
}


def pairs(case: dict[str, Any]) -> set[Pair]:
    """Every two values that meet in a case."""
    return {frozenset(two) for two in combinations(case.items(), 2)}


def filled(case: dict[str, Any], wanted: set[Pair], seen: Counter[Any]) -> dict[str, Any] | None:
    """A case with the other options too, each so that most of what is wanted meets; None where none goes together."""
    name = next((name for name in OPTIONS if name not in case), "")
    if not name:
        return case

    def met(value: Any) -> set[Pair]:
        return {frozenset({(name, value), other}) for other in case.items()}

    able = [value for value in OPTIONS[name] if not met(value) & REFUSED.keys()]
    for value in sorted(able, key=lambda value: (-len(met(value) & wanted), seen[name, value])):
        if found := filled({**case, name: value}, wanted, seen):
            return found
    return None


def cover() -> tuple[list[dict[str, Any]], list[Pair]]:
    """The cases, and the pairs that nothing goes together with."""
    everything = [pairs({a: x, b: y}) for a, b in combinations(OPTIONS, 2) for x, y in product(OPTIONS[a], OPTIONS[b])]
    order = [pair for met in everything for pair in met if pair not in REFUSED]
    wanted, cases, alone, seen = set(order), [], [], Counter[Any]()
    for pair in order:
        if pair in wanted:
            case = filled(dict(pair), wanted, seen)
            cases += [case] if case else []
            alone += [] if case else [pair]
            seen.update((case or {}).items())
            wanted -= pairs(case) if case else {pair}
    return [{name: case[name] for name in OPTIONS} for case in cases], alone
