"""new: make a project folder, and a recipe that names its preset."""

from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from portraitist import durable, recipe
from portraitist.errors import PortraitistError
from portraitist.project import Facts, Project
from portraitist.recipe import first_complaint


def new(
    folder: Path,
    *,
    name: str = "",
    trigger: str = "",
    subject: str = "",
    noun: str = "character",
    preset: str = "mini",
) -> Project:
    """Make `folder` a project: project.toml, recipe.toml and pictures/.

    name     of the character; "" takes the folder's
    trigger  the rare word that will stand for it
    subject  fictional or real; there is no default, because a real person needs a recorded consent
    noun     what it is in plain words
    preset   the recipe to start from

    A folder that already holds pictures for another trainer may become one. Raises PortraitistError for a folder
    that is a project, an unknown preset, and a missing or unusable trigger or subject.
    """
    if preset not in recipe.presets():
        raise PortraitistError(f"There is no preset {preset!r}", f"Choose one of: {', '.join(recipe.presets())}.")
    for value, key, example in ((trigger, "trigger", "maya_char"), (subject, "subject", "fictional")):
        if not value:
            raise PortraitistError(f"A project needs a {key}", f"Give it: --{key} {example}")
    values: dict[str, Any] = {"name": name or folder.resolve().name, "trigger": trigger, "subject": subject}
    try:
        facts = Facts.model_validate({**values, "noun": noun})
    except ValidationError as error:
        raise first_complaint(error, "new", Facts) from error
    project = Project.create(folder, facts)
    if not project.recipe.exists():
        durable.write_text(project.recipe, tomli_w.dumps({"format": recipe.FORMAT, "preset": preset}))
    return project
