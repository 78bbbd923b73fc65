"""Other trainers' configs: read with their places, and told what they really do. No torch, nothing executed.

One package or module per foreign tool, with one file of rules in `rules/`; what stands beside them is of all tools.
musubi-tuner and kohya_ss stand on kohya's, whose options they share; a header on OneTrainer's, whose config it may
hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from portraitist.errors import PortraitistError
from portraitist.interop.carrying import Carried
from portraitist.interop.diagnosis import Diagnosis
from portraitist.interop.document import Document

if TYPE_CHECKING:
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

TOOLS: tuple[str, ...] = (
    "header", "aitoolkit", "kohyagui", "onetrainer", "simpletuner", "diffusion_pipe", "musubi", "kohya",
)  # fmt: skip
"""What of this package knows one tool each, in the order in which they are asked."""


class Tool(Protocol):
    """What a tool's module offers."""

    NAME: str
    """As people call it."""

    def recognises(self, document: Document) -> bool:
        """Whether a config is of this tool."""

    def diagnose(self, document: Document) -> Diagnosis:
        """What the tool would really do with it.

        Rules about pictures, not about the config, have names that begin with captions- or folder-.
        """

    def carried(self, document: Document) -> Carried:
        """What of it our project and recipe can hold, and what not."""

    def written(self, recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
        """Our recipe as the tool's own files, by name: of the same intention, and clean to `diagnose`.

        pictures  the folder they lie in. Raises PortraitistError for a recipe that the tool cannot train.
        """

    def differences(self, recipe: Recipe) -> Iterator[str]:
        """What the tool would do otherwise with a recipe that it can train, a sentence's words each."""


def tool(name: str) -> Tool:
    """A tool's module by name."""
    found: Tool = import_module(f"portraitist.interop.{name}")
    return found


def chosen(name: str) -> Tool:
    """A tool as a person names it, ai-toolkit or aitoolkit. Raises PortraitistError for one that is not known here."""
    known = {plain(word): module for module in TOOLS for word in (module, tool(module).NAME)}
    if plain(name) not in known:
        names = ", ".join(tool(module).NAME for module in TOOLS)
        raise PortraitistError(f"There is no trainer {name!r} here", f"Choose one of: {names}.")
    return tool(known[plain(name)])


def plain(name: str) -> str:
    """A name without what people write in more ways than one."""
    return "".join(sign for sign in name.lower() if sign.isalnum())


def whose(document: Document) -> str:
    """Name of the tool's module that a config is of; "" when none knows it."""
    return next((name for name in TOOLS if tool(name).recognises(document)), "")
