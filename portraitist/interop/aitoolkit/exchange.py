"""ai-toolkit's config to our recipe, for the same intention."""

import re
from typing import Any

from portraitist import registry
from portraitist.errors import PortraitistError
from portraitist.interop import keeping
from portraitist.interop.aitoolkit.outline import scopes
from portraitist.interop.aitoolkit.process import PREFIX, Dataset, Process
from portraitist.interop.carrying import Carried, Carrying
from portraitist.interop.document import Document

PRECISIONS = {"bf16": "bfloat16", "bfloat16": "bfloat16", "fp16": "float16", "float16": "float16", "half": "float16"}
BITS = {
    "int8": ("int8", "qint8", "uint8", "convrot8", "convrotint8"),
    "fp8": ("qfloat8", "float8", "qfloat8_e4m3fn", "qfloat8_e5m2", "qfloat8_e4m3fnuz"),
}
QTYPES = {"int8": "int8", "fp8": "qfloat8"}
OPTIMISERS = {
    "adamw": "adamw", "adamw8bit": "adamw8bit", "adafactor": "adafactor", "prodigy": "prodigy", "adam8bit": "adamw8bit",
    "adamw8": "adamw8bit", "adam": "adamw", "prodigy8bit": "prodigy",
}  # fmt: skip
ARCHES = {
    "sdxl": ("sdxl", "stabilityai/stable-diffusion-xl-base-1.0"),
    "flux": ("flux", "black-forest-labs/FLUX.1-dev"),
    "qwen-image": ("qwen_image", "Qwen/Qwen-Image"),
    "qwen-image-edit": ("qwen_image_edit_plus", "Qwen/Qwen-Image-Edit-2509"),
    "z-image": ("zimage", "Tongyi-MAI/Z-Image"),
    "z-image-turbo": ("zimage:turbo", "Tongyi-MAI/Z-Image-Turbo"),
}
"""Our families as the tool names them, and the model it ships them with."""

MOST_WEIGHT, MOST_LOSS = 10_000, 100
"""A set's weight, and its weight in the loss (portraitist/sections.py)."""

REASONS = {
    "meta": "words for the file alone",
    "logging": "portraitist keeps events.jsonl",
    "sampler": "each family has its own",
    "prompts": "portraitist judges by its own prompts unless a recipe has some",
    "max_step_saves_to_keep": "portraitist keeps every adapter",
    "low_vram": "model.offload and model.quantised say it here",
    "quantize_te": "text encoders are let go before training here",
    "qtype_te": "text encoders are let go before training here",
    "cache_text_embeddings": "always so here",
    "cache_latents_to_disk": "always so here",
    "cache_latents": "always so here",
    "unload_text_encoder": "always so here",
    "train_text_encoder": "text encoders stay frozen here",
    "training_folder": "runs lie in the character's folder here",
    "device": "ai-toolkit does not read it either",
    "caption_ext": "captions are .txt here",
    "train_unet": "always so here",
    "noise_scheduler": "each family has its own",
    "neg": "each family has its own",
    "sample_every": "every checkpoint is judged here",
    "width": "judged at the size that is trained",
    "height": "judged at the size that is trained",
    "seed": "judged at several",
    "walk_seed": "judged at several",
    "dtype": "adapters are kept in float32 here",
    "name": "",
    "job": "of the runner alone",
    "type": "of the runner alone",
    "caption_dropout_rate": "one share for all sets here",
}
"""Why settings without a counterpart have none."""


def trainer(document: Document) -> Process:
    """The first process that trains. Raises PortraitistError for a config without one."""
    listed = document.get("config", "process")
    for index in range(len(listed) if isinstance(listed, list) else 0):
        process = Process(document, ("config", "process", index))
        if process.get("type") in process.rules.keys["trainers"]:
            return process
    raise PortraitistError(
        f"{document.name} trains no adapter: {document.get('job')!r} with no process of a trainer",
        "Name a config whose process has the type sd_trainer or diffusion_trainer.",
    )


