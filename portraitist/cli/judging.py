"""Commands about what people think of a run's pictures."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from portraitist.cli import asking
from portraitist.cli.words import Folder, Json, RunName, Work, app, project_of
from portraitist.errors import PortraitistError


@app.command(sort_key=7.3)
def vote(
    folder: Folder,
    /,
    *,
    run: RunName = "",
    page: Annotated[
        bool, Parameter(show_default=False, help="Write one HTML file that asks, for a browser or a phone.")
    ] = False,
    out: Annotated[
        Path | None, Parameter(show_default=False, help="Where the page goes; without it into the run.")
    ] = None,
    pairs: Annotated[int, Parameter(help="Pairs of pictures that are asked about, at most.")] = 24,
    by: Annotated[str, Parameter(show_default=False, help="Your name, or any word for you.")] = "",
    as_json: Json = False,
) -> Work:
    """Compare the candidates blind, picture by picture; votes that are certain decide among them."""
    from portraitist.verbs.vote import vote as verb

    project = project_of(folder)
    if out is not None and not page:
        raise PortraitistError("--out goes with --page", "Add --page, or leave it out.")
    if pairs < 1:
        raise PortraitistError(f"--pairs {pairs} asks nothing", "Give 1 or more.")
    ask = None if page else asking.answer
    return Work(
        folder, lambda emit, stop: verb(project, run, ask=ask, page=page, out=out, pairs=pairs, by=by, emit=emit)
    )


@app.command(sort_key=7.6)
def feedback(
    folder: Folder,
    file: Annotated[Path, Parameter(help="votes.json of a page, or a form of ratings as CSV or JSON.")],
    /,
    *,
    run: RunName = "",
    by: Annotated[str, Parameter(show_default=False, help="The rater, where the form has no such column.")] = "",
    as_json: Json = False,
) -> Work:
    """Take in what others said: votes that a page saved, or ratings of prompt, realism and usability."""
    from portraitist.verbs.feedback import feedback as verb

    project = project_of(folder)
    return Work(folder, lambda emit, stop: verb(project, file, run, by))
