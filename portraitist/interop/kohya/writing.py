"""Our recipe as sd-scripts' files: a dataset config, a training config, and the command that starts it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from portraitist.arithmetic import settled
from portraitist.errors import PortraitistError
from portraitist.interop.folders import Folder, repeats
from portraitist.interop.unlike import NO_AVERAGE, remarked

if TYPE_CHECKING:
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

OPTIMISERS = {
    "adamw": "AdamW", "adamw8bit": "AdamW8bit", "adafactor": "Adafactor", "prodigy": "Prodigy",
    "schedulefree": "AdamWScheduleFree",
}  # fmt: skip
PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": "no"}
MOST_BLOCKS = {"flux": 35, "qwen-image": 58, "qwen-image-edit": 58, "z-image": 28}
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """A recipe for SDXL or FLUX as `dataset.toml`, `train.toml` and `train.sh`.

    Raises PortraitistError for another family, for all weights, several stages, or a LoRA on packed weights.
    """
    family, adapter = recipe.model.family, recipe.adapter
    if family not in ("sdxl", "flux"):
        raise PortraitistError(f"sd-scripts is not written for {family}", "Export for musubi, or for ai-toolkit.")
    refuse(recipe, "sd-scripts")
    if adapter.kind != "lora" and family == "flux":
        raise PortraitistError(
            f'adapter.kind = "{adapter.kind}" is written for SDXL alone', 'Set adapter.kind = "lora".'
        )
    if family == "sdxl" and (recipe.model.offload or recipe.model.quantised not in ("", "fp8", "int8")):
        raise PortraitistError("sd-scripts moves no blocks of SDXL", "Set model.offload = 0.")
    train = {**base(recipe), **network(recipe), **course(recipe), **memory(recipe), "output_name": facts.trigger}
    train |= {"dataset_config": "dataset.toml", "output_dir": "output"}
    command = f'accelerate launch "$SD_SCRIPTS/{family}_train_network.py" --config_file train.toml'
    started = f'# SD_SCRIPTS is the folder of sd-scripts.\ncd "$(dirname "$0")" || exit 1\n{command}\n'
    return {
        "dataset.toml": remarked(differences(recipe), tomli_w.dumps(dataset(recipe, facts, pictures))),
        "train.toml": tomli_w.dumps(train),
        "train.sh": f"#!/bin/sh\n{started}",
    }


def refuse(recipe: Recipe, tool: str) -> None:
    """Refuse what neither sd-scripts nor musubi-tuner has."""
    if recipe.adapter.kind == "full":
        raise PortraitistError(f"{tool} is written for adapters alone", 'Set adapter.kind = "lora".')
    if len(recipe.stages) > 1:
        raise PortraitistError(f"{tool} knows one stage, and the recipe has {len(recipe.stages)}", "Export each apart.")
    if recipe.model.quantised in ("nf4", "int3", "int2"):
        raise PortraitistError(
            f'{tool} holds weights in 8 bits or more, not in model.quantised = "{recipe.model.quantised}"',
            'Set model.quantised = "fp8".',
        )
    if recipe.adapter.targets or recipe.adapter.modules not in ("family", "locon"):
        raise PortraitistError(
            f"{tool} selects layers in its own way; adapter.modules and adapter.targets are not written",
            'Set adapter.modules = "family", adapter.targets = [].',
        )


def base(recipe: Recipe) -> dict[str, Any]:
    """The model's files."""
    model, parts = recipe.model, recipe.model.parts
    if model.family == "sdxl":
        found = {"pretrained_model_name_or_path": parts.unet or model.base or SDXL, "vae": parts.vae}
    else:
        found = {
            "pretrained_model_name_or_path": parts.transformer or model.base or "flux1-dev.safetensors",
            "clip_l": parts.text_encoder or "clip_l.safetensors",
            "t5xxl": parts.text_encoder_2 or "t5xxl_fp16.safetensors",
            "ae": parts.vae or "ae.safetensors",
        }
    return {key: value for key, value in found.items() if value}