def carried(document: Document) -> Carried:
    """What of it our project and recipe can hold: what was meant by it, where that differs from what it does.

    Raises PortraitistError for a config that trains nothing, and for a base that portraitist does not train.
    """
    process = trainer(document)
    family = process.family
    if not family:
        raise PortraitistError(
            f"{document.name} trains {process.text('model', 'arch') or process.arch}, which portraitist does not",
            f"It trains {', '.join(ARCHES)}; docs/bases.md says which files those are.",
        )
    account = Carrying(document)
    account.keep("preset", family)
    base(process, account, family)
    adapter(process, account)
    training(process, account)
    sampling(process, account, family)
    folders = pictures(process, account, family)
    preserving(process, account)
    if process.has("trigger_word"):
        account.kept[(*process.path, "trigger_word")] = "trigger"
    noun = process.text("train", "diff_output_preservation_class") if account.recipe.get("training.preserve") else ""
    for scope, path, values in scopes(process):
        for key in values:
            if key not in process.rules.keys[scope]:
                account.leave("ai-toolkit drops it too", *process.path, *path, key)
    keeping.bound(account)
    left = account.rest(REASONS, "portraitist has no such setting")
    return Carried(account.recipe, trigger(process), noun, folders, account.kept, left)


def base(process: Process, account: Carrying, family: str) -> None:
    """The base, and what it is held in."""
    at = (*process.path, "model")
    account.keep("model.family", family, *at, "arch")
    account.keep("model.base", process.name_or_path, *at, "name_or_path")
    dtype = process.text("train", "dtype", default="fp32")
    account.keep("model.precision", PRECISIONS.get(dtype, "float32"), *process.path, "train", "dtype")
    wanted = process.text("model", "quantize_dtype")
    kind = wanted or process.text("model", "qtype", default="qfloat8").partition("|")[0]
    held = next((ours for ours, theirs in BITS.items() if kind in theirs), "nf4")
    full = not process.section("network")  # whose weights cannot be held in fewer bits, nor lie elsewhere
    on = process.flag("model", "quantize") and not full
    account.keep("model.quantised", held if on else "", *at, "quantize_dtype" if wanted else "qtype")
    if on:
        account.kept[(*at, "quantize")] = "model.quantised"
        if held == "nf4":
            account.kept.pop((*at, "qtype"), None)
            why = "held in nf4 in its place; below 4 bits portraitist wants a recovery adapter of its own making"
            account.leave(why, *at, "qtype")
    if full:
        return
    share = process.number("model", "layer_offloading_transformer_percent", default=1.0)
    offloading = process.flag("model", "layer_offloading") and 0 <= share <= 1
    account.keep("model.offload", share if offloading else 0.0, *at, "layer_offloading")
    if offloading:
        account.kept[(*at, "layer_offloading_transformer_percent")] = "model.offload"


def adapter(process: Process, account: Carrying) -> None:
    """What is trained."""
    at = (*process.path, "network")
    if not process.section("network"):
        account.keep("adapter.kind", "full")
        return
    kind = process.text("network", "type", default="lora").lower()
    account.keep("adapter.kind", "lokr" if kind == "lokr" else "lora", *at, "type")
    if kind not in ("lora", "lokr", "locon"):
        account.kept.pop((*at, "type"), None)
        account.leave("a LoRA in its place", *at, "type")
    whole = kind == "lokr" and process.flag("network", "lokr_full_rank", default=True)
    rank = 1024 if whole else process.rank
    account.keep("adapter.rank", rank, *at, "rank" if process.has("network", "rank") else "linear")
    if kind == "lokr":
        factor = process.whole("network", "lokr_factor", default=0)
        account.keep("adapter.factor", factor, *at, "lokr_factor")
        account.keep("adapter.rank", rank, *at, "lokr_full_rank")
    alpha = process.number("network", "linear_alpha", default=process.number("network", "alpha", default=1.0))
    if process.unet and not whole:
        account.keep("adapter.alpha", 0.0 if alpha == rank else alpha, *at, "linear_alpha")
    else:
        account.keep("adapter.alpha", 0.0, *at, "linear_alpha" if alpha == rank else "")
        account.leave("it never took effect: on transformers ai-toolkit's alpha is the rank", *at, "linear_alpha")
    if kind != "lokr":
        dropout = process.number("network", "dropout", default=0.0)
        account.keep("adapter.dropout", dropout, *at, "dropout")
    if process.text("network", "pretrained_lora_path"):
        account.keep("adapter.start", process.text("network", "pretrained_lora_path"), *at, "pretrained_lora_path")


