"""ai-toolkit: one process of a config, read as the trainer reads it: defaults, old flags, folders that can be seen."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as Folder
from typing import Any

from portraitist.interop.diagnosis import Remark, Rules, rules
from portraitist.interop.document import NOTHING, Document, Path
from portraitist.interop.folders import candidates
from portraitist.interop.judging import is_turbo
from portraitist.interop.yamls import NUMBER

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
"""What the trainer takes for a picture (toolkit/data_loader.py)."""

MOST_ENTRIES = 20_000
"""Of a folder with all below it: beyond that it is left unseen, for a config may name the root of a disk."""

PREFIX = re.compile(r"([1-9]\d{0,3})_(.+)")


def numeric(document: Document, value: Any) -> float | None:
    """A number as the trainer has it; None for anything else. Its YAML reader takes 2e-4 for one too."""
    if isinstance(value, str) and document.kind == "yaml" and NUMBER.fullmatch(value):
        return finite(float(value))
    return finite(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def finite(value: float) -> float | None:
    """A number that is one, below what floating point holds; None for the others."""
    return float(value) if -1e300 < value < 1e300 else None


@dataclass(frozen=True)
class Dataset:
    """One entry of `datasets`, as it counts. `folder` is as written, `seen` where it lies from here or None."""

    path: Path
    values: Mapping[str, Any]
    folder: str
    seen: Folder | None
    repeats: int
    resolutions: tuple[int, ...]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return re.split(r"[\\/]", self.folder.rstrip("\\/"))[-1] or self.folder

    @property
    def prefix(self) -> int:
        """The number before the name by kohya's convention; 0 without."""
        found = PREFIX.fullmatch(self.name)
        return int(found[1]) if found else 0

    @cached_property
    def pictures(self) -> tuple[Folder, ...] | None:
        """Pictures that the trainer would find, those below the folder too; None where that cannot be seen."""
        if self.seen is None or not self.seen.is_dir():
            return None
        found: list[Folder] = []
        passed = 0
        for folder, below, files in os.walk(self.seen):
            below[:] = sorted(name for name in below if not name.startswith(".") and name != "_controls")
            passed += len(below) + len(files)
            if passed > MOST_ENTRIES:
                return None
            kept = (name for name in files if name.lower().endswith(PICTURES) and not name.startswith("."))
            found += [Folder(folder) / name for name in sorted(kept)]
        return tuple(found)


