"""A OneTrainer config as OneTrainer reads it: rewritten to version 11, each value with its type made sure."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from portraitist.interop.diagnosis import rules
from portraitist.interop.document import Document, Path, at
from portraitist.interop.judging import beside, number, table, tables, whole, words

VERSION = 11
PARTS = (
    "unet", "prior", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4", "vae",
    "effnet_encoder", "decoder", "decoder_text_encoder", "decoder_vqgan",
)  # fmt: skip
CASCADES = ("WUERSTCHEN_2", "STABLE_CASCADE_1")
TRAINED_ONCE = ("unet", "prior", "text_encoder", "text_encoder_2")
NAMED_ONCE = ("prior", "vae", "effnet_encoder", "decoder")
MADE_BY_1 = (
    "unet", "prior", "text_encoder", "text_encoder_2", "vae", "effnet_encoder", "decoder", "decoder_text_encoder",
    "decoder_vqgan",
)  # fmt: skip


@dataclass
class Moving:
    """A config on its way to version 11; `moved` says where each new path stood before."""

    values: dict[str, Any]
    moved: dict[Path, Path] = field(default_factory=dict)

    def move(self, old: str, *new: str) -> None:
        """Put what stands at the top under `old` to `new`, if it is there."""
        if old in self.values:
            self.put(self.values.pop(old), *new)
            self.moved[new] = self.moved.pop((old,), (old,))

    def put(self, value: Any, *path: str) -> None:
        """Set a value at a path of one or two parts. Raises KeyError where its table is none."""
        held = self.values
        for part in path[:-1]:
            held = held.setdefault(part, {})
            if not isinstance(held, dict):
                raise KeyError(f"{part}, which is no table")
        held[path[-1]] = value


def to_1(config: Moving) -> None:
    """Optimiser settings into a table of their own."""
    named = config.values.pop("optimizer", None)
    for key in [key for key in config.values if key.startswith("optimizer_")]:
        config.move(key, "optimizer", key.removeprefix("optimizer_"))
    if named is not None:
        config.put(named, "optimizer", "optimizer")
        config.moved["optimizer", "optimizer"] = ("optimizer",)


def to_2(config: Moving) -> None:
    """Settings of the model's parts into tables of theirs."""
    for part in MADE_BY_1:
        config.values.setdefault(part, {})
    for part in TRAINED_ONCE:
        config.move(f"train_{part}", part, "train")
        if f"train_{part}_epochs" in config.values:
            config.move(f"train_{part}_epochs", part, "stop_training_after")
            config.put("EPOCH", part, "stop_training_after_unit")
        config.move(f"{part}_learning_rate", part, "learning_rate")
    for part in NAMED_ONCE:
        config.move(f"{part}_model_name", part, "model_name")
    for part in MADE_BY_1:
        config.move(f"{part}_weight_dtype", part, "weight_dtype")
    for gone in ("embedding_model_names", "token_count", "initial_embedding_text"):
        config.values.pop(gone, None)


def to_3(config: Moving) -> None:
    """min_snr_gamma becomes a loss weight."""
    kind = config.values.get("model_type", "STABLE_DIFFUSION_15")
    if kind not in rules("onetrainer").keys["choices"]["ModelType"]:
        raise KeyError(f"model_type {kind}")
    gamma = config.values.get("min_snr_gamma")
    if gamma:
        config.move("min_snr_gamma", "loss_weight_strength")
        config.put("MIN_SNR_GAMMA", "loss_weight_fn")
        config.moved["loss_weight_fn",] = ("min_snr_gamma",)
    elif kind in CASCADES:
        config.values |= {"loss_weight_fn": "P2", "loss_weight_strength": 1.0}
    config.values.pop("min_snr_gamma", None)


def to_4(config: Moving) -> None:
    """A weight of 0 meant uniform noise; otherwise a sigmoid around a bias that is counted from 0 since."""
    weight, bias = config.values.pop("noising_weight", 0.0), config.values.pop("noising_bias", 0.5)
    curved = weight != 0
    config.values |= {
        "timestep_distribution": "SIGMOID" if curved else "UNIFORM",
        "noising_weight": weight if curved else 0.0,
        "noising_bias": number(bias, 0.5) - 0.5 if curved else 0.0,
    }
    config.moved["timestep_distribution",] = ("noising_weight",)


