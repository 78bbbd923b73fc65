"""An audit as one page of HTML that needs nothing else: every picture small, the worst first, with its findings."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from portraitist.audit import Finding, Severity
from portraitist.audit.framing import shown
from portraitist.judge import templates
from portraitist.judge.album import Album, Shown
from portraitist.pictures import Picture
from portraitist.project import Project

MOST = 400
"""Pictures that a page holds; those without a finding are left out first."""

THUMB, LARGE = 220, 300
"""Longer side of a picture in pixels: where it is one of many, and on a page of at most FEW."""

FEW = 80

ORDER: Mapping[str, int] = {"block": 0, "warn": 1, "note": 2, "": 3}


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of the page.

    worst    of its findings' severities, "" without any; findings: those about it alone, worst first
    others   checks that name it among several pictures
    told     framing, view and role, as far as known
    """

    shown: Shown | None
    name: str
    worst: str
    findings: tuple[Finding, ...]
    others: tuple[str, ...]
    told: str


def page(
    project: Project,
    pictures: Sequence[Picture],
    findings: Sequence[Finding],
    table: Sequence[tuple[str, str]],
) -> str:
    """The page of an audit; `table` is what it tells of the set, as rows of a name and words."""
    alone: dict[str, list[Finding]] = defaultdict(list)
    among: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if not finding.waived:
            for name in finding.pictures:
                (alone if len(finding.pictures) == 1 else among)[name].append(finding)
    names = {picture.name for picture in pictures}

    def rank(picture: Picture) -> tuple[int, int, str]:
        here = [ORDER[f.severity] for f in (*alone[picture.name], *among[picture.name])]
        return min(here, default=ORDER[""]), -len(alone[picture.name]), picture.name

    first = sorted(pictures, key=rank)[:MOST]
    album, longest = Album(), LARGE if len(pictures) <= FEW else THUMB
    tiles = [tile(project, album, picture, longest, alone[picture.name], among[picture.name]) for picture in first]
    of_set = [f for f in findings if f.waived or len(f.pictures) != 1 or f.pictures[0] not in names]
    counts = {
        severity: sum(f.severity == severity and not f.waived for f in findings) for severity in ORDER if severity
    }
    values = {
        "name": project.facts.name,
        "folder": project.folder.name,
        "counts": counts,
        "table": table,
        "findings": of_set,
        "tiles": tiles,
        "left": len(pictures) - len(tiles),
    }
    return templates.rendered("contact.html", values)


def tile(
    project: Project,
    album: Album,
    picture: Picture,
    longest: int,
    alone: Sequence[Finding],
    among: Sequence[Finding],
) -> Tile:
    """One picture with what was found in it."""
    known = shown(picture)
    role = picture.role if picture.role != "identity" else ""
    held = "held out" if picture.split == "held-out" else ""
    severities: list[Severity] = [f.severity for f in (*alone, *among)]
    return Tile(
        shown=album.show(project.pictures / picture.name, longest),
        name=picture.name,
        worst=min(severities, key=ORDER.__getitem__, default=""),
        findings=tuple(sorted(alone, key=lambda f: ORDER[f.severity])),
        others=tuple(dict.fromkeys(f.check.replace("_", " ") for f in among)),
        told=", ".join(word for word in (known.shot or known.framing, known.view, role, held) if word),
    )
