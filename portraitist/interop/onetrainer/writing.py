"""Our recipe as OneTrainer's config.json and concepts.json."""

import json
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

from portraitist.arithmetic import settled
from portraitist.interop.diagnosis import rules
from portraitist.interop.folders import folders as seen
from portraitist.interop.keeping import refuse_rare, refuse_written
from portraitist.interop.onetrainer.carrying import HELD_OURS, MODULES, OPTIMISERS, PRECISIONS
from portraitist.interop.unlike import NO_SEED, held_out
from portraitist.project import Facts
from portraitist.recipe import Recipe

TYPES = {
    "sdxl": "STABLE_DIFFUSION_XL_10_BASE", "flux": "FLUX_DEV_1", "qwen-image": "QWEN", "z-image": "Z_IMAGE",
    "z-image-turbo": "Z_IMAGE",
}  # fmt: skip
BASES = {
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0", "flux": "black-forest-labs/FLUX.1-dev",
    "qwen-image": "Qwen/Qwen-Image", "z-image": "Tongyi-MAI/Z-Image", "z-image-turbo": "Tongyi-MAI/Z-Image-Turbo",
}  # fmt: skip


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Our recipe as OneTrainer's config and concepts. Raises PortraitistError for one that it cannot train."""
    refuse_rare("OneTrainer", recipe, ("unet", "transformer", "vae"))
    kind = TYPES.get(recipe.model.family)
    if kind is None:
        raise refuse_written("OneTrainer", f"the family {recipe.model.family}, and OneTrainer no type for it")
    if recipe.model.quantised not in ("", *HELD_OURS):
        raise refuse_written("OneTrainer", f"model.quantised {recipe.model.quantised}")
    if recipe.training.snr_gamma and recipe.model.family != "sdxl":
        raise refuse_written("OneTrainer", "training.snr_gamma with a flow model")
    held = folders(recipe, facts, pictures)
    training, lora = recipe.training, recipe.adapter.kind != "full"
    precision = settled(recipe.model.precision, "cuda")
    part = "unet" if recipe.model.family == "sdxl" else "transformer"
    values: dict[str, Any] = {
        "__version": 11,
        "training_method": "LORA" if lora else "FINE_TUNE",
        "model_type": kind,
        "base_model_name": recipe.model.base or BASES[recipe.model.family],
        "output_model_format": "DIFFUSERS_LORA" if lora else "DIFFUSERS",
        "output_model_destination": f"models/{facts.trigger}.safetensors" if lora else f"models/{facts.trigger}",
        "output_dtype": "BFLOAT_16",
        "concept_file_name": "concepts.json",
        "resolution": str(recipe.data.resolution or 1024),
        "epochs": held[0],
        "batch_size": training.batch,
        "gradient_accumulation_steps": training.accumulate,
        "learning_rate": training.rate,
        "learning_rate_scheduler": training.schedule.upper(),
        "learning_rate_min_factor": training.floor if training.schedule != "constant" else 0.0,
        "learning_rate_warmup_steps": float(training.warmup * training.accumulate),
        "clip_grad_norm": training.max_gradient or None,
        "optimizer": optimiser(recipe),
        "save_every": training.save_every * training.accumulate,
        "save_every_unit": "STEP",
        "rolling_backup": True,
        "train_dtype": {ours: theirs for theirs, ours in reversed(PRECISIONS.items())}[precision],
        part: {
            "train": True,
            "model_name": recipe.model.parts.unet if part == "unet" else recipe.model.parts.transformer,
            "weight_dtype": weights(recipe),
            "offload_fraction": recipe.model.offload,
            "gradient_checkpointing": training.recompute != "off",
        },
        "text_encoder": {"train": False, "weight_dtype": "BFLOAT_16", "dropout_probability": recipe.data.dropout},
        "text_encoder_2": {"train": False, "weight_dtype": "BFLOAT_16", "dropout_probability": recipe.data.dropout},
        "masked_training": recipe.data.masks < 1,
        "unmasked_weight": recipe.data.masks,
        "normalize_masked_area_loss": True,
    }
    values |= averaged(recipe) | levels(recipe)
    values |= {"vae": {"model_name": recipe.model.parts.vae}} if recipe.model.parts.vae else {}
    values |= {"force_v_prediction": True} if recipe.model.prediction == "v" else {}
    if lora:
        values |= trained(recipe)
    if recipe.model.family == "flux":
        values["text_encoder_2_sequence_length"] = 512
    told = json.dumps(values, indent=4, ensure_ascii=False) + "\n"
    return {"config.json": told, "concepts.json": json.dumps(held[1], indent=4, ensure_ascii=False) + "\n"}


def weights(recipe: Recipe) -> str:
    """What the denoiser is held in."""
    if recipe.model.quantised:
        return HELD_OURS[recipe.model.quantised]
    if recipe.adapter.kind == "full":
        return "BFLOAT_16" if recipe.adapter.weights == "bfloat16" else "FLOAT_32"
    names = {"bfloat16": "BFLOAT_16", "float16": "FLOAT_16", "float32": "FLOAT_32"}
    return names[settled(recipe.model.precision, "cuda")]