def training(process: Process, account: Carrying) -> None:
    """Steps, rate, schedule, average, noise."""
    at = (*process.path, "train")
    old = max(1, process.old_accumulation)
    account.keep("stages", [{"name": "main", "steps": max(1, process.steps // old)}], *at, "steps")
    account.keep("training.batch", process.batch, *at, "batch_size")
    key = "gradient_accumulation_steps" if old > 1 else "gradient_accumulation"
    account.keep("training.accumulate", max(old, process.accumulation), *at, key)
    optimiser(process, account)
    schedule(process, account)
    norm = process.number("train", "max_grad_norm", default=1.0)
    account.keep("training.max_gradient", 0.0 if norm >= 1e6 else norm, *at, "max_grad_norm")
    averaged = process.flag("train", "ema_config", "use_ema")
    decay = process.number("train", "ema_config", "ema_decay", default=0.999)
    account.keep("training.ema", min(decay, 0.9999) if averaged else 0.0, *at, "ema_config")
    recompute = process.flag("train", "gradient_checkpointing", default=True)
    account.keep("training.recompute", "family" if recompute else "off", *at, "gradient_checkpointing")
    gamma = process.number("train", "min_snr_gamma", default=0.0)
    if process.unet and gamma:
        account.keep("training.snr_gamma", gamma, *at, "min_snr_gamma")
    levels = {"sigmoid": "logit-normal", "linear": "uniform"}
    spread = process.text("train", "timestep_type", default="sigmoid")
    if process.transformer:
        account.keep("training.level", levels.get(spread, "family"), *at, "timestep_type" if spread in levels else "")
        account.leave("the family's own distribution of noise in its place", *at, "timestep_type")
    every = process.whole("save", "save_every", default=1000)
    account.keep("training.save_every", max(1, every // old), *process.path, "save", "save_every")
    account.keep("training.seed", process.whole("training_seed", default=0), *process.path, "training_seed")


def sampling(process: Process, account: Carrying, family: str) -> None:
    """What checkpoints are judged by; the trigger in prompts becomes its mark."""
    word = trigger(process)
    prompts = [str(one.get("prompt", "")).replace("[trigger]", "{trigger}") for _, one in process.samples()]
    prompts = [text.replace(word, "{trigger}") if word else text for text in prompts]
    plain = [text for text in prompts if text.strip() and not marks(text)]
    if plain and len(plain) == len(prompts):
        listed = "samples" if isinstance(process.get("sample", "samples"), list) else "prompts"
        account.keep("judging.prompts", plain, *process.path, "sample", listed)
    profile = registry.get(family).profile
    for ours, theirs, own in (
        ("judging.guidance", "guidance_scale", profile.guidance),
        ("judging.sampling_steps", "sample_steps", profile.sampling_steps),
    ):
        said = process.number("sample", theirs, default=0)
        value = 0 if said == own else said
        account.keep(ours, int(value) if ours.endswith("steps") else float(value), *process.path, "sample", theirs)


def marks(text: str) -> set[str]:
    """Signs in a prompt that mean more than themselves here or there, the trigger's mark aside."""
    bare = text.replace("{trigger}", "")
    return {sign for sign in ("{", "}", "--") if sign in bare}


def trigger(process: Process) -> str:
    """The trigger word: of the process, of a dataset, or of what is to be said in the file; "" when none is named."""
    words = [process.get("trigger_word"), *(one.values.get("trigger_word") for one in process.datasets)]
    listed = process.document.get("meta", "trigger_words")
    words += listed if isinstance(listed, list) else []
    return next((word for word in words if isinstance(word, str) and word.strip()), "")


def optimiser(process: Process, account: Carrying) -> None:
    """The optimiser, its rate and its memory."""
    at = (*process.path, "train")
    theirs = process.text("train", "optimizer", default="adamw").lower()
    ours = OPTIMISERS.get(theirs, "adamw8bit" if theirs.endswith("8bit") else "adamw")
    account.keep("training.optimiser", ours, *at, "optimizer" if theirs in OPTIMISERS else "")
    account.leave(f"{ours} in its place", *at, "optimizer")
    rate = process.number("train", "lr", default=1e-6)
    account.keep("training.rate", 1.0 if ours == "prodigy" else rate, *at, "lr")
    given = ("train", "optimizer_params")
    decay = process.number(*given, "weight_decay", default=0.0 if ours in ("prodigy", "adafactor") else 0.01)
    account.keep("training.weight_decay", decay, *process.path, *given, "weight_decay")
    if ours != "adafactor":
        beta1 = process.number(*given, "betas", 0, default=0.9)
        account.keep("training.beta1", beta1, *process.path, *given, "betas")
        account.recipe["training.beta2"] = process.number(*given, "betas", 1, default=0.999)


def schedule(process: Process, account: Carrying) -> None:
    """The schedule; a linear one that would rise is meant to fall."""
    at, given = (*process.path, "train", "lr_scheduler"), ("train", "lr_scheduler_params")
    theirs = process.text("train", "lr_scheduler", default="constant")
    ours = theirs if theirs in ("constant", "linear", "cosine") else "constant"
    known = theirs in ("constant", "linear", "cosine", "constant_with_warmup")
    account.keep("training.schedule", ours, *at[:-1], "lr_scheduler" if known else "")
    account.leave("a constant rate in its place", *at)
    steps = process.whole(*given, "num_warmup_steps", default=1000) if theirs == "constant_with_warmup" else 0
    account.keep("training.warmup", steps, *process.path, *given, "num_warmup_steps")
    if ours == "linear":
        account.keep("training.floor", process.number(*given, "end_factor", default=0.1), *process.path, *given)
    elif ours == "cosine":
        rate = process.number("train", "lr", default=1e-6)
        floor = process.number(*given, "eta_min", default=0.0) / rate if rate else 0.0
        account.keep("training.floor", round(min(max(floor, 0.0), 1.0), 9), *process.path, *given)


def pictures(process: Process, account: Carrying, family: str) -> tuple[tuple[str, str], ...]:
    """Folders and the sets that they become; resolution, dropout and masks, which are of all sets here."""
    found, sets = [], []
    several = len(process.datasets) > 1
    sides = [side for one in process.datasets for side in one.resolutions]
    side = max(sides, default=512)
    own = registry.get(family).profile.resolution
    account.keep("data.resolution", 0 if side == own else side)
    rates = [process.number(*one.path, "caption_dropout_rate", default=0.0) for one in process.datasets]
    account.keep("data.dropout", rates[0] if rates else 0.0)
    for one, rate in zip(process.datasets, rates, strict=True):
        at = (*process.path, *one.path)
        ours = re.search(r"[\\/]pictures[\\/][^\\/]+[\\/]?$", one.folder)  # a set of a project of ours
        name = one.name if several or one.prefix or ours else ""
        found.append((one.folder, name))
        account.kept[(*at, "dataset_path" if one.values.get("dataset_path") else "folder_path")] = "pictures"
        bare = PREFIX.sub(r"\2", name)
        entry = told(process, account, one)
        if entry:
            sets.append({"name": bare, **entry})
        for key in ("num_repeats", "loss_multiplier", "is_reg", "control_path", "control_path_1"):
            if key in one.values and (*at, key) not in {left.path for left in account.left}:
                account.kept[(*at, key)] = "data.sets"
        if len(set(one.resolutions)) <= 1 and (not one.resolutions or one.resolutions[0] == side):
            account.kept[(*at, "resolution")] = "data.resolution"
        account.leave(f"trained at {side} alone: portraitist has one resolution", *at, "resolution")
        if rate == rates[0]:
            account.kept[(*at, "caption_dropout_rate")] = "data.dropout"
        account.leave(f"{rates[0]:g} for all sets", *at, "caption_dropout_rate")
        if one.values.get("alpha_mask"):
            least = process.number(*one.path, "mask_min_value", default=0.0)
            account.keep("data.masks", min(max(least, 0.0), 1.0), *at, "alpha_mask")
            account.kept[(*at, "mask_min_value")] = "data.masks"
        account.leave("masks are the pictures' alpha here", *at, "mask_path")
    if sets:
        account.recipe["data.sets"] = sets
    return tuple(found)


def told(process: Process, account: Carrying, one: Dataset) -> dict[str, Any]:
    """What the recipe says of a set beyond its folder."""
    entry: dict[str, Any] = {}
    if "num_repeats" in one.values:
        entry["weight"] = min(MOST_WEIGHT, one.repeats)
    factor = process.number(*one.path, "loss_multiplier", default=1.0)
    if factor != 1 and 0 <= factor <= MOST_LOSS:
        entry["loss_weight"] = factor
    elif factor != 1:
        account.leave(f"a set's loss weight is from 0 to {MOST_LOSS} here", *process.path, *one.path, "loss_multiplier")
    if one.values.get("is_reg"):
        entry["role"] = "prior"
    control = one.values.get("control_path")
    listed = control if isinstance(control, list) else [control]
    listed += [one.values.get(f"control_path_{number}") for number in (1, 2, 3)]
    references = [path for path in listed if isinstance(path, str) and path]
    if references and process.arch in process.rules.keys["edits"]:
        entry["references"] = references[:3]
    return entry


def preserving(process: Process, account: Carrying) -> None:
    """What keeps the noun its meaning."""
    weight = process.number("train", "diff_output_preservation_multiplier", default=1.0)
    if not process.section("network"):
        return
    on = process.flag("train", "diff_output_preservation")
    account.keep("training.preserve", weight if on else 0.0, *process.path, "train", "diff_output_preservation")
    if on:
        account.kept[(*process.path, "train", "diff_output_preservation_multiplier")] = "training.preserve"
        account.kept[(*process.path, "train", "diff_output_preservation_class")] = "noun"
