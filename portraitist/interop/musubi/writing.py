"""Our recipe for Qwen-Image and its edit model as musubi-tuner's files: a dataset config, and the commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from portraitist.arithmetic import settled
from portraitist.errors import PortraitistError
from portraitist.interop.kohya.writing import (
    MOST_BLOCKS,
    OPTIMISERS,
    PRECISIONS,
    arguments,
    folders,
    levels,
    quoted,
    refuse,
    schedule,
)
from portraitist.interop.unlike import NO_AVERAGE, remarked

if TYPE_CHECKING:
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

VERSIONS = {"qwen-image": "original", "qwen-image-edit": "edit-2509"}
SCRIPT = '"$MUSUBI/src/musubi_tuner/qwen_image_{}.py"'


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """A recipe for Qwen-Image or its edit model as `dataset.toml` and `train.sh`, which caches first.

    Raises PortraitistError for another family, for all weights, several stages, an edit model without a folder of
    references for each set, or a schedule-free optimiser.
    """
    family, parts, model = recipe.model.family, recipe.model.parts, recipe.model
    if family not in VERSIONS:
        raise PortraitistError(f"musubi-tuner is not written for {family}", "Export for sd-scripts, or for ai-toolkit.")
    refuse(recipe, "musubi-tuner")
    if recipe.training.optimiser in ("schedulefree", "prodigy"):
        raise PortraitistError(
            f'musubi-tuner has no optimiser for training.optimiser = "{recipe.training.optimiser}"',
            'Set training.optimiser = "adamw8bit".',
        )
    version = {"dataset_config": "dataset.toml", "model_version": VERSIONS[family]}
    vae = {"vae": parts.vae or "qwen_image_vae.safetensors"}
    encoder = {"text_encoder": parts.text_encoder or "qwen_2.5_vl_7b.safetensors"}
    dit = {"dit": parts.transformer or model.base or f"{family.replace('-', '_')}_bf16.safetensors"}
    train = {**dit, **vae, **encoder, **version, **network(recipe), **course(recipe), **memory(recipe)}
    train |= {"output_dir": "output", "output_name": facts.trigger}
    calls = (
        f"python {SCRIPT.format('cache_latents')} {quoted(vae | version)}",
        f"python {SCRIPT.format('cache_text_encoder_outputs')} {quoted(encoder | version)}",
        f"accelerate launch --num_cpu_threads_per_process 1 {SCRIPT.format('train_network')} {quoted(train)}",
    )
    lines = ["#!/bin/sh", "# MUSUBI is the folder of musubi-tuner.", 'cd "$(dirname "$0")" || exit 1', *calls]
    return {
        "dataset.toml": remarked(differences(recipe), tomli_w.dumps(dataset(recipe, pictures))),
        "train.sh": "\n".join(lines) + "\n",
    }


def network(recipe: Recipe) -> dict[str, Any]:
    """The adapter, on attention and MLPs: its own pattern against the modulation matches nothing."""
    adapter = recipe.adapter
    module = {"lora": "networks.lora_qwen_image", "loha": "networks.loha", "lokr": "networks.lokr"}[adapter.kind]
    args = ['exclude_patterns=[".*_mod[.]1"]']
    args += [f"factor={adapter.factor}"] if adapter.kind == "lokr" and adapter.factor else []
    found: dict[str, Any] = {"network_module": module, "network_dim": adapter.rank}
    found |= {"network_alpha": adapter.alpha or float(adapter.rank), "network_args": args}
    found |= {"network_dropout": adapter.dropout} if adapter.dropout else {}
    return found | ({"network_weights": adapter.start} if adapter.start else {})


def course(recipe: Recipe) -> dict[str, Any]:
    """Length, rate, optimiser, noise."""
    training = recipe.training
    return {
        "max_train_steps": recipe.steps, "save_every_n_steps": training.save_every, "seed": training.seed,
        "gradient_accumulation_steps": training.accumulate, "learning_rate": training.rate,
        "optimizer_type": OPTIMISERS[training.optimiser], "optimizer_args": list(arguments(recipe)),
        "max_grad_norm": training.max_gradient, **schedule(recipe), **levels(recipe), "weighting_scheme": "none",
        "max_data_loader_n_workers": 0,
    }  # fmt: skip


def memory(recipe: Recipe) -> dict[str, Any]:
    """Number formats, and blocks that move."""
    model = recipe.model
    mixed = PRECISIONS[settled(model.precision, "cuda")]
    found: dict[str, Any] = {"sdpa": True, "mixed_precision": mixed, "save_precision": "bf16"}
    found |= {"gradient_checkpointing": True} if recipe.training.recompute != "off" else {}
    found |= {"fp8_base": True, "fp8_scaled": True} if model.quantised else {}
    blocks = round(model.offload * MOST_BLOCKS[model.family])
    return found | ({"blocks_to_swap": max(1, blocks)} if model.offload else {})


def dataset(recipe: Recipe, pictures: str) -> dict[str, Any]:
    """The dataset config: each folder of pictures a dataset with a cache of its own."""
    side = recipe.data.resolution or 1024
    general = {"caption_extension": ".txt", "enable_bucket": True, "resolution": [side, side]}
    general["batch_size"] = recipe.training.batch
    references = {one.name: one.references for one in recipe.data.sets}
    found = []
    for folder, times, prior in folders(recipe, pictures):
        if prior:
            raise PortraitistError(
                "musubi-tuner has no regularisation, for which a set of role prior is", "Leave that set out."
            )
        name = folder[len(pictures.rstrip("/")) :].strip("/")
        shown = references.get(name, ())
        if recipe.model.family == "qwen-image-edit" and (len(shown) != 1 or recipe.data.references):
            raise PortraitistError(
                f"musubi-tuner takes one folder of control pictures a set, and {name or 'the top'} has {len(shown)}",
                'Name one: references = ["references"] in [[data.sets]], with a picture of the same name for each.',
            )
        control: dict[str, Any] = {}
        if shown:
            own = Path(shown[0]) if Path(shown[0]).is_absolute() else Path(pictures).parent / shown[0]
            control = {"control_directory": str(own), "control_resolution": [1024, 1024]}
        cache = {"cache_directory": f"cache/{name or 'top'}"}
        found.append({"image_directory": folder, **cache, "num_repeats": times, **control})
    return {"general": general, "datasets": found}


def differences(recipe: Recipe) -> Iterator[str]:
    """What of a recipe these files cannot say."""
    training, data = recipe.training, recipe.data
    if training.ema:
        yield NO_AVERAGE
    if data.dropout:
        yield "no caption is dropped (data.dropout)"
    if data.held_out:
        yield "nothing is held out (data.held_out)"
    if data.masks < 1:
        yield "masks do not count (data.masks)"
    if recipe.model.quantised == "int8":
        yield "weights are held in fp8, in place of int8"
    if training.preserve:
        yield "the noun is not held to what it was (training.preserve)"
    if training.schedule == "linear" and training.floor:
        yield "the rate falls to 0, in place of training.floor"
    if training.level == "logit-normal" and training.level_mean:
        yield "noise levels are drawn about the middle (training.level_mean)"
