"""The command that says what to change next."""

from typing import Annotated

from cyclopts import Parameter

from portraitist.cli.words import Folder, Json, RunName, Work, app, project_of


@app.command(sort_key=8.5)
def advise(
    folder: Folder,
    /,
    *,
    run: RunName = "",
    apply: Annotated[
        bool, Parameter(show_default=False, help="Write the first change of the recipe into recipe.toml.")
    ] = False,
    as_json: Json = False,
) -> Work:
    """Say what ails a run by what was measured of it, and what to change in the recipe or the pictures."""
    from portraitist.verbs.advise import advise as verb

    project = project_of(folder)
    return Work(folder, lambda emit, stop: verb(project, run=run, apply=apply, emit=emit))
