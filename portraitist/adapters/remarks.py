"""What is remarked of a file that somebody else may have written, and how its words are shown. Loads no torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

SHOWN = 5
"""Names that are shown of many."""

TRIGGERS = ("modelspec.trigger_phrase", "trained_words", "ss_output_name")
BASES = ("portraitist.base", "ss_sd_model_name", "ss_base_model_version", "modelspec.architecture")
STEPS = ("portraitist.step", "ss_steps", "training_info")


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing about a file that matters for its use."""

    check: str
    severity: Literal["block", "warn"]
    says: str
    remedy: str


def told(metadata: Mapping[str, str]) -> dict[str, str]:
    """Trigger, base and steps from whichever key has them, and all that portraitist wrote."""
    found = {}
    for what, keys in (("trigger", TRIGGERS), ("base", BASES), ("steps", STEPS)):
        key = next((key for key in keys if metadata.get(key)), "")
        if key:
            found[what] = printable(unlisted(metadata[key]))
    return found | {key: printable(metadata[key]) for key in sorted(metadata) if key.startswith("portraitist.")}


def unlisted(text: str) -> str:
    """The words of a JSON list, or the steps of a JSON table; other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value.get("step", text)) if isinstance(value, dict) else text


def printable(text: str) -> str:
    """A foreign text that cannot disturb a terminal, at most 200 characters of it."""
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def some(names: Sequence[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
