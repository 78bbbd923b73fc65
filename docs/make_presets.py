"""Writes docs/presets.md from the presets and the forecast, so that the page cannot say what they do not."""

import json
import re
from pathlib import Path
from typing import Any

from portraitist import durable, families, recipe
from portraitist.forecast import memory, placement
from portraitist.recipe import Recipe

PAGE = Path(__file__).with_name("presets.md")
NOWHERE = Path("no-recipe.toml")
"""A file that is not there: a preset alone."""

HEAD = """# Presets

*Made by `make docs` from `portraitist/presets` and the [forecast](plan.md); not edited by hand.*

A preset is where a recipe starts from. One for each family says how it is trained; those for cards start from it and
change only what the memory asks for. `new` takes the one for your card, and what you say yourself goes over it:

```sh
portraitist new maya --trigger maya_char --subject fictional --family flux --base /models/FLUX.1-dev --card 24
```

```toml
format = 1
preset = "flux-24gb"

[model]
family = "flux"
base = "/models/FLUX.1-dev"
```

`--card` takes gigabytes, or a name as `plan` knows it, and the largest preset that is not larger. A recipe whose
`model.family` is another than its preset's is refused, and told which presets fit, so that no base is trained at
another's rate. A family from another package has no presets: name its values yourself, over `mini`.
[Why these values](decisions/017-presets.md).

## What each takes on its card

All at 1024 pixels, four pictures a step, without reference pictures, *by the forecast*, which [an H100
bears out](../benchmarks/memory_forecast.md) within 7 % for the families' own presets. Of these here `qwen-image-24gb`
alone was measured there and took 10 to 16 % more; blocks in main memory have been sent for more sparingly since, which
was not measured again.
Weights are bfloat16 where training and judging both fit, else int8, which is [near to it](bases.md). Where even these
do not fit, some of the blocks lie in main memory: it must have so many GB free, and so many are copied for each step.
No preset needs 4 bits, which are coarser. The last column is what `evaluate` takes alone; `run` judges beside the
training where both fit.

| preset | weights | blocks in main memory | pictures x passes | training | to spare | judging |
|---|---|---|---|---|---|---|
"""

REFERENCES = """
For Qwen-Image-Edit-2509 a reference picture takes {more:.1f} GB more for every picture in a pass. With one for each
picture take the preset of the next smaller card; what fits with more, `plan` says.

## What they set, and where it comes from

*custom* is practice or a choice of ours, not proof; a word on a value goes from your recipe when you change it.
"""

AFTER = """
[Every key](recipe.md), set or left at its default. What a preset for a card adds is in the first table, and stands in
its file.
"""


def page() -> str:
    """The text of docs/presets.md."""
    cards = sorted((name for name in recipe.presets() if size(name)), key=lambda name: (family(name), size(name)))
    edit = recipe.load(NOWHERE, ["preset=qwen-image-edit"])
    shown = edit.model_copy(update={"data": edit.data.model_copy(update={"references": ("sheet.png",)})})
    more = needed(shown) - needed(edit)
    lines = [HEAD + "\n".join(map(row, cards)), REFERENCES.format(more=more)]
    for name in recipe.presets():
        if not size(name):
            lines += values(name)
    return "\n".join([*lines, AFTER])


def size(name: str) -> int:
    """The GB of the card that a preset is for; 0 when it is for any."""
    found = re.search(r"-(\d+)gb$", name)
    return int(found[1]) if found else 0


def family(name: str) -> str:
    """Whose preset it is."""
    return recipe.load(NOWHERE, [f"preset={name}"]).model.family


def needed(one: Recipe, judging: bool = False) -> float:
    """GB by the forecast at the recipe's resolution."""
    base = memory.known(one.model.family)
    assert base is not None, one.model.family
    side = one.data.resolution or families.get(one.model.family).profile.resolution
    return memory.total((memory.judging if judging else memory.training)(base, one, side))


def row(name: str) -> str:
    """A card's preset in the table."""
    one = recipe.load(NOWHERE, [f"preset={name}"])
    base = memory.known(one.model.family)
    assert base is not None, name
    away, copied = placement.moved(one), ""
    if away:
        frozen = memory.weights(base, one)[0].gb
        lying = memory.in_blocks(base, one, frozen) * away / placement.blocks(one).count
        step = 2 * lying * one.training.accumulate
        copied = f"{away} of {placement.blocks(one).count}: {lying:.1f} GB, {step:.0f} GB a step"
    passes = f"{one.training.batch} x {one.training.accumulate}"
    passes += ", nothing computed twice" if one.training.recompute == "off" else ""
    taken = needed(one)
    told = [f"`{name}`", one.model.quantised or one.model.precision, copied or "none", passes]
    told += [f"{taken:.1f} GB", f"{size(name) - taken:.1f} GB", f"{needed(one, judging=True):.1f} GB"]
    return f"| {' | '.join(told)} |"


def values(name: str) -> list[str]:
    """What a preset's own file sets, in a table under its name."""
    own = recipe.written(name)
    start = f", over `{own['preset']}`" if "preset" in own else ""
    lines = [
        f"### `{name}`",
        "",
        f"For `{family(name)}`{start}.",
        "",
        "| key | value | where it comes from |",
        "|---|---|---|",
    ]
    said = own.get("standing", {})
    rows = [f"| `{key}` | `{json.dumps(value)}` | {said[key]} |" for key, value in settings(own) if key in said]
    return [*(lines if rows else lines[:3]), *rows, ""]


def settings(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Every key that a preset's file sets, and its value; of a list of tables the keys of each."""
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, dict) and key != "standing":
            found += settings(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found += [pair for one in value for pair in settings(one, f"{prefix}{key}.")]
        elif key != "standing":
            found.append((prefix + key, value))
    return found


if __name__ == "__main__":
    durable.write_text(PAGE, page())
