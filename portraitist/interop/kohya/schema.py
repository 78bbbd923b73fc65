"""Tables that a trainer checks key by key, and refuses when one is unknown or of another type (voluptuous)."""

from collections.abc import Mapping, Sequence
from typing import Any

from portraitist.interop.diagnosis import Remark, Rules
from portraitist.interop.document import Document, Path
from portraitist.interop.kohya.settings import Given
from portraitist.interop.nearest import meant

WORDS = {
    "int": "a whole number",
    "bool": "true or false",
    "float": "a number with a point",
    "number": "a number",
    "word": "text in quotes",
    "size": "a whole number, or two in brackets",
    "pair": "two numbers with points, in brackets",
    "ints": "whole numbers in brackets",
    "table": "a table",
    "tables": "a list of tables",
}
MOST = 2**31


def fits(value: Any, kind: str) -> bool:
    """Whether a value is of a kind, as voluptuous sees it: a float must have its point."""
    if kind in ("int", "float", "bool", "word", "table"):
        types: dict[str, type] = {"int": int, "float": float, "bool": bool, "word": str, "table": dict}
        return isinstance(value, types[kind])
    if kind == "number":
        return isinstance(value, int | float)
    if kind == "size":
        return isinstance(value, int) or (isinstance(value, list) and len(value) == 2 and fits(value, "ints"))
    if kind == "pair":
        return isinstance(value, list) and len(value) == 2 and all(isinstance(one, float) for one in value)
    if kind == "ints":
        return isinstance(value, list) and all(isinstance(one, int) for one in value)
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def known(rules: Rules, *groups: str) -> dict[str, str]:
    """Kinds by key, of groups of a tool's rules (`[keys.tables.<group>]`)."""
    tables = rules.keys["tables"]
    return {name: kind for group in groups for kind, names in tables[group].items() for name in names}


def checked(
    found: Mapping[str, Any],
    path: Path,
    kinds: Mapping[str, str],
    elsewhere: Mapping[str, str],
    document: Document,
    rules: Rules,
) -> tuple[dict[str, Given], list[Remark]]:
    """The keys of a table that pass, and what is wrong with the others.

    elsewhere  keys that other tables of the file know, each with where it belongs
    """
    clean: dict[str, Given] = {}
    remarks: list[Remark] = []
    for name, value in found.items():
        here = (*path, name)
        place = document.place(here)
        if name not in kinds:
            rule = "misplaced-key" if name in elsewhere else "unknown-key-in-dataset"
            where, near = elsewhere.get(name, ""), meant(name, [*kinds, *elsewhere])
            remarks.append(rules[rule].at(here, place, name=name, where=where, near=near))
        elif not fits(value, kinds[name]):
            shown = str(value)[:40]
            remarks.append(rules["wrong-type"].at(here, place, name=name, value=shown, kind=WORDS[kinds[name]]))
        else:
            clean[name] = Given(value, here, place)
    return clean, remarks


def tables(value: Any) -> Sequence[Mapping[str, Any]]:
    """A list of tables as it should be; what is none of these is left out."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def whole(value: Any, otherwise: int) -> int:
    """A value as a whole number that arithmetic can bear, else another."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST < value < MOST:
        return otherwise
    return int(value)


def real(value: Any, otherwise: float) -> float:
    """A value as a number that arithmetic can bear, else another."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST < value < MOST:
        return otherwise
    return float(value)


def sides(value: Any) -> tuple[int, int] | None:
    """A resolution's width and height in pixels, of a number, two, or text with a comma; None for what is none."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    parts = parts if isinstance(parts, list | tuple) else [parts]
    numbers = [int(one) if isinstance(one, str) and one.isdecimal() and len(one) < 7 else one for one in parts]
    if len(numbers) not in (1, 2) or any(not 0 < whole(one, 0) <= 100_000 for one in numbers):
        return None
    return whole(numbers[0], 0), whole(numbers[-1], 0)
