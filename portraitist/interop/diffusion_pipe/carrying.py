"""diffusion-pipe's settings to ours, and ours to its main and dataset TOML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

import tomli_w

from portraitist.arithmetic import settled
from portraitist.interop.carrying import Carried, Carrying
from portraitist.interop.diffusion_pipe.reading import HELD, Directory, dataset, effective, family, one_pass
from portraitist.interop.document import Document
from portraitist.interop.judging import number, table, whole, words
from portraitist.interop.keeping import (
    Folders,
    account,
    refuse_base,
    refuse_method,
    refuse_plain,
    refuse_rare,
    refuse_written,
)
from portraitist.interop.unlike import NO_AVERAGE, NO_SEED, held_out, remarked

if TYPE_CHECKING:
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

PRECISIONS = ("bfloat16", "float16", "float32")
OPTIMISERS = {
    "adamw_optimi": "adamw", "adamw": "adamw", "adamw8bit": "adamw8bit", "adamw8bitkahan": "adamw8bit",
    "prodigy": "prodigy",
}  # fmt: skip
OURS = {"adamw": "adamw_optimi", "adamw8bit": "AdamW8bitKahan", "prodigy": "Prodigy"}
TYPES = {
    "sdxl": "sdxl", "flux": "flux", "qwen-image": "qwen_image", "qwen-image-edit": "qwen_image", "z-image": "z_image",
    "z-image-turbo": "z_image",
}  # fmt: skip
BASE = {"sdxl": "checkpoint_path"}
"""The key of a base, where it is not `diffusers_path`."""

BASES = {
    "sdxl": "sd_xl_base_1.0.safetensors", "flux": "FLUX.1-dev", "qwen-image": "Qwen-Image",
    "qwen-image-edit": "Qwen-Image-Edit-2509", "z-image": "Z-Image", "z-image-turbo": "Z-Image-Turbo",
}  # fmt: skip
PARTS = {"transformer": "transformer_path", "vae": "vae_path", "text_encoder": "text_encoder_path"}
HELD_HERE = {"path": "pictures", "num_repeats": "data.sets.weight", "control_path": "data.sets.references"}
PASSED = ("output_dir", "dataset", "monitoring", "steps_per_print", "partition_method")


def carried(document: Document) -> Carried:
    """What of a config our project and recipe can hold.

    Raises PortraitistError for a base, and for a way of training, that we do not have.
    """
    found = dataset(document)
    directories = found[1] if found else []
    keeping = Carrying(document)
    if "model" in table(document.value) or "optimizer" in table(document.value):
        model(keeping, directories)
        adapter(keeping)
        training(keeping)
        lasting(keeping, directories)
    pictures, trigger = sets(keeping, directories)
    return account(keeping, pictures, PASSED, trigger)


def model(keeping: Carrying, directories: Sequence[Directory]) -> None:
    """The base, and how it is held."""
    document = keeping.document
    given = table(document.get("model"))
    if not (named := family(document, directories)):
        raise refuse_base("diffusion-pipe", words(given.get("type")))
    keeping.keep("model.family", named, "model", "type")
    for key in ("checkpoint_path", "diffusers_path"):
        if words(given.get(key)):
            keeping.keep("model.base", words(given[key]), "model", key)
    for ours, theirs in PARTS.items():
        if words(given.get(theirs)):
            keeping.keep(f"model.parts.{ours}", words(given[theirs]), "model", theirs)
    precision = words(given.get("dtype"))
    if precision in PRECISIONS:
        keeping.keep("model.precision", precision, "model", "dtype")
    held = HELD.get(words(given.get("transformer_dtype")), "")
    keeping.keep("model.quantised", held, "model", "transformer_dtype")
    on = "on" if document.get("activation_checkpointing", default=False) else "off"
    keeping.keep("training.recompute", on, "activation_checkpointing")
    keeping.leave("blocks are named by their share here (model.offload)", "blocks_to_swap")
    for index in (1, 2):
        keeping.leave("text encoders stay frozen here", "model", f"text_encoder_{index}_lr")
    levels(keeping, named)


def levels(keeping: Carrying, named: str) -> None:
    """Levels of noise."""
    given = table(keeping.document.get("model"))
    kind = given.get("timestep_sample_method", "logit_normal" if named != "sdxl" else None)
    if kind in ("logit_normal", "uniform"):
        keeping.keep("training.level", kind.replace("_", "-"), "model", "timestep_sample_method")
    if kind == "logit_normal":
        spread = max(0.01, min(5.0, number(given.get("sigmoid_scale"), 1.0)))
        keeping.keep("training.level_spread", spread, "model", "sigmoid_scale")
    keeping.keep("training.level_shift", max(0.01, min(20.0, number(given.get("shift"), 1.0))), "model", "shift")
    keeping.leave("the shift does not go by the resolution here", "model", "flux_shift")
    gamma = max(0.0, min(1000.0, number(given.get("min_snr_gamma"), 0.0)))
    if named == "sdxl":
        keeping.keep("training.snr_gamma", gamma, "model", "min_snr_gamma")
        if given.get("v_pred") is True:
            keeping.keep("model.prediction", "v", "model", "v_pred")


def adapter(keeping: Carrying) -> None:
    """What is trained."""
    document = keeping.document
    if not document.has("adapter"):
        keeping.keep("adapter.kind", "full")
        return
    given = table(document.get("adapter"))
    if given.get("type") not in ("lora", "lokr"):
        raise refuse_method("diffusion-pipe", str(given.get("type")))
    keeping.keep("adapter.kind", given["type"], "adapter", "type")
    keeping.keep("adapter.rank", max(1, min(1024, whole(given.get("rank"), 16))), "adapter", "rank")
    keeping.keep("adapter.alpha", 0.0)
    keeping.keep("adapter.modules", "blocks")
    if given["type"] == "lora":
        keeping.keep("adapter.dropout", max(0.0, min(0.99, number(given.get("dropout"), 0.0))), "adapter", "dropout")
    elif (factor := whole(given.get("decompose_factor"), -1)) > 0:
        keeping.keep("adapter.factor", min(1024, factor), "adapter", "decompose_factor")
    if words(given.get("init_from_existing")):
        keeping.keep("adapter.start", words(given["init_from_existing"]), "adapter", "init_from_existing")
    keeping.leave("the adapter is float32 here", "adapter", "dtype")


def training(keeping: Carrying) -> None:
    """Optimiser and schedule."""
    document = keeping.document
    given = table(document.get("optimizer"))
    accumulate = max(1, min(4096, whole(document.get("gradient_accumulation_steps"), 1)))
    each = max(1, min(4096, effective(document, []).pictures_per_update // accumulate))
    keeping.keep("training.batch", each, "micro_batch_size_per_gpu")
    keeping.keep("training.accumulate", accumulate, "gradient_accumulation_steps")
    rate = effective(document, []).rate
    if 0 < rate <= 1:
        keeping.keep("training.rate", rate, "optimizer", "lr")
        keeping.kept.setdefault(("force_constant_lr",), "training.rate")
    named = words(given.get("type")).lower()
    found = OPTIMISERS.get(named) or next((name for name in ("schedulefree", "adafactor") if name in named), "")
    if found:
        keeping.keep("training.optimiser", found, "optimizer", "type")
    else:
        keeping.leave("this optimiser is not here; adamw is taken", "optimizer", "type")
    betas = given.get("betas")
    for index, ours in enumerate(("beta1", "beta2")):
        value = number(betas[index]) if isinstance(betas, list) and len(betas) == 2 else -1.0
        if 0 <= value < 1:
            keeping.keep(f"training.{ours}", value, "optimizer", "betas", index)
    decay = number(given.get("weight_decay"))
    if 0 <= decay <= 10:
        keeping.keep("training.weight_decay", decay, "optimizer", "weight_decay")
    schedule = document.get("lr_scheduler", default="constant")
    if schedule in ("constant", "linear", "cosine"):
        keeping.keep("training.schedule", schedule, "lr_scheduler")
        if schedule != "constant":
            keeping.keep(
                "training.floor", 0.0 if schedule == "linear" or rate <= 0 else round(min(1.0, 1e-6 / rate), 9)
            )
    clip = max(0.0, number(document.get("gradient_clipping"), 1.0))
    keeping.keep("training.max_gradient", clip, "gradient_clipping")
    keeping.keep("training.warmup", max(0, min(10**7, whole(document.get("warmup_steps"), 0))), "warmup_steps")
    keeping.keep("data.dropout", max(0.0, min(1.0, number(document.get("uncond_fraction"), 0.0))), "uncond_fraction")


def lasting(keeping: Carrying, directories: Sequence[Directory]) -> None:
    """Steps, saving and the pictures' size."""
    document, run = keeping.document, effective(keeping.document, directories)
    if run.updates > 0:
        stages = [{"name": "main", "steps": min(10_000_000, run.updates)}]
        keeping.keep("stages", stages, "max_steps")
        keeping.kept.setdefault(("epochs",), "stages.steps")
    else:
        keeping.leave("steps are not known from epochs while the pictures cannot be seen", "epochs")
    if (every := whole(document.get("save_every_n_steps"), 0)) > 0:
        keeping.keep("training.save_every", every, "save_every_n_steps")
    else:
        keeping.leave("saving goes by steps here (training.save_every)", "save_every_n_epochs")
    keeping.leave("a share of the pictures is held out here (data.held_out)", "eval_datasets")
    if run.resolutions and 0 < run.resolutions[-1] <= 4096:
        keeping.keep("data.resolution", run.resolutions[-1])