@dataclass(frozen=True)
class Process:
    """One process: where it stands, and what its settings come to."""

    document: Document
    path: Path

    @property
    def rules(self) -> Rules:
        """The tool's rules."""
        return rules("aitoolkit")

    def get(self, *path: str | int, default: Any = None) -> Any:
        """A value; `default` where there is none or null."""
        found = self.document.get(*self.path, *path)
        return default if found is None else found

    def has(self, *path: str | int) -> bool:
        """Whether something is said, null included."""
        return self.document.has(*self.path, *path)

    def section(self, *path: str | int) -> Mapping[str, Any]:
        """A mapping; an empty one where there is none."""
        found = self.get(*path)
        return found if isinstance(found, Mapping) else {}

    def number(self, *path: str | int, default: float = NOTHING) -> float:  # type: ignore[assignment]
        """A number; `default` where there is none."""
        found = numeric(self.document, self.get(*path))
        return default if found is None else found

    def whole(self, *path: str | int, default: int) -> int:
        """A whole number from 0 below 2^31; `default` where there is none."""
        found = self.number(*path, default=default)
        return int(found) if 0 <= found < 2**31 else default

    def text(self, *path: str | int, default: str = "") -> str:
        """A text; `default` where there is none."""
        found = self.get(*path)
        return found if isinstance(found, str) else default

    def flag(self, *path: str | int, default: bool = False) -> bool:
        """Whether a value counts as true, as Python takes it."""
        return bool(self.get(*path, default=default))

    def say(self, rule: str, *path: str | int, **fields: Any) -> Remark:
        """A remark on a place in this process."""
        where = (*self.path, *path)
        return self.rules[rule].at(where, self.document.place(where), **fields)

    @cached_property
    def name_or_path(self) -> str:
        """The model as it is named."""
        return self.text("model", "name_or_path")

    @cached_property
    def named_arch(self) -> str:
        """The family that the model's name tells of; "" when it tells of none."""
        name = self.name_or_path.lower()
        return next((arch for pattern, arch in self.rules.keys["names"].items() if re.search(pattern, name)), "")

    @cached_property
    def said_arch(self) -> str:
        """What the trainer takes the model for; "" when nothing says, and it takes it for sd1."""
        said = self.text("model", "arch").partition(":")[0]
        if said:
            return "flux" if said == "flex1" else said
        flags = self.rules.keys["flags"].items()
        return next((arch for flag, arch in flags if self.flag("model", flag)), "")

    @cached_property
    def arch(self) -> str:
        """The same, or where nothing says what the model's name tells of: all else is judged as if that were mended."""
        return self.said_arch or self.named_arch or "sd1"

    @property
    def unet(self) -> bool:
        """Whether alpha counts, and noise is what is predicted."""
        return self.arch in self.rules.keys["unets"]

    @property
    def transformer(self) -> bool:
        """Whether alpha is the rank and noise a flow's."""
        return self.arch in self.rules.keys["flows"] or self.arch in self.rules.keys["old_flows"]

    @cached_property
    def family(self) -> str:
        """The base as portraitist names its family; "" for one that it does not train."""
        name, tag = self.name_or_path.lower(), self.text("model", "arch").partition(":")[2]
        found = str(self.rules.keys["ours"].get(self.arch, ""))
        if self.arch == "flux" and re.search(r"flex|schnell|kontext|fill", name):
            return ""
        if self.arch != "zimage" or "turbo" not in name + tag:
            return found
        return "z-image-turbo" if is_turbo(f"{name} {tag}") else ""

    @property
    def rank(self) -> int:
        """Of the factors."""
        rank = self.whole("network", "linear", default=4)
        return self.whole("network", "rank", default=rank)

    @property
    def steps(self) -> int:
        """As written: micro-batches with the old accumulation, else updates."""
        return self.whole("train", "steps", default=1000)

    @property
    def batch(self) -> int:
        """Pictures of one forward pass."""
        return max(1, self.whole("train", "batch_size", default=1))

    @property
    def old_accumulation(self) -> int:
        """`gradient_accumulation_steps`: micro-batches an update of which the last alone counts; -1 a whole pass."""
        found = self.number("train", "gradient_accumulation_steps", default=1)
        return int(found) if -1 <= found <= 1e9 else 1

    @property
    def accumulation(self) -> int:
        """`gradient_accumulation`: batches an update, all of which count."""
        return max(1, self.whole("train", "gradient_accumulation", default=1))

    @property
    def updates(self) -> int:
        """Times the weights change; -1 with one update a pass."""
        return -1 if self.old_accumulation < 0 else self.steps // max(1, self.old_accumulation)

    @cached_property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets that are mappings, each once, whatever resolutions it has."""
        listed = self.get("datasets")
        found = enumerate(listed if isinstance(listed, list) else ())
        return tuple(self.dataset(index, values) for index, values in found if isinstance(values, Mapping))

    def dataset(self, index: int, values: Mapping[str, Any]) -> Dataset:
        """One dataset by its values."""
        at = ("datasets", index)
        folder = self.text(*at, "dataset_path") or self.text(*at, "folder_path")
        size = self.get(*at, "resolution", default=512)
        sizes = [numeric(self.document, one) for one in (size if isinstance(size, list) else [size])]
        sides = tuple(int(one) for one in sizes if one is not None and 1 <= one < 1e6)
        repeats = max(1, self.whole(*at, "num_repeats", default=1))
        return Dataset(at, values, folder, self.found(folder), repeats, sides)

    def found(self, written: str) -> Folder | None:
        """Where a path of the config lies from here; None when nowhere."""
        for place in candidates(written, self.document.folder):
            try:
                if place.exists():
                    return place
            except OSError:
                continue
        return None

    def samples(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Sample prompts with their places: `samples`, else `prompts`."""
        listed = self.get("sample", "samples")
        key = "samples" if isinstance(listed, list) else "prompts"
        listed = listed if isinstance(listed, list) else self.get("sample", "prompts")
        for index, one in enumerate(listed if isinstance(listed, list) else ()):
            yield ("sample", key, index), (one if isinstance(one, Mapping) else {"prompt": one})

    @property
    def side(self) -> int:
        """The largest training side in pixels; 0 when none is said."""
        return max((side for one in self.datasets for side in one.resolutions), default=0)

    @property
    def numbered_saves(self) -> int:
        """Checkpoints before the last one."""
        every = self.whole("save", "save_every", default=1000)
        return (self.steps - 1) // every if every and self.steps else 0

    @property
    def kept_saves(self) -> int:
        """Of those, how many are left at the end; a limit of 0 deletes none."""
        limit = self.whole("save", "max_step_saves_to_keep", default=5)
        return min(self.numbered_saves, limit) if limit else self.numbered_saves

    @property
    def quantised(self) -> str:
        """What the base's weights are held in."""
        if not self.flag("model", "quantize"):
            return self.text("train", "dtype", default="fp32")
        kind = self.text("model", "qtype", default="qfloat8").partition("|")[0]
        if self.flag("model", "layer_offloading") and kind == "qfloat8":
            return "float8"
        return kind

    @property
    def recovery(self) -> str:
        """The accuracy recovery adapter; "" without."""
        own = self.text("model", "accuracy_recovery_adapter")
        return own or self.text("model", "qtype").partition("|")[2]