def optimiser(recipe: Recipe) -> dict[str, Any]:
    """The optimiser's table."""
    training = recipe.training
    named = {ours: theirs for theirs, ours in OPTIMISERS.items()}[training.optimiser]
    betas = {} if named == "ADAFACTOR" else {"beta1": training.beta1, "beta2": training.beta2}
    return {"optimizer": named, **betas, "weight_decay": training.weight_decay}


def averaged(recipe: Recipe) -> dict[str, Any]:
    """The average of the weights."""
    if not recipe.training.ema:
        return {"ema": "OFF"}
    return {"ema": "GPU", "ema_decay": recipe.training.ema, "ema_update_step_interval": 1}


def levels(recipe: Recipe) -> dict[str, Any]:
    """Levels of noise; a family's own as OneTrainer's presets have it."""
    training = recipe.training
    named = training.level
    if named == "family":
        named = "uniform" if recipe.model.family == "sdxl" else "logit-normal"
    values: dict[str, Any] = {
        "timestep_distribution": named.upper().replace("-", "_"),
        "timestep_shift": training.level_shift,
        "loss_weight_fn": "MIN_SNR_GAMMA" if training.snr_gamma else "CONSTANT",
    }
    if named == "logit-normal":
        values |= {"noising_bias": training.level_mean, "noising_weight": training.level_spread - 1}
    return values | ({"loss_weight_strength": training.snr_gamma} if training.snr_gamma else {})


def trained(recipe: Recipe) -> dict[str, Any]:
    """The adapter."""
    adapter = recipe.adapter
    known = rules("onetrainer").keys["layers"][TYPES[recipe.model.family]]
    chosen = {ours: theirs for theirs, ours in MODULES.items()}.get(adapter.modules, "full")
    if adapter.targets:
        raise refuse_written("OneTrainer", "adapter.targets, which OneTrainer names otherwise")
    if adapter.modules == "family":
        chosen = "attn-only" if recipe.model.family in ("sdxl", "flux") else "attn-mlp"
    values: dict[str, Any] = {
        "peft_type": adapter.kind.upper(),
        "lora_rank": adapter.rank,
        "lora_alpha": float(adapter.alpha or adapter.rank),
        "dropout_probability": adapter.dropout,
        "lora_model_name": adapter.start,
        "layer_filter_preset": chosen,
        "layer_filter": known.get(chosen, ""),
        "layer_filter_regex": "(?" in known.get(chosen, ""),
    }
    return values | ({"lokr_dim": adapter.rank} if adapter.kind == "lokr" else {})


def folders(recipe: Recipe, facts: Facts, pictures: str) -> tuple[int, list[dict[str, Any]]]:
    """Epochs and concepts: pictures are counted by samples, so that the updates come out as they are here.

    Fewer come out of batches above one where shapes differ: each epoch drops the rest of every bucket.
    """
    total = recipe.steps * recipe.pictures_per_step
    epochs = recipe.steps // recipe.training.save_every if recipe.steps % recipe.training.save_every == 0 else 1
    each = total // epochs
    named = [one for one in recipe.data.sets if one.weight or one.name]
    if len(named) <= 1:
        path = str(File(pictures) / named[0].name) if named and named[0].name else pictures
        loss = named[0].loss_weight if named else 1.0
        return epochs, [concept(named[0].name if named else facts.trigger, path, each, loss)]
    counts = [seen(str(File(pictures) / one.name), ".") for one in named]
    sizes = [len(one[0].pictures) * max(1, own.weight) if one else 0 for one, own in zip(counts, named, strict=True)]
    if not all(sizes):
        raise refuse_written("OneTrainer", "sets whose pictures cannot be counted from here")
    shares = [each * size // sum(sizes) for size in sizes]
    shares[0] += each - sum(shares)
    paths = [(one, str(File(pictures) / one.name), share) for one, share in zip(named, shares, strict=True)]
    return epochs, [concept(one.name or facts.trigger, path, share, one.loss_weight) for one, path, share in paths]


def concept(name: str, path: str, samples: int, loss_weight: float) -> dict[str, Any]:
    """One concept: so many pictures of a folder a pass."""
    return {
        "__version": 2,
        "name": name,
        "path": path,
        "enabled": True,
        "type": "STANDARD",
        "include_subdirectories": False,
        "balancing": float(samples),
        "balancing_strategy": "SAMPLES",
        "loss_weight": loss_weight,
        "image": {"enable_crop_jitter": False},
        "text": {"prompt_source": "sample"},
    }


def differences(recipe: Recipe) -> Iterator[str]:
    """What of a recipe these files cannot say."""
    yield from held_out(recipe)
    yield NO_SEED
