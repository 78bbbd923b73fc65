"""diffusion-pipe's two files, and what comes of them: pictures, buckets, steps."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

from portraitist.interop.diagnosis import Effective, SetCount
from portraitist.interop.document import Document, Path
from portraitist.interop.folders import Folder, folders
from portraitist.interop.judging import beside, is_turbo, number, table, tables, whole, words

FAMILIES = {"qwen_image": "qwen-image", "flux": "flux", "sdxl": "sdxl", "z_image": "z-image"}
HELD = {"float8": "fp8", "float8_e4m3fn": "fp8", "float8_e5m2": "fp8"}
SELF_RATED = ("automagic", "prodigy", "schedulefree")


@dataclass(frozen=True)
class Directory:
    """One [[directory]] with what stands above all of them.

    path  where it stands in the document that is judged; of another file's, where that file is named
    base  the folder that its paths count from
    """

    path: Path
    own: Mapping[str, Any]
    above: Mapping[str, Any]
    base: str

    def setting(self, name: str, default: Any = None) -> Any:
        """Its own value, else what stands above it."""
        return self.own.get(name, self.above.get(name, default))

    def where(self, *keys: str) -> Path:
        """Where a key of it stands."""
        return (*self.path, *keys) if isinstance(self.path[-1], int) else self.path

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePath(words(self.own.get("path")).replace("\\", "/")).name or "directory"

    @property
    def repeats(self) -> float:
        """Times each picture is seen in a pass."""
        return max(0.0, number(self.setting("num_repeats", 1), 1.0))

    @property
    def sides(self) -> tuple[float, ...]:
        """Sides of the squares whose area its pictures take, one copy of each picture per side."""
        found = []
        for one in held(self.setting("resolutions")):
            pair = [number(side, 0.0) for side in held(one)]
            side = math.sqrt(max(0.0, pair[0] * pair[1])) if len(pair) == 2 else number(one, 0.0)
            found.append(round(side, 3))
        return tuple(sorted(set(found)))

    @cached_property
    def seen(self) -> tuple[Folder, ...]:
        """Its folder, as far as it is to be seen from here."""
        return folders(words(self.own.get("path")), self.base)

    @property
    def pictures(self) -> tuple[str, ...]:
        """Names of its pictures."""
        return self.seen[0].pictures if self.seen else ()

    @property
    def trained(self) -> tuple[str, ...]:
        """Those that are trained on: one without a caption is left out, unless that is switched off."""
        names = self.seen[0].names if self.seen else frozenset()
        if "captions.json" in names or not self.setting("skip_empty_caption", True):
            return self.pictures
        return tuple(name for name in self.pictures if name.rpartition(".")[0] + ".txt" in names)

    @property
    def count(self) -> int:
        """How many are trained on; -1 when they are not to be seen."""
        return len(self.trained) if self.seen else -1

    @cached_property
    def ratios(self) -> list[float]:
        """The ratios of width to height that it sorts pictures into."""
        if not self.setting("enable_ar_bucket", False):
            return [1.0]
        named = held(self.setting("ar_buckets"))
        if named:
            return sorted({ratio for ratio in map(ratio_of, named) if ratio > 0}) or [1.0]
        least, most = number(self.setting("min_ar"), 0.5), number(self.setting("max_ar"), 2.0)
        count = min(1000, max(1, whole(self.setting("num_ar_buckets"), 7)))
        if least <= 0 or most < least or count == 1:
            return [max(least, 0.01)]
        return [least * (most / least) ** (index / (count - 1)) for index in range(count)]

    @cached_property
    def buckets(self) -> Counter[tuple[float, float]] | None:
        """Its pictures in a pass by bucket, ratio and side; None when their sizes cannot be read."""
        if not self.seen or self.setting("size_buckets") is not None:
            return None
        known = self.seen[0].sizes()
        sizes = [known[name] for name in self.trained if name in known]
        if len(sizes) != self.count:
            return None
        nearest = Counter(min(self.ratios, key=lambda own: abs(math.log(own * h / w))) for w, h in sizes)
        return Counter({(ratio, side): int(n * self.repeats) for ratio, n in nearest.items() for side in self.sides})


def ratio_of(bucket: Any) -> float:
    """Width over height of a bucket that is a number or a pair; 0 for anything else."""
    pair = [number(side, 0.0) for side in held(bucket)]
    if len(pair) == 2:
        return pair[0] / pair[1] if pair[1] > 0 else 0.0
    return number(bucket, 0.0)


def held(value: Any) -> list[Any]:
    """The items of a list; [] for anything else."""
    return value if isinstance(value, list) else []


def dataset(document: Document) -> tuple[Mapping[str, Any], list[Directory]] | None:
    """The dataset that is judged itself, or that a config names: what stands above, and its directories."""
    value, inside = table(document.value), True
    if "model" in value or "optimizer" in value:
        other = beside(words(value.get("dataset")), document.folder)
        if other is None:
            return None
        value, inside = table(other.value), False
    path: Path = ("directory",) if inside else ("dataset",)
    found = enumerate(tables(value.get("directory")))
    return value, [Directory((*path, index) if inside else path, one, value, document.folder) for index, one in found]


def family(document: Document, found: Sequence[Directory]) -> str:
    """The base as portraitist names it; "" for one that it does not know."""
    model = table(document.get("model"))
    named = FAMILIES.get(words(model.get("type")), "")
    said = " ".join(words(model.get(key)) for key in ("diffusers_path", "transformer_path", "diffusion_model")).lower()
    if named == "qwen-image" and ("edit" in said or any("control_path" in one.own for one in found)):
        return "qwen-image-edit"
    if named == "flux" and "kontext" in said:
        return ""
    return "z-image-turbo" if named == "z-image" and is_turbo(said) else named


def batch(document: Document) -> int:
    """Pictures whose gradients reach one step, on one card; where it goes by resolution, of the first."""
    value = document.get("micro_batch_size_per_gpu", default=1)
    pairs = held(value)
    first = held(pairs[0])[1:2] if pairs else [value]
    each = max(1, whole(first[0] if first else 1, 1))
    return each * max(1, whole(document.get("gradient_accumulation_steps", default=1), 1))


@dataclass(frozen=True)
class Pass:
    """One epoch: pictures by bucket, None when not known, and pictures a step."""

    counts: Counter[tuple[float, float]] | None
    batch: int

    @property
    def steps(self) -> int:
        """Whole batches of every bucket; -1 when not known."""
        return sum(count // self.batch for count in self.counts.values()) if self.counts is not None else -1

    @property
    def lost(self) -> int:
        """Pictures left out."""
        return sum(count % self.batch for count in (self.counts or {}).values())

    @property
    def dropped(self) -> int:
        """Buckets that are left out whole."""
        return sum(0 < count < self.batch for count in (self.counts or {}).values())


def one_pass(document: Document, found: Sequence[Directory]) -> Pass:
    """One epoch over all directories; buckets of one size are joined."""
    counts: Counter[tuple[float, float]] = Counter()
    for one in found:
        if one.buckets is None:
            return Pass(None, batch(document))
        counts += one.buckets
    return Pass(counts if found else None, batch(document))


def effective(document: Document, found: Sequence[Directory]) -> Effective:
    """The run that results."""
    each, model = one_pass(document, found), table(document.get("model"))
    epochs, most = whole(document.get("epochs"), -1), whole(document.get("max_steps"), -1)
    total = each.steps * epochs if each.steps >= 0 and epochs >= 0 else -1
    updates = min(total, most) if min(total, most) >= 0 else max(total, most)
    adapter = document.get("adapter")
    rank = whole(table(adapter).get("rank")) if isinstance(adapter, Mapping) else -1
    optimiser = table(document.get("optimizer"))
    rate = number(document.get("force_constant_lr"), number(optimiser.get("lr")))
    named = (words(model.get(key)) for key in ("transformer_dtype", "diffusion_model_dtype", "dtype"))
    held_in = next((name for name in named if name), "")
    return Effective(
        updates=updates,
        pictures_per_update=each.batch,
        sets=tuple(SetCount(one.name, one.count, one.repeats * max(1, len(one.sides))) for one in found),
        family=family(document, found),
        quantised=HELD.get(held_in, held_in),
        resolutions=tuple(dict.fromkeys(round(side) for one in found for side in one.sides)),
        rank=rank,
        alpha=float(rank),
        rate=rate,
        optimiser=words(optimiser.get("type"))[:40],
        saves=(saves := saved(document, updates, each.steps)),
        kept=saves,
    )


def saved(document: Document, updates: int, per_epoch: int) -> int:
    """Adapters written, the last one included; -1 when not known."""
    if updates < 0:
        return -1
    points: set[int] = {updates}
    every = whole(document.get("save_every_n_steps"), 0)
    if (examples := whole(document.get("save_every_n_examples"), 0)) > 0:
        every = examples // batch(document)
    if every > 0:
        if updates // every > 100_000:
            return updates // every
        points |= set(range(every, updates + 1, every))
    epochs = whole(document.get("save_every_n_epochs"), 0)
    if epochs > 0 and per_epoch > 0:
        if updates // (epochs * per_epoch) > 100_000:
            return updates // (epochs * per_epoch)
        points |= set(range(epochs * per_epoch, updates + 1, epochs * per_epoch))
    return -1 if epochs > 0 and per_epoch < 0 else len(points - {0})
