"""Settings of sd-scripts and musubi-tuner as ours, and what of them has no place here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from portraitist.interop.carrying import Account
from portraitist.interop.document import Path
from portraitist.interop.kohya.dataset import Dataset, last
from portraitist.interop.kohya.schema import real, sides, whole
from portraitist.interop.kohya.settings import Given
from portraitist.interop.kohya.trainings import Training, paired
from portraitist.interop.kohya.writing import MOST_BLOCKS

Convert = Callable[[Any], Any]
PRECISIONS = {"bf16": "bfloat16", "fp16": "float16", "no": "float32"}
OPTIMISERS = {
    "adamw": "adamw", "adamw8bit": "adamw8bit", "adafactor": "adafactor", "prodigy": "prodigy",
    "adamwschedulefree": "schedulefree",
}  # fmt: skip
SCHEDULES = {
    "constant": "constant", "constant_with_warmup": "constant", "linear": "linear", "cosine": "cosine",
    "cosine_with_min_lr": "cosine",
}  # fmt: skip
FAMILIES = frozenset({"sdxl", "flux", "qwen-image", "qwen-image-edit", "z-image"})


def positive(value: Any) -> int | None:
    """A whole number above 0, else None."""
    return whole(value, 0) if whole(value, 0) > 0 else None


def share(value: Any) -> float | None:
    """A number from 0 to below 1, else None."""
    return real(value, -1) if 0 <= real(value, -1) < 1 else None


def rate(value: Any) -> float | None:
    """A number above 0 and up to 1, else None."""
    return real(value, -1) if 0 < real(value, -1) <= 1 else None


def text(value: Any) -> str | None:
    """Text that is not empty, else None."""
    return value if isinstance(value, str) and value else None


KEPT: dict[str, tuple[str, Convert]] = {
    "network_dim": ("adapter.rank", lambda value: min(1024, n) if (n := positive(value)) else None),
    "network_alpha": ("adapter.alpha", lambda value: real(value, -1) if 0 <= real(value, -1) <= 4096 else None),
    "network_dropout": ("adapter.dropout", share),
    "network_weights": ("adapter.start", text),
    "mixed_precision": ("model.precision", lambda value: PRECISIONS.get(str(value))),
    "vae": ("model.parts.vae", text),
    "ae": ("model.parts.vae", text),
    "clip_l": ("model.parts.text_encoder", text),
    "t5xxl": ("model.parts.text_encoder_2", text),
    "text_encoder": ("model.parts.text_encoder", text),
    "pretrained_model_name_or_path": ("model.base", text),
    "dit": ("model.parts.transformer", text),
    "v_parameterization": ("model.prediction", lambda value: "v" if value is True else None),
    "fp8_base": ("model.quantised", lambda value: "fp8" if value is True else None),
    "fp8_base_unet": ("model.quantised", lambda value: "fp8" if value is True else None),
    "gradient_accumulation_steps": ("training.accumulate", positive),
    "train_batch_size": ("training.batch", positive),
    "learning_rate": ("training.rate", rate),
    "unet_lr": ("training.rate", rate),
    "max_grad_norm": ("training.max_gradient", lambda value: real(value, -1) if real(value, -1) >= 0 else None),
    "optimizer_type": ("training.optimiser", lambda value: OPTIMISERS.get(str(value or "AdamW").lower())),
    "lr_scheduler": ("training.schedule", lambda value: SCHEDULES.get(str(value))),
    "lr_warmup_steps": ("training.warmup", lambda value: value if isinstance(value, int) and value >= 0 else None),
    "lr_scheduler_min_lr_ratio": ("training.floor", share),
    "min_snr_gamma": ("training.snr_gamma", lambda value: real(value, -1) if 0 <= real(value, -1) <= 1000 else None),
    "gradient_checkpointing": ("training.recompute", lambda value: "on" if value is True else None),
    "save_every_n_steps": ("training.save_every", positive),
    "seed": ("training.seed", lambda value: whole(value, -1) % 2**31 if whole(value, -1) >= 0 else None),
    "resolution": ("data.resolution", lambda value: side(value)),
    "caption_dropout_rate": ("data.dropout", share),
    "validation_split": ("data.held_out", lambda value: real(value, -1) if 0 <= real(value, -1) <= 0.5 else None),
}
"""Options by the name that they have there, to our key and a value of ours; None where it has no equal."""

AVERAGING = frozenset({"adamw", "adamw8bit", "prodigy", "schedulefree"})
"""Optimisers of ours that have betas."""

UNSAID = {
    "gradient_accumulation_steps": 1, "train_batch_size": 1, "lr_warmup_steps": 0, "lr_scheduler": "constant",
    "optimizer_type": "adamw", "caption_dropout_rate": 0.0,
}  # fmt: skip
"""Values of ours that stand for an option that is not given (library/train_util.py's parsers, v0.10.1)."""

OF_MODEL = frozenset({"pretrained_model_name_or_path", "dit", "vae", "ae", "clip_l", "t5xxl", "text_encoder"})
PLACES = frozenset({
    "output_dir", "output_name", "logging_dir", "log_with", "log_prefix", "config_file", "dataset_config",
    "train_data_dir", "reg_data_dir", "save_model_as", "sample_prompts", "sample_sampler", "wandb_run_name",
})  # fmt: skip
FROZEN = frozenset({"network_train_unet_only", "text_encoder_lr", "cache_text_encoder_outputs",
                    "cache_text_encoder_outputs_to_disk", "cache_latents", "cache_latents_to_disk"})  # fmt: skip
DEALT = frozenset({"network_module", "network_args", "optimizer_args", "max_train_steps", "max_train_epochs",
                   "save_every_n_epochs", "timestep_sampling", "sigmoid_scale", "discrete_flow_shift",
                   "model_prediction_type", "guidance_scale", "fp8_scaled", "blocks_to_swap",
                   "model_version"})  # fmt: skip


REASONS = {
    "captions are .txt files here, and read whole": {"caption_extension", "enable_wildcard"},
    "where things lie and what is logged is the project's own": PLACES,
    "text encoders stay frozen here, and everything they and the VAE make is cached": FROZEN,
    "attention is torch's own here": {"sdpa", "xformers", "mem_eff_attn", "flash_attn", "flash3", "split_attn"},
    "samples are cached here, and read without workers": {
        "max_data_loader_n_workers", "persistent_data_loader_workers", "vae_batch_size", "cache_info",
    },
    "pictures always go into buckets here, by data.resolution and data.aspect": {
        "enable_bucket", "bucket_no_upscale", "bucket_reso_steps", "min_bucket_reso", "max_bucket_reso",
    },
    "captions stay as they are written here": {
        "shuffle_caption", "keep_tokens", "keep_tokens_separator", "caption_prefix", "caption_suffix",
        "caption_separator", "secondary_separator", "caption_tag_dropout_rate", "caption_dropout_every_n_epochs",
        "token_warmup_min", "token_warmup_step",
    },
    "each family has its own here": {
        "guidance_scale", "model_prediction_type", "timestep_sampling", "sigmoid_scale", "discrete_flow_shift",
    },
    "fp8 is scaled here too": {"fp8_scaled"},
    "it is so here too": {"network_args", "optimizer_args"},
    "another option counts in its place": {"learning_rate", "max_train_steps"},
    "pictures stay as they are here": {"flip_aug", "color_aug", "random_crop", "face_crop_aug_range"},
}  # fmt: skip


ALIKE = "{value} for all sets, as the first of them has it"
"""Why a setting of one set is left where ours have one for all."""


def why(name: str) -> str:
    """Why an option is not carried over."""
    return next((reason for reason, names in REASONS.items() if name in names), "there is no such setting here")


def carry(training: Training, updates: int, per_epoch: int) -> Account:
    """What a training's options are here.

    updates    of the run; per_epoch: of one epoch; -1 where not known
    """
    going = Account()
    if training.family in FAMILIES:
        going.recipe["preset"] = training.family
        going.recipe["model.family"] = training.family
    for name, given in training.options.items():
        if name in KEPT:
            key, convert = KEPT[name]
            value = convert(given.value)
            if name in OF_MODEL and training.family and training.family not in FAMILIES:
                going.pass_over(given.path, given.value, f"there is no family {training.family} here")
            elif name == "min_snr_gamma" and training.family != "sdxl":
                going.pass_over(given.path, given.value, "it counts for nothing on a flow model")
            elif value is None:
                going.pass_over(given.path, given.value, f"{given.value!r} has no equal here")
            elif key != "training.rate" or name == "unet_lr" or not training.has("unet_lr"):
                going.take(key, value, given.path)
        elif name not in DEALT:
            going.pass_over(given.path, given.value, why(name))
    unsaid(going, training)
    model(going, training)
    lengths(going, training, updates, per_epoch)
    network(going, training)
    optimiser(going, training)
    floor(going, training)
    levels(going, training)
    silent(going, training)
    return going


def unsaid(going: Account, training: Training) -> None:
    """What the trainers do where nothing is said, for our presets would do otherwise."""
    going.recipe["training.ema"] = 0.0  # neither keeps an average
    for name, value in UNSAID.items():
        if name not in training.options:
            going.recipe[KEPT[name][0]] = value
    if training.has("network_module") and not training.has("network_dim") and not training.has("dim_from_weights"):
        going.recipe["adapter.rank"] = training.rank
    if training.whole and not training.has("learning_rate") and not training.has("unet_lr"):
        going.recipe["training.rate"] = training.rate
    kind = going.recipe.get("training.optimiser", "")
    if kind in AVERAGING:
        going.recipe |= {"training.beta1": 0.9, "training.beta2": 0.999}
    if kind:
        going.recipe["training.weight_decay"] = 0.01 if kind.startswith("adamw") else 0.0


def silent(going: Account, training: Training) -> None:
    """Leave what was dealt with and came to nothing."""
    told = [*going.kept, *(left.path for left in going.left)]
    for name, given in training.options.items():
        if not any(path[: len(given.path)] == given.path for path in told):
            going.pass_over(given.path, given.value, why(name))


def model(going: Account, training: Training) -> None:
    """The model's version, and blocks that are moved."""
    version, blocks = training.options.get("model_version"), training.options.get("blocks_to_swap")
    if version is not None and "model.family" in going.recipe:
        going.take("model.family", training.family, version.path)
    if blocks is not None and training.family in MOST_BLOCKS and whole(blocks.value, -1) >= 0:
        going.take("model.offload", min(1.0, round(blocks.value / MOST_BLOCKS[training.family], 2)), blocks.path)
    elif blocks is not None:
        going.pass_over(blocks.path, blocks.value, why("blocks_to_swap"))


def side(value: Any) -> int | None:
    """The side of the square that has a resolution's area, to a multiple of 64; None for none."""
    found = sides(value)
    return min(4096, round((found[0] * found[1]) ** 0.5 / 64) * 64) if found else None


def lengths(going: Account, training: Training, updates: int, per_epoch: int) -> None:
    """Steps and saves."""
    asked = training.options.get("max_train_epochs") or training.options.get("max_train_steps")
    if 0 < updates <= 10_000_000:
        going.take("stages", [{"name": "main", "steps": updates}], asked.path if asked else ())
    elif asked is not None:
        going.pass_over(asked.path, asked.value, "how many updates that makes cannot be told without the pictures")
    every = training.options.get("save_every_n_epochs")
    if every is None:
        return
    epochs = whole(every.value, 0)
    if "training.save_every" not in going.recipe and epochs > 0 and per_epoch * epochs > 0:
        going.take("training.save_every", per_epoch * epochs, every.path)
    else:
        going.pass_over(every.path, every.value, "checkpoints are counted in steps here")


def network(going: Account, training: Training) -> None:
    """The adapter's kind."""
    module, args = training.options.get("network_module"), paired(training["network_args"])
    given = training.options.get("network_args")
    name = str(module.value) if module else ""
    kind = {"locon": "lora", "lora": "lora", "loha": "loha", "lokr": "lokr"}.get(args.get("algo", "lora"), "")
    native = {"networks.loha": "loha", "networks.lokr": "lokr"}
    if name in native:
        kind = native[name]
    if module is not None and not (kind and (name.startswith("networks.l") or name == "lycoris.kohya")):
        going.pass_over(module.path, module.value, f"{args.get('algo') or name} is no kind of adapter here")
        return
    if module is not None:
        going.take("adapter.kind", kind, module.path)
    if "network_alpha" not in training.options and (module or "network_dim" in training.options):
        going.recipe["adapter.alpha"] = 1.0
    rest = dict(args)
    rest.pop("algo", "")
    if kind == "lokr" and rest.get("factor", "").isdecimal() and int(rest["factor"]) <= 1024:
        going.recipe["adapter.factor"] = int(rest.pop("factor"))
    convolution = rest.pop("conv_dim", "") and kind == "lora" and training.family == "sdxl"
    if convolution:
        going.recipe["adapter.modules"] = "locon"
    if given is not None and rest:
        going.pass_over(given.path, " ".join(f"{k}={v}" for k, v in rest.items()), why(""))
    elif given is not None and "adapter.kind" in going.recipe:
        going.kept[given.path] = "adapter.modules" if convolution else "adapter.kind"


def optimiser(going: Account, training: Training) -> None:
    """The optimiser's own arguments."""
    given, args = training.options.get("optimizer_args"), dict(training.optimizer_args)
    kind = going.recipe.get("training.optimiser", "")
    betas = args.pop("betas", "").strip("()[] ").split(",")
    if kind in AVERAGING and len(betas) == 2:
        for key, word in zip(("training.beta1", "training.beta2"), betas, strict=True):
            if (value := share(fraction(word))) is not None:
                going.take(key, value, (*given.path, "betas", key[-1]) if given else ())
    decay = fraction(args.pop("weight_decay", ""))
    if 0 <= decay <= 10:
        going.take("training.weight_decay", decay, (*given.path, "weight_decay") if given else ())
    if kind == "adafactor":
        ours = {"relative_step": "False", "scale_parameter": "False", "warmup_init": "False"}
        args = {name: said for name, said in args.items() if ours.get(name) != said}
    if given is not None and args:
        going.pass_over(given.path, " ".join(f"{k}={v}" for k, v in args.items()), why(""))
    if kind == "prodigy":
        going.recipe["training.rate"] = 1.0


def floor(going: Account, training: Training) -> None:
    """Where the rate falls to: to 0 but for the one schedule of ours that reads a ratio."""
    ratio, schedule = training.options.get("lr_scheduler_min_lr_ratio"), going.recipe.get("training.schedule")
    if ratio is not None and ratio.path in going.kept and training["lr_scheduler"] != "cosine_with_min_lr":
        del going.recipe["training.floor"], going.kept[ratio.path]
        going.pass_over(ratio.path, ratio.value, "its schedule does not read it, or has no equal here")
    if schedule in ("cosine", "linear"):
        going.recipe.setdefault("training.floor", 0.0)


def fraction(word: str) -> float:
    """A word as a number; -1 for what is none."""
    try:
        return real(float(word), -1.0)
    except ValueError:
        return -1.0


def levels(going: Account, training: Training) -> None:
    """How noise levels of a flow are drawn: sigmoid of a normal is logit-normal; shift moves them as ours does."""
    given = training.options.get("timestep_sampling")
    scale, shift = real(training["sigmoid_scale"], 1.0), real(training["discrete_flow_shift"], 1.0)
    if given is None or training.family in ("sdxl", "sd", ""):
        return
    if given.value == "uniform":
        going.take("training.level", "uniform", given.path)
    elif given.value in ("sigmoid", "shift") and 0 < scale <= 5 and 0 < shift <= 20:
        going.take("training.level", "logit-normal", given.path)
        for name, key, value in (
            ("sigmoid_scale", "level_spread", scale),
            ("discrete_flow_shift", "level_shift", shift),
        ):
            said = training.options.get(name)
            if name == "sigmoid_scale" or given.value == "shift":
                going.take(f"training.{key}", value, said.path if said else ())
    else:
        going.pass_over(given.path, given.value, "there is no such distribution here; the family's own stays")


def sets(going: Account, datasets: Sequence[Dataset]) -> list[tuple[str, str]]:
    """The sets of datasets as ours, by their folders' names; the settings that ours have once for all."""
    pictures: list[tuple[str, str]] = []
    tables: list[dict[str, Any]] = []
    said: dict[str, Any] = {}
    for dataset in datasets:
        for name in ("batch_size", "resolution", "validation_split"):
            given = dataset.values.given(name)
            key, convert = KEPT[{"batch_size": "train_batch_size"}.get(name, name)]
            if given is not None and (value := convert(given.value)) is not None:
                once(going, said, key, value, given)
        for subset in dataset.subsets:
            folder = str(subset.folder.path) if subset.folder else subset.name
            name = last(folder)
            role = {"role": "prior"} if subset.values["is_reg"] else {}
            names = {table["name"] for table in tables}
            name = name if name not in names else f"{name}-{len(tables) + 1}"
            tables.append({"name": name, "weight": min(10_000, max(1, subset.repeats)), **role})
            pictures.append((folder, name))
            mask = subset.values.given("alpha_mask")
            if mask is not None and mask.value:
                once(going, said, "data.masks", 0.0, mask)
            elif "data.masks" in said:
                going.pass_over((*subset.path, "alpha_mask"), False, ALIKE.format(value="masks count"))
            dropped = subset.values.given("caption_dropout_rate")
            if dropped is not None and share(dropped.value) is not None:
                once(going, said, "data.dropout", real(dropped.value, 0), dropped)
    if tables:
        going.recipe["data.sets"] = tables
    return pictures


def once(going: Account, said: dict[str, Any], key: str, value: Any, given: Given) -> None:
    """A setting that ours have once for all sets: the first set's counts, before the command's; others are told.

    said  what sets have said so far, by our key
    """
    if said.setdefault(key, value) != value:
        if given.path not in {left.path for left in going.left}:
            going.pass_over(given.path, given.value, ALIKE.format(value=said[key]))
        return
    for path in [path for path, kept in going.kept.items() if kept == key and going.recipe[key] != value]:
        del going.kept[path]
        going.pass_over(path, going.recipe[key], "the sets' own counts in its place")
    going.take(key, value, given.path)


def named(datasets: Sequence[Dataset]) -> tuple[str, str]:
    """Trigger and noun by the class tokens of the first set that has some: `ohwx woman`, the rare word before."""
    subsets = [one for dataset in datasets for one in dataset.subsets if not one.values["is_reg"]]
    tokens = next((str(one.values["class_tokens"]) for one in subsets if one.values["class_tokens"]), "")
    trigger, _, noun = tokens.strip().partition(" ")
    return ("", "") if "," in trigger or len(trigger) > 60 else (trigger, noun.strip())


def leave_rest(going: Account, found: Mapping[Path, Any], dealt: frozenset[str]) -> None:
    """Leave what a dataset's file says that was not carried."""
    had = {*going.kept, *(left.path for left in going.left)}
    for path, value in found.items():
        if path and path not in had and str(path[-1]) not in dealt:
            going.pass_over(path, value, why(str(path[-1])))
