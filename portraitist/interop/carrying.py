"""What of a foreign config our project and recipe can hold, and an account of the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portraitist.interop.document import Document, Path
from portraitist.tables import place


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

    def tables(self) -> dict[str, Any]:
        """The recipe as recipe.toml has it: tables in tables."""
        found: dict[str, Any] = {}
        for key, value in self.recipe.items():
            place(found, key.split("."), value)
        return found


class Account:
    """An account that is being made, of settings that may stand in several files."""

    def __init__(self) -> None:
        """With nothing in it yet."""
        self.recipe: dict[str, Any] = {}
        self.kept: dict[Path, str] = {}
        self.left: list[Left] = []

    def take(self, key: str, value: Any, path: Path) -> None:
        """Our value by its dotted key, and where theirs stands; () for what became it by being absent."""
        self.recipe[key] = value
        if path:
            self.kept[path] = key

    def pass_over(self, path: Path, value: Any, why: str) -> None:
        """Say why a value was not carried over."""
        self.left.append(Left(path, value, why))

    def closed(self, trigger: str = "", noun: str = "", pictures: Sequence[tuple[str, str]] = ()) -> Carried:
        """What was carried, and what was not."""
        return Carried(self.recipe, trigger, noun, tuple(dict.fromkeys(pictures)), self.kept, tuple(self.left))


class Carrying(Account):
    """An account of one document: every value of it ends up kept or left."""

    def __init__(self, document: Document) -> None:
        """Of `document`, with nothing in it yet."""
        super().__init__()
        self.document = document

    def keep(self, key: str, value: Any, *path: str | int) -> None:
        """Our value by its dotted key, and where theirs stands; what is not there became it by being absent."""
        self.take(key, value, path if path and self.document.has(*path) else ())

    def leave(self, why: str, *path: str | int) -> None:
        """Say why a value that is there was not carried over."""
        if self.document.has(*path) and path not in self.kept:
            self.pass_over(path, self.document.get(*path), why)

    def rest(self, reasons: Mapping[str, str], otherwise: str) -> tuple[Left, ...]:
        """All that was left, what nobody spoke of with it: by the last key that has a reason, else `otherwise`."""
        spoken = {*self.kept, *(one.path for one in self.left)}
        found = list(self.left)
        for path, value in self.document.leaves():
            if value in (None, "", [], {}) or any(path[:end] in spoken for end in range(1, len(path) + 1)):
                continue
            named = [part for part in reversed(path) if isinstance(part, str) and part in reasons]
            found.append(Left(path, value, reasons[named[0]] if named else otherwise))
        return tuple(found)
