"""What to draw of a character: combinations of framing, view, expression, light and background, spread evenly.

Every value of every kind comes up as often as any other (to one), no combination comes twice, and pairs of values meet
as evenly as chance and these two rules allow. The same seed gives the same combinations.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from portraitist.errors import PortraitistError

Kinds = Mapping[str, Sequence[str]]
Combination = dict[str, str]

USUAL: dict[str, tuple[str, ...]] = {
    "framing": ("close-up", "half body", "full body"),
    "view": ("front view", "three-quarter left", "three-quarter right", "facing left", "facing right", "back view"),
    "expression": ("neutral", "smiling", "laughing", "sad", "angry", "surprised"),
    "light": ("soft light", "warm light", "cool light", "side light"),
    "background": ("plain gray", "room", "city", "forest", "beach", "mountains"),
}
"""Where the brief says nothing of a kind."""

NAMES: dict[str, tuple[str, ...]] = {
    "framing": ("framing", "framings"),
    "view": ("view", "views", "angle", "angles"),
    "expression": ("expression", "expressions", "mood", "moods"),
    "light": ("light", "lights", "lighting"),
    "background": ("background", "backgrounds", "scene", "scenes"),
}
"""What a brief may call a kind."""

TRIES = 24


def wanted(brief: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The values of every kind: the brief's own, each once, and the usual ones of kinds that it leaves out."""
    found = {}
    for kind, usual in USUAL.items():
        own = [value for name in NAMES[kind] for value in brief.get(name, ())]
        found[kind] = tuple(dict.fromkeys(own)) or usual
    return found


def spread(kinds: Kinds, count: int, seed: int) -> list[Combination]:
    """`count` different combinations of one value of each kind. Those of fewer mostly begin those of more.

    Raises PortraitistError where there are not so many.
    """
    there = math.prod(len(values) for values in kinds.values())
    if count > there:
        raise PortraitistError(
            f"There are {there} combinations of the brief's values, and {count} pictures are asked for",
            "Ask for fewer, or write more values into the brief of project.toml.",
        )
    for turn in range(TRIES):
        made = by_pairs(kinds, count, random.Random(f"combinations {seed} {turn}"))
        if made:
            return made
    return by_cosets(kinds, count, random.Random(f"combinations {seed}"))


def by_pairs(kinds: Kinds, count: int, draw: random.Random) -> list[Combination]:
    """Combinations drawn one after the other: of the values that came up least, those that met the others least.

    Empty where that runs into a combination that was there.
    """
    single: Counter[tuple[str, str]] = Counter()
    pairs: Counter[frozenset[tuple[str, str]]] = Counter()
    made: list[Combination] = []
    known: set[tuple[str, ...]] = set()
    for _ in range(count):
        for _ in range(TRIES):
            row: Combination = {}
            for kind in draw.sample(list(kinds), len(kinds)):
                least = min(single[kind, value] for value in kinds[kind])
                open_ = [value for value in kinds[kind] if single[kind, value] == least]

                def met(value: str, kind: str = kind, row: Combination = row) -> tuple[int, float]:
                    return sum(pairs[frozenset(((kind, value), other))] for other in row.items()), draw.random()

                row[kind] = min(open_, key=met)
            if tuple(row[kind] for kind in kinds) not in known:
                break
        else:
            return []
        known.add(tuple(row[kind] for kind in kinds))
        made.append({kind: row[kind] for kind in kinds})
        single.update(row.items())
        pairs.update(frozenset(pair) for pair in itertools.combinations(row.items(), 2))
    return made


def by_cosets(kinds: Kinds, count: int, draw: random.Random) -> list[Combination]:
    """Combinations by arithmetic: even in every kind to one, and none twice, whatever their number.

    Combinations are the elements of a product of cyclic groups. Steps of one in every kind at once go round a coset of
    the subgroup that they generate, and come up evenly with every value; cosets do not meet.
    """
    order = {kind: draw.sample(list(values), len(values)) for kind, values in kinds.items()}
    sizes = [len(values) for values in order.values()]
    period = math.lcm(*sizes)
    starts: list[tuple[int, ...]] = []
    seen: set[tuple[int, ...]] = set()
    for place in itertools.product(*map(range, sizes)):
        if len(starts) * period >= count:
            break
        if place not in seen:
            starts.append(place)
            seen.update(tuple((p + step) % n for p, n in zip(place, sizes, strict=True)) for step in range(period))
    made = []
    for row in range(count):
        start, step = starts[row // period], row % period
        digits = [(p + step) % n for p, n in zip(start, sizes, strict=True)]
        made.append({kind: order[kind][digit] for kind, digit in zip(kinds, digits, strict=True)})
    return made


def told(combination: Mapping[str, str], who: str, *, tags: bool = False) -> str:
    """A combination in words: "half body of zorblax, smiling, front view, forest background, soft light".

    who   the trigger in a caption, the noun in a prompt
    tags  whether who it is stands first, as in lists of tags
    An expression is not told of a figure that is seen from behind. `new` writes views as front and side into a brief.
    """
    framing, view = combination.get("framing", ""), combination.get("view", "")
    head = [who, framing] if tags else [f"{framing} of {who}" if framing else who]
    rest = [] if view.startswith("back") else [combination.get("expression", "")]
    background = combination.get("background", "")
    rest += [
        f"{view} view" if view and view.isalpha() else view,
        background and tailed(background),
        combination.get("light", ""),
    ]
    return ", ".join(word for word in (*head, *rest) if word)


def tailed(background: str) -> str:
    """A background with that word after it, unless it says where it is: "forest background", "in a forest"."""
    first = background.split()[0]
    plain = first not in ("in", "on", "at", "under", "inside", "outside", "by", "near", "before", "a", "an", "the")
    return f"{background} background" if plain and not background.endswith("background") else background
