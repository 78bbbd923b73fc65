"""Commands about runs: planned, trained, judged, handed out."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from portraitist.cli.words import Changes, Folder, Json, RunName, Work, app, opened, project_of
from portraitist.errors import PortraitistError


@app.command(sort_key=4)
def plan(
    folder: Folder,
    /,
    *,
    changes: Changes = (),
    card: Annotated[
        str, Parameter(show_default=False, help="A card's memory in GB, such as 24, or its name, such as L40S.")
    ] = "",
    price: Annotated[float, Parameter(show_default=False, help="Of an hour on the named card, in any currency.")] = 0.0,
    hours: Annotated[
        float, Parameter(show_default=False, help="In which the named card is to be done: says whether it can.")
    ] = 0.0,
    as_json: Json = False,
) -> Work:
    """Say what a run will do and cost - steps, exposures, checkpoints, time, memory - before anything is spent."""
    from portraitist.verbs.plan import plan as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, card, price, hours))


@app.command(sort_key=5)
def encode(folder: Folder, /, *, changes: Changes = (), as_json: Json = False) -> Work:
    """Turn pictures and captions into the numbers that are trained on, kept by content in the cache."""
    from portraitist.verbs.encode import encode as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, emit=emit))


@app.command(sort_key=6)
def train(folder: Folder, /, *, changes: Changes = (), run: RunName = "", as_json: Json = False) -> Work:
    """Train, or go on with a training that was stopped; it ends in the same weights either way."""
    from portraitist.verbs.train import train as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, run, emit=emit, stop=stop), patient=True)


@app.command(sort_key=7)
def evaluate(
    folder: Folder,
    /,
    *,
    changes: Changes = (),
    run: RunName = "",
    follow: Annotated[bool, Parameter(show_default=False, help="Keep judging checkpoints as they land.")] = False,
    render: Annotated[
        Literal["own", "comfyui", ""],
        Parameter(
            show_default=False, help="Who draws: the base here, or a running ComfyUI; without it as the recipe says."
        ),
    ] = "",
    url: Annotated[str, Parameter(show_default=False, help="Of that ComfyUI; without it COMFY_URL.")] = "",
    as_json: Json = False,
) -> Work:
    """Draw and measure what each checkpoint has learnt, with the base as the zero line."""
    from portraitist.verbs.evaluate import evaluate as verb

    said = [f"judging.render={render}"] * bool(render) + [f"judging.comfyui.url={json.dumps(url)}"] * bool(url)
    project, recipe = opened(folder, (*changes, *said))
    if url and recipe.judging.render != "comfyui":
        raise PortraitistError("--url is of a ComfyUI, and the base here draws", "Add: --render comfyui")
    return Work(
        folder, lambda emit, stop: verb(project, recipe, run=run, follow=follow, emit=emit, stop=stop), patient=True
    )


@app.command(sort_key=8)
def choose(
    folder: Folder,
    /,
    *,
    run: RunName = "",
    prefer: Annotated[
        Literal["likeness", "freedom", ""],
        Parameter(show_default=False, help="What decides among what passes; without it as the recipe says."),
    ] = "",
    step: Annotated[
        int | None, Parameter(show_default=False, help="Your own choice, with --strength and --why: a checkpoint.")
    ] = None,
    strength: Annotated[float | None, Parameter(show_default=False, help="Its strength.")] = None,
    guidance: Annotated[float, Parameter(show_default=False, help="Its guidance; without it that of judging.")] = 0.0,
    why: Annotated[str, Parameter(show_default=False, help="Your reason: it is kept, and stands in the report.")] = "",
    as_json: Json = False,
) -> Work:
    """Choose checkpoint and strength by the scorecards and by people's votes, and say why; or as you say, and why."""
    from portraitist.verbs.choose import choose as verb

    project = project_of(folder)
    if (step is None) != (strength is None) or (guidance and step is None):
        raise PortraitistError("--step and --strength go together", "Give both, and --why with your reason.")
    place = None if step is None or strength is None else (step, strength, guidance)
    return Work(folder, lambda emit, stop: verb(project, run=run, prefer=prefer, place=place, why=why, emit=emit))


