"""Datasets as sd-scripts builds them: of a TOML file by its schema, or of folders by their names."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from portraitist.interop import folders
from portraitist.interop.diagnosis import Remark, Rules, SetCount
from portraitist.interop.document import Document, Path, Place
from portraitist.interop.folders import Folder
from portraitist.interop.kohya import counting
from portraitist.interop.kohya.schema import checked, known, real, sides, tables, whole
from portraitist.interop.kohya.settings import Given

PICTURES = folders.PICTURES - {".tif", ".tiff"}
"""What both of kohya's trainers take for pictures (library/train_util.py; dataset/image_video_dataset.py)."""

RENAMED = {"train_batch_size": "batch_size", "dataset_repeats": "num_repeats"}
DEFAULTS: dict[str, Any] = {
    "batch_size": 1, "num_repeats": 1, "caption_extension": ".caption", "min_bucket_reso": 256,
    "max_bucket_reso": 1024, "bucket_reso_steps": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Values:
    """Settings of a dataset or a subset: the nearest level that says one counts, then the command's, then a default."""

    levels: tuple[Mapping[str, Given], ...]
    defaults: Mapping[str, Any] = field(default_factory=lambda: DEFAULTS)

    def given(self, name: str) -> Given | None:
        """Where a setting comes from; None when from nowhere."""
        return next((level[name] for level in self.levels if name in level), None)

    def __getitem__(self, name: str) -> Any:
        found = self.given(name)
        return self.defaults.get(name) if found is None else found.value


def last(path: str) -> str:
    """The last part of a path of any system."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


@dataclass(frozen=True)
class Subset:
    """One folder of pictures."""

    values: Values
    path: Path
    place: Place
    folder: Folder | None

    @property
    def name(self) -> str:
        """Of its folder, as the config has it."""
        named = self.values["image_dir"]
        return str(named) if named else "without a folder"

    @property
    def label(self) -> str:
        """The last part of its folder's path."""
        return last(self.name)

    @property
    def repeats(self) -> int:
        """Times each picture is seen per pass."""
        return max(0, whole(self.values["num_repeats"], 1))

    @property
    def pictures(self) -> int:
        """Pictures in its folder; -1 when that is not to be seen."""
        return -1 if self.folder is None else len(self.folder.pictures)


@dataclass(frozen=True)
class Dataset:
    """One `[[datasets]]`, or the folders below train_data_dir. style: dreambooth | finetune | masks."""

    values: Values
    path: Path
    place: Place
    style: str
    every: tuple[Subset, ...]

    @cached_property
    def subsets(self) -> tuple[Subset, ...]:
        """Those that count: a folder's second subset is dropped, and one that is repeated less than once."""
        kept: dict[str, Subset] = {}
        for subset in self.every:
            if subset.repeats:
                kept.setdefault(subset.name, subset)
        return tuple(kept.values())

    @property
    def split(self) -> float:
        """Share of the pictures kept for validation."""
        share = real(self.values["validation_split"], 0.0)
        return share if 0 <= share <= 1 and self.style == "dreambooth" else 0.0

    def counts(self) -> list[SetCount]:
        """Its sets, as many pictures as are trained on."""
        found = []
        for subset in self.subsets:
            pictures, own = subset.pictures, not subset.values["is_reg"]
            if pictures > 0 and own and self.split:
                pictures = math.ceil(pictures * (1 - self.split))
            found.append(SetCount(subset.label, pictures, subset.repeats))
        return found

    def batches(self) -> int:
        """Batches of one pass; -1 when folders, or sizes that decide it, are not to be seen."""
        counts, batch = self.counts(), max(1, whole(self.values["batch_size"], 1))
        if not counts or any(one.pictures < 0 for one in counts):
            return -1
        regular = [subset.repeats for subset in self.subsets if subset.values["is_reg"] for _ in range(subset.pictures)]
        if batch == 1 or not self.values["enable_bucket"]:
            sets = zip(self.subsets, counts, strict=True)
            trained = int(sum(one.pictures * one.repeats for subset, one in sets if not subset.values["is_reg"]))
            return counting.batches([trained + counting.regularised(trained, regular)], batch)
        if self.split or regular:
            return -1  # which pictures stay, or are repeated, is drawn by chance
        return self.bucketed(batch)

    def bucketed(self, batch: int) -> int:
        """Batches of one pass over buckets; -1 when a size cannot be read."""
        side, steps = sides(self.values["resolution"]), whole(self.values["bucket_reso_steps"], 64)
        if side is None or not 8 <= steps <= 1024:
            return -1
        least = max(steps, whole(self.values["min_bucket_reso"], 256) // steps * steps)
        most = min(100_000, -(-whole(self.values["max_bucket_reso"], 1024) // steps) * steps)
        counts: dict[counting.Size, int] = {}
        for subset in self.subsets:
            sizes = list(subset.folder.sizes().values()) if subset.folder else []
            if len(sizes) != subset.pictures:
                return -1
            if self.values["bucket_no_upscale"]:
                chosen = Counter(counting.shrunk(size, side[0] * side[1], steps) for size in sizes)
            else:
                chosen = counting.bucketed(sizes, counting.bucket_sides(side, least, most, steps))
            for size, count in chosen.items():
                counts[size] = counts.get(size, 0) + count * subset.repeats
        return counting.batches(counts.values(), batch)


def of_file(document: Document, options: Mapping[str, Given], rules: Rules) -> tuple[list[Dataset], list[Remark]]:
    """The datasets of a dataset config, and what its schema refuses.

    options  of the command that names it: what no level of the file says
    """
    general = known(rules, "dataset", "subset", "dropout", "dreambooth", "file")
    value = document.value if isinstance(document.value, Mapping) else {}
    kinds = {"general": "table", "datasets": "tables"}
    everywhere = {name: "[general]" for name in general} | {"subsets": "[[datasets]]"}
    _, remarks = checked(value, (), kinds, everywhere, document, rules)
    shared = value.get("general")
    elsewhere = belonging(rules, "general")
    common, wrong = checked(
        shared if isinstance(shared, Mapping) else {}, ("general",), general, elsewhere, document, rules
    )
    remarks += wrong
    if "datasets" not in value:
        remarks.append(rules["no-datasets"].at((), document.place(())))
    found = []
    for index, table in enumerate(tables(value.get("datasets"))):
        one, wrong = dataset(table, ("datasets", index), (common, renamed(options)), document, rules)
        found.append(one)
        remarks += wrong
    return found, remarks


def dataset(
    table: Mapping[str, Any], path: Path, below: tuple[Mapping[str, Given], ...], document: Document, rules: Rules
) -> tuple[Dataset, list[Remark]]:
    """One `[[datasets]]` and its subsets, and what the schema refuses of it."""
    inner = tables(table.get("subsets"))
    finetune = ["metadata_file" in one for one in inner]
    masks = bool(inner) and all("conditioning_data_dir" in one for one in inner)
    style = "masks" if masks else "finetune" if inner and all(finetune) else "dreambooth"
    own = {"dreambooth": ("dreambooth",), "finetune": (), "masks": ("file",)}[style]
    kinds = known(rules, "dataset", "subset", "dropout", *own) | {"subsets": "tables"}
    clean, remarks = checked(table, path, kinds, belonging(rules, "datasets"), document, rules)
    if any(finetune) and not all(finetune):
        remarks.append(rules["mixed-subsets"].at(path, document.place(path)))
    levels = (clean, *below)
    subsets = []
    for index, one in enumerate(inner):
        here = (*path, "subsets", index)
        kinds = known(rules, "subset", "dropout", *own, f"{style}_own")
        said, wrong = checked(one, here, kinds, belonging(rules, "subsets"), document, rules)
        remarks += wrong
        needs = {"dreambooth": "image_dir", "finetune": "metadata_file", "masks": "image_dir"}[style]
        if needs not in one:
            remarks.append(rules["no-folder-key"].at(here, document.place(here), name=needs))
        values = Values((said, *levels))
        folder = folders.seen(values["image_dir"], document.folder, PICTURES)
        subsets.append(Subset(values, here, document.place(here), folder))
    return Dataset(Values(levels), path, document.place(path), style, tuple(subsets)), remarks


def belonging(rules: Rules, level: str) -> dict[str, str]:
    """Where keys belong that a level does not know, of those that another does."""
    data, subset = known(rules, "dataset"), known(rules, "subset", "dropout", "dreambooth", "file")
    own = known(rules, "dreambooth_own", "finetune_own", "masks_own")
    where = {name: "[[datasets.subsets]]" for name in own}
    if level == "subsets":
        return where | {name: "[[datasets]]" for name in data}
    return where | {name: "[[datasets.subsets]]" for name in subset}


def of_folders(options: Mapping[str, Given], base: str) -> list[Dataset]:
    """The dataset of `train_data_dir` and `reg_data_dir`: each folder `N_name` in them a subset."""
    common = renamed(options)
    subsets = []
    for name, regular in (("train_data_dir", False), ("reg_data_dir", True)):
        given = options.get(name)
        parent = folders.seen(given.value, base, PICTURES) if given else None
        for inner in parent.folders if parent and given else ():
            times = folders.repeats(inner)
            if times and parent and given:
                folder = Folder(parent.path / inner, PICTURES)
                said = {"image_dir": str(folder.path), "num_repeats": times, "is_reg": regular,
                        "class_tokens": inner.partition("_")[2]}  # fmt: skip
                levels = {key: Given(value, given.path, given.place) for key, value in said.items()}
                subsets.append(Subset(Values((levels, common)), given.path, given.place, folder))
    at = options.get("train_data_dir") or Given("", (), Place(1, 1, 0))
    return [Dataset(Values((common,)), at.path, at.place, "dreambooth", tuple(subsets))] if subsets else []


def renamed(options: Mapping[str, Given]) -> dict[str, Given]:
    """A command's options by the names that datasets have for them."""
    return {RENAMED.get(name, name): given for name, given in options.items() if given.value is not None}


def counted(datasets: Sequence[Dataset]) -> tuple[SetCount, ...]:
    """The sets of all datasets."""
    return tuple(one for dataset in datasets for one in dataset.counts())
