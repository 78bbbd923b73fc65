"""What diffusion-pipe's dataset says, and what can be seen of its pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from portraitist.interop.diffusion_pipe.reading import Directory, held
from portraitist.interop.document import Path
from portraitist.interop.folders import folders
from portraitist.interop.judging import Judging, number, words
from portraitist.interop.nearest import meant

RANGE = ("min_ar", "max_ar", "num_ar_buckets")


def directory_checks(judging: Judging, above: Mapping[str, Any], found: Sequence[Directory], family: str) -> None:
    """All of them; `family` is "" where a dataset is judged alone."""
    inside = "model" not in judging.document.value and "optimizer" not in judging.document.value
    top: Path = () if inside else ("dataset",)
    if inside:
        above_all(judging, above)
    whole_sizes = any(one.setting("size_buckets") for one in found)
    if not found:
        judging.say("no-directory", *top)
    elif "resolutions" not in above and not all(one.setting("size_buckets") for one in found):
        judging.say("no-resolutions", *top)
    if any(not one.setting("enable_ar_bucket") for one in found) and not whole_sizes:
        judging.say("squares-alone", *top, *(("enable_ar_bucket",) if inside else ()))
    for one in found:
        judging.turn(one.name, one.path)
        named(judging, one, inside)
        sized(judging, one)
        beside(judging, one)
    judging.about = ""
    shown = [one.where("control_path") for one in found if "control_path" in one.own]
    cached = [one.where("path") for one in found if one.seen]
    if shown:
        judging.say("one-control", *shown[0])
    elif family == "qwen-image-edit":
        judging.say("edit-without-control", *top)
    if cached:
        judging.say("cache-beside", *cached[0])


def above_all(judging: Judging, above: Mapping[str, Any]) -> None:
    """What stands above every directory, where a dataset is judged alone."""
    known = judging.rules.keys["dataset"]
    for name, value in above.items():
        if name not in known:
            judging.say("unknown-key", name, name=name, where="in a dataset", near=meant(name, known))
        elif name in (*RANGE, "num_repeats") and isinstance(value, str):
            judging.say("quoted-number", name, name=name, value=value, plain=value)


def named(judging: Judging, one: Directory, inside: bool) -> None:
    """Its keys, its path and its repeats."""
    known = judging.rules.keys["directory"]
    for name in one.own if inside else ():
        if name not in known:
            judging.say("unknown-key", *one.where(name), name=name, where="in a [[directory]]", near=meant(name, known))
    if not words(one.own.get("path")):
        judging.say("path-not-named", *one.where())
    for key in ("path", "mask_path", "control_path"):
        folder = words(one.own.get(key))
        if folder and one.base and not folders(folder, one.base):
            judging.say("folder-missing", *one.where(key), name=key, folder=folder)
    value = one.setting("num_repeats", 1)
    if isinstance(value, str):
        judging.say("quoted-number", *one.where("num_repeats"), name="num_repeats", value=value, plain=value)
    elif number(value, 1.0) <= 0:
        judging.say("repeats-not-positive", *one.where("num_repeats"), value=number(value))


def sized(judging: Judging, one: Directory) -> None:
    """Its resolutions and ratios."""
    sides = held(one.setting("resolutions"))
    if len(sides) > 3:
        judging.say("too-many-resolutions", *one.where("resolutions"), count=len(sides))
    elif len(one.sides) > 1:
        last = f"{one.sides[-1]:g}"
        judging.say("copies", *one.where("resolutions"), value=sides, count=len(one.sides), last=last)
    if one.setting("enable_ar_bucket") and not one.setting("ar_buckets") and not one.setting("size_buckets"):
        missing = [name for name in RANGE if name not in one.above]
        if missing:
            judging.say("no-range", *one.where(missing[0]), name=missing[0])


def beside(judging: Judging, one: Directory) -> None:
    """Masks, controls and captions of its pictures."""
    if words(one.own.get("mask_path")):
        judging.say("mask-not-normalised", *one.where("mask_path"))
    shuffled = number(one.setting("cache_shuffle_num"), 0.0) > 0 or one.setting("shuffle_tags") is True
    if shuffled and not one.setting("caption_prefix"):
        judging.say("trigger-shuffled", *one.where("cache_shuffle_num"))
    if not one.pictures:
        return
    stems = {name.rpartition(".")[0] for name in one.pictures}
    for key, rule in (("mask_path", "folder-masks-missing"), ("control_path", "controls-missing")):
        other = folders(words(one.own.get(key)), one.base)
        if other:
            there = {name.rpartition(".")[0] for name in other[0].pictures}
            if missing := len(stems - there):
                fields = {"missing": missing, "pictures": len(stems), "folder": one.own[key]}
                judging.say(rule, *one.where(key), **fields)
    captioned = {name.rpartition(".")[0] for name in one.seen[0].names if name.endswith(".txt")}
    missing = len(stems - captioned)
    if missing and "captions.json" not in one.seen[0].names:
        what = "left out" if one.setting("skip_empty_caption", True) else "trained with an empty caption"
        judging.say("captions-missing", *one.where("path"), missing=missing, pictures=len(stems), what=what)
