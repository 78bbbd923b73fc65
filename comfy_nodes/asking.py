"""What a node's widgets say, as the command's words.

A workflow may be somebody else's file: what it may set is named here, and leads to no program, address or key.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .child import PortraitistError

FAMILIES = ("mini", "sdxl", "flux", "qwen-image", "qwen-image-edit", "z-image", "z-image-turbo")
SUBJECTS = ("not said", "fictional", "real")
BRIEF = ("framing", "angle", "lens", "pose", "expression", "mood", "lighting", "outfit", "object", "scene")
SETTABLE = ("adapter", "data", "judging", "stages", "training")
"""Sections of a recipe that a graph may change, but for KEPT: no program, address or key is named there."""

MODEL = ("model.tokenizers", "model.prediction", "model.precision", "model.quantised", "model.offload", "model.device")
"""What it may say of the base, beside the base itself."""

KEPT = ("adapter.start", "data.references", "data.sets", "judging.companion", "judging.comfyui", "judging.render")
"""Keys in them that name files, an address or a key: those are for recipe.toml, which a person writes."""


def facts(
    trigger: str, subject: str, noun: str, brief: str, family: str, base: str, card: str, name: str
) -> dict[str, str]:
    """What `portraitist new` is told, by its options; what is empty is left out.

    subject  one of SUBJECTS; "not said" is left to the command, which asks for it
    brief    a kind a line, its values between commas: "expression: smiling, angry"
    Raises PortraitistError for a line that is none of a brief.
    """
    said = {"name": name, "trigger": trigger, "noun": noun, "family": family, "base": base, "card": card}
    said["subject"] = "" if subject == SUBJECTS[0] else subject
    for line in filter(None, map(str.strip, brief.splitlines())):
        kind, colon, values = (part.strip() for part in line.partition(":"))
        if not colon or kind not in BRIEF or kind in said:
            raise PortraitistError(
                f"The line {line!r} is none of a brief",
                f"Write a kind a line, each once, such as `expression: smiling, angry`. Kinds: {', '.join(BRIEF)}.",
            )
        said[kind] = values
    return {key: value.strip() for key, value in said.items() if value.strip()}


def options(said: Mapping[str, str]) -> list[str]:
    """`--key=value` for each: one word each, so that no value is taken for an option."""
    return [f"--{key}={value}" for key, value in said.items()]


def changes(lines: str, steps: int = 0, rank: int = 0, resolution: int = 0) -> list[str]:
    """The recipe's changes of a training, as `section.key=value`; 0 leaves what the preset says.

    lines  further ones, one a line. Raises PortraitistError for a section or a key that a graph may not set
    """
    found = [
        f"{key}={value}"
        for key, value in (("stages.0.steps", steps), ("adapter.rank", rank), ("data.resolution", resolution))
        if value
    ]
    for line in filter(None, map(str.strip, lines.splitlines())):
        key, equals, _ = (part.strip() for part in line.partition("="))
        if not equals or not re.fullmatch(r"[a-z_]+(\.[a-z0-9_]+)+", key):
            raise PortraitistError(
                f"{line!r} is no change of a recipe", "Write section.key=value, such as training.rate=1e-4."
            )
        allowed = key.split(".")[0] in SETTABLE or key in MODEL
        if not allowed or ".".join(key.split(".")[:2]) in KEPT:
            raise PortraitistError(
                f"{key} is not set from a graph, which may be somebody else's",
                f"Write it into the character's recipe.toml. From here: {', '.join([*SETTABLE, *MODEL])}.",
            )
        found.append(line)
    return found


def settings(changed: Sequence[str]) -> list[str]:
    """The command's words for changes of a recipe."""
    return [f"--set={change}" for change in changed]


def consent(file: str, by: str, date: str, rights: str, adult: bool) -> list[str]:
    """The command's words for a consent; what is left out, it asks for itself."""
    said = {"file": file, "by": by, "date": date, "rights": rights}
    return [*options({key: value for key, value in said.items() if value}), *(["--adult"] if adult else [])]


def findings(answer: Mapping[str, Any]) -> str:
    """The audit's findings, a line each with its remedy below, worst first."""
    marks = {"block": "BLOCKS", "warn": "warns", "note": "notes"}
    lines = []
    for found in answer.get("findings", []):
        mark = "waived" if found.get("waived") else marks.get(found.get("severity"), "notes")
        lines += [f"{mark}: {found.get('says', '')}", f"    {found.get('remedy', '')}"]
    return "\n".join(lines)


def blocked(answer: Mapping[str, Any]) -> PortraitistError:
    """The refusal of a training that the audit stops: its blocking findings, as the command line shows them."""
    stops = [f for f in answer.get("findings", []) if f.get("severity") == "block" and not f.get("waived")]
    first = stops[0] if stops else {}
    more = f" ({len(stops) - 1} more)" if len(stops) > 1 else ""
    problem = f"The audit blocks: {first.get('says', 'see audit.json')}{more} [{first.get('check', '')}]"
    return PortraitistError(problem, str(first.get("remedy", "")))