def sets(keeping: Carrying, directories: Sequence[Directory]) -> tuple[Folders, str]:
    """Directories as sets, their folders, and the trigger that a prefix of captions is."""
    pictures: Folders = []
    ours: list[dict[str, Any]] = []
    trigger = ""
    for one in directories:
        several = len(directories) > 1
        name = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in one.name)[:60] if several else ""
        pictures.append((words(one.own.get("path")), name))
        held: dict[str, Any] = {"name": name, "weight": max(1, min(10_000, round(one.repeats)))}
        if words(one.own.get("control_path")):
            held["references"] = [words(one.own["control_path"])]
        ours.append(held)
        prefix = words(one.setting("caption_prefix")).strip().rstrip(",").strip()
        if prefix and not any(sign.isspace() or sign == "," for sign in prefix):
            trigger = trigger or prefix[:60]
        if isinstance(one.path[-1], int):
            keeping.kept.update({(*one.path, key): ours_by for key, ours_by in HELD_HERE.items()})
            keeping.leave("masks are the pictures' own alpha here (data.masks)", *one.path, "mask_path")
    if ours:
        keeping.recipe["data.sets"] = ours
    return pictures, trigger


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Our recipe as diffusion-pipe's config and dataset. Raises PortraitistError for one that it cannot train."""
    refuse(recipe)
    training, model_type = recipe.training, TYPES[recipe.model.family]
    base: dict[str, Any] = {
        "type": model_type,
        BASE.get(recipe.model.family, "diffusers_path"): recipe.model.base or BASES[recipe.model.family],
        "dtype": settled(recipe.model.precision, "cuda"),
    }
    base |= {"transformer_dtype": "float8"} if recipe.model.quantised else {}
    for ours, theirs in PARTS.items():
        if path := getattr(recipe.model.parts, ours):
            base[theirs] = path
    if recipe.model.family == "sdxl":
        base |= {"text_encoder_1_lr": 0.0, "text_encoder_2_lr": 0.0}
        base |= {"min_snr_gamma": training.snr_gamma} if training.snr_gamma else {}
        base |= {"v_pred": True} if recipe.model.prediction == "v" else {}
    else:
        base["timestep_sample_method"] = "uniform" if training.level == "uniform" else "logit_normal"
        base |= {"shift": training.level_shift} if training.level_shift != 1 else {}
        base |= {"sigmoid_scale": training.level_spread} if training.level_spread != 1 else {}
    values: dict[str, Any] = {
        "output_dir": f"runs/{facts.trigger}",
        "dataset": "dataset.toml",
        "epochs": 100_000,
        "max_steps": recipe.steps,
        "micro_batch_size_per_gpu": training.batch,
        "gradient_accumulation_steps": training.accumulate,
        "gradient_clipping": training.max_gradient,
        "warmup_steps": training.warmup,
        "uncond_fraction": recipe.data.dropout,
        "save_every_n_steps": training.save_every,
        "checkpoint_every_n_minutes": 60,
        "activation_checkpointing": training.recompute != "off",
        "save_dtype": "bfloat16",
        "model": base,
    }
    if recipe.adapter.kind != "full":
        values["adapter"] = lora(recipe)
    values["optimizer"] = {
        "type": OURS[training.optimiser],
        "lr": training.rate,
        "betas": [training.beta1, training.beta2],
        "weight_decay": training.weight_decay,
    }
    data = pictured(recipe, pictures)
    if training.schedule != "constant":
        values |= {"lr_scheduler": training.schedule, "epochs": whole_epochs(values, data, recipe.steps)}
    told = tomli_w.dumps(values)
    return {"config.toml": remarked(differences(recipe), told), "dataset.toml": tomli_w.dumps(data)}


