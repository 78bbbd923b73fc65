"""Commands that make LoRA files of LoRA files."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from portraitist.cli.files import ANY, Chosen, Overwrite
from portraitist.cli.words import AdapterFile, Json, OfFamily, Work, app

Out = Annotated[Path, Parameter(help="The new file.")]
Base = Annotated[Path | None, Parameter(show_default=False, help="What they were trained on: DoRA alone needs it.")]
To = Annotated[str, Parameter(show_default=False, help="The dialect, by name; without it the safest for ComfyUI.")]
Type = Annotated[
    Literal["", "float16", "bfloat16", "float32"],
    Parameter(show_default=False, help="What the factors are in; without it as they were."),
]


@app.command(sort_key=15)
def merge(
    *given: AdapterFile,
    out: Out,
    weight: Annotated[
        tuple[float, ...], Parameter(show_default=False, help="Of each file, in order; without any, 1 for each.")
    ] = (),
    how: Annotated[
        Literal["sum", "ties", "dare", "dare-ties", "prune"], Parameter(help="sum is exact; the others are peft's.")
    ] = "sum",
    ranks: Chosen = ANY,
    density: Annotated[float, Parameter(help="Share of entries that peft's ways keep.")] = 0.5,
    seed: Annotated[int, Parameter(help="Of dare's chance.")] = 0,
    dtype: Type = "",
    to: To = "",
    base: Base = None,
    family: OfFamily = "",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> Work:
    """Write one LoRA that does what several do together."""
    from portraitist.verbs.merge import merge as verb

    options = (weight, how, ranks.ranks(), density, seed, dtype, to, base, family, overwrite)
    return Work(out.parent, lambda emit, stop: verb(given, out, *options, emit))


@app.command(sort_key=16)
def resize(
    file: AdapterFile,
    /,
    *,
    out: Out,
    ranks: Chosen = ANY,
    dtype: Type = "",
    to: To = "",
    base: Base = None,
    family: OfFamily = "",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> Work:
    """Write a LoRA, or a LoHa, LoKr or DoRA, as a plain LoRA of other ranks, and say what that loses."""
    from portraitist.verbs.resize import resize as verb

    options = (ranks.ranks(), dtype, to, base, family, overwrite)
    return Work(file.parent, lambda emit, stop: verb(file, out, *options, emit))


@app.command(sort_key=17)
def rescale(
    file: AdapterFile,
    /,
    *,
    out: Out,
    strength: Annotated[float, Parameter(help="Of the old file, that is 1 of the new one.")],
    to: To = "",
    family: OfFamily = "",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> Work:
    """Write a LoRA at another strength, for good."""
    from portraitist.verbs.rescale import rescale as verb

    return Work(file.parent, lambda emit, stop: verb(file, out, strength, to, family, overwrite))


@app.command(sort_key=18)
def bake(
    file: AdapterFile,
    /,
    *,
    base: Annotated[Path, Parameter(help="The model's file, as published.")],
    out: Out,
    strength: Annotated[float, Parameter(help="That it is put in at.")] = 1.0,
    family: OfFamily = "",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> Work:
    """Put a LoRA into a copy of a model's file, for programs that load none."""
    from portraitist.verbs.bake import bake as verb

    return Work(file.parent, lambda emit, stop: verb(file, base, out, strength, family, overwrite, emit))


@app.command(sort_key=19)
def diff(
    one: AdapterFile,
    other: AdapterFile,
    /,
    *,
    base: Base = None,
    family: OfFamily = "",
    as_json: Json = False,
) -> Work:
    """Say where and by how much two LoRAs differ."""
    from portraitist.verbs.diff import diff as verb

    return Work(one.parent, lambda emit, stop: verb(one, other, base, family))
