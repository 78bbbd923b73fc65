"""Other trainers' configs for tests: made from facts, changed at dotted places, written as their own languages."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import yaml

from portraitist.interop import opening
from portraitist.interop.document import Document

GONE = object()
"""For a place that is to be left out."""


def put(value: Any, dotted: str, new: Any) -> None:
    """Set or leave out what stands at a dotted path; tables that are not there are made."""
    *above, last = [int(part) if part.isdigit() else part for part in dotted.split(".")]
    for part in above:
        value = value[part] if isinstance(value, list) else value.setdefault(part, {})
    if new is GONE:
        value.pop(last, None)
    else:
        value[last] = new


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of a config with changes."""
    made = copy.deepcopy(base)
    for dotted, new in changes.items():
        put(made, dotted, new if new is GONE else copy.deepcopy(new))
    return made


def as_yaml(value: Any) -> str:
    """As people write it: keys in their order."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def read(text: str, folder: Path, name: str = "train.yaml") -> Document:
    """A text as if it lay in a folder."""
    return opening.of_text(text, name, str(folder))


JUNK = (
    None,
    True,
    False,
    0,
    -1,
    1e300,
    float("nan"),
    10**40,
    "",
    "no",
    "2e-4",
    "\x1b[2J",
    "a" * 3000,
    [],
    {},
    [[]],
    {"a": 1},
    [None],
    ["x", 1],
    "../" * 40,
    "/",
    "\0",
    "{",
    "[1, 2]",
    "${HOME}",
    3.5,
    "é\u2028",
    {"": {"": []}},
    [{}],
    {"enabled": True},
)
"""What no key expects."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in a value."""
    found = [path] if path else []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        found += places(inner, (*path, key))
    return found


def mutated(base: Any, seed: int) -> str:
    """A config with a few places replaced, emptied, doubled or renamed, and now and then a wound in its YAML."""
    draw = random.Random(seed)
    made = copy.deepcopy(base)
    for _ in range(draw.randint(1, 4)):
        found = places(made)
        if not found:
            break
        *above, last = draw.choice(found)
        holder = made
        for part in above:
            holder = holder[part]
        how = draw.random()
        if how < 0.6:
            holder[last] = copy.deepcopy(draw.choice(JUNK))
        elif how < 0.75:
            del holder[last]
        elif how < 0.9 and isinstance(holder, dict):
            holder[str(last) + draw.choice(("s", "_", "e", " "))] = holder.pop(last)
        else:
            holder[last] = [copy.deepcopy(holder[last])] * draw.randint(1, 3)
    text = as_yaml(made)
    if draw.random() < 0.25:
        at = draw.randrange(len(text) + 1)
        text = (
            text[:at]
            + draw.choice(("\t", ": ", "\n", "{", "*a", "&a ", "'", "- ", "<<: ", "\x00", "!!set "))
            + text[at:]
        )
    return text


def as_json(value: Any) -> str:
    """As JSON."""
    return json.dumps(value, indent=2)