def network(recipe: Recipe) -> dict[str, Any]:
    """The adapter."""
    adapter = recipe.adapter
    alpha = adapter.alpha or float(adapter.rank)
    module = {"sdxl": "networks.lora", "flux": "networks.lora_flux"}[recipe.model.family]
    args: list[str] = []
    if adapter.kind != "lora":
        module, args = "lycoris.kohya", [f"algo={adapter.kind}", "preset=attn-mlp"]
        args += [f"factor={adapter.factor}"] if adapter.kind == "lokr" and adapter.factor else []
    elif adapter.modules == "locon":
        args = [f"conv_dim={adapter.rank}", f"conv_alpha={alpha:g}"]
    found: dict[str, Any] = {"network_module": module, "network_dim": adapter.rank, "network_alpha": alpha}
    found |= {"network_args": args} if args else {}
    found |= {"network_dropout": adapter.dropout} if adapter.dropout else {}
    found |= {"network_weights": adapter.start} if adapter.start else {}
    return found | {"network_train_unet_only": True}


def course(recipe: Recipe) -> dict[str, Any]:
    """Length, rate, optimiser, noise."""
    training = recipe.training
    found: dict[str, Any] = {
        "max_train_steps": recipe.steps, "save_every_n_steps": training.save_every, "save_model_as": "safetensors",
        "gradient_accumulation_steps": training.accumulate, "learning_rate": training.rate, "seed": training.seed,
        "optimizer_type": OPTIMISERS[training.optimiser], "optimizer_args": list(arguments(recipe)),
        "max_grad_norm": training.max_gradient, **schedule(recipe), "max_data_loader_n_workers": 0,
    }  # fmt: skip
    if recipe.model.family == "sdxl":
        found |= {"min_snr_gamma": training.snr_gamma} if training.snr_gamma else {}
        return found | ({"v_parameterization": True} if recipe.model.prediction == "v" else {})
    return found | levels(recipe) | {"guidance_scale": 1.0, "model_prediction_type": "raw"}


def arguments(recipe: Recipe) -> Iterator[str]:
    """What the optimiser is told."""
    training = recipe.training
    if training.optimiser == "adafactor":
        yield from ("scale_parameter=False", "relative_step=False", "warmup_init=False")
    else:
        yield f"betas=({training.beta1!r},{training.beta2!r})"
    yield f"weight_decay={training.weight_decay!r}"


def schedule(recipe: Recipe) -> dict[str, Any]:
    """The rate's course."""
    training = recipe.training
    name = {"constant": "constant", "linear": "linear", "cosine": "cosine_with_min_lr"}[training.schedule]
    warmed = {"lr_warmup_steps": training.warmup} if training.warmup else {}
    if training.schedule == "constant" and training.warmup and training.optimiser != "schedulefree":
        name = "constant_with_warmup"
    floor = {"lr_scheduler_min_lr_ratio": training.floor} if training.schedule == "cosine" else {}
    return {"lr_scheduler": name, **warmed, **floor}


def levels(recipe: Recipe) -> dict[str, Any]:
    """How noise levels of a flow are drawn; the families' own is logit-normal about 0."""
    training = recipe.training
    if training.level == "uniform" and training.level_shift == 1:
        return {"timestep_sampling": "uniform"}
    spread = training.level_spread if training.level == "logit-normal" else 1.0
    if training.level == "logit-normal" and training.level_shift != 1:
        shift = {"discrete_flow_shift": training.level_shift}
        return {"timestep_sampling": "shift", "sigmoid_scale": spread, **shift}
    return {"timestep_sampling": "sigmoid", "sigmoid_scale": spread}


