"""Commands about other trainers' configs."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from portraitist.cli.words import Changes, Folder, Json, Work, app, opened
from portraitist.errors import PortraitistError


@app.command(sort_key=16)
def doctor(
    *configs: Annotated[Path, Parameter(help="Configs of other trainers, or folders of them.")],
    sarif: Annotated[
        Path | None, Parameter(show_default=False, help="Write the remarks here as SARIF, for editors and CI.")
    ] = None,
    skip_others: Annotated[
        bool, Parameter(show_default=False, help="Pass over files that are of no trainer, as hooks name them.")
    ] = False,
    as_json: Json = False,
) -> Work:
    """Say line by line what another trainer really does with its config. Exit code 1 when it is not what was meant."""
    from portraitist.verbs.doctor import doctor as verb

    if not configs:
        raise PortraitistError("There is nothing to look at", "Name a config: portraitist doctor train.yaml")
    return Work(configs[0].parent, lambda emit, stop: verb(configs, sarif, skip_others=skip_others, emit=emit))


@app.command(name="import", sort_key=17)
def import_config(
    config: Annotated[Path, Parameter(help="A config of another trainer.")],
    folder: Folder,
    /,
    *,
    subject: Annotated[
        Literal["fictional", "real"], Parameter(help="A real person needs a recorded consent before training.")
    ],
    trigger: Annotated[str, Parameter(show_default=False, help="Where the config names none, its captions'.")] = "",
    name: Annotated[str, Parameter(show_default=False, help="What people call it; without it the folder's name.")] = "",
    noun: Annotated[str, Parameter(show_default=False, help="What it is in plain words, for prompts.")] = "",
    as_json: Json = False,
) -> Work:
    """Make a character's folder from another trainer's config, and say what became what."""
    from portraitist.verbs.import_config import import_config as verb

    facts = {"subject": subject, "trigger": trigger, "name": name, "noun": noun}
    return Work(folder, lambda emit, stop: verb(config, folder, **facts, emit=emit))


@app.command(name="export-config", sort_key=18)
def export_config(
    folder: Folder,
    /,
    *,
    to: Annotated[str, Parameter(help="The trainer, as docs/doctor.md lists them: aitoolkit, ...")],
    out: Annotated[Path, Parameter(help="The folder that its files go into.")],
    changes: Changes = (),
    overwrite: Annotated[bool, Parameter(show_default=False, help="Replace files that are there.")] = False,
    as_json: Json = False,
) -> Work:
    """Write another trainer's config for what the recipe means, examined by the doctor before it is written."""
    from portraitist.verbs.export_config import export_config as verb

    project, recipe = opened(folder, changes)
    return Work(folder, lambda emit, stop: verb(project, recipe, to, out, overwrite=overwrite, emit=emit))
