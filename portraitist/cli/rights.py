"""Commands about whose pictures and whose likeness it is."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from portraitist.cli.words import Folder, Json, Work, app, project_of
from portraitist.errors import PortraitistError


@app.command(sort_key=3.5)
def consent(
    folder: Folder,
    /,
    *,
    file: Annotated[Path | None, Parameter(show_default=False, help="The signed document, a scan or a PDF.")] = None,
    by: Annotated[str, Parameter(show_default=False, help="Who signed it.")] = "",
    date: Annotated[str, Parameter(show_default=False, help="When, as 2026-01-14.")] = "",
    covers: Annotated[
        str, Parameter(help="What for: images, training, generation - training needs these - publication, commercial.")
    ] = "images,training,generation",
    rights: Annotated[
        str, Parameter(show_default=False, help="Who holds the rights to the model and to what it draws.")
    ] = "",
    until: Annotated[str, Parameter(show_default=False, help="The last day it holds, if it ends.")] = "",
    adult: Annotated[
        bool, Parameter(show_default=False, help="The person is of age; nothing is recorded without.")
    ] = False,
    withdraw: Annotated[
        bool, Parameter(show_default=False, help="It was taken back, on --date or today: nothing more is made.")
    ] = False,
    as_json: Json = False,
) -> Work:
    """Record the signed consent of a real person, or that it was taken back."""
    from portraitist.verbs.consent import consent as verb
    from portraitist.verbs.consent import withdraw as taken_back

    project = project_of(folder)
    if withdraw:
        if file is not None or by or adult:
            raise PortraitistError("--withdraw goes with --date alone", "Leave the others out.")
        return Work(folder, lambda emit, stop: taken_back(project, date))
    words = [word.strip() for word in covers.split(",") if word.strip()]
    given = {"by": by, "date": date, "rights": rights, "until": until}
    return Work(folder, lambda emit, stop: verb(project, file=file, covers=words, adult=adult, **given))


@app.command(sort_key=17)
def verify(folder: Folder, /, *, as_json: Json = False) -> Work:
    """Compare pictures, consent, checkpoints and exports with what was recorded. Exit code 1 when one differs."""
    from portraitist.verbs.verify import verify as verb

    project = project_of(folder)
    return Work(folder, lambda emit, stop: verb(project, emit=emit))
