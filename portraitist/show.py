"""Results as a person reads them, and as a machine does."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

MARKS = {"block": "BLOCKS", "warn": "warns", "note": "notes"}


def plain(value: Any) -> Any:
    """A result as JSON's own types: dataclasses become objects, paths strings, numbers that are none become null."""
    if callable(getattr(value, "as_json", None)):
        return plain(value.as_json())
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if callable(getattr(value, "model_dump", None)):  # of pydantic, which is not loaded where nothing is of it
        return plain(value.model_dump(mode="json", exclude_none=True))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def told(result: Any) -> str:
    """A result in lines of text: findings with their remedies first, then one fact a line.

    A result that has a table of its own is told by it, findings after.
    """
    if isinstance(result, str):
        return result
    if isinstance(result, Path):
        return str(result)
    if callable(getattr(result, "told", None)):
        return str(result.told())
    values = plain(result)
    if not isinstance(values, dict):
        return str(values)
    lines = [line for finding in values.pop("findings", []) for line in finding_lines(finding)]
    if callable(getattr(result, "table", None)):
        rows: list[tuple[str, str]] = result.table()
        width = max(len(name) for name, _ in rows)
        return "\n".join([*(f"{name:<{width}}  {value}" for name, value in rows), *lines])
    empty: tuple[Any, ...] = ("", [], {}, None)
    for name, value in values.items():
        if value not in empty:
            sentences = isinstance(value, dict) and all(isinstance(inner, str) for inner in value.values())
            lines.append(f"{name.replace('_', ' ')}:" + ("" if sentences else f" {fact(value)}"))
            lines += [f"    {key}: {inner}" for key, inner in value.items()] if sentences else []
    return "\n".join(lines)


def finding_lines(finding: Mapping[str, Any]) -> list[str]:
    """One finding: what is said of which pictures; below it the remedy and its command, or why it was let pass."""
    severity, waived = str(finding.get("severity", "")), finding.get("waived")
    mark = "waived" if waived else MARKS.get(severity, severity)
    pictures = list(finding.get("pictures") or [])
    named = ", ".join(map(str, pictures[:5])) + (f" and {len(pictures) - 5} more" if len(pictures) > 5 else "")
    says = str(finding.get("says", ""))
    whose = f" ({named})" if named and not any(str(p) in says for p in pictures[:1]) else ""
    lines = [f"{mark}: {says}{whose} [{finding.get('check', '')}]"]
    below = [waived] if waived else [finding.get("remedy"), finding.get("repair") and f"$ {finding['repair']}"]
    return [*lines, *(f"    {line}" for line in below if line)]


def fact(value: Any) -> str:
    """One value for people: long lists by their length, numbers by what is worth reading of them."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        if len(value) <= 8 and not any(isinstance(inner, dict | list) for inner in value):
            return ", ".join(fact(inner) for inner in value)
        return str(len(value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {fact(inner)}" for name, inner in value.items())
    return str(value)
