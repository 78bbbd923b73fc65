"""An account of what is carried over from a foreign config, as it is put together."""

from dataclasses import dataclass, field
from typing import Any

from portraitist.errors import PortraitistError
from portraitist.interop.carrying import Carried, Left
from portraitist.interop.document import Document, Path
from portraitist.interop.judging import short

TRAINED = "sdxl, flux, qwen-image, qwen-image-edit, z-image and z-image-turbo"


@dataclass
class Keeping:
    """What is kept, and what is left with its reason."""

    document: Document
    recipe: dict[str, Any] = field(default_factory=dict)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    kept: dict[Path, str] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)

    def keep(self, ours: str, value: Any, *path: str | int) -> None:
        """Hold a value under our key; `path` is where theirs stands, if it does."""
        self.recipe[ours] = value
        if path and self.document.has(*path):
            self.kept[path] = ours

    def leave(self, why: str, *path: str | int) -> None:
        """Account for a setting that is not carried over, if it stands in the file."""
        if self.document.has(*path):
            self.left.append(Left(path, self.document.get(*path), why))

    def leave_rest(self, why: str, *passed: str) -> None:
        """Account for every other setting; `passed` are beginnings of dotted paths that need no word."""
        named = {one.path for one in self.left}
        for path, value in self.document.leaves():
            dotted = ".".join(map(str, path))
            known = any(path[: len(one)] == one for one in (*self.kept, *named))
            if path and not known and not any(dotted == one or dotted.startswith(one + ".") for one in passed):
                self.left.append(Left(path, value, why))

    def carried(self, trigger: str = "", noun: str = "") -> Carried:
        """The whole account."""
        held = (tuple(self.pictures), dict(self.kept), tuple(self.left))
        return Carried(self.recipe, trigger, noun, *held)


def refuse_base(tool: str, name: str) -> PortraitistError:
    """The refusal of a base that portraitist does not train."""
    shown = short(name) or "a base that it does not name"
    return PortraitistError(f"This {tool} config trains {shown}, which portraitist does not", f"It trains {TRAINED}.")


def refuse_method(tool: str, method: str) -> PortraitistError:
    """The refusal of a way of training that portraitist does not have."""
    remedy = "It trains LoRA, LoHa and LoKr, and whole denoisers."
    return PortraitistError(f"This {tool} config trains by {short(method)}, which portraitist does not", remedy)


def refuse_written(tool: str, what: str) -> PortraitistError:
    """The refusal of a recipe that a tool cannot train."""
    return PortraitistError(f"{tool} cannot train this recipe: it has {what}", "Train it here, or change that setting.")
