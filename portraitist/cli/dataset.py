"""Commands about pictures and captions."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from portraitist.cli.words import Changes, Folder, Json, Work, app, opened
from portraitist.errors import PortraitistError
from portraitist.project import Project


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
def audit(
    folder: Folder,
    /,
    *,
    page: Annotated[
        bool, Parameter(show_default=False, help="Write audit.html too: every picture, the worst first.")
    ] = False,
    changes: Changes = (),
    as_json: Json = False,
) -> Work:
    """Look at every picture and caption: what is wrong, and what to do. Exit code 1 when a finding blocks."""
    from portraitist.verbs.audit import audit as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, page=page, emit=emit))


@app.command(sort_key=3)
def caption(folder: Folder, /, *, changes: Changes = (), as_json: Json = False) -> Work:
    """Propose captions where there are none. A caption that is there is never touched."""
    from portraitist.verbs.caption import caption as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, emit=emit))
