"""What all commands share: the app they are of, words of their signatures, and what one asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from portraitist import __version__
from portraitist.events import Emit
from portraitist.stopping import Stop

if TYPE_CHECKING:
    from portraitist.project import Project
    from portraitist.recipe import Recipe


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


def project_of(folder: Path) -> "Project":
    """The project of a folder; what checks it is loaded here, and not for commands about other files."""
    from portraitist.project import Project

    return Project.open(folder)


def opened(folder: Path, changes: Sequence[str] = ()) -> "tuple[Project, Recipe]":
    """The project of a folder and its recipe, with changes for this once."""
    from portraitist.recipe import load

    project = project_of(folder)
    return project, load(project.recipe, changes)
