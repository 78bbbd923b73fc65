"""ai-toolkit (github.com/ostris/ai-toolkit): what it really does with its YAML, JSON or JSONC.

Its sections are read by `kwargs.get(key, default)`, so that what is misspelt is dropped and what is absent has a
default that few know; rules/aitoolkit.toml names the place in its code for each remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from portraitist.interop.aitoolkit import model, outcome, outline, pictures
from portraitist.interop.aitoolkit.process import Process
from portraitist.interop.aitoolkit.training import train
from portraitist.interop.diagnosis import Diagnosis, Effective, Remark, SetCount, rules
from portraitist.interop.document import Document
from portraitist.interop.unlike import held_out

if TYPE_CHECKING:
    from portraitist.interop.carrying import Carried
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

NAME = "ai-toolkit"

CHECKS = (
    model.model,
    model.network,
    train,
    outcome.sample,
    outcome.save,
    outcome.validation,
    pictures.datasets,
)
"""Of a process that trains, in the order of its sections."""

DIFFERING = frozenset(
    {"accumulation-zeroed", "accumulation-epoch", "folder-prefix", "duplicate-key", "quoted-boolean", "boolean-word"}
    | {"flow-scheduler"}
)
"""Errors with which it starts, and trains something else."""


def recognises(document: Document) -> bool:
    """A `config` with processes, in YAML or JSON; or a `job` with a `config`."""
    value = document.value
    if document.kind not in ("yaml", "json") or not isinstance(value, Mapping):
        return False
    config = value.get("config")
    return isinstance(config, Mapping) and ("process" in config or "job" in value)


def diagnose(document: Document) -> Diagnosis:
    """What ai-toolkit does with a config."""
    known = rules("aitoolkit")
    remarks: list[Remark] = list(outline.whole(document))
    effective = Effective()
    listed = document.get("config", "process")
    for index in range(len(listed) if isinstance(listed, list) else 0):
        process = Process(document, ("config", "process", index))
        if not isinstance(document.get(*process.path), Mapping):
            value = outline.shown(document.get(*process.path))
            remarks.append(process.say("wrong-shape", what="a process", shape="a mapping", value=value))
            continue
        remarks += outline.begun(process)
        if not outline.trains(process):
            continue
        remarks += outline.unread(process)
        for check in CHECKS:
            remarks += check(process)
        effective = resulting(process) if effective == Effective() else effective
    errors = [remark for remark in remarks if remark.severity == "error"]
    stops = [remark for remark in errors if name(remark) not in DIFFERING]
    differs = [remark for remark in errors if name(remark) in DIFFERING]
    return Diagnosis(
        NAME,
        known.version,
        tuple(remarks),
        effective,
        stops=reasons(stops),
        differs=reasons(differs),
    )


def name(remark: Remark) -> str:
    """A rule's name without its tool."""
    return remark.rule.partition("/")[2]


def reasons(remarks: list[Remark]) -> str:
    """The first of several reasons, and how many more there are."""
    if not remarks:
        return ""
    first = remarks[0].says.split(". ")[0].rstrip(".")
    more = len(remarks) - 1
    return f"{first} (line {remarks[0].place.line})." + (f" And {more} more." if more else "")


def resulting(process: Process) -> Effective:
    """The run that one process comes to."""
    sets = tuple(
        SetCount(
            one.name,
            len(one.pictures) if one.pictures is not None else -1,
            one.repeats * max(1, len(one.resolutions)),
        )
        for one in process.datasets
    )
    lora = process.section("network")
    whole_lokr = process.text("network", "type") == "lokr" and process.flag("network", "lokr_full_rank", default=True)
    rank = process.rank if lora and not whole_lokr else -1
    alpha = process.number("network", "linear_alpha", default=process.number("network", "alpha", default=1))
    texts = process.flag("model", "quantize_te", default=process.flag("model", "quantize"))
    return Effective(
        updates=process.updates,
        pictures_per_update=process.batch * process.accumulation,
        sets=sets,
        family=process.family or process.arch,
        quantised=process.quantised + (", the text encoder too" if texts else ""),
        resolutions=process.datasets[0].resolutions if process.datasets else (),
        rank=rank,
        alpha=rank if process.transformer else alpha if rank >= 0 else -1,
        rate=process.number("train", "lr", default=1e-6),
        optimiser=process.text("train", "optimizer", default="adamw"),
        saves=process.numbered_saves + 1,
        kept=process.kept_saves + 1,
    )


def carried(document: Document) -> Carried:
    """What of it our project and recipe can hold, and what not."""
    from portraitist.interop.aitoolkit.exchange import carried as carry

    return carry(document)


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Our recipe as config.yaml."""
    from portraitist.interop.aitoolkit.writing import written as write

    return write(recipe, facts, pictures)


def differences(recipe: Recipe) -> Iterator[str]:
    """What it would do otherwise with our recipe."""
    return held_out(recipe)
