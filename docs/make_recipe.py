"""Writes docs/recipe.md from the recipe's own models, so that the page cannot say what the code does not do."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from portraitist import durable, recipe

PAGE = Path(__file__).with_name("recipe.md")

HEAD = """# The recipe

*Made by `make docs` from `sections.py`, `captioning.py` and `recipe.py` in `portraitist/`; not edited by hand.*

Everything that decides a run stands in `recipe.toml` in the character's folder. What it leaves out comes from its
preset, and a `--set section.key=value` on the command line goes over both, for that once. There are no other settings.
A key that does not exist is refused, with the nearest one that does. The run keeps the whole recipe, every default
spelled out, in `recipe.lock.toml`.

TOML has no null: `""`, `0` or an empty list say that a thing is not used. Items of a list go by number:
`--set stages.0.steps=600`.

[Presets](presets.md): {presets}.
"""


def page() -> str:
    """The text of docs/recipe.md."""
    presets = ", ".join(f"`{name}`" for name in recipe.presets())
    return "\n".join([HEAD.format(presets=presets), *section("Recipe", "", recipe.Recipe)])


def section(title: str, prefix: str, model: type[BaseModel]) -> list[str]:
    """One model as a heading, a table of its keys, and the models inside it after it."""
    said = meanings(model)
    lines = [f"## {title}", "", "| key | default | allowed | meaning |", "|---|---|---|---|"]
    below: list[str] = []
    for name, info in model.model_fields.items():
        inner = next(
            (t for t in recipe.nested(info.annotation) if isinstance(t, type) and issubclass(t, BaseModel)), None
        )
        many = inner is not None and inner is not info.annotation
        if inner is not None:
            below += [
                "",
                *section(f"`[[{prefix}{name}]]`" if many else f"`[{prefix}{name}]`", f"{prefix}{name}.", inner),
            ]
        shown = "" if inner is not None else default(info.default)
        told = f"{said[name]}; see below" if inner is not None else said[name]
        lines.append(f"| `{prefix}{name}` | {shown} | {allowed(model, name)} | {told.replace('|', chr(92) + '|')} |")
    return lines + below


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """What a model's docstring says of each field: lines of a name, two blanks or more, and words."""
    found: dict[str, str] = {}
    name = ""
    for line in (model.__doc__ or "").splitlines()[1:]:
        if match := re.fullmatch(r" {4}([a-z_][a-z_0-9]*) {2,}(\S.*)", line):
            name, found[match[1]] = match[1], match[2]
        elif name and re.match(r" {8,}\S", line):
            found[name] += " " + line.strip()
        else:
            name = ""
    return found


def default(value: Any) -> str:
    """A default as it would stand in the file."""
    if value is PydanticUndefined:
        return "needed"
    return f"`{json.dumps(value if not isinstance(value, tuple) else list(value))}`"


def allowed(model: type[BaseModel], name: str) -> str:
    """The words or the range a key takes, by its JSON schema."""
    schema = model.model_json_schema()["properties"][name]
    schema = schema.get("items", schema) if schema.get("type") == "array" else schema
    if "$ref" in schema:
        return ""
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    signs = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    return ", ".join(f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema)


if __name__ == "__main__":
    durable.write_text(PAGE, page())