def to_5(config: Moving) -> None:
    """Checkpointing becomes a word."""
    config.values["gradient_checkpointing"] = "ON" if config.values.pop("gradient_checkpointing", True) else "OFF"


def to_6(config: Moving) -> None:
    """Saving has another name."""
    config.move("save_after", "save_every")
    config.move("save_after_unit", "save_every_unit")


def to_7(config: Moving) -> None:
    """A preset of layers is always named."""
    if config.values.get("lora_layer_preset", "") is None:
        config.values["lora_layer_preset"] = "full"


def to_8(config: Moving) -> None:
    """Layers are chosen for full fine-tunes too."""
    config.move("lora_layers", "layer_filter")
    config.move("lora_layer_preset", "layer_filter_preset")
    config.move("lora_layers_regex", "layer_filter_regex")


def to_9(config: Moving) -> None:
    """The denoiser of transformer models is called so."""
    if config.values["model_type"] not in CASCADES:
        config.values["transformer"] = copy.deepcopy(config.values["prior"])
        for path in [path for path in config.moved if path[0] == "prior"]:
            config.moved["transformer", *path[1:]] = config.moved[path]


def to_10(config: Moving) -> None:
    """Parts without a type of their own get the common one."""
    for part in (part for part in PARTS if part in config.values):
        if not isinstance(config.values[part], dict) or "weight_dtype" not in config.values[part]:
            raise KeyError(f"{part}.weight_dtype")
        if config.values[part]["weight_dtype"] == "NONE":
            config.values[part]["weight_dtype"] = config.values["weight_dtype"]
    del config.values["weight_dtype"]


def to_11(config: Moving) -> None:
    """Checkpointing and offloading go to the parts; formats of files are named by what they are."""
    values = config.values
    mode, activations = values.pop("gradient_checkpointing", "ON"), values.pop("enable_activation_offloading", True)
    fraction = values.pop("layer_offload_fraction", 0.0)
    config.move("enable_async_offloading", "async_offloading")
    off_card = mode == "CPU_OFFLOADED"
    for part in (part for part in PARTS if part in values):
        config.put(mode != "OFF", part, "gradient_checkpointing")
        config.put(off_card and bool(activations), part, "activation_offloading")
        config.put(fraction if off_card else 0.0, part, "offload_fraction")
        config.moved[part, "gradient_checkpointing"] = ("gradient_checkpointing",)
        config.moved[part, "offload_fraction"] = ("layer_offload_fraction",)
    if values.get("output_model_format") == "SAFETENSORS":
        kind = {"LORA": "LEGACY_LORA", "EMBEDDING": "SAFETENSORS"}.get(words(values.get("training_method")))
        values["output_model_format"] = kind or "LEGACY_SAFETENSORS"


