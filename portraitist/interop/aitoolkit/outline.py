"""ai-toolkit: what stops the runner before a process is begun, and what its sections drop."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from portraitist.interop.aitoolkit.process import Process, numeric
from portraitist.interop.diagnosis import Remark, rules
from portraitist.interop.document import Document, Path, Place
from portraitist.interop.nearest import asked

ENVIRONMENT = re.compile(r"\$\{[^}]+\}")
CONVERTING = ("adam", "adamw", "adagrad", "adafactor", "automagic", "automagic2", "automagic3", "automagicexperiment")
"""Optimisers whose rate may be a text (toolkit/optimizer.py:76-110)."""

SECTIONS = ("network", "train", "model", "save", "sample", "logging", "datasets")


def say(document: Document, rule: str, path: Path, **fields: Any) -> Remark:
    """A remark on a place of the file."""
    return rules("aitoolkit")[rule].at(path, document.place(path), **fields)


def whole(document: Document) -> Iterator[Remark]:
    """What is said of the file: its language, its job, its name, its processes."""
    yield from traps(document)
    keys = rules("aitoolkit").keys
    for number, line in enumerate(document.text.splitlines(), 1):
        if found := ENVIRONMENT.search(line):  # in comments too: the text is filled in before it is read
            place = Place(number, found.start() + 1, len(found[0]))
            yield rules("aitoolkit")["environment"].at((), place, value=found[0])
    job = document.get("job")
    if job is None or job == "":
        yield say(document, "no-job", ())
    elif job not in keys["jobs"]:
        yield say(document, "unknown-job", ("job",), value=shown(job))
    name = document.get("config", "name")
    if name is None:
        yield say(document, "no-name", ("config",))
    elif not isinstance(name, str):
        yield say(document, "name-not-text", ("config", "name"), value=shown(name), text=plain(name))
    listed = document.get("config", "process")
    if not isinstance(listed, list) or not listed:
        yield say(document, "no-process", ("config",))
    if job in ("extension", None):
        yield from dropped(document, (), document.value, "file")
        yield from dropped(document, ("config",), document.get("config"), "config")


def traps(document: Document) -> Iterator[Remark]:
    """Traps of the language that this tool falls into; 2e-4 is a number to its YAML reader."""
    texts = rules("aitoolkit").keys["texts"]
    for trap in document.traps:
        name = next((part for part in reversed(trap.path) if isinstance(part, str)), "")
        if trap.kind == "duplicate":
            yield rules("aitoolkit")["duplicate-key"].at(trap.path, trap.place, says=trap.says)
        elif trap.kind == "date":
            yield rules("aitoolkit")["date"].at(trap.path, trap.place, says=trap.says)
        elif trap.kind in ("comment", "comma"):
            says = trap.says[0].upper() + trap.says[1:]
            yield rules("aitoolkit")["json-comment"].at(trap.path, trap.place, says=says)
        elif trap.kind == "boolean-word" and name in texts and trap.path[:1] == ("config",):
            yield rules("aitoolkit")["boolean-word"].at(trap.path, trap.place, says=trap.says)


def begun(process: Process) -> Iterator[Remark]:
    """Whether the process is one that trains, and what must be there for it to begin."""
    keys, kind = process.rules.keys, process.get("type")
    job = process.document.get("job")
    if not isinstance(kind, str) or kind not in (*keys["trainers"], *keys["others"]):
        near = asked(str(kind), keys["trainers"])
        known = isinstance(kind, str) and not near
        yield process.say("own-type" if known else "unknown-type", "type", value=shown(kind), near=near)
        return
    if not trains(process):
        what = f"job: {job}" if job not in ("extension", None) else f"type: {kind}"
        yield process.say("other-job", "type", what=what)
        return
    if not process.get("training_folder"):
        yield process.say("no-training-folder")
    for name in SECTIONS:
        yield from shaped(process, name)
    if not process.datasets:
        yield process.say("no-datasets", "datasets")
    yield from valued(process)


def trains(process: Process) -> bool:
    """Whether the process is a training whose keys are known here."""
    return process.get("type") in process.rules.keys["trainers"]


def shaped(process: Process, name: str) -> Iterator[Remark]:
    """Whether a section is what the trainer takes apart."""
    value = process.get(name)
    if value is None and not (process.has(name) and name in ("train", "save", "sample", "model", "logging")):
        return
    wanted, shape = (list, "a list") if name == "datasets" else (Mapping, "a mapping")
    if not isinstance(value, wanted):
        yield process.say("wrong-shape", name, what=name, shape=shape, value=shown(value))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            if not isinstance(one, Mapping):
                what = f"an entry of {name}"
                yield process.say("wrong-shape", name, index, what=what, shape="a mapping", value=shown(one))


def valued(process: Process) -> Iterator[Remark]:
    """Values of another kind than their key takes: texts for numbers, texts for truth."""
    keys, places = process.rules.keys, scopes(process)
    for scope, path, values in places:
        for key, value in values.items():
            unset = value is None and scope == "network"  # which is as if it were not there
            if key in keys["numbers"].get(scope, ()) and numeric(process.document, value) is None and not unset:
                yield process.say("not-a-number", *path, key, key=key, value=shown(value), text=plain(value))
            if key in keys["booleans"] and isinstance(value, str) and value.lower() in ("false", "no", "off", "0"):
                yield process.say("quoted-boolean", *path, key, key=key, value=shown(value))
    rate = process.get("train", "lr")
    optimiser = process.text("train", "optimizer", default="adamw").lower()
    if rate is not None and numeric(process.document, rate) is None:
        convertible = isinstance(rate, str) and re.fullmatch(r"[\d.]+([eE][-+]?\d+)?", rate)
        if not (convertible and optimiser in CONVERTING):
            yield process.say("not-a-number", "train", "lr", key="lr", value=shown(rate), text=plain(rate))


def scopes(process: Process) -> Iterator[tuple[str, Path, Mapping[str, Any]]]:
    """Every section that is a mapping: its name in the key table, its path below the process, its values."""
    yield "process", (), process.section()
    for name in ("network", "save", "logging", "train", "model", "sample"):
        yield name, (name,), process.section(name)
    yield "sample", ("first_sample",), process.section("first_sample")
    yield "ema_config", ("train", "ema_config"), process.section("train", "ema_config")
    yield "validation_config", ("train", "validation_config"), process.section("train", "validation_config")
    lists = {
        "datasets": ("datasets",),
        "samples": ("sample", "samples"),
        "validation_items": ("train", "validation_config", "validation_items"),
    }
    for name, path in lists.items():
        listed = process.get(*path)
        for index, one in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(one, Mapping):
                yield name, (*path, index), one


SPOKEN_FOR = frozenset({"device", "epochs", "num_epochs", "quantize_dtype", "epoch"})
"""Keys that have rules of their own."""


def unread(process: Process) -> Iterator[Remark]:
    """Keys that no section reads."""
    for scope, path, values in scopes(process):
        yield from dropped(process.document, (*process.path, *path), values, scope)
    if process.has("device"):
        yield process.say("device", "device")


def dropped(document: Document, path: Path, values: Any, scope: str) -> Iterator[Remark]:
    """Keys of one section that the tool does not know, each with the nearest that it does."""
    table = rules("aitoolkit").keys
    known = table[scope]
    for key in values if isinstance(values, Mapping) else ():
        if key in known or key in SPOKEN_FOR or (scope == "model" and key.startswith("is_")):
            continue
        homes = [name for name in SECTIONS if key in table[name] and name != scope]
        near = asked(key, known)
        instead = f"{key} under {homes[0]}, where it is read" if homes and not near else ""
        yield say(document, "unknown-key", (*path, key), key=key, section=scope, near=near, instead=instead)


def shown(value: Any) -> str:
    """A value in a sentence."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else repr(value)[:60]


def plain(value: Any) -> str:
    """What to write for a value of the wrong kind: a text without its quotes."""
    return "1" if isinstance(value, Mapping | list | bool) or value is None else str(value)[:60]
