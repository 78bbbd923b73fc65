"""ai-toolkit: what becomes of `datasets`: sets, copies, captions, control pictures."""

import math
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from portraitist import registry
from portraitist.interop.aitoolkit.process import Dataset, Process
from portraitist.interop.diagnosis import Remark

MOST_CAPTIONS = 2000
"""Captions of a set that are read."""

MOST_BYTES = 100_000
"""Of a caption; what is longer is none."""


def datasets(process: Process) -> Iterator[Remark]:
    """All that is said of `datasets`."""
    for one in process.datasets:
        yield from folder(process, one)
        yield from sizes(process, one)
        yield from dropout(process, one)
        yield from controls(process, one)
        yield from captions(process, one)
    yield from prefixes(process)
    yield from nested(process)


def folder(process: Process, one: Dataset) -> Iterator[Remark]:
    """Where the pictures are."""
    at = (*one.path, "dataset_path" if one.values.get("dataset_path") else "folder_path")
    if not one.folder:
        yield process.say("no-folder", *one.path)
    elif one.seen is None:
        yield process.say("folder-missing", *at, value=one.folder)
    elif one.seen.is_dir() and one.pictures == () and int(process.number(*one.path, "num_frames", default=1)) <= 1:
        yield process.say("folder-empty", *at, value=one.folder)
    if one.values.get("poi") is not None:
        yield process.say("poi", *one.path, "poi")
    augmented = one.values.get("augments") or one.values.get("augmentations")
    if augmented and (one.values.get("cache_latents") or one.values.get("cache_latents_to_disk")):
        yield process.say("augmented-cache", *one.path)


def sizes(process: Process, one: Dataset) -> Iterator[Remark]:
    """A list of resolutions is a list of copies."""
    at, sides = (*one.path, "resolution"), one.resolutions
    if len(sides) > 1 and len(set(sides)) < len(sides):
        side = max(sides)
        fields = {"value": list(sides), "copies": len(sides), "side": side}
        yield process.say("resolution-copies", *at, **fields)
    elif len(sides) > 1:
        yield process.say("resolution-list", *at, copies=len(sides))
    if "resolution" not in one.values and process.family:
        side = registry.get(process.family).profile.resolution
        yield process.say("resolution-default", *one.path, family=process.family, side=side)


def dropout(process: Process, one: Dataset) -> Iterator[Remark]:
    """What a dropped caption becomes, and what a cache of texts passes over."""
    rate = process.number(*one.path, "caption_dropout_rate", default=0)
    trigger = one.values.get("trigger_word") or process.get("trigger_word")
    if rate > 0 and isinstance(trigger, str) and trigger.strip() and not one.values.get("is_reg"):
        yield process.say("dropout-trigger", *one.path, "caption_dropout_rate", rate=rate, trigger=trigger)
    cached = process.flag("train", "cache_text_embeddings") or one.values.get("cache_text_embeddings")
    for key in ("token_dropout_rate", "shuffle_tokens"):
        if cached and one.values.get(key):
            yield process.say("cached-tokens", *one.path, key, key=key)


def controls(process: Process, one: Dataset) -> Iterator[Remark]:
    """Edit models are trained on pairs."""
    keys = (
        "control_path",
        "control_path_1",
        "control_path_2",
        "control_path_3",
        "controls",
        "control_from_same_folder",
    )
    if process.arch in process.rules.keys["edits"] and not any(one.values.get(key) for key in keys):
        other = "; or arch: qwen_image with the same model, to train on words alone"
        yield process.say("control-missing", *one.path, arch=process.arch, other=other)


def captions(process: Process, one: Dataset) -> Iterator[Remark]:
    """Captions that can be seen: those missing, those too long, those that are no UTF-8."""
    pictures = one.pictures
    ext = one.values.get("caption_type") or one.values.get("caption_ext", ".txt")
    if not pictures or not isinstance(ext, str) or not re.fullmatch(r"\.?[\w-]{1,20}", ext):
        return
    ext = ext if ext.startswith(".") else f".{ext}"
    trigger = one.values.get("trigger_word") or process.get("trigger_word")
    found = {path: path.with_suffix(ext) for path in pictures[:MOST_CAPTIONS]}
    missing = [path for path, text in found.items() if not text.is_file()]
    if missing and not one.values.get("default_caption"):
        fields = {"count": len(missing), "all": len(found), "name": one.name, "ext": ext, "example": missing[0].name}
        instead = f"{trigger!r} alone" if trigger else "no words at all"
        yield process.say("captions-missing", *one.path, instead_of=instead, **fields)
    texts: dict[str, str] = {}
    for path in (text for text in found.values() if text.is_file() and text.stat().st_size < MOST_BYTES):
        try:
            texts[path.name] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            yield process.say("captions-encoding", *one.path, example=path.name, name=one.name)
            return
        except OSError:
            continue
    if process.family and ext == ".txt":
        yield from long(process, one, texts)


def long(process: Process, one: Dataset, texts: dict[str, str]) -> Iterator[Remark]:
    """Captions with more tokens than are read, counted without a vocabulary."""
    family = registry.get(process.family)
    limit = family.profile.token_limit
    over = {name: count for name, text in texts.items() if (count := family.count_tokens(text)) > limit}
    if over:
        example = max(over, key=lambda name: over[name])
        fields = {"count": len(over), "all": len(texts), "name": one.name, "limit": limit, "family": process.family}
        yield process.say("captions-long", *one.path, example=example, tokens=over[example], **fields)


def prefixes(process: Process) -> Iterator[Remark]:
    """Repeats by folder name, which are kohya's."""
    unsaid = [one for one in process.datasets if one.prefix and "num_repeats" not in one.values]
    lone = len(process.datasets) == 1
    shared = math.gcd(*(one.prefix or one.repeats for one in process.datasets))
    for one in unsaid:
        at = (*one.path, "dataset_path" if one.values.get("dataset_path") else "folder_path")
        name = one.name.partition("_")[2]
        if lone or len({other.prefix for other in process.datasets}) == 1:
            yield process.say("prefix-alone", *at, prefix=one.prefix, name=name)
        else:
            least = one.prefix // shared  # the ratio is what counts, not how long a pass is
            yield process.say("folder-prefix", *at, prefix=one.prefix, name=name, ratio=ratio(process), instead=least)


def ratio(process: Process) -> str:
    """What the ratio of the sets is and what it would be with the repeats, where the pictures can be seen."""
    counts = [len(one.pictures or ()) for one in process.datasets]
    if not all(counts) or len(counts) != 2:
        return ""
    is_now = counts[0] * process.datasets[0].repeats / (counts[1] * process.datasets[1].repeats)
    meant = [(one.prefix or 1) * count for one, count in zip(process.datasets, counts, strict=True)]
    return f": the sets stand {is_now:.3g} to 1, not {meant[0] / meant[1]:.3g} to 1"


def nested(process: Process) -> Iterator[Remark]:
    """Folders inside folders are read twice."""
    placed = [(one, PurePosixPath(one.folder.replace("\\", "/"))) for one in process.datasets if one.folder]
    for one, path in placed:
        for other, above in placed:
            if above in path.parents and str(above) not in (".", "/"):
                yield process.say("nested-folders", *one.path, inner=one.name, outer=other.name)
