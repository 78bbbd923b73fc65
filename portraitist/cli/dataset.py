"""Commands about pictures and captions."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from portraitist.cli import asking
from portraitist.cli.words import Changes, Folder, Json, Work, app, opened, project_of
from portraitist.errors import PortraitistError


@app.command(sort_key=0)
def new(
    folder: Folder,
    /,
    *,
    trigger: Annotated[
        str,
        Parameter(show_default=False, help="The rare word that will stand for the character, such as maya_char."),
    ] = "",
    subject: Annotated[
        Literal["fictional", "real"] | None,
        Parameter(show_default=False, help="A real person needs a recorded consent before training."),
    ] = None,
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
    wishes: asking.Wishes = asking.NO_WISHES,
    as_json: Json = False,
) -> Work:
    """Make a character's folder, or turn a folder of pictures into one. At a terminal it asks for what is not said."""
    from portraitist.verbs.new import new as verb

    if sys.stdin.isatty() and not as_json and not (folder / "project.toml").exists():
        trigger, subject = trigger or asking.trigger(), subject or asking.subject()
        wishes = asking.wishes() if wishes == asking.NO_WISHES else wishes
    called = name or folder.absolute().name
    facts = {"name": called, "trigger": trigger, "subject": subject or "", "noun": noun}
    start = {"family": family, "base": base, "card": card, "preset": preset}
    return Work(folder, lambda emit, stop: verb(folder, **facts, **start, brief=wishes.brief(), emit=emit))


@app.command(sort_key=1)
def add(
    folder: Folder,
    /,
    *sources: Annotated[
        Path,
        Parameter(help="Pictures, folders of pictures with captions beside them, or zip and tar archives of these."),
    ],
    source: Annotated[str, Parameter(show_default=False, help="Where they are from: an address, a book, a name.")] = "",
    licence: Annotated[str, Parameter(show_default=False, help="What they may be used by, such as CC0-1.0.")] = "",
    author: Annotated[str, Parameter(show_default=False, help="Who made them.")] = "",
    set_name: Annotated[
        str, Parameter(name="--set", show_default=False, help="The set, a folder below pictures/, that they go into.")
    ] = "",
    as_json: Json = False,
) -> Work:
    """Copy pictures and their captions into the project, and record where they come from."""
    from portraitist.dataset.taking import Stated
    from portraitist.verbs.add import add as verb

    if not sources:
        raise PortraitistError(
            "There is nothing to add", f"Name pictures or folders: portraitist add {folder} PICTURES"
        )
    project = project_of(folder)
    stated = Stated(source, licence, author, set_name)
    return Work(folder, lambda emit, stop: verb(project, sources, stated, emit=emit))


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
def caption(
    folder: Folder,
    /,
    *,
    source: Annotated[
        Literal["none", "tagger", "endpoint"] | None,
        Parameter(name="--with", show_default=False, help="What sees the pictures; without it as the recipe says."),
    ] = None,
    preview: Annotated[
        bool, Parameter(show_default=False, help="Show what would be written, and write no caption.")
    ] = False,
    rules: Annotated[
        bool, Parameter(show_default=False, help="Ask no model: the recipe's rules go over the captions made here.")
    ] = False,
    everyone: Annotated[
        bool, Parameter(show_default=False, help="With --rules: over captions that a person wrote, too.")
    ] = False,
    undo: Annotated[
        bool, Parameter(show_default=False, help="Put back the captions from before the last captioning.")
    ] = False,
    changes: Changes = (),
    as_json: Json = False,
) -> Work:
    """Write captions where there are none. What a person wrote or changed is never touched, unless asked to."""
    from portraitist.verbs.caption import caption as verb
    from portraitist.verbs.caption import undone

    if undo and (source or preview or rules or everyone):
        raise PortraitistError("--undo goes with nothing else", f"Run: portraitist caption {folder} --undo")
    if rules and source:
        raise PortraitistError("--rules asks no model, and --with names one", "Leave one out.")
    if undo:
        project = project_of(folder)
        return Work(folder, lambda emit, stop: undone(project, emit=emit))
    chosen = (f'captioning.source="{source}"',) if source else ()
    project, recipe = opened(folder, (*changes, *chosen))
    return Work(
        folder,
        lambda emit, stop: verb(project, recipe, emit=emit, preview=preview, rules=rules, everyone=everyone),
    )