@app.command(sort_key=9)
def export(
    folder: Folder,
    /,
    *,
    run: RunName = "",
    to: Annotated[
        Literal["", "a1111", "comfyui", "diffusers"],
        Parameter(show_default=False, help="Write more beside the file, as that program wants it."),
    ] = "",
    file: Annotated[
        tuple[str, ...],
        Parameter(show_default=False, help="comfyui: a base's file there, as vae=ae.safetensors. May be given again."),
    ] = (),
    style: Annotated[
        str, Parameter(show_default=False, help="comfyui: a style LoRA too, such as ink.safetensors:0.6.")
    ] = "",
    references: Annotated[
        int | None, Parameter(show_default=False, help="comfyui: pictures that an edit base is shown, 0 to 3.")
    ] = None,
    sweep: Annotated[
        tuple[int, ...],
        Parameter(show_default=False, help="comfyui: another checkpoint on the sheet. May be given again."),
    ] = (),
    url: Annotated[
        str, Parameter(show_default=False, help="comfyui: a running one, whose own word on its nodes is taken.")
    ] = "",
    as_json: Json = False,
) -> Work:
    """Write the chosen LoRA in the names ComfyUI loads, with trigger and strength in its metadata."""
    from portraitist.deploy.graphs.handout import Comfyui
    from portraitist.deploy.programs import TARGETS
    from portraitist.verbs.export import export as verb

    if to != "comfyui" and (file or style or references is not None or sweep or url):
        raise PortraitistError("These options are for a workflow", "Add: --to comfyui")
    project = project_of(folder)
    target = Comfyui(file, style, references, sweep, url) if to == "comfyui" else TARGETS[to]() if to else None
    return Work(folder, lambda emit, stop: verb(project, run=run, emit=emit, to=target))


@app.command(sort_key=10)
def report(
    folder: Folder,
    /,
    *,
    run: RunName = "",
    out: Annotated[Path | None, Parameter(show_default=False, help="Where it goes; without it into the run.")] = None,
    as_json: Json = False,
) -> Work:
    """Write report.html, one page that needs nothing else: pictures, findings, curves, scores, the choice and why."""
    from portraitist.verbs.report import report as verb

    project = project_of(folder)
    return Work(folder, lambda emit, stop: verb(project, run=run, out=out, emit=emit))


@app.command(sort_key=10)
def compare(
    folder: Folder,
    /,
    *names: Annotated[
        str, Parameter(help="Runs by name, or a run's folder anywhere; without any the two newest. At most four.")
    ],
    out: Annotated[Path | None, Parameter(show_default=False, help="Where it goes; without it into FOLDER.")] = None,
    as_json: Json = False,
) -> Work:
    """Hold runs against each other: what differs in recipe, scores and pictures, and what chance could explain."""
    from portraitist.verbs.compare import compare as verb

    project = project_of(folder)
    return Work(folder, lambda emit, stop: verb(project, names, out=out, emit=emit))


@app.command(sort_key=11)
def run(
    folder: Folder,
    /,
    *,
    changes: Changes = (),
    rounds: Annotated[
        int | None,
        Parameter(show_default=False, help="Take advice and run again, at most so often in all; the best is kept."),
    ] = None,
    until: Annotated[
        Literal["train", "report"], Parameter(help="Where to stop: train chooses and hands out nothing yet.")
    ] = "report",
    as_json: Json = False,
) -> Work:
    """Do all that is not yet done, from the pictures to the report. Run it again to go on after a stop."""
    from portraitist.rounds import rounds as repeated
    from portraitist.run import run as verb

    project, recipe = opened(folder, changes)
    if rounds is not None and until == "train":
        raise PortraitistError("--rounds goes by what was judged, and --until train ends before", "Leave one out.")
    if rounds is not None:
        return Work(folder, lambda emit, stop: repeated(project, recipe, rounds, emit=emit, stop=stop), patient=True)
    return Work(folder, lambda emit, stop: verb(project, recipe, emit=emit, stop=stop, until=until), patient=True)


@app.command(sort_key=15)
def recover(
    folder: Folder,
    /,
    *,
    rank: Annotated[int, Parameter(help="Of the factors beside each layer.")] = 32,
    steps: Annotated[
        int, Parameter(help="Steps in which they are then taught what the base says; 200 are a start.")
    ] = 0,
    overwrite: Annotated[bool, Parameter(show_default=False, help="Replace a file that is there.")] = False,
    changes: Changes = (),
    as_json: Json = False,
) -> Work:
    """Make the file that the recipe names as model.recovery: what lets a base be held in 3 or 2 bits."""
    from portraitist.verbs.recover import recover as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, rank, steps, overwrite, emit))
