"""A diagnosis as a person reads it, with the lines it is about, and as a machine does."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from portraitist.interop.diagnosis import Diagnosis, Effective, Remark
from portraitist.interop.document import Document

ORDER = ("error", "warning", "note")


def told(document: Document, diagnosis: Diagnosis) -> str:
    """Remarks in the order of the text with carets, then the run that results, then the verdict."""
    lines = document.text.splitlines()
    parts = [f"{document.name}: {diagnosis.tool} {diagnosis.version}"]
    for remark in sorted(diagnosis.remarks, key=lambda one: (one.place.line, one.place.column)):
        parts.append("\n".join(remark_lines(document.name, lines, remark)))
    run = [f"  {name:<20}{value}" for name, value in rows(diagnosis.effective)]
    if run:
        parts.append("\n".join(["The run that results:", *run]))
    return "\n\n".join([*parts, verdict(diagnosis)])


def remark_lines(name: str, lines: list[str], remark: Remark) -> Iterator[str]:
    """One remark: where and what, the line with a caret, what to write, and who says so."""
    place = remark.place
    yield f"{name}:{place.line}:{place.column} {remark.severity}: {remark.says}"
    if place.width and 0 < place.line <= len(lines):
        line, number = lines[place.line - 1], f"{place.line:>5}"
        yield f"{number} | {line[:120]}"
        lead = "".join("\t" if sign == "\t" else " " for sign in line[: place.column - 1])
        yield f"      | {lead}{'^' * max(1, min(place.width, 120 - place.column))}"
    if remark.instead:
        yield f"      write: {remark.instead}"
    yield f"      [{remark.rule}; {remark.source}]"


def rows(effective: Effective) -> Iterator[tuple[str, str]]:
    """The run that results, as far as it can be told."""
    if effective.family:
        yield "base", effective.family + (f", held in {effective.quantised}" if effective.quantised else "")
    if effective.updates >= 0:
        count = max(effective.pictures_per_update, 1)
        yield "updates", f"{effective.updates:,} of {count:,} picture{'s' if count > 1 else ''} each"
    if effective.exposures >= 0:
        passes = f", {effective.passes:.3g} passes" if effective.passes >= 0 else ""
        yield "exposures", f"{effective.exposures:,}{passes}"
    for one in effective.sets:
        pictures = "pictures not seen from here" if one.pictures < 0 else f"{one.pictures:,} pictures"
        yield f"set {one.name}", f"{pictures}, {one.repeats:g} times a pass"
    if len(effective.sets) > 1 and effective.per_pass > 0:
        yield "ratio of sets", " : ".join(f"{one.pictures * one.repeats:g}" for one in effective.sets)
    if effective.resolutions:
        yield "resolution", ", ".join(map(str, effective.resolutions))
    if effective.rank >= 0:
        yield "rank, alpha", f"{effective.rank}, {effective.alpha:g}" if effective.alpha >= 0 else str(effective.rank)
    if effective.rate >= 0:
        yield "rate", f"{effective.rate:g}" + (f", {effective.optimiser}" if effective.optimiser else "")
    if effective.saves >= 0:
        kept = f", {effective.kept} kept" if 0 <= effective.kept < effective.saves else ""
        yield "checkpoints", f"{effective.saves}{kept}"


def verdict(diagnosis: Diagnosis) -> str:
    """Will it start, and will it train what was meant?"""
    if diagnosis.stops:
        return f"It will not start: {diagnosis.stops}"
    if diagnosis.differs:
        return f"It will start, and not train what was meant: {diagnosis.differs}"
    counts = [sum(one.severity == severity for one in diagnosis.remarks) for severity in ORDER]
    return "It will start, and train what it says." if not counts[1] else f"It will start; {counts[1]} warnings."


def plain(document: Document, diagnosis: Diagnosis) -> dict[str, Any]:
    """A diagnosis as JSON's own types."""
    effective = asdict(diagnosis.effective) | {
        "exposures": diagnosis.effective.exposures,
        "passes": diagnosis.effective.passes,
    }
    return {
        "format": 1,
        "file": document.name,
        "tool": diagnosis.tool,
        "version": diagnosis.version,
        "remarks": [asdict(remark) | {"path": dotted(remark)} for remark in diagnosis.remarks],
        "effective": effective,
        "starts": not diagnosis.stops,
        "stops": diagnosis.stops,
        "differs": diagnosis.differs,
    }


def dotted(remark: Remark) -> str:
    """A remark's path in one word."""
    return ".".join(map(str, remark.path))
