"""Commands that hand a character to other people."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from portraitist.cli.words import Folder, Json, RunName, Work, app, project_of
from portraitist.errors import PortraitistError


@app.command(sort_key=9.5)
def publish(
    folder: Folder,
    /,
    *,
    to: Annotated[
        Literal["huggingface", "civitai"], Parameter(help="A folder as a repository on the Hub has it, or a zip.")
    ],
    run: RunName = "",
    rating: Annotated[
        str, Parameter(show_default=False, help="Of its content, as Civitai rates: PG, PG-13, R, X and so on.")
    ] = "",
    licence: Annotated[
        str, Parameter(show_default=False, help="By which it may be used, as the Hub writes it: cc-by-nc-4.0.")
    ] = "",
    licence_link: Annotated[
        str, Parameter(show_default=False, help="Where a licence can be read that the Hub does not know.")
    ] = "",
    base: Annotated[
        str, Parameter(show_default=False, help="What it was trained on, as the site calls it, if the recipe does not.")
    ] = "",
    picture: Annotated[
        tuple[str, ...],
        Parameter(show_default=False, help="A drawn picture to show, by its file's name. May be given again."),
    ] = (),
    push: Annotated[
        str, Parameter(show_default=False, help="A repository, OWNER/NAME, that it is uploaded to; private.")
    ] = "",
    public: Annotated[bool, Parameter(show_default=False, help="Everybody may see that repository.")] = False,
    sign: Annotated[
        Path | None, Parameter(show_default=False, help="A certificate chain (PEM) that the pictures are signed with.")
    ] = None,
    sign_key: Annotated[Path | None, Parameter(show_default=False, help="Its private key (PEM).")] = None,
    as_json: Json = False,
) -> Work:
    """Pack the exported LoRA for a site: its card with what was measured, drawn pictures, rating, licence."""
    from portraitist.deploy.permits import Terms
    from portraitist.verbs.publish import publish as verb

    project = project_of(folder)
    if (sign is None) != (sign_key is None):
        raise PortraitistError("--sign and --sign-key go together", "Give the certificate chain, and its key.")
    pair = (sign, sign_key) if sign and sign_key else None
    terms = Terms(rating, licence, licence_link)
    return Work(
        folder,
        lambda emit, stop: verb(
            project, to, run, terms=terms, base=base, pictures=picture, push=push, public=public, sign=pair, emit=emit
        ),
    )
