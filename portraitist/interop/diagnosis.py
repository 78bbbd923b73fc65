"""What is said of a foreign config: remarks on its lines, the run that really results, and a verdict."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

from portraitist.interop.document import Path, Place

Standing = Literal["honoured", "ignored", "misread", "harmful", "contradicted", "missing"]
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing about a config.

    rule      its id, such as `aitoolkit/no-arch`
    path      keys and indices down to what it is about; () for the whole file
    place     where in the text
    standing  honoured | ignored | misread | harmful | contradicted (elsewhere in the file) | missing
    severity  error: it will not start, or not train what was meant; warning: it costs quality, time or memory;
              note: worth knowing
    says      what really happens
    instead   what to write there; "" where nothing needs to change
    source    file and line of the tool's own code, or the arithmetic, that says so
    """

    rule: str
    path: Path
    place: Place
    standing: Standing
    severity: Severity
    says: str
    instead: str
    source: str


@dataclass(frozen=True, slots=True)
class SetCount:
    """One set of pictures as the tool will see it.

    pictures  found in its folder; -1 when the folder cannot be seen from here
    repeats   times each is seen per pass, copies by resolution included
    """

    name: str
    pictures: int
    repeats: float


@dataclass(frozen=True, slots=True)
class Effective:
    """The run that really results. Numbers are -1 and words "" where the config does not tell.

    updates             optimiser steps
    pictures_per_update whose gradients reach one update
    family              of the base, as portraitist names it
    quantised           what the base's weights are really held in
    resolutions         training sides in pixels; more than one means so many copies of every picture
    rank, alpha         of the adapter, as they take effect
    rate                learning rate
    saves               checkpoints written; kept: those that are left at the end
    """

    updates: int = -1
    pictures_per_update: int = -1
    sets: tuple[SetCount, ...] = ()
    family: str = ""
    quantised: str = ""
    resolutions: tuple[int, ...] = ()
    rank: int = -1
    alpha: float = -1
    rate: float = -1
    optimiser: str = ""
    saves: int = -1
    kept: int = -1

    @property
    def exposures(self) -> int:
        """Pictures seen in all; -1 when it cannot be told."""
        return self.updates * self.pictures_per_update if min(self.updates, self.pictures_per_update) >= 0 else -1

    @property
    def per_pass(self) -> float:
        """Pictures seen in one pass over all sets; -1 when a folder cannot be seen."""
        if not self.sets or any(one.pictures < 0 for one in self.sets):
            return -1
        return sum(one.pictures * one.repeats for one in self.sets)

    @property
    def passes(self) -> float:
        """Passes over all sets; -1 when it cannot be told."""
        return self.exposures / self.per_pass if self.exposures >= 0 and self.per_pass > 0 else -1


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that is said of one config.

    tool, version  whose it is, and the version whose behaviour is told
    stops          why it will not start; "" when it will
    differs        why it trains something else than was meant; "" when it does not
    """

    tool: str
    version: str
    remarks: tuple[Remark, ...]
    effective: Effective
    stops: str = ""
    differs: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of a tool's rules: words with {fields}, and where the tool's code says so."""

    id: str
    standing: Standing
    severity: Severity
    says: str
    instead: str
    source: str

    def at(self, path: Path, place: Place, **fields: Any) -> Remark:
        """The remark on one place, its words filled in."""
        says, instead = self.says.format(**fields), self.instead.format(**fields)
        return Remark(self.id, path, place, self.standing, self.severity, says, instead, self.source)


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known of one tool: its version, its keys and its rules."""

    tool: str
    version: str
    rules: Mapping[str, Rule]
    keys: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Rule:
        return self.rules[name]


@cache
def rules(tool: str) -> Rules:
    """The rules of a tool's module, from `rules/<tool>.toml`.

    `version` says what they hold for; `[rules.<name>]` has standing, severity, says, instead and source; `[keys]` what
    the tool reads, as its module understands it.
    """
    text = (resources.files("portraitist.interop") / "rules" / f"{tool}.toml").read_text(encoding="utf-8")
    values = tomllib.loads(text)
    found = {name: Rule(id=f"{tool}/{name}", **{"instead": "", **words}) for name, words in values["rules"].items()}
    return Rules(tool, values["version"], found, values.get("keys", {}))
