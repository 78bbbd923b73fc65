"""portraitist: from a folder of pictures of one character to a character LoRA that is proven."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

VERBS = (
    "new", "add", "audit", "caption", "encode", "plan", "train", "evaluate", "choose", "advise", "export", "publish",
    "report", "compare",
    "extract", "inspect", "convert", "recover", "doctor", "import_config", "export_config", "consent", "verify",
    "repair", "sheet", "generate", "vote", "feedback", "merge", "resize", "rescale", "bake", "diff",
)  # fmt: skip
"""Each is a function of its own file in `portraitist.verbs`; `portraitist.run.run` does those of a project in order."""


def __getattr__(name: str) -> Any:
    """A verb as a function, imported when first asked for: `from portraitist import train`.

    `audit` alone is a package by the same name, and stays one: `from portraitist.verbs.audit import audit`.
    """
    if name in VERBS and name != "audit":
        return getattr(import_module(f"portraitist.verbs.{name}"), name)
    if name == "Project":
        return import_module("portraitist.project").Project
    raise AttributeError(f"module 'portraitist' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What can be imported from here, the verbs with it."""
    return sorted({*globals(), *VERBS, "Project"})
