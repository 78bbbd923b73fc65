"""Tables as TOML has them: read from text, changed at dotted keys, laid one over the other, and in the text itself."""

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

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


def rewritten(text: str, changes: Mapping[str, Any]) -> tuple[str, bool]:
    """TOML text with values put at dotted keys, and whether its comments and order are still there.

    List items go by number. A key stands in one line, or is added to its table; text that does not bear that is
    written anew from its values, without comments. Raises PortraitistError for text that is no TOML.
    """
    meant, edited = parse(text, "the file"), text
    for dotted, value in changes.items():
        place(meant, dotted.split("."), copy.deepcopy(value))
        edited = put(edited, dotted, value)
    try:
        kept = tomllib.loads(edited) == meant
    except tomllib.TOMLDecodeError:
        kept = False
    return (edited, True) if kept else (tomli_w.dumps(meant), False)


def put(text: str, dotted: str, value: Any) -> str:
    """TOML text with one line changed or added; what it then says is for the caller to see."""
    *table, key = dotted.split(".")
    header, turn = (".".join(table[:-1]), int(table[-1])) if table and table[-1].isdigit() else (".".join(table), None)
    lines, said = text.splitlines(), tomli_w.dumps({key: value}).strip()
    wanted = f"[[{header}]]" if turn is not None else f"[{header}]"
    starts = [
        i for i, line in enumerate(lines) if line.strip().startswith("[") and line.partition("#")[0].strip() == wanted
    ]
    if not header:
        begin = 0
    elif len(starts) > (turn or 0):
        begin = starts[turn or 0] + 1
    else:
        return "\n".join([*lines, *[""] * bool(lines), wanted, said]) + "\n"
    end = next((i for i in range(begin, len(lines)) if lines[i].lstrip().startswith("[")), len(lines))
    for i in range(begin, end):
        if match := re.match(rf"\s*(?:{re.escape(key)}|\"{re.escape(key)}\")\s*=[^#\n\"']*(#.*)?$", lines[i]):
            lines[i] = f"{said}  {match[1]}" if match[1] else said
            return "\n".join(lines) + "\n"
        if re.match(rf"\s*{re.escape(key)}\s*=", lines[i]):
            lines[i] = said
            return "\n".join(lines) + "\n"
    while end > begin and not lines[end - 1].strip():
        end -= 1
    return "\n".join([*lines[:end], said, *lines[end:]]) + "\n"
