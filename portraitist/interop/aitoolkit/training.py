"""ai-toolkit: what becomes of `train`: updates, averages, rates, noise."""

import math
from collections.abc import Iterator

from portraitist.interop.aitoolkit.process import Process
from portraitist.interop.diagnosis import Remark
from portraitist.interop.nearest import asked

MEMORY = ("memory", "vram", "oom", "out of mem")


def train(process: Process) -> Iterator[Remark]:
    """All that is said of `train`."""
    yield from accumulation(process)
    yield from epochs(process)
    yield from average(process)
    yield from optimiser(process)
    yield from rate(process)
    yield from schedule(process)
    yield from noise(process)
    yield from precision(process)
    yield from exclusions(process)


def accumulation(process: Process) -> Iterator[Remark]:
    """Of the two ways of accumulating one is right."""
    old, new = process.old_accumulation, process.accumulation
    at = ("train", "gradient_accumulation_steps")
    if new > 1 and old != 1:
        yield process.say("accumulation-twice", *at)
    elif old < 0:
        yield process.say("accumulation-epoch", *at)
    elif old > 1:
        fields = {"count": old, "updates": process.updates, "batch": process.batch, "steps": process.updates}
        yield process.say("accumulation-zeroed", *at, wasted=1 - 1 / old, **fields)
    elif new > 1:
        norm = process.number("train", "max_grad_norm", default=1.0)
        yield process.say("accumulation-sum", "train", "gradient_accumulation", count=new, norm=norm)
    for key in ("gradient_accumulation_steps", "gradient_accumulation"):
        if process.has("train", key) and any(word in comment(process, "train", key) for word in MEMORY):
            yield process.say("accumulation-memory", "train", key)


def comment(process: Process, *path: str | int) -> str:
    """What the line of a setting says behind a #, in small letters."""
    place = process.document.place((*process.path, *path))
    lines = process.document.text.splitlines()
    line = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
    return line.partition("#")[2].lower() if process.document.kind == "yaml" else ""


def epochs(process: Process) -> Iterator[Remark]:
    """There are none: whoever writes them counts steps twice."""
    places = [(path, key) for path in (("train",), ()) for key in ("epochs", "num_epochs", "epoch")]
    for path, key in places:
        if not process.has(*path, key):
            continue
        count, steps = process.number(*path, key, default=0), process.steps
        both = count > 1 and process.has("train", "steps")
        total = (
            f"Steps already count the repeats: {count:g} times {steps:,} would be {count * steps:,.0f}." if both else ""
        )
        yield process.say("epochs", *path, key, key=key, steps=steps, sum=total)
    every, sets = process.whole("save", "save_every", default=0), process.datasets
    if every and "epoch" in comment(process, "save", "save_every") and sets and all(one.pictures for one in sets):
        per_pass = sum(len(one.pictures or ()) * one.repeats * max(1, len(one.resolutions)) for one in sets)
        passes = every * process.batch * process.accumulation / per_pass
        if abs(passes - round(passes)) > 0.02 or passes < 0.98:
            fields = {"every": every, "passes": passes, "per_pass": per_pass}
            yield process.say("save-epoch", "save", "save_every", **fields)


