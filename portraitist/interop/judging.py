"""What tools' modules share: remarks as they are found, values of a foreign config with their types made sure."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from portraitist.errors import PortraitistError
from portraitist.interop import opening
from portraitist.interop.diagnosis import Diagnosis, Effective, Remark, Rules
from portraitist.interop.document import Document, Path
from portraitist.interop.folders import candidates
from portraitist.interop.nearest import meant

MOST = 10**12
"""Larger numbers than any setting has; they are cut to it, so that arithmetic on them stays short."""


@dataclass
class Judging:
    """A config under judgement, by the rules of a tool that people call `name`.

    about  the part of another file that the next remarks are about, on the line that names that file; "" for this one
    """

    document: Document
    rules: Rules
    name: str
    remarks: list[Remark] = field(default_factory=list)
    about: str = ""

    def say(self, rule: str, *path: str | int, **fields: Any) -> None:
        """Remark on what stands at a path, or on the nearest above it that stands."""
        shown = {name: short(value) for name, value in fields.items()}
        remark = self.rules[rule].at(path, self.document.place(path), **shown)
        self.remarks.append(replace(remark, says=f"{short(self.about)}: {remark.says}") if self.about else remark)

    def unknown(self, known: Collection[str], *path: str | int, rule: str = "unknown-key") -> None:
        """Remark on each key of a table that the tool does not read."""
        table = self.document.get(*path)
        for name in table if isinstance(table, Mapping) else ():
            if name not in known and name != "__version":
                self.say(rule, *path, name, name=name, near=meant(str(name), known))

    def turn(self, name: str, path: Path) -> None:
        """Go on to a part of that name; remarks name it where its path ends in no index, for it is another file's."""
        self.about = "" if path and isinstance(path[-1], int) else name

    def traps(self) -> None:
        """Remark on what is no plain JSON, and on keys that stand twice."""
        for trap in self.document.traps:
            plain = {"comment": "a comment", "comma": "a comma before the end"}.get(trap.kind)
            rule, fields = "stands-twice", {"name": trap.path[-1] if trap.path else ""}
            if plain:
                rule, fields = "not-json", {"what": plain, "tool": self.name}
            self.remarks.append(self.rules[rule].at(trap.path, trap.place, **fields))

    def found(self, rule: str) -> bool:
        """Whether a rule has been remarked on."""
        return any(remark.rule == self.rules[rule].id for remark in self.remarks)

    def diagnosis(self, effective: Effective) -> Diagnosis:
        """All of it; the first error that keeps it from starting, by the rules' `stops`, and the first other one."""
        stops = {self.rules[name].id for name in self.rules.keys["stops"]}
        errors = [remark for remark in self.remarks if remark.severity == "error"]
        first = {why: next((one.says for one in errors if (one.rule in stops) is why), "") for why in (True, False)}
        found = (self.name, self.rules.version, tuple(self.remarks), effective)
        return Diagnosis(*found, stops=first[True], differs=first[False])


def short(value: Any) -> Any:
    """A value for a sentence: text of at most 80 signs, in one line; numbers as they are."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return value
    text = re.sub(r"\s+", " ", str(value))
    return text if len(text) <= 80 else text[:77] + "..."


def number(value: Any, default: float = -1) -> float:
    """A finite number as it is, one that a text spells, cut to `MOST`; else the default."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return max(-MOST, min(MOST, found)) if math.isfinite(found) else default


def whole(value: Any, default: int = -1) -> int:
    """Likewise, cut to an integer towards zero."""
    found = number(value, math.nan)
    return default if math.isnan(found) else int(found)


def is_turbo(name: str) -> bool:
    """Whether a name tells of Z-Image-Turbo; De-Turbo, in which the distillation is broken, is none."""
    plain = re.sub(r"[-_. ]", "", name.lower())
    return "turbo" in plain.replace("deturbo", "")


def words(value: Any) -> str:
    """A text as it is; "" for anything else."""
    return value if isinstance(value, str) else ""


def table(value: Any) -> Mapping[str, Any]:
    """A mapping as it is; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def tables(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list, an empty one for each other item; [] for anything else."""
    return [table(one) for one in value] if isinstance(value, list) else []


def beside(name: str, folder: str) -> Document | None:
    """Another config that one names; None when it cannot be seen or read from here."""
    for path in candidates(name, folder):
        try:
            if path.is_file():
                return opening.opened(path)
        except (OSError, ValueError, PortraitistError):
            continue
    return None
