"""Commands about files: LoRAs, whoever wrote them, and models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from portraitist.adapters.ranks import Ranks
from portraitist.cli.words import AdapterFile, Json, OfFamily, RunName, Work, app, project_of
from portraitist.errors import PortraitistError

DType = Annotated[Literal["float16", "bfloat16", "float32"], Parameter(help="What the new file's factors are in.")]
Overwrite = Annotated[bool, Parameter(show_default=False, help="Replace a file that is there.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Chosen:
    """How many ranks each layer gets."""

    rank: Annotated[
        int,
        Parameter(show_default=False, help="Ranks of a layer: 64 unless said; with --energy or --size at most 256."),
    ] = 0
    conv_rank: Annotated[int, Parameter(show_default=False, help="Of larger convolutions; --rank unless said.")] = 0
    energy: Annotated[
        float, Parameter(show_default=False, help="For each layer the fewest that hold this share of its change.")
    ] = 0.0
    size: Annotated[
        float, Parameter(show_default=False, help="The best that a file of so many megabytes can hold.")
    ] = 0.0

    def ranks(self) -> Ranks:
        """As the verbs take them."""
        return Ranks(self.rank, self.conv_rank, self.energy, self.size)


ANY = Chosen()


@app.command(sort_key=12)
def extract(
    model: Annotated[Path, Parameter(help="The character's folder; with --base, a fine-tuned model.")],
    /,
    *,
    ranks: Chosen = ANY,
    run: RunName = "",
    step: Annotated[int, Parameter(show_default=False, help="A checkpoint; without it the chosen one.")] = 0,
    base: Annotated[
        Path | None, Parameter(show_default=False, help="The model that it was tuned from: a folder, or a file.")
    ] = None,
    out: Annotated[Path | None, Parameter(show_default=False, help="With --base: the new file.")] = None,
    family: Annotated[
        str, Parameter(show_default=False, help="With --base: whose models they are, as model.family.")
    ] = "",
    method: Annotated[
        Literal["auto", "exact", "fast"], Parameter(help="exact takes ten times as long and errs 0.05 % less.")
    ] = "auto",
    dtype: DType = "float16",
    factors_only: Annotated[
        bool,
        Parameter(show_default=False, help="With --base: leave out biases, norms and what lies outside the blocks."),
    ] = False,
    like_kohya: Annotated[
        bool, Parameter(show_default=False, help="With --base: as sd-scripts does it, to compare; it holds less.")
    ] = False,
    clamp: Annotated[float, Parameter(help="Of --like-kohya: the quantile that factors are cut at.")] = 0.99,
    min_diff: Annotated[
        float, Parameter(help="Of --like-kohya: the difference from which on text encoders are taken.")
    ] = 0.01,
    device: Annotated[str, Parameter(help="auto, cpu or cuda.")] = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> Work:
    """Take a LoRA out of a fine-tuned model: of a run that trained all weights, or of two models."""
    from portraitist.verbs.extract import How, extract_files
    from portraitist.verbs.extract import extract as verb

    how = How(ranks.ranks(), method, dtype, device, 0, not factors_only, like_kohya, clamp, min_diff)
    if base is None:
        if out is not None or family or overwrite or like_kohya or factors_only:
            raise PortraitistError(
                "--out, --family, --overwrite, --factors-only and --like-kohya go with --base",
                "Leave them out: it goes into a run.",
            )
        project = project_of(model)
        return Work(model, lambda emit, stop: verb(project, run, step, how, emit))
    if out is None or not family or run or step:
        raise PortraitistError(
            "With --base it takes --out and --family, and no --run or --step", "portraitist extract --help"
        )
    return Work(out.parent, lambda emit, stop: extract_files(model, base, out, family, how, overwrite, emit))


@app.command(sort_key=13)
def inspect(
    file: AdapterFile,
    /,
    *,
    family: OfFamily = "",
    page: Annotated[
        Path | None, Parameter(show_default=False, help="An .html file to write: how much it adds to each layer.")
    ] = None,
    as_json: Json = False,
) -> Work:
    """Say what a LoRA file is, whoever wrote it, and what ComfyUI loads of it; or whose base a file is of.

    Exit code 1 when it cannot be used.
    """
    from portraitist.verbs.inspect import inspect as verb

    return Work(file.parent, lambda emit, stop: verb(file, family, page))


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
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> Work:
    """Write a LoRA file by another program's names, exactly."""
    from portraitist.verbs.convert import convert as verb

    return Work(file.parent, lambda emit, stop: verb(file, out, to, family, overwrite))
