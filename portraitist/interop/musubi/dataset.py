"""musubi-tuner's datasets: built from a TOML file by its schema, and what is remarked of them."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from types import MappingProxyType
from typing import Any

from portraitist.interop import folders
from portraitist.interop.diagnosis import Remark, Rules, SetCount
from portraitist.interop.document import Document, Path, Place
from portraitist.interop.folders import Folder
from portraitist.interop.kohya import counting
from portraitist.interop.kohya.dataset import PICTURES, Values, last
from portraitist.interop.kohya.schema import checked, known, sides, tables, whole

DEFAULTS: Mapping[str, Any] = MappingProxyType({"batch_size": 1, "num_repeats": 1, "resolution": [960, 544]})
STEPS = 16
TEXT_LIMIT = 1024


@dataclass(frozen=True)
class Source:
    """One `[[datasets]]`. style: image | video."""

    values: Values
    path: Path
    place: Place
    style: str
    folder: Folder | None
    controls: Folder | None

    @property
    def name(self) -> str:
        """Of its folder or list, as the config has it."""
        keys = ("image_directory", "image_jsonl_file", "video_directory", "video_jsonl_file")
        return str(next((self.values[key] for key in keys if self.values[key]), "without a source"))

    @property
    def pictures(self) -> list[str] | None:
        """Its pictures that have a caption, which alone count; None when they are not to be seen."""
        extension = self.values["caption_extension"]
        if self.folder is None or self.style != "image" or not isinstance(extension, str):
            return None
        return self.folder.captioned(extension)

    @property
    def count(self) -> SetCount:
        """As it will be seen."""
        pictures, repeats = self.pictures, max(0, whole(self.values["num_repeats"], 1))
        return SetCount(last(self.name), -1 if pictures is None else len(pictures), repeats)

    def batches(self) -> int:
        """Batches of one pass; -1 when what decides it is not to be seen."""
        count, batch = self.count, max(1, whole(self.values["batch_size"], 1))
        if count.pictures < 0 or (self.controls is not None and batch > 1):
            return -1
        if batch == 1 or not self.values["enable_bucket"]:
            return counting.batches([int(count.pictures * count.repeats)], batch)
        side = sides(self.values["resolution"])
        named = self.pictures if self.folder else None
        sizes = list(self.folder.sizes(named).values()) if self.folder and named is not None else []
        if side is None or len(sizes) != count.pictures or min(side) < 2 * STEPS:
            return -1
        area, buckets = side[0] * side[1], counting.even_sides(side, STEPS)
        small = self.values["bucket_no_upscale"]
        own = [size for size in sizes if small and size[0] * size[1] <= area]
        counts = Counter((width - width % STEPS, height - height % STEPS) for width, height in own)
        others = [size for size in sizes if not (small and size[0] * size[1] <= area)]
        counts += counting.bucketed(others, buckets, exact=False)
        return counting.batches((int(n * count.repeats) for n in counts.values()), batch)


def of_file(document: Document, rules: Rules) -> tuple[list[Source], list[Remark]]:
    """The datasets of a config, and what the schema refuses."""
    value = document.value if isinstance(document.value, Mapping) else {}
    shared = known(rules, "dataset")
    every = known(rules, "dataset", "image", "video")
    elsewhere = {name: "[[datasets]]" for name in every}
    _, remarks = checked(value, (), {"general": "table", "datasets": "tables"}, elsewhere, document, rules)
    general = value.get("general")
    common, wrong = checked(
        general if isinstance(general, Mapping) else {}, ("general",), shared, elsewhere, document, rules
    )
    remarks += wrong
    if "datasets" not in value:
        remarks.append(rules["no-datasets"].at((), document.place(())))
    found = []
    for index, table in enumerate(tables(value.get("datasets"))):
        here = ("datasets", index)
        video = "video_directory" in table or "video_jsonl_file" in table
        clean, wrong = checked(table, here, known(rules, "dataset", "video" if video else "image"), {}, document, rules)
        remarks += wrong
        values = Values((clean, common), DEFAULTS)
        folder = folders.seen(values["image_directory"], document.folder, PICTURES)
        controls = folders.seen(values["control_directory"], document.folder, PICTURES)
        style = "video" if video else "image"
        found.append(Source(values, here, document.place(here), style, folder, controls))
    return found, remarks


def remarks(sources: Sequence[Source], rules: Rules) -> Iterator[Remark]:
    """What is remarked of datasets alone."""
    caches: dict[str, Source] = {}
    for source in sources:
        cache = str(source.values["cache_directory"] or source.values["image_directory"] or "")
        if cache in caches and source.style == "image":
            yield on(rules, "cache-shared", source, ("cache_directory", "image_directory"), cache=cache)
        caches.setdefault(cache, source)
        if source.style == "image":
            yield from of_source(source, rules)
            yield from of_size(source, rules)
            yield from of_captions(source, rules)
            yield from of_controls(source, rules)


def on(rules: Rules, name: str, source: Source, keys: Sequence[str], **fields: object) -> Remark:
    """A remark at the first of `keys` that is given, else at the dataset."""
    found = next((given for key in keys if (given := source.values.given(key))), None)
    path, place = (found.path, found.place) if found else (source.path, source.place)
    return rules[name].at(path, place, **fields)


def of_source(source: Source, rules: Rules) -> Iterator[Remark]:
    """Where the pictures come from."""
    values = source.values
    if not values["image_directory"] and not values["image_jsonl_file"]:
        yield on(rules, "no-source", source, ())
    elif values["image_directory"] and source.folder is None:
        yield on(rules, "folder-not-here", source, ("image_directory",), folder=values["image_directory"])
    if values["image_jsonl_file"] and not values["image_directory"] and not values["cache_directory"]:
        yield on(rules, "list-without-cache", source, ("image_jsonl_file",))
    if whole(values["num_repeats"], 1) < 1:
        yield on(rules, "repeats-zero", source, ("num_repeats",), folder=source.name)
    times = folders.repeats(last(source.name))
    if times > 1 and values.given("num_repeats") is None and values["image_directory"]:
        yield on(rules, "repeats-in-name", source, ("image_directory",), folder=source.name, times=times)


def of_size(source: Source, rules: Rules) -> Iterator[Remark]:
    """Resolution and buckets."""
    values, side = source.values, sides(source.values["resolution"]) or (960, 544)
    if values.given("resolution") is None:
        yield on(rules, "resolution-default", source, ())
    if not values["enable_bucket"]:
        yield on(rules, "no-buckets", source, ("enable_bucket", "resolution"), side=f"{side[0]}x{side[1]}")


def of_captions(source: Source, rules: Rules) -> Iterator[Remark]:
    """Captions: without one a picture does not count."""
    values, folder = source.values, source.folder
    if not values["image_directory"]:
        return
    extension, keys = values["caption_extension"], ("caption_extension", "image_directory")
    if not extension:
        yield on(rules, "no-extension", source, keys)
    elif not str(extension).startswith("."):
        yield on(rules, "extension-without-dot", source, keys, extension=extension)
    elif folder is not None:
        captioned = folder.captioned(str(extension))
        count, fields = len(folder.pictures) - len(captioned), {"folder": source.name, "extension": extension}
        if not captioned:
            yield on(rules, "captions-not-read", source, keys, other=folder.extension() or ".txt", **fields)
        elif count:
            yield on(rules, "captions-missing", source, keys, count=count, **fields)
        texts = list(folder.captions(str(extension)))
        long = [name for name, text in texts if folders.tokens(text, False) > TEXT_LIMIT]
        if long:
            some = folders.some(long)
            yield on(rules, "captions-too-long", source, keys, count=len(long), some=some, limit=TEXT_LIMIT)


def of_controls(source: Source, rules: Rules) -> Iterator[Remark]:
    """Control pictures: how they are sized, and whether each picture has one."""
    values = source.values
    if not values["control_directory"]:
        return
    if not values["no_resize_control"] and values["control_resolution"] is None:
        yield on(rules, "controls-resized", source, ("control_directory",))
    if source.controls is None:
        yield on(rules, "folder-not-here", source, ("control_directory",), folder=values["control_directory"])
        return
    stems = [File(name).stem for name in source.controls.pictures]
    lone = [name for name in source.pictures or [] if not any(belongs(stem, File(name).stem) for stem in stems)]
    if lone:
        fields = {"count": len(lone), "some": folders.some(lone)}
        yield on(rules, "folder-without-controls", source, ("control_directory",), **fields)


def belongs(control: str, picture: str) -> bool:
    """Whether a control picture's stem is a picture's, with digits after it or none."""
    return control == picture or control.startswith(f"{picture}_")


def resolutions(sources: Sequence[Source]) -> tuple[int, ...]:
    """The sides of squares of the areas that are trained at."""
    found = [sides(source.values["resolution"]) for source in sources]
    return tuple(sorted({round(math.sqrt(side[0] * side[1])) for side in found if side}))