def average(process: Process) -> Iterator[Remark]:
    """How much of the untrained start an average still holds at the end."""
    if not process.flag("train", "ema_config", "use_ema"):
        given = process.section("train", "ema_config")
        if given and "use_ema" not in given:
            yield process.say("ema-off", "train", "ema_config")
        return
    decay, updates = process.number("train", "ema_config", "ema_decay", default=0.999), process.updates
    if not 0 <= decay <= 1 or updates < 1:
        return
    share = strength(decay, updates)
    if share < 0.85:
        old = max(1, process.old_accumulation)
        first = max(1, min(process.whole("save", "save_every", default=1000), process.steps) // old)
        better = max(0.5, round(1 - 10 / updates, 2)) if updates > 20 else 0.5
        fields = {"decay": decay, "updates": updates, "strength": share, "better": min(better, 0.99)}
        where = "ema_decay" if process.has("train", "ema_config", "ema_decay") else "use_ema"
        yield process.say("ema-slow", "train", "ema_config", where, left=decay**updates, first=decay**first, **fields)


def strength(decay: float, updates: int) -> float:
    """Share of its last value that an average from 0 shows of what grew evenly over so many updates."""
    if decay >= 1:
        return 0.0
    return 1 - decay * (1 - decay**updates) / (updates * (1 - decay))


def optimiser(process: Process) -> Iterator[Remark]:
    """Whether there is such an optimiser."""
    value, known = process.get("train", "optimizer", default="adamw"), process.rules.keys["optimisers"]
    if not isinstance(value, str):
        yield process.say("optimiser-shape", "train", "optimizer", value=type(value).__name__)
    elif value.lower() not in known and not value.lower().startswith(("prodigy", "dadaptation")):
        near = asked(value, known)
        yield process.say("unknown-optimiser", "train", "optimizer", value=repr(value), near=near)


def rate(process: Process) -> Iterator[Remark]:
    """The learning rate against what is usual; not of a fine-tuning of all weights."""
    said = process.number("train", "lr", default=math.nan)
    name = process.text("train", "optimizer", default="adamw").lower()
    if name.startswith(("prodigy", "dadaptation")):
        if said < 0.1:
            yield process.say("rate-finder", "train", "lr", rate=said, optimiser=name)
        return
    if not process.has("train", "lr"):
        if not name.startswith("automagic"):
            yield process.say("rate-default", "train")
        return
    low, high, usual = process.rules.keys["rates"].get(process.family, (0, math.inf, 1e-4))
    lora = process.section("network") and process.text("network", "type", default="lora") == "lora"
    if lora and name.startswith("adam") and not low <= said <= high and not math.isnan(said):
        fear = "Colours saturate and the loss leaps." if said > high else "It learns too slowly for its steps."
        fields = {"rate": said, "family": process.family, "low": low, "high": high}
        yield process.say("rate-range", "train", "lr", fear=fear, usual=usual, **fields)


def schedule(process: Process) -> Iterator[Remark]:
    """What the schedules do that are taken for something else."""
    value, known = process.get("train", "lr_scheduler", default="constant"), process.rules.keys["schedules"]
    given = process.section("train", "lr_scheduler_params")
    if value not in known:
        near = asked(str(value), known)
        yield process.say("unknown-schedule", "train", "lr_scheduler", value=repr(value), near=near)
    if value == "linear" and "start_factor" not in given:
        yield process.say("linear-rises", "train", "lr_scheduler")
    if value == "constant_with_warmup" and "num_warmup_steps" not in given:
        yield process.say("warmup-default", "train", "lr_scheduler", steps=process.steps)


def noise(process: Process) -> Iterator[Remark]:
    """Which noise the base is trained on."""
    value = process.text("train", "noise_scheduler", default="ddpm")
    at = ("train", "noise_scheduler") if process.has("train", "noise_scheduler") else ("train",)
    if process.unet and value == "flowmatch" and process.said_arch:
        yield process.say("unet-flow", *at, arch=process.arch)
    elif process.transformer and value != "flowmatch":
        old = process.arch in process.rules.keys["old_flows"]
        yield process.say("flow-scheduler" if old else "timesteps-unset", *at, value=value, arch=process.arch)
    if process.arch.startswith("qwen_image") and not process.has("train", "timestep_type"):
        yield process.say("timestep-default", "train", arch=process.arch)


def precision(process: Process) -> Iterator[Remark]:
    """In what is computed."""
    value = process.text("train", "dtype")
    if not process.has("train", "dtype"):
        yield process.say("full-precision", "train")
    if value in ("fp16", "float16", "half"):
        yield process.say("half-precision", "train", "dtype", value=value)


def exclusions(process: Process) -> Iterator[Remark]:
    """Settings that stop each other."""
    preserving = process.flag("train", "diff_output_preservation")
    triggers = [process.get("trigger_word"), *(one.values.get("trigger_word") for one in process.datasets)]
    if preserving and not any(word is not None for word in triggers):
        yield process.say("preservation-trigger", "train", "diff_output_preservation")
    if preserving and process.flag("train", "blank_prompt_preservation"):
        yield process.say("preservation-twice", "train", "blank_prompt_preservation")
    bypassing = process.flag("train", "bypass_guidance_embedding")
    if process.flag("train", "do_guidance_loss") and bypassing:
        yield process.say("guidance-bypass", "train", "do_guidance_loss")
    if process.arch in ("qwen_image_edit", "boogu_image_edit") and process.flag("train", "unload_text_encoder"):
        yield process.say("unload-edit", "train", "unload_text_encoder", arch=process.arch)
    caching = [bool(one.values.get("cache_text_embeddings")) for one in process.datasets]
    whole = process.flag("train", "cache_text_embeddings")
    if any(caching) and not all(caching) and not whole:
        yield process.say("cache-mixed", "datasets", caching.index(False))
    if process.flag("train", "train_text_encoder"):
        put_away = process.flag("train", "unload_text_encoder")
        key = "unload_text_encoder" if put_away else "cache_text_embeddings" if whole or any(caching) else ""
        at = ("train", "train_text_encoder")
        if key or preserving:
            yield process.say("text-encoder-cached", *at, key=key or "diff_output_preservation")
        elif process.arch.startswith("qwen_image"):
            what = f"the text encoder of {process.arch} has no layers that a LoRA is put on: nothing of it is trained"
            yield process.say("text-encoder", *at, what=what)
        else:
            what = "a frequent cause of leaping losses and of words that lose their meaning"
            yield process.say("text-encoder", *at, what=what)
