"""The command line: reads words, calls one verb, shows what came of it. No arithmetic, no torch.

Exit codes: 0 done, 1 findings that block, 2 a problem a person can mend, 70 a bug of ours, 130 stopped when asked to.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from portraitist import __version__, replies
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.recipe import load as load_recipe
from portraitist.stopping import Stop


@dataclass(frozen=True, slots=True)
class Work:
    """What a command asks for, ready to be started with someone to tell and a way to be stopped.

    folder    where the log of a bug goes
    start     does it; returns the verb's result
    patient   whether it asks `stop` itself; what does not is interrupted at once, which durable writes permit
    """

    folder: Path
    start: Callable[[Emit, Stop], Any]
    patient: bool = False


Folder = Annotated[Path, Parameter(help="The character's folder.")]
Json = Annotated[
    bool,
    Parameter(
        name="--json", negative="", show_default=False, help="Say the result as one JSON value, and nothing else."
    ),
]
Changes = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative="",
        show_default=False,
        help="A change to the recipe for this once, as section.key=value. May be given again.",
    ),
]
AdapterFile = Annotated[Path, Parameter(help="A LoRA file (.safetensors).")]
OfFamily = Annotated[str, Parameter(show_default=False, help="The family whose it is, if it fits several.")]
RunName = Annotated[str, Parameter(name="--run", show_default=False, help="A run by name; without it the newest.")]

app = App(
    name="portraitist",
    version=__version__,
    help="From a folder of pictures of one character to a character LoRA that is proven.",
    help_epilogue="One command does it all: portraitist run FOLDER. A first project: portraitist new FOLDER --help.",
    default_parameter=Parameter(negative=""),
)


def opened(folder: Path, changes: Sequence[str] = ()) -> tuple[Project, Recipe]:
    """The project of a folder and its recipe, with changes for this once."""
    project = Project.open(folder)
    return project, load_recipe(project.recipe, changes)


@app.command(sort_key=0)
def new(
    folder: Folder,
    /,
    *,
    trigger: Annotated[str, Parameter(help="The rare word that will stand for the character, such as maya_char.")],
    subject: Annotated[
        Literal["fictional", "real"], Parameter(help="A real person needs a recorded consent before training.")
    ],
    name: Annotated[str, Parameter(show_default=False, help="What people call it; without it the folder's name.")] = "",
    noun: Annotated[str, Parameter(help="What it is in plain words, for prompts.")] = "character",
    family: Annotated[
        str,
        Parameter(show_default=False, help="Of the base: sdxl, flux, qwen-image, ...; without it the embedded one's."),
    ] = "",
    base: Annotated[
        str, Parameter(show_default=False, help="A folder, a file, or a name on the Hugging Face Hub.")
    ] = "",
    card: Annotated[
        str, Parameter(show_default=False, help="With --family: the card's memory in GB, such as 24, or its name.")
    ] = "",
    preset: Annotated[str, Parameter(show_default=False, help="Where the recipe starts from, by name.")] = "",
    as_json: Json = False,
) -> Work:
    """Make a character's folder, or turn a folder of pictures into one."""
    from portraitist.verbs.new import new as verb

    called = name or folder.absolute().name
    facts = {"name": called, "trigger": trigger, "subject": subject, "noun": noun}
    start = {"family": family, "base": base, "card": card, "preset": preset}
    return Work(folder, lambda emit, stop: verb(folder, **facts, **start))


@app.command(sort_key=1)
def add(
    folder: Folder,
    /,
    *sources: Annotated[Path, Parameter(help="Pictures, or folders of pictures with captions beside them.")],
    as_json: Json = False,
) -> Work:
    """Copy pictures and their captions into the project."""
    from portraitist.verbs.add import add as verb

    if not sources:
        raise PortraitistError(
            "There is nothing to add", f"Name pictures or folders: portraitist add {folder} PICTURES"
        )
    project = Project.open(folder)
    return Work(folder, lambda emit, stop: verb(project, sources, emit=emit))


@app.command(sort_key=2)
def audit(folder: Folder, /, *, changes: Changes = (), as_json: Json = False) -> Work:
    """Look at every picture and caption: what is wrong, and what to do. Exit code 1 when a finding blocks."""
    from portraitist.verbs.audit import audit as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, emit=emit))


@app.command(sort_key=3)
def caption(folder: Folder, /, *, changes: Changes = (), as_json: Json = False) -> Work:
    """Propose captions where there are none. A caption that is there is never touched."""
    from portraitist.verbs.caption import caption as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, emit=emit))


@app.command(sort_key=5)
def encode(folder: Folder, /, *, changes: Changes = (), as_json: Json = False) -> Work:
    """Turn pictures and captions into the numbers that are trained on, kept by content in the cache."""
    from portraitist.verbs.encode import encode as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, emit=emit))


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
    as_json: Json = False,
) -> Work:
    """Draw and measure what each checkpoint has learnt, with the base as the zero line."""
    from portraitist.verbs.evaluate import evaluate as verb

    project, recipe = opened(folder, changes)
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
    as_json: Json = False,
) -> Work:
    """Choose checkpoint and strength by the scorecards, and say why."""
    from portraitist.verbs.choose import choose as verb

    project = Project.open(folder)
    return Work(folder, lambda emit, stop: verb(project, run=run, prefer=prefer, emit=emit))


@app.command(sort_key=9)
def export(folder: Folder, /, *, run: RunName = "", as_json: Json = False) -> Work:
    """Write the chosen LoRA in the names ComfyUI loads, with trigger and strength in its metadata."""
    from portraitist.verbs.export import export as verb

    project = Project.open(folder)
    return Work(folder, lambda emit, stop: verb(project, run=run, emit=emit))


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

    project = Project.open(folder)
    return Work(folder, lambda emit, stop: verb(project, run=run, out=out, emit=emit))


@app.command(sort_key=11)
def run(folder: Folder, /, *, changes: Changes = (), as_json: Json = False) -> Work:
    """Do all that is not yet done, from the pictures to the report. Run it again to go on after a stop."""
    from portraitist.run import run as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, emit=emit, stop=stop), patient=True)


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
        project = Project.open(model)
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Obey one command line and leave the process with its exit code."""
    try:
        code = obey(sys.argv[1:] if arguments is None else list(arguments))
    except BrokenPipeError:
        code = replies.unheard()
    sys.exit(code)


def obey(arguments: Sequence[str]) -> int:
    """Do what one command line asks; returns the exit code."""
    as_json = "--json" in arguments
    folder = Path(tempfile.gettempdir())
    try:
        replies.quiet_libraries()
        command, bound, _ = app.parse_args(list(arguments), exit_on_error=False, print_error=False)
        asked = command(*bound.args, **bound.kwargs)
        if isinstance(asked, Work):  # --help and --version have spoken for themselves
            folder = asked.folder
            return replies.do(asked.start, as_json=as_json, patient=asked.patient)
        sys.stdout.flush()
        return 0
    except CycloptsError as error:
        return replies.misused(str(error), as_json=as_json)
    except PortraitistError as error:
        return replies.complain(error, as_json=as_json)
    except (Interrupted, KeyboardInterrupt) as stopped:
        return replies.interrupted(str(stopped), as_json=as_json)
    except BrokenPipeError:
        raise
    except Exception as bug:  # noqa: BLE001 - the one place where a bug of ours becomes one line and a log
        return replies.confess(bug, folder, as_json=as_json)
