"""A SimpleTuner config as its parser takes it, and its data backends, with what can be seen of their pictures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from portraitist.interop.diagnosis import Effective, SetCount, rules
from portraitist.interop.document import Document, Path
from portraitist.interop.folders import Folder, folders
from portraitist.interop.judging import beside, is_turbo, number, table, tables, whole, words

OFF = ("", "0", "false", "no", "off", "none")
WAVES = ("cosine", "cosine_with_warmup", "sine", "cosine_with_restarts")
"""Schedules that take lr_warmup_steps for their interval."""

FAMILIES = {"qwen_image": "qwen-image", "flux": "flux", "sdxl": "sdxl", "z_image": "z-image"}


@dataclass(frozen=True)
class Options:
    """The options of a config by plain names, without their dashes.

    paths  where each stands in the document
    """

    values: Mapping[str, Any]
    paths: Mapping[str, Path]

    def path(self, name: str) -> Path:
        """Where an option stands; where the config begins when it does not."""
        return self.paths.get(name, (name,))

    def default(self, name: str) -> Any:
        """What counts where nothing is said."""
        return rules("simpletuner").keys["defaults"].get(name)

    def given(self, name: str) -> Any:
        """A value as it is given; None where it is not, or empty, or the text false, which is left out."""
        value = self.values.get(name)
        left_out = isinstance(value, str) and value.strip().lower() in ("", "false")
        return None if left_out else value

    def number(self, name: str) -> float:
        """A number as it counts."""
        return number(self.given(name), number(self.default(name), 0.0))

    def whole(self, name: str) -> int:
        """An integer as it counts."""
        return whole(self.given(name), whole(self.default(name), 0))

    def text(self, name: str) -> str:
        """A word as it counts."""
        value = self.given(name)
        return str(self.default(name) or "") if value is None else str(value)

    def flag(self, name: str) -> bool:
        """Whether an option is on."""
        value = self.given(name)
        if value is None:
            return bool(self.default(name))
        return value.strip().lower() not in OFF if isinstance(value, str) else bool(value)


def options(document: Document) -> Options:
    """The options of a config; of one that the interface has wrapped, those inside."""
    given = table(document.value)
    inside: Path = ("config",) if isinstance(given.get("config"), Mapping) and "_metadata" in given else ()
    held = table(document.get(*inside)) if inside else given
    named = {str(key).strip().lstrip("-"): key for key in held}
    now = rules("simpletuner").keys["old"]
    values = {now.get(name, name): held[key] for name, key in named.items()}
    return Options(values, {now.get(name, name): (*inside, key) for name, key in named.items()})


@dataclass(frozen=True)
class Backend:
    """One data backend.

    path   where it stands in the document that is judged; of another file's, where that file is named
    base   the folder that its paths count from
    """

    path: Path
    values: Mapping[str, Any]
    config: Options
    base: str

    @property
    def name(self) -> str:
        """Its id."""
        return words(self.values.get("id"))

    @property
    def kind(self) -> str:
        """Its dataset_type; pictures where it says nothing."""
        return words(self.values.get("dataset_type")) or "image"

    @property
    def enabled(self) -> bool:
        """Whether it counts."""
        return not (self.values.get("disabled") or self.values.get("disable"))

    @property
    def passes(self) -> int:
        """Times each picture is seen in an epoch: one more than `repeats`."""
        return max(0, whole(self.values.get("repeats"), 0)) + 1

    def setting(self, name: str) -> Any:
        """A value of its own, else the config's, else the default."""
        own = self.values.get(name)
        return own if own is not None else (self.config.given(name) or self.config.default(name))

    @cached_property
    def measured(self) -> str:
        """What its sizes count: pixel or area, with how the resolution is said; pixel_area is area by a side."""
        return str(self.setting("resolution_type") or "pixel_area")

    @property
    def side(self) -> int:
        """The side of the square whose area its pictures take; 0 when it cannot be told."""
        value = number(self.setting("resolution"), 0.0)
        return max(0, round(math.sqrt(max(0.0, value) * 1e6) if self.measured == "area" else value))

    @cached_property
    def seen(self) -> tuple[Folder, ...]:
        """Its folders, as far as they are to be seen from here."""
        local = self.values.get("type", "local") == "local"
        return folders(words(self.values.get("instance_data_dir")), self.base, deep=True) if local else ()

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of its pictures that can be read."""
        return [size for folder in self.seen for size in folder.sizes().values()]

    @property
    def count(self) -> int:
        """Its pictures; -1 when they are not to be seen."""
        return sum(len(folder.pictures) for folder in self.seen) if self.seen else -1

    def too_small(self) -> int:
        """Pictures that `minimum_image_size` leaves out."""
        least = number(self.setting("minimum_image_size"), 0.0)
        if self.measured == "pixel":
            return sum(min(size) < least for size in self.sizes)
        area = least * least if self.measured == "pixel_area" and least > 10 else least * 1e6
        return sum(width * height < area for width, height in self.sizes)


def backends(document: Document, config: Options) -> list[Backend] | None:
    """The data backends: a list that is judged itself, or the file that a config names; None when it cannot be seen."""
    if isinstance(document.value, list):
        held = enumerate(tables(document.value))
        return [Backend((index,), one, config, document.folder) for index, one in held]
    other = beside(config.text("data_backend_config"), document.folder)
    if other is None or not isinstance(other.value, list):
        return None
    path = config.path("data_backend_config")
    return [Backend(path, one, config, document.folder) for one in tables(other.value)]


def family(config: Options) -> str:
    """The base as portraitist names it; "" for one that it does not know."""
    found, flavour = FAMILIES.get(config.text("model_family"), ""), config.text("model_flavour").lower()
    if found == "qwen-image" and flavour.startswith("edit"):
        return "qwen-image-edit"
    return "z-image-turbo" if found == "z-image" and is_turbo(flavour) else found


def held_in(config: Options) -> str:
    """What the base's weights are held in, in short."""
    value = config.text("base_model_precision")
    if value == "no_change":
        return {"bf16": "bfloat16", "fp16": "float16", "no": "float32"}.get(config.text("mixed_precision"), "")
    return value.partition("-")[0].removesuffix("dq").removesuffix("wo").removesuffix("uz")


