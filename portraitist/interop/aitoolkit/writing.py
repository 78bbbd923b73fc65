"""ai-toolkit: our recipe as its process, or why it cannot be."""

from pathlib import Path as Folder
from typing import Any

import yaml

from portraitist import registry
from portraitist.arithmetic import settled
from portraitist.errors import PortraitistError
from portraitist.interop.aitoolkit.exchange import ARCHES, QTYPES
from portraitist.interop.aitoolkit.process import PICTURES, PREFIX
from portraitist.project import Facts
from portraitist.recipe import Recipe

DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
PROMPTS = ("{trigger}, {noun}, portrait in soft light", "{trigger}, {noun}, full body, standing in a street")
NEVER = 1e9  # a norm that nothing is clipped to


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Our recipe as one YAML.

    pictures  the folder they lie in. Raises PortraitistError for a recipe that the tool cannot train as it stands.
    """
    name = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in facts.name.lower())
    config = {
        "job": "extension",
        "config": {"name": name, "process": [process(recipe, facts, Folder(pictures))]},
        "meta": {"name": "[name]", "trigger_words": [facts.trigger], "made_by": "portraitist export-config"},
    }
    return {f"{name}.aitoolkit.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)}


def process(recipe: Recipe, facts: Facts, pictures: Folder) -> dict[str, Any]:
    """The one entry of `process`."""
    refuse(recipe)
    unet = recipe.model.family == "sdxl"
    found: dict[str, Any] = {"type": "diffusion_trainer", "training_folder": "output"}
    found["training_seed"] = recipe.training.seed
    if recipe.training.preserve:
        found["trigger_word"] = facts.trigger
    if recipe.adapter.kind != "full":
        found["network"] = network(recipe, unet)
    saves = max(1, (recipe.steps - 1) // recipe.training.save_every)
    every = min(recipe.training.save_every, max(1, recipe.steps - 1))
    found["save"] = {"dtype": "float16", "save_every": every, "max_step_saves_to_keep": saves}
    found["datasets"] = datasets(recipe, pictures)
    found["train"] = train(recipe, facts, unet)
    found["model"] = model(recipe)
    found["sample"] = sample(recipe, facts, unet)
    return found


def refuse(recipe: Recipe) -> None:
    """What has no counterpart and decides the run."""
    adapter, training, model = recipe.adapter, recipe.training, recipe.model
    transformer = model.family != "sdxl"
    reasons = (
        (model.family not in ARCHES, f"bases of {model.family}", "Choose one of: " + ", ".join(ARCHES)),
        (model.quantised not in ("", *QTYPES), f"weights in {model.quantised}", "--set model.quantised=int8"),
        (bool(model.parts.model_dump(exclude_defaults=True)), "parts of a base that lie elsewhere", "A whole base."),
        (model.prediction == "v", "a declared prediction", "Leave model.prediction out."),
        (adapter.kind == "loha", "LoHa", "--set adapter.kind=lora"),
        (
            bool(adapter.targets) or adapter.modules != "family",
            "a choice of layers by name",
            "--set adapter.modules=family",
        ),
        (
            transformer and adapter.alpha not in (0, adapter.rank),
            "an alpha that is not the rank",
            "--set adapter.alpha=0",
        ),
        (len(recipe.stages) > 1 or bool(recipe.stages[0].sets), "stages", "Export one stage at a time."),
        (recipe.stages[0].rate != 1, "a stage's own rate", "--set training.rate= and the product."),
        (training.optimiser == "schedulefree", "schedule-free AdamW", "--set training.optimiser=adamw"),
        (
            training.warmup > 0 and training.schedule != "constant",
            "a warm-up before a falling rate",
            "--set training.warmup=0",
        ),
        (
            training.level == "logit-normal" and moved(recipe),
            "a logit-normal that is moved",
            "--set training.level=family",
        ),
        (
            training.level == "uniform" and training.level_shift != 1,
            "levels that are moved",
            "--set training.level=family",
        ),
        (transformer and training.snr_gamma > 0, "min-SNR with a flow", "--set training.snr_gamma=0"),
        (
            training.preserve > 0 and recipe.data.dropout > 0,
            "dropped captions beside preservation",
            "--set data.dropout=0",
        ),
        (training.batch * training.accumulate > 10**6, "so many pictures a step", "Lower training.batch."),
        (
            unpaired(recipe),
            "Qwen-Image-Edit without control pictures",
            "Give each set references, or export qwen-image.",
        ),
    )
    for holds, what, remedy in reasons:
        if holds:
            raise PortraitistError(f"ai-toolkit cannot train {what}", remedy)


def moved(recipe: Recipe) -> bool:
    """Whether a logit-normal is not the plain one."""
    training = recipe.training
    return (training.level_mean, training.level_spread, training.level_shift) != (0, 1, 1)


def unpaired(recipe: Recipe) -> bool:
    """Whether an edit recipe has a set without folders of references."""
    sets = recipe.data.sets
    return recipe.model.family == "qwen-image-edit" and (not sets or any(not one.references for one in sets))


def network(recipe: Recipe, unet: bool) -> dict[str, Any]:
    """`network`; alpha where it counts."""
    adapter = recipe.adapter
    found: dict[str, Any] = {"type": adapter.kind, "linear": adapter.rank}
    if unet:
        found["linear_alpha"] = adapter.alpha or adapter.rank
    if adapter.kind == "lokr":
        found |= {"lokr_full_rank": False, "lokr_factor": adapter.factor or -1}
    if adapter.dropout:
        found["dropout"] = adapter.dropout
    if adapter.start:
        found["pretrained_lora_path"] = adapter.start
    return found


def datasets(recipe: Recipe, pictures: Folder) -> list[dict[str, Any]]:
    """One entry a set. Raises PortraitistError for pictures at the top beside sets: a folder is read with all below."""
    there = sorted(pictures.iterdir()) if pictures.is_dir() else []
    folders = [path.name for path in there if path.is_dir() and not path.name.startswith(".")]
    named = {one.name: one for one in recipe.data.sets}
    bare = {PREFIX.sub(r"\2", name): name for name in folders}
    for name in named:
        bare.setdefault(name, name)
    sets = {name: folder for name, folder in bare.items() if name}
    top = any(path.suffix.lower() in PICTURES for path in there)
    if sets and (top or "" in named):
        raise PortraitistError(
            f"{pictures} has pictures beside its sets, and ai-toolkit reads a folder with all below it",
            "Move them into a folder of their own: a set.",
        )
    side = recipe.data.resolution or registry.get(recipe.model.family).profile.resolution
    found = []
    for name, folder in sets.items() or [("", "")]:
        one, prefix = named.get(name), PREFIX.fullmatch(folder)
        repeats = (one.weight if one else 0) or (int(prefix[1]) if prefix else 1)
        entry: dict[str, Any] = {"folder_path": str(pictures / folder), "caption_ext": "txt", "resolution": side}
        entry |= {"caption_dropout_rate": recipe.data.dropout, "cache_latents_to_disk": True}
        if repeats > 1 or prefix or (one and one.weight):
            entry["num_repeats"] = repeats
        if one and one.loss_weight != 1:
            entry["loss_multiplier"] = one.loss_weight
        if one and one.role == "prior":
            entry["is_reg"] = True
        if one and one.references:
            entry["control_path"] = list(one.references)
        if recipe.data.masks < 1:
            entry |= {"alpha_mask": True, "mask_min_value": recipe.data.masks}
        found.append(entry)
    return found


def train(recipe: Recipe, facts: Facts, unet: bool) -> dict[str, Any]:
    """`train`; what has a default there that differs is always said."""
    training = recipe.training
    found: dict[str, Any] = {
        "steps": recipe.steps,
        "batch_size": training.batch,
        "gradient_accumulation": training.accumulate,
        "lr": training.rate,
        "optimizer": training.optimiser,
        "optimizer_params": {"weight_decay": training.weight_decay},
        "max_grad_norm": training.max_gradient or NEVER,
        "noise_scheduler": "ddpm" if unet else "flowmatch",
        "train_unet": True,
        "train_text_encoder": False,
        "gradient_checkpointing": training.recompute != "off",
        "dtype": DTYPES[settled(recipe.model.precision, "cuda")],
    }
    if training.optimiser != "adafactor":
        found["optimizer_params"]["betas"] = [training.beta1, training.beta2]
    found |= schedule(recipe)
    if not unet:
        found["timestep_type"] = {"uniform": "linear", "logit-normal": "sigmoid"}.get(training.level, "weighted")
    if training.ema:
        found["ema_config"] = {"use_ema": True, "ema_decay": training.ema}
    if unet and training.snr_gamma:
        found["min_snr_gamma"] = training.snr_gamma
    if training.preserve:
        found |= {"diff_output_preservation": True, "diff_output_preservation_multiplier": training.preserve}
        found["diff_output_preservation_class"] = facts.noun
    if recipe.model.family == "qwen-image-edit":
        found["disable_sampling"] = True  # samples would need control pictures of their own
    return found


def schedule(recipe: Recipe) -> dict[str, Any]:
    """The schedule with what makes it fall, or warm up, as here."""
    training = recipe.training
    if training.schedule == "linear":
        params = {"start_factor": 1.0, "end_factor": training.floor}
        return {"lr_scheduler": "linear", "lr_scheduler_params": params}
    if training.schedule == "cosine":
        return {"lr_scheduler": "cosine", "lr_scheduler_params": {"eta_min": training.rate * training.floor}}
    if training.warmup:
        params = {"num_warmup_steps": training.warmup}
        return {"lr_scheduler": "constant_with_warmup", "lr_scheduler_params": params}
    return {"lr_scheduler": "constant"}


def model(recipe: Recipe) -> dict[str, Any]:
    """`model`."""
    arch, usual = ARCHES[recipe.model.family]
    found: dict[str, Any] = {"name_or_path": recipe.model.base or usual, "arch": arch}
    if recipe.model.quantised:
        found |= {"quantize": True, "qtype": QTYPES[recipe.model.quantised], "quantize_te": True, "qtype_te": "qfloat8"}
    if recipe.model.offload:
        found |= {"layer_offloading": True, "layer_offloading_transformer_percent": recipe.model.offload}
    return found


def sample(recipe: Recipe, facts: Facts, unet: bool) -> dict[str, Any]:
    """`sample`, as often as is saved."""
    profile = registry.get(recipe.model.family).profile
    side = recipe.data.resolution or profile.resolution
    prompts = recipe.judging.prompts or PROMPTS
    words = {"{trigger}": facts.trigger if not recipe.training.preserve else "[trigger]", "{noun}": facts.noun}
    said = []
    for prompt in prompts:
        for mark, word in words.items():
            prompt = prompt.replace(mark, word)
        said.append(prompt)
    found: dict[str, Any] = {"sample_every": min(recipe.training.save_every, max(1, recipe.steps - 1))}
    if unet:
        found["sampler"] = "ddpm"
    found |= {"width": side, "height": side, "prompts": said, "neg": profile.negative.strip(), "seed": 42}
    found["walk_seed"] = True
    found["guidance_scale"] = recipe.judging.guidance or profile.guidance
    found["sample_steps"] = recipe.judging.sampling_steps or profile.sampling_steps
    return found