def whole_epochs(values: Mapping[str, Any], data: Mapping[str, Any], steps: int) -> int:
    """Epochs that end with the steps: its schedules fall over epochs. Raises PortraitistError for unseen pictures."""
    found = [Directory(("directory", index), one, data, ".") for index, one in enumerate(data["directory"])]
    each = one_pass(Document("config.toml", ".", "toml", "", values), found).steps
    if each <= 0:
        raise refuse_written(
            "diffusion-pipe", "a falling rate, over epochs of pictures that cannot be counted from here"
        )
    return -(-steps // each)


def refuse(recipe: Recipe) -> None:
    """Refuse a recipe that diffusion-pipe cannot train."""
    refuse_rare("diffusion-pipe", recipe, PARTS)
    refuse_plain("diffusion-pipe", recipe, ("family", "blocks"))
    training, adapter = recipe.training, recipe.adapter
    quantised = recipe.model.quantised
    unlike = adapter.kind == "loha" or (adapter.kind == "lokr" and recipe.model.family == "sdxl")
    edit = recipe.model.family == "qwen-image-edit"
    reasons = {
        f"the family {recipe.model.family}": recipe.model.family not in TYPES,
        f"adapter.kind {adapter.kind}": unlike,
        "an alpha that is not the rank": adapter.kind != "full" and adapter.alpha not in (0, adapter.rank),
        f"model.quantised {quantised}": quantised not in ("", "fp8"),
        f"training.optimiser {training.optimiser}": training.optimiser not in OURS,
        "a falling schedule with a floor above 0": training.schedule != "constant" and training.floor > 0.02,
        "more than one reference, and it shows one": recipe.references > 1,
        "an edit model without references": edit and recipe.references == 0,
    }
    for what, applies in reasons.items():
        if applies:
            raise refuse_written("diffusion-pipe", what)


def lora(recipe: Recipe) -> dict[str, Any]:
    """The adapter."""
    adapter = recipe.adapter
    values: dict[str, Any] = {"type": adapter.kind, "rank": adapter.rank, "dtype": "float32"}
    if adapter.kind == "lora":
        values["dropout"] = adapter.dropout
    elif adapter.factor:
        values["decompose_factor"] = adapter.factor
    return values | ({"init_from_existing": adapter.start} if adapter.start else {})


def pictured(recipe: Recipe, pictures: str) -> dict[str, Any]:
    """The dataset: each set a directory."""
    directories = []
    for one in recipe.data.sets or [None]:
        folder = str(File(pictures) / one.name) if one and one.name else pictures
        held: dict[str, Any] = {"path": folder, "num_repeats": max(1, one.weight) if one else 1}
        shown = (one.references if one else ()) or recipe.data.references
        directories.append(held | ({"control_path": shown[0]} if shown else {}))
    aspect = recipe.data.aspect
    return {
        "resolutions": [recipe.data.resolution or 1024],
        "enable_ar_bucket": True,
        "min_ar": round(1 / aspect, 4),
        "max_ar": aspect,
        "num_ar_buckets": 7,
        "directory": directories,
    }


def differences(recipe: Recipe) -> Iterator[str]:
    """What of a recipe these files cannot say."""
    yield from held_out(recipe)
    yield NO_SEED
    if recipe.training.ema:
        yield NO_AVERAGE
