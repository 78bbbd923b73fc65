"""SimpleTuner's settings to ours, and ours to its config.json and multidatabackend.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from portraitist.arithmetic import settled
from portraitist.interop.carrying import Carried, Carrying
from portraitist.interop.document import Document
from portraitist.interop.keeping import (
    Folders,
    account,
    refuse_base,
    refuse_method,
    refuse_plain,
    refuse_rare,
    refuse_written,
)
from portraitist.interop.simpletuner.reading import (
    WAVES,
    Backend,
    Options,
    backends,
    effective,
    family,
    held_in,
    options,
)
from portraitist.interop.unlike import held_out

if TYPE_CHECKING:
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

PRECISIONS = {"bf16": "bfloat16", "fp16": "float16", "no": "float32"}
HELD = {"int8": "int8-quanto", "fp8": "fp8-quanto", "nf4": "nf4-bnb"}
OPTIMISERS = {
    "optimi-adamw": "adamw",
    "bnb-adamw8bit": "adamw8bit",
    "prodigy": "prodigy",
    "torch-adafactor": "adafactor",
}
TAKEN_FOR = {"adamw_bf16": "adamw", "torch-adamw": "adamw", "ao-adamw8bit": "adamw8bit", "bnb-adamw": "adamw"}
NAMES = {
    "sdxl": ("sdxl", ""), "flux": ("flux", ""), "qwen-image": ("qwen_image", "v1.0"), "z-image": ("z_image", "base"),
    "qwen-image-edit": ("qwen_image", "edit-v2"), "z-image-turbo": ("z_image", "turbo"),
}  # fmt: skip
PARTS = {
    "transformer": "pretrained_transformer_model_name_or_path", "unet": "pretrained_unet_model_name_or_path",
    "vae": "pretrained_vae_model_name_or_path",
}  # fmt: skip
SEED = 42
"""In place of 0, which to SimpleTuner is another seed at each start."""

PASSED = ("_metadata", "tracker_project_name", "tracker_run_name", "output_dir", "data_backend_config")


def carried(document: Document) -> Carried:
    """What of a config our project and recipe can hold.

    Raises PortraitistError for a base, and for a way of training, that we do not have.
    """
    alone = isinstance(document.value, list)
    config = Options({}, {}) if alone else options(document)
    keeping, held = Carrying(document), backends(document, config)
    if not alone:
        model(keeping, config)
        training(keeping, config)
        levels_here(keeping, config)
        lasting(keeping, config, held)
    pictures, trigger = sets(keeping, held or [])
    return account(keeping, pictures, PASSED, trigger)


def model(keeping: Carrying, config: Options) -> None:
    """The base, how it is held, and what is trained of it."""
    if not (named := family(config)):
        raise refuse_base("SimpleTuner", config.text("model_family"))
    keeping.keep("model.family", named, *config.path("model_family"))
    keeping.kept.setdefault(config.path("model_flavour"), "model.family")
    located(keeping, config)
    held = held_in(config)
    where = config.path("base_model_precision")
    if config.text("base_model_precision") == "no_change" or held in HELD:
        keeping.keep("model.quantised", held if held in HELD else "", *where)
    else:
        keeping.leave("weights are held here in int8, fp8 or nf4 without a recovery adapter", *where)
    on = "on" if config.flag("gradient_checkpointing") else "off"
    keeping.keep("training.recompute", on, *config.path("gradient_checkpointing"))
    keeping.leave("text encoders stay frozen here", *config.path("train_text_encoder"))
    kind, how = config.text("model_type"), config.text("lora_type")
    if kind == "full":
        keeping.keep("adapter.kind", "full", *config.path("model_type"))
    elif kind == "lora" and how == "standard":
        keeping.keep("adapter.kind", "lora", *config.path("model_type"))
        keeping.kept.setdefault(config.path("lora_type"), "adapter.kind")
        run = effective(config, None)
        keeping.keep("adapter.rank", max(1, min(1024, run.rank)), *config.path("lora_rank"))
        alpha = 0.0 if run.alpha == run.rank else max(0.0, min(4096.0, run.alpha))
        keeping.keep("adapter.alpha", alpha, *config.path("lora_alpha"))
        dropout = max(0.0, min(0.99, config.number("lora_dropout")))
        keeping.keep("adapter.dropout", dropout, *config.path("lora_dropout"))
        if start := config.text("init_lora"):
            keeping.keep("adapter.start", start, *config.path("init_lora"))
    elif kind == "lora" and how == "lycoris":
        keeping.keep("adapter.kind", "lokr", *config.path("model_type"))
        keeping.leave(
            "rank and factor stand in lycoris_config; they are to be set by hand", *config.path("lycoris_config")
        )
    else:
        raise refuse_method("SimpleTuner", f"{kind} {how}".strip())


def located(keeping: Carrying, config: Options) -> None:
    """Where the base lies, its parts elsewhere, and in what it computes."""
    for ours, theirs in {
        "base": "pretrained_model_name_or_path",
        **{f"parts.{k}": v for k, v in PARTS.items()},
    }.items():
        if path := config.text(theirs):
            keeping.keep(f"model.{ours}", path, *config.path(theirs))
    if config.text("prediction_type") == "v_prediction" and family(config) == "sdxl":
        keeping.keep("model.prediction", "v", *config.path("prediction_type"))
    precision = PRECISIONS.get(config.text("mixed_precision"), "bfloat16")
    keeping.keep("model.precision", precision, *config.path("mixed_precision"))


def training(keeping: Carrying, config: Options) -> None:
    """Optimiser and schedule."""
    for theirs, ours in (("train_batch_size", "batch"), ("gradient_accumulation_steps", "accumulate")):
        keeping.keep(f"training.{ours}", max(1, min(4096, config.whole(theirs))), *config.path(theirs))
    keeping.keep("training.rate", max(1e-9, min(1.0, config.number("learning_rate"))), *config.path("learning_rate"))
    named, where = config.text("optimizer"), config.path("optimizer")
    if found := OPTIMISERS.get(named) or TAKEN_FOR.get(named):
        keeping.keep("training.optimiser", found, *where)
    elif "schedulefree" in named:
        keeping.keep("training.optimiser", "schedulefree", *where)
    else:
        keeping.leave("this optimiser is not here; adamw is taken", *where)
    for theirs, ours in (("adam_beta1", "beta1"), ("adam_beta2", "beta2"), ("adam_weight_decay", "weight_decay")):
        keeping.keep(f"training.{ours}", max(0.0, min(0.999999, config.number(theirs))), *config.path(theirs))
    where = config.path("max_grad_norm")
    if config.text("grad_clip_method") == "norm":
        keeping.keep("training.max_gradient", max(0.0, config.number("max_grad_norm")), *where)
        keeping.kept.setdefault(config.path("grad_clip_method"), "training.max_gradient")
    else:
        keeping.leave("gradients are clipped by their norm here, and it cuts their entries", *where)
    if config.flag("use_ema"):
        keeping.keep("training.ema", max(0.0, min(0.999999, config.number("ema_decay"))), *config.path("ema_decay"))
    keeping.kept.setdefault(config.path("use_ema"), "training.ema")


def levels_here(keeping: Carrying, config: Options) -> None:
    """Levels of noise, caption dropout and the seed."""
    name = "caption_dropout_probability"
    keeping.keep("data.dropout", max(0.0, min(1.0, config.number(name))), *config.path(name))
    keeping.keep("training.seed", max(0, min(2**31 - 1, config.whole("seed"))), *config.path("seed"))
    if family(config) == "sdxl":
        keeping.keep("training.snr_gamma", max(0.0, min(1000.0, config.number("snr_gamma"))), *config.path("snr_gamma"))
        return
    shift = max(0.01, min(20.0, config.number("flow_schedule_shift") or 1.0))
    keeping.keep("training.level_shift", shift, *config.path("flow_schedule_shift"))
    uniform = config.flag("flow_use_uniform_schedule")
    where = config.path("flow_use_uniform_schedule")
    keeping.keep("training.level", "uniform" if uniform else "logit-normal", *where)
    if not uniform:
        spread = max(0.01, min(5.0, config.number("flow_sigmoid_scale") or 1.0))
        keeping.keep("training.level_spread", spread, *config.path("flow_sigmoid_scale"))


def lasting(keeping: Carrying, config: Options, held: list[Backend] | None) -> None:
    """Steps, warmup and saving, and the pictures' size."""
    run = effective(config, held)
    if run.updates > 0:
        keeping.keep(
            "stages", [{"name": "main", "steps": min(10_000_000, run.updates)}], *config.path("max_train_steps")
        )
        keeping.kept.setdefault(config.path("num_train_epochs"), "stages.steps")
    else:
        keeping.leave("updates are not known while the pictures cannot be seen", *config.path("num_train_epochs"))
    scheduled(keeping, config, run.updates)
    every = max(1, config.whole("checkpoint_step_interval"))
    keeping.keep("training.save_every", every, *config.path("checkpoint_step_interval"))
    keeping.leave("adapters are all kept here", *config.path("checkpoints_total_limit"))
    alone = Backend((), {}, config, "")
    side = run.resolutions[0] if run.resolutions else alone.side
    if 0 < side <= 4096:
        keeping.keep("data.resolution", side, *config.path("resolution"))
        keeping.kept.setdefault(config.path("resolution_type"), "data.resolution")
    if len(run.resolutions) > 1:
        keeping.leave("only the first of the resolutions is carried", *config.path("resolution"))


