"""A diagnosis as a person reads it, with the lines it is about, and as a machine does."""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from portraitist.interop.diagnosis import Diagnosis, Effective, Remark
from portraitist.interop.document import Document

ORDER = ("error", "warning", "note")
COLOURS = {"error": "1;31", "warning": "1;33", "note": "36", "dim": "2", "strong": "1", "good": "1;32", "": ""}
"""By what a text is: codes of ANSI terminals (ECMA-48, select graphic rendition)."""

WIDE = 112


class Pen:
    """Text, coloured or plain."""

    def __init__(self, *, coloured: bool) -> None:
        """Colours only where a terminal shows them."""
        self.coloured = coloured

    def __call__(self, text: str, kind: str) -> str:
        """A text in the colour of its kind."""
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if self.coloured and text else text


def told(document: Document, diagnosis: Diagnosis, more: Mapping[str, str], *, coloured: bool = False) -> str:
    """Remarks in the order of the text with carets, then the run that results, then the verdict.

    more  rows beside the run's own, by name
    """
    pen, lines = Pen(coloured=coloured), document.text.splitlines()
    parts = [pen(f"{document.name}: {diagnosis.tool} {diagnosis.version}", "strong")]
    for remark in sorted(
        diagnosis.remarks, key=lambda one: (one.place.line, one.place.column, ORDER.index(one.severity))
    ):
        parts.append("\n".join(remark_lines(document.name, lines, remark, pen)))
    found = [*rows(diagnosis.effective), *more.items()]
    if found:
        width = max(len(name) for name, _ in found)
        run = [f"  {name:<{width}}  {value}" for name, value in found]
        parts.append("\n".join([pen("The run that results:", "strong"), *run]))
    bad = bool(diagnosis.stops or diagnosis.differs)
    counts = {severity: sum(one.severity == severity for one in diagnosis.remarks) for severity in ORDER}
    kind = "error" if bad else "warning" if counts["warning"] else "good"
    said = ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count)
    return "\n\n".join([*parts, pen(verdict(diagnosis), kind) + (f" ({said})" if said else "")])


def remark_lines(name: str, lines: list[str], remark: Remark, pen: Pen) -> Iterator[str]:
    """One remark: where and what, the line with a caret, what to write, and who says so."""
    place = remark.place
    head = f"{name}:{place.line}:{place.column} {remark.severity}: "
    says = shown(remark.says)
    short = len(head) + len(says) <= WIDE
    yield pen(head.rstrip(), remark.severity) + (f" {says}" if short else "")
    if not short:
        yield from wrapped(says)
    if place.width and 0 < place.line <= len(lines):
        line = shown(lines[place.line - 1])
        yield f"{place.line:>5} {pen('|', 'dim')} {line[:120]}"
        if place.column <= 120:
            lead = "".join("\t" if sign == "\t" else " " for sign in line[: place.column - 1])
            caret = "^" * max(1, min(place.width, len(line) - place.column + 1, 121 - place.column))
            yield f"      {pen('|', 'dim')} {lead}{pen(caret, remark.severity)}"
    if remark.instead:
        first, *more = wrapped(f"write: {shown(remark.instead)}")
        yield first.replace("write:", pen("write:", "strong"), 1)
        yield from more
    yield from (pen(line, "dim") for line in wrapped(f"[{remark.rule}; {remark.source}]"))


def wrapped(text: str) -> list[str]:
    """A text in lines below a remark's first; paths stay whole."""
    lead = " " * 6
    return textwrap.wrap(
        text, WIDE, initial_indent=lead, subsequent_indent=lead, break_long_words=False, break_on_hyphens=False
    )


def shown(line: str) -> str:
    """A line of a file that anybody may have written: what would move a terminal's cursor becomes a mark."""
    return "".join(sign if sign == "\t" or sign.isprintable() else "\ufffd" for sign in line)


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
        times = f"{one.repeats:g} times a pass" if one.repeats != 1 else "once a pass"
        yield f"set {shown(one.name)}", f"{pictures}, {times}"
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
        return f"It will not start: {shown(diagnosis.stops)}"
    if diagnosis.differs:
        return f"It will start, and not train what was meant: {shown(diagnosis.differs)}"
    warned = any(one.severity == "warning" for one in diagnosis.remarks)
    return "It will start, and train what it says." if not warned else "It will start; see what it costs."


def plain(document: Document, diagnosis: Diagnosis, more: Mapping[str, str]) -> dict[str, Any]:
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
        "forecast": dict(more),
        "starts": not diagnosis.stops,
        "stops": diagnosis.stops,
        "differs": diagnosis.differs,
    }


def dotted(remark: Remark) -> str:
    """A remark's path in one word."""
    return ".".join(map(str, remark.path))
