"""Commands about files: LoRAs, whoever wrote them, and models."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from portraitist.cli.words import AdapterFile, Json, OfFamily, RunName, Work, app, project_of
from portraitist.errors import PortraitistError


@app.command(sort_key=12)
def extract(
    model: Annotated[Path, Parameter(help="The character's folder; with --base, a fine-tuned model.")],
    /,
    *,
    rank: Annotated[int, Parameter(help="Of the LoRA; 64 is usual for SDXL.")] = 64,
    run: RunName = "",
    step: Annotated[int, Parameter(show_default=False, help="A checkpoint; without it the chosen one.")] = 0,
    base: Annotated[
        Path | None, Parameter(show_default=False, help="The model that it was tuned from: a folder, or a file.")
    ] = None,
    out: Annotated[Path | None, Parameter(show_default=False, help="With --base: the new file.")] = None,
    family: Annotated[
        str, Parameter(show_default=False, help="With --base: whose models they are, as model.family.")
    ] = "",
    overwrite: Annotated[bool, Parameter(show_default=False, help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> Work:
    """Take a LoRA out of a fine-tuned model: of a run that trained all weights, or of two models."""
    from portraitist.verbs.extract import extract as verb
    from portraitist.verbs.extract import extract_files

    if base is None:
        if out is not None or family or overwrite:
            raise PortraitistError(
                "--out, --family and --overwrite go with --base", "Leave them out: it goes into a run."
            )
        project = project_of(model)
        return Work(model, lambda emit, stop: verb(project, run, step, rank))
    if out is None or not family or run or step:
        raise PortraitistError(
            "With --base it takes --out and --family, and no --run or --step", "portraitist extract --help"
        )
    return Work(out.parent, lambda emit, stop: extract_files(model, base, out, family, rank, overwrite))


@app.command(sort_key=13)
def inspect(file: AdapterFile, /, *, family: OfFamily = "", as_json: Json = False) -> Work:
    """Say what a LoRA file is, whoever wrote it, and what ComfyUI loads of it; or whose base a file is of.

    Exit code 1 when it cannot be used.
    """
    from portraitist.verbs.inspect import inspect as verb

    return Work(file.parent, lambda emit, stop: verb(file, family))


@app.command(sort_key=14)
def convert(
    file: AdapterFile,
    /,
    *,
    out: Annotated[Path, Parameter(help="The new file.")],
    to: Annotated[
        str, Parameter(show_default=False, help="The dialect, by name; without it the safest for ComfyUI.")
    ] = "",
    family: OfFamily = "",
    overwrite: Annotated[bool, Parameter(show_default=False, help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> Work:
    """Write a LoRA file by another program's names, exactly."""
    from portraitist.verbs.convert import convert as verb

    return Work(file.parent, lambda emit, stop: verb(file, out, to, family, overwrite))