def scheduled(keeping: Carrying, config: Options, updates: int) -> None:
    """How the rate rises and falls: a polynomial of power 1 is linear; a cosine of the run's length falls once."""
    schedule, where = config.text("lr_scheduler"), config.path("lr_scheduler")
    warmup = max(0, min(10**7, config.whole("lr_warmup_steps")))
    once = schedule == "cosine" and warmup == updates
    linear = schedule == "linear" or (schedule == "polynomial" and config.number("lr_power") == 1)
    if schedule not in ("constant", "constant_with_warmup") and not once and not linear:
        keeping.leave("schedules here are constant, or fall once, linear or cosine; constant is taken", *where)
    named = "cosine" if once else "linear" if linear else "constant"
    keeping.keep("training.schedule", named, *where)
    keeping.keep("training.warmup", 0 if schedule in WAVES else warmup, *config.path("lr_warmup_steps"))
    if once or linear:
        end = 0.0 if schedule == "linear" else config.number("lr_end") / max(1e-12, config.number("learning_rate"))
        keeping.keep("training.floor", round(max(0.0, min(1.0, end)), 9), *config.path("lr_end"))


def sets(keeping: Carrying, held: list[Backend]) -> tuple[Folders, str]:
    """Sets of pictures, their folders, and the trigger that a single caption is."""
    pictures: Folders = []
    ours: list[dict[str, Any]] = []
    trained = [one for one in held if one.kind == "image" and one.enabled]
    trigger = ""
    for one in held:
        inner = one.path if isinstance(one.path[-1], int) else None
        if one not in trained:
            if inner is not None and one.kind == "eval":
                keeping.leave("a share of the pictures is held out here (data.held_out)", *inner, "dataset_type")
            elif inner is not None and one.kind == "conditioning":
                keeping.leave("references are named by sets here (data.sets.references)", *inner, "dataset_type")
            continue
        folder = str(one.values.get("instance_data_dir") or one.values.get("dataset_name") or "")
        name = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in one.name)[:60]
        pictures.append((folder, name if len(trained) > 1 else ""))
        ours.append({"name": pictures[-1][1], "weight": max(1, min(10_000, one.passes))})
        prompt = one.setting("instance_prompt")
        if isinstance(prompt, str) and prompt.strip() and not any(sign.isspace() or sign == "," for sign in prompt):
            trigger = trigger or prompt[:60]
        if inner is not None:
            keeping.kept[*inner, "instance_data_dir"] = "pictures"
            keeping.kept[*inner, "repeats"] = "data.sets.weight"
    if ours:
        keeping.recipe["data.sets"] = ours
    return pictures, trigger


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Our recipe as SimpleTuner's config and data backends. Raises PortraitistError for one that it cannot train."""
    refuse_rare("SimpleTuner", recipe, PARTS)
    refuse_plain("SimpleTuner", recipe, ("family",))
    if recipe.model.family not in NAMES:
        raise refuse_written("SimpleTuner", f"the family {recipe.model.family}")
    if recipe.adapter.kind not in ("lora", "full"):
        raise refuse_written("SimpleTuner", f"adapter.kind {recipe.adapter.kind}")
    if recipe.model.quantised not in ("", *HELD):
        raise refuse_written("SimpleTuner", f"model.quantised {recipe.model.quantised}")
    if recipe.training.optimiser not in OPTIMISERS.values():
        raise refuse_written("SimpleTuner", f"training.optimiser {recipe.training.optimiser}")
    held = stores(recipe, facts, pictures)
    if recipe.model.family == "qwen-image-edit" and not any(one.get("conditioning_type") for one in held):
        raise refuse_written("SimpleTuner", "an edit model without references, which SimpleTuner wants")
    kind, flavour = NAMES[recipe.model.family]
    training, precision = recipe.training, settled(recipe.model.precision, "cuda")
    values: dict[str, Any] = {
        "model_family": kind,
        "model_type": "full" if recipe.adapter.kind == "full" else "lora",
        "data_backend_config": "multidatabackend.json",
        "output_dir": f"output/{facts.trigger}",
        "max_train_steps": recipe.steps,
        "num_train_epochs": 0,
        "train_batch_size": training.batch,
        "gradient_accumulation_steps": training.accumulate,
        "gradient_checkpointing": training.recompute != "off",
        "learning_rate": training.rate,
        **falling(recipe),
        "optimizer": {ours: theirs for theirs, ours in OPTIMISERS.items()}[training.optimiser],
        "adam_beta1": training.beta1,
        "adam_beta2": training.beta2,
        "adam_weight_decay": training.weight_decay,
        "max_grad_norm": training.max_gradient,
        "grad_clip_method": "norm",
        "use_ema": training.ema > 0,
        "mixed_precision": {ours: theirs for theirs, ours in PRECISIONS.items()}[precision],
        "base_model_precision": HELD.get(recipe.model.quantised, "no_change"),
        "caption_dropout_probability": recipe.data.dropout,
        "checkpoint_step_interval": training.save_every,
        "checkpoints_total_limit": max(training.keep, recipe.steps // training.save_every),
        "resolution": recipe.data.resolution or 1024,
        "resolution_type": "pixel_area",
        "minimum_image_size": 0,
        "seed": training.seed or SEED,
        "validation_prompt": f"{facts.trigger}, portrait, smiling, soft light",
    }
    values |= {"model_flavour": flavour} if flavour else {}
    parts = recipe.model.parts.model_dump()
    values |= {theirs: parts[ours] for ours, theirs in PARTS.items() if parts[ours]}
    values |= {"prediction_type": "v_prediction"} if recipe.model.prediction == "v" else {}
    values |= {"pretrained_model_name_or_path": recipe.model.base} if recipe.model.base else {}
    values |= {"ema_decay": training.ema} if training.ema else {}
    values |= levels(recipe) | lora(recipe)
    return {
        "config.json": json.dumps(values, indent=4, ensure_ascii=False) + "\n",
        "multidatabackend.json": json.dumps(held, indent=4, ensure_ascii=False) + "\n",
    }


def differences(recipe: Recipe) -> Iterator[str]:
    """What of a recipe these files cannot say."""
    yield from held_out(recipe)
    if not recipe.training.seed:
        yield f"draws go by seed {SEED}, for its 0 is another seed at each start (training.seed)"


def falling(recipe: Recipe) -> dict[str, Any]:
    """The schedule: its cosine has no warmup and falls over `lr_warmup_steps`; a polynomial of power 1 is linear."""
    training = recipe.training
    if training.schedule == "cosine" and training.warmup:
        raise refuse_written("SimpleTuner", "a cosine schedule with a warmup, which its cosine does not have")
    named = {"constant": "constant_with_warmup", "linear": "polynomial"}.get(training.schedule, training.schedule)
    warmup = recipe.steps if training.schedule == "cosine" else training.warmup
    values: dict[str, Any] = {"lr_scheduler": named, "lr_warmup_steps": warmup}
    if training.schedule != "constant":
        values["lr_end"] = training.rate * min(training.floor, 0.999)
    return values | ({"lr_power": 1.0} if named == "polynomial" else {})


def levels(recipe: Recipe) -> dict[str, Any]:
    """Levels of noise."""
    if recipe.model.family == "sdxl":
        return {"snr_gamma": recipe.training.snr_gamma} if recipe.training.snr_gamma else {}
    values: dict[str, Any] = {"flow_schedule_shift": recipe.training.level_shift}
    if recipe.training.level == "uniform":
        return values | {"flow_use_uniform_schedule": True}
    return values | {"flow_sigmoid_scale": recipe.training.level_spread}


def lora(recipe: Recipe) -> dict[str, Any]:
    """The adapter."""
    adapter = recipe.adapter
    if adapter.kind == "full":
        return {}
    values = {
        "lora_type": "standard",
        "lora_rank": adapter.rank,
        "lora_alpha": float(adapter.alpha or adapter.rank),
        "lora_dropout": adapter.dropout,
        "lora_format": "comfyui",
    }
    return values | ({"init_lora": adapter.start} if adapter.start else {})


def stores(recipe: Recipe, facts: Facts, pictures: str) -> list[dict[str, Any]]:
    """The data backends: each set of pictures with its references, and where captions are kept."""
    held: list[dict[str, Any]] = []
    for one in recipe.data.sets or [None]:
        name = one.name if one and one.name else facts.trigger
        weight = max(1, one.weight) if one else 1
        folder = str(File(pictures) / one.name) if one and one.name else pictures
        shown = (one.references if one else ()) or recipe.data.references
        images: dict[str, Any] = {
            "id": name,
            "type": "local",
            "dataset_type": "image",
            "instance_data_dir": folder,
            "cache_dir_vae": f"cache/vae/{name}",
            "caption_strategy": "textfile",
            "metadata_backend": "discovery",
        }
        images |= {"repeats": weight - 1} if weight > 1 else {}
        if shown:
            images["conditioning_data"] = [f"{name}-reference-{index}" for index in range(1, len(shown) + 1)]
        held.append(images)
        for index, reference in enumerate(shown, 1):
            held.append(
                {
                    "id": f"{name}-reference-{index}",
                    "type": "local",
                    "dataset_type": "conditioning",
                    "conditioning_type": "reference_strict",
                    "source_dataset_id": name,
                    "instance_data_dir": reference,
                    "cache_dir_vae": f"cache/vae/{name}-reference-{index}",
                }
            )
    text = {"id": "text", "type": "local", "dataset_type": "text_embeds", "default": True, "cache_dir": "cache/text"}
    return [*held, text]