MIGRATIONS: tuple[Callable[[Moving], None], ...] = (
    to_1, to_2, to_3, to_4, to_5, to_6, to_7, to_8, to_9, to_10, to_11,
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """A config of version 11.

    version  as the file says; VERSION for a built-in preset, which says none
    values   under the names of version 11
    moved    where what has another name or place now stood in the file
    stops    what its migration stops at; "" when it goes through
    """

    version: int
    values: Mapping[str, Any]
    moved: Mapping[Path, Path]
    stops: str = ""

    def path(self, *path: str) -> Path:
        """Where a value stands in the file."""
        return self.moved.get(path, path)

    def given(self, *path: str) -> Any:
        """A value as it is given; None where it is not."""
        return at(self.values, path)

    def default(self, *path: str) -> Any:
        """What OneTrainer takes where nothing is given."""
        keys = rules("onetrainer").keys
        if len(path) == 2 and path[0] in PARTS:
            return keys["part_defaults"].get(path[1])
        return keys["defaults"].get(".".join(path))

    def number(self, *path: str) -> float:
        """A number as it counts; the default for what is none."""
        return number(self.given(*path), number(self.default(*path), 0.0))

    def whole(self, *path: str) -> int:
        """An integer as it counts."""
        return whole(self.given(*path), whole(self.default(*path), 0))

    def flag(self, *path: str) -> bool:
        """Whether something is on: whatever is not empty counts as true."""
        value = self.given(*path)
        return bool(self.default(*path) if value is None else value)

    def text(self, *path: str) -> str:
        """A word as it counts; of a choice, the default where it is no choice."""
        value = self.given(*path)
        kind = kind_of(path)
        choices = rules("onetrainer").keys["choices"].get(kind)
        if value is None or (choices and value not in choices):
            return str(self.default(*path) or "")
        return str(value)


def kind_of(path: Sequence[str]) -> str:
    """What kind of value a key has: flag, whole, number, text, any, or the name of its choices; "" for no key."""
    keys = rules("onetrainer").keys
    groups = {name: "part" for name in (*PARTS, "unconditional_transformer")}
    groups |= {"optimizer": "optimizer", "quantization": "quantization", "embedding": "embedding"}
    group = keys["config"] if len(path) == 1 else keys.get(groups.get(path[0], ""), {})
    return next((str(kind) for kind, names in group.items() if path[-1] in names), "")


def settings(document: Document) -> Settings:
    """A config as OneTrainer reads it.

    A file whose name begins with # is a built-in preset and is not migrated; one without a version counts as 0.
    """
    given = table(document.value)
    preset = "__version" not in given and PurePath(document.name).name.startswith("#")
    version = VERSION if preset else whole(given.get("__version"), 0)
    config = Moving(copy.deepcopy({key: value for key, value in given.items() if key != "__version"}))
    stops = ""
    try:
        for migrate in MIGRATIONS[version:] if 0 <= version < VERSION else ():
            migrate(config)
    except (KeyError, TypeError, AttributeError) as error:
        stops = str(error.args[0]) if error.args else "a value of another type"
        return Settings(version, given, {}, stops)
    return Settings(version, config.values, config.moved)


@dataclass(frozen=True)
class Concept:
    """One folder of pictures.

    path   where it stands in the document that is judged; of another file's concepts, where that file is named
    values as they are given, under the names of version 2
    """

    path: Path
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As people call it."""
        return words(self.values.get("name")) or words(self.values.get("path")).replace("\\", "/").rsplit("/", 1)[-1]

    @property
    def folder(self) -> str:
        """Where its pictures lie."""
        return words(self.values.get("path"))

    @property
    def kind(self) -> str:
        """STANDARD, VALIDATION or PRIOR_PREDICTION."""
        kind = words(self.values.get("type"))
        return kind if kind in rules("onetrainer").keys["choices"]["ConceptType"] else "STANDARD"

    @property
    def enabled(self) -> bool:
        """Whether it counts."""
        return bool(self.values.get("enabled", True))

    @property
    def by_count(self) -> bool:
        """Whether `balancing` is a number of pictures a pass, and not of repeats."""
        return self.values.get("balancing_strategy") == "SAMPLES"

    @property
    def balancing(self) -> float:
        """Repeats, or pictures a pass."""
        return max(0.0, number(self.values.get("balancing"), 1.0))

    def samples(self, pictures: int) -> int:
        """Pictures of it in one pass; -1 when its folder cannot be seen."""
        if self.by_count:
            return int(self.balancing)
        return int(pictures * self.balancing) if pictures >= 0 else -1


def concepts(document: Document, config: Settings) -> list[Concept] | None:
    """Its concepts: inside it, or in the file that it names; None when that cannot be seen."""
    if isinstance(document.value, list):
        return [concept((index,), one) for index, one in enumerate(tables(document.value))]
    inside = config.given("concepts")
    if isinstance(inside, list):
        return [concept(("concepts", index), one) for index, one in enumerate(tables(inside))]
    other = beside(config.text("concept_file_name"), document.folder)
    if other is None or not isinstance(other.value, list):
        return None
    return [concept(("concept_file_name",), one) for one in tables(other.value)]


def concept(path: Path, given: Mapping[str, Any]) -> Concept:
    """A concept under the names of version 2."""
    values, version = dict(given), whole(given.get("__version"), 0)
    if version < 1 and "repeats" in values:
        values["balancing"] = values.pop("repeats")
    if version < 2 and "validation_concept" in values:
        values["type"] = "VALIDATION" if values.pop("validation_concept") else "STANDARD"
    return Concept(path, values)