def memory(recipe: Recipe) -> dict[str, Any]:
    """Number formats, caches and blocks that move."""
    model = recipe.model
    mixed = PRECISIONS[settled(model.precision, "cuda")]
    found: dict[str, Any] = {"mixed_precision": mixed, "save_precision": "bf16", "sdpa": True}
    found |= {"cache_latents": True, "cache_latents_to_disk": True}
    if recipe.training.recompute != "off":
        found["gradient_checkpointing"] = True
    if model.quantised and model.precision != "float32":
        found["fp8_base"] = True
    if model.family == "sdxl":
        return found | ({"no_half_vae": True} if model.precision == "float16" else {})
    if model.offload:
        found["blocks_to_swap"] = max(1, round(model.offload * MOST_BLOCKS[model.family]))
    return found | {"cache_text_encoder_outputs": True, "cache_text_encoder_outputs_to_disk": True}


def dataset(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, Any]:
    """The dataset config."""
    side = recipe.data.resolution or 1024
    general: dict[str, Any] = {"caption_extension": ".txt", "enable_bucket": True, "resolution": side}
    general |= {"min_bucket_reso": min(256, side // 64 * 64), "max_bucket_reso": 2 * side, "bucket_reso_steps": 64}
    if recipe.model.family == "sdxl":
        general |= {"caption_dropout_rate": recipe.data.dropout} if recipe.data.dropout else {}
    held: dict[str, Any] = {}
    if recipe.data.held_out and recipe.model.family == "sdxl":
        held = {"validation_split": recipe.data.held_out, "validation_seed": recipe.training.seed}
    subsets = []
    for folder, times, prior in folders(recipe, pictures):
        mask = {"alpha_mask": True} if recipe.data.masks < 1 else {}
        tokens = {"class_tokens": facts.noun if prior else f"{facts.trigger} {facts.noun}"}
        regular = {"is_reg": True} if prior else {}
        subsets.append({"image_dir": folder, "num_repeats": times, **tokens, **regular, **mask})
    return {"general": general, "datasets": [{"batch_size": recipe.training.batch, **held, "subsets": subsets}]}


def folders(recipe: Recipe, pictures: str) -> Iterator[tuple[str, int, bool]]:
    """Folders of pictures, how often each picture is seen per pass, and whether they show the kind alone."""
    said = {one.name: one for one in recipe.data.sets}
    found = Folder(Path(pictures))
    names = dict.fromkeys(said)
    names |= dict.fromkeys([""] if found.pictures else [])
    names |= dict.fromkeys(name for name in found.folders if Folder(found.path / name).pictures)
    for name in names or {"": None}:
        one = said.get(name)
        times = (one.weight if one else 0) or repeats(name) or 1
        yield f"{pictures.rstrip('/')}/{name}".rstrip("/"), times, bool(one and one.role == "prior")


def differences(recipe: Recipe) -> Iterator[str]:
    """What of a recipe these files cannot say."""
    training, flux = recipe.training, recipe.model.family != "sdxl"
    if training.ema:
        yield NO_AVERAGE
    if flux and recipe.data.dropout:
        yield "no caption is dropped (data.dropout): text encoder outputs are cached"
    if flux and recipe.data.held_out:
        yield "nothing is held out (data.held_out)"
    elif recipe.data.held_out:
        yield "pictures are held out one by one, not by groups of near-duplicates"
    if recipe.model.quantised == "int8":
        yield "weights are held in fp8, in place of int8"
    if 0 < recipe.data.masks < 1:
        yield "outside a mask nothing is learnt, in place of data.masks"
    if training.preserve:
        yield "the noun is not held to what it was (training.preserve)"
    if training.schedule == "linear" and training.floor:
        yield "the rate falls to 0, in place of training.floor"
    if training.level == "logit-normal" and (training.level_mean or not flux):
        yield "noise levels are drawn about the middle, or evenly"


def quoted(options: dict[str, Any]) -> str:
    """Options as a command line's words."""
    words: list[str] = []
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif isinstance(value, list):
            words.append(shlex.join([f"--{name}", *map(str, value)]))
        else:
            words.append(shlex.join([f"--{name}", str(value)]))
    return " \\\n  ".join(words)