def effective(config: Options, held: Sequence[Backend] | None) -> Effective:
    """The run that results."""
    trained = [one for one in held or () if one.enabled and one.kind in ("image", "video")]
    batch = max(1, config.whole("train_batch_size")) * max(1, config.whole("gradient_accumulation_steps"))
    updates = steps(config, trained, batch)
    every, most = config.whole("checkpoint_step_interval"), config.whole("checkpoints_total_limit")
    saves = updates // every if updates >= 0 and every > 0 else -1
    standard = config.text("model_type") == "lora" and config.text("lora_type") == "standard"
    rank = max(0, config.whole("lora_rank")) if standard else -1
    alpha = number(config.given("lora_alpha"), float(rank))
    sides = tuple(dict.fromkeys(one.side for one in trained if one.side))
    return Effective(
        updates=updates,
        pictures_per_update=batch,
        sets=tuple(SetCount(one.name, one.count, one.passes) for one in trained),
        family=family(config),
        quantised=held_in(config),
        resolutions=sides,
        rank=rank,
        alpha=alpha if standard else -1.0,
        rate=config.number("learning_rate"),
        optimiser=config.text("optimizer")[:40],
        saves=saves,
        kept=min(saves, most) if most > 0 else saves,
    )


def steps(config: Options, trained: Sequence[Backend], batch: int) -> int:
    """Updates: those that are asked for, else of so many epochs; -1 when the pictures cannot be seen."""
    asked = config.whole("max_train_steps")
    if asked > 0:
        return asked
    if not trained or any(one.count < 0 for one in trained):
        return -1
    each = max(1, config.whole("train_batch_size"))
    batches = sum(math.ceil(one.count * one.passes / each) for one in trained)
    return max(0, config.whole("num_train_epochs")) * math.ceil(batches / max(1, batch // each))
