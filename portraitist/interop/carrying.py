"""What of a foreign config our project and recipe can hold, and an account of the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portraitist.interop.document import Path


@dataclass(frozen=True, slots=True)
class Left:
    """A setting that was not carried over: where it stands, what it says, and why."""

    path: Path
    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class Carried:
    """Ours, out of theirs.

    recipe    by dotted key (`training.rate`), as recipe.toml holds it; `data.sets` is a list of tables
    trigger   "" when the config names none
    pictures  folders, each with the set's name that it becomes ("" for the top)
    kept      their path to our dotted key, for the account of what became what
    left      what could not be carried, each with the reason
    """

    recipe: Mapping[str, Any]
    trigger: str = ""
    noun: str = ""
    pictures: tuple[tuple[str, str], ...] = ()
    kept: Mapping[Path, str] = field(default_factory=dict)
    left: tuple[Left, ...] = ()
