"""Tables as TOML has them: read from text, changed at dotted keys, laid one over the other."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from portraitist.errors import PortraitistError


def parse(text: str, name: str) -> dict[str, Any]:
    """TOML text as a table."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PortraitistError(
            f"{name} is not TOML: {error}", "Mend that line; strings stand in quotes, lists in [ ]."
        ) from error


def apply(values: dict[str, Any], change: str) -> None:
    """Put one `section.key=value` into `values`; list items go by number (`stages.0.steps=400`)."""
    dotted, equals, text = change.partition("=")
    if not equals or not dotted.strip():
        raise PortraitistError(f"--set {change!r} is not section.key=value", "Write it as in: --set training.rate=2e-3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    path = dotted.strip().split(".")
    if any(part.isdigit() for part in path):
        values[f"+{dotted.strip()}"] = value  # a list item: placed after the preset has filled the list
    else:
        place(values, path, value)


def place(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Put `value` at a dotted path of nested tables and lists."""
    here: Any = values
    for i, part in enumerate(path):
        last = i == len(path) - 1
        if isinstance(here, list):
            if not part.isdigit() or int(part) >= len(here):
                raise PortraitistError(
                    f"--set {'.'.join(path)}: there is no item {part}; the list has {len(here)}",
                    "Count from 0, or write the list in recipe.toml.",
                )
            if last:
                here[int(part)] = value
            else:
                here = here[int(part)]
        elif not isinstance(here, dict):
            raise PortraitistError(
                f"--set {'.'.join(path)}: {'.'.join(path[:i])} is a value, not a section",
                "See the keys in docs/recipe.md.",
            )
        elif last:
            here[part] = value
        else:
            here = here.setdefault(part, {})


def value_at(values: Mapping[str, Any], dotted: str) -> Any:
    """What stands at a dotted key; a key inside a list of tables means the whole list; None where there is nothing."""
    here: Any = values
    for part in dotted.split("."):
        if isinstance(here, list):
            break
        here = here.get(part) if isinstance(here, Mapping) else None
    return here


def merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, table by table; lists are replaced whole."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged
