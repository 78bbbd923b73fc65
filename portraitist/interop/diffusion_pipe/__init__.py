"""diffusion-pipe: its main TOML and its dataset TOML, and what it really does with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from portraitist.interop.diagnosis import Diagnosis, Effective, rules
from portraitist.interop.diffusion_pipe.pictures import directory_checks
from portraitist.interop.diffusion_pipe.reading import (
    SELF_RATED,
    Directory,
    dataset,
    effective,
    family,
    held,
    one_pass,
)
from portraitist.interop.document import Document
from portraitist.interop.judging import Judging, number, table, tables, whole, words
from portraitist.interop.nearest import meant

if TYPE_CHECKING:
    from portraitist.interop.carrying import Carried
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

NAME = "diffusion-pipe"
NEEDED = {
    "output_dir": '"runs"', "dataset": '"dataset.toml"', "epochs": "100", "model": "a table", "optimizer": "a table",
}  # fmt: skip
EVERY = ("eval_every_n_epochs", "eval_every_n_steps", "eval_every_n_examples")
TYPED = {("model", "type"): '"flux"', ("model", "dtype"): '"bfloat16"', ("optimizer", "type"): '"adamw_optimi"'}
USUAL = {"LoRA": (5e-6, 1e-3, 1e-4), "fine-tune": (5e-7, 1e-4, 1e-5)}
"""Least, most and usual rate by what is trained."""


def recognises(document: Document) -> bool:
    """Whether it is a main config or a dataset."""
    if document.kind != "toml":
        return False
    given = table(document.value)
    typed = words(table(given.get("model")).get("type"))
    if typed and ("output_dir" in given or "dataset" in given or "optimizer" in given):
        return True
    return bool(tables(given.get("directory"))) or ("directory" in given and "resolutions" in given)


def diagnose(document: Document) -> Diagnosis:
    """What diffusion-pipe would really do with it; a dataset is judged alone."""
    judging = Judging(document, rules("diffusion_pipe"), NAME)
    found = dataset(document)
    above, directories = found if found is not None else ({}, [])
    if "model" not in table(document.value) and "optimizer" not in table(document.value):
        directory_checks(judging, above, directories, "")
        return judging.diagnosis(Effective(sets=effective(document, directories).sets))
    keys(judging)
    needed(judging)
    model(judging)
    adapter(judging)
    optimiser(judging)
    schedule(judging, one_pass(document, directories).steps)
    swapping(judging)
    evaluation(judging)
    habits(judging)
    if found is None:
        name = PurePath(words(document.get("dataset"))).name or "the dataset"
        judging.say("data-unseen", "dataset", name=name)
    else:
        directory_checks(judging, above, directories, family(document, directories))
        remainders(judging, directories)
    return judging.diagnosis(effective(document, directories))


def carried(document: Document) -> Carried:
    """What of it our project and recipe can hold, and what not."""
    from portraitist.interop.diffusion_pipe.carrying import carried as carry

    return carry(document)


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Our recipe as config.toml and dataset.toml."""
    from portraitist.interop.diffusion_pipe.carrying import written as write

    return write(recipe, facts, pictures)


def differences(recipe: Recipe) -> Iterator[str]:
    """What it would do otherwise with our recipe."""
    from portraitist.interop.diffusion_pipe.carrying import differences as differ

    return differ(recipe)


def keys(judging: Judging) -> None:
    """Keys that are not read, and numbers in quotes."""
    known, given = judging.rules.keys, judging.document
    for group in ("config", "model", "adapter", "monitoring"):
        path = () if group == "config" else (group,)
        place = f"in [{group}]" if path else "at the top"
        for name in table(given.get(*path)):
            if name not in known[group]:
                judging.say("unknown-key", *path, name, name=name, where=place, near=meant(name, known[group]))
    quoted(judging)


def quoted(judging: Judging) -> None:
    """Numbers that stand in quotes."""
    for dotted in judging.rules.keys["numbers"]:
        path = dotted.split(".")
        value = judging.document.get(*path)
        if isinstance(value, str):
            plain = value if number(value, -(10**13)) != -(10**13) else "a number"
            judging.say("quoted-number", *path, name=path[-1], value=value, plain=plain)


def needed(judging: Judging) -> None:
    """Keys without which it does not start."""
    given = table(judging.document.value)
    for name, example in NEEDED.items():
        if name not in given:
            judging.say("key-missing", name=name, example=example)
    for path, example in TYPED.items():
        if path[0] in given and not judging.document.has(*path):
            judging.say("key-missing", *path, name=".".join(path), example=example)
    if not any(name.startswith("save_every_n_") for name in given):
        judging.say("save-missing")


def model(judging: Judging) -> None:
    """The base, its types and its levels of noise."""
    given, known = table(judging.document.get("model")), judging.rules.keys
    kind = given.get("type")
    if kind is not None and kind not in known["models"]:
        judging.say("unknown-model", "model", "type", value=kind, near=meant(str(kind), known["models"]))
    named = [("model", key) for key in ("dtype", "transformer_dtype", "diffusion_model_dtype")]
    for path in [*named, ("adapter", "dtype"), ("save_dtype",)]:
        value = judging.document.get(*path)
        if value is not None and value not in known["dtypes"]:
            judging.say("unknown-dtype", *path, value=value, name=path[-1])
        elif path in named[1:] and str(value).startswith("float8") and not judging.document.has("adapter"):
            judging.say("fp8-tuned", *path, name=path[-1], value=value)
    levels = given.get("timestep_sample_method")
    if levels is not None and levels not in ("logit_normal", "uniform"):
        judging.say("unknown-levels", "model", "timestep_sample_method", value=levels)
    if kind == "flux" and number(given.get("guidance"), 1.0) != 1.0:
        judging.say("guidance-trained", "model", "guidance", value=number(given.get("guidance")))
    if given.get("flux_shift") and given.get("shift"):
        judging.say("shift-twice", "model", "flux_shift", value=number(given.get("shift")))


def adapter(judging: Judging) -> None:
    """What is trained."""
    document = judging.document
    if not document.has("adapter"):
        return
    given, kind = table(document.get("adapter")), words(document.get("model", "type"))
    for name, example in (("type", '"lora"'), ("rank", "32")):
        if name not in given:
            judging.say("key-missing", "adapter", name=f"adapter.{name}", example=example)
    if "type" in given and given["type"] not in ("lora", "lokr"):
        judging.say("unknown-adapter", "adapter", "type", value=given["type"])
    elif given.get("type") == "lokr" and kind == "sdxl":
        judging.say("lokr-not-here", "adapter", "type")
    if "alpha" in given:
        judging.say("alpha-refused", "adapter", "alpha")
    if kind == "sdxl":
        rate = number(document.get("optimizer", "lr"), 1e-3)
        rates = [number(document.get("model", f"text_encoder_{index}_lr"), rate) for index in (1, 2)]
        if max(rates) > 0:
            judging.say("text-encoders-trained", "model", "text_encoder_1_lr", rate=max(rates))


def optimiser(judging: Judging) -> None:
    """The optimiser and its rate."""
    document = judging.document
    given, tuned = table(document.get("optimizer")), not document.has("adapter")
    named = words(given.get("type")).lower()
    kind = "fine-tune" if tuned else "LoRA"
    rate, forced = given.get("lr"), document.get("force_constant_lr")
    own = any(word in named for word in SELF_RATED)
    if named and rate is None and not own:
        judging.say("rate-default", "optimizer", value=given.get("type"))
    elif isinstance(rate, int | float) and not own:
        least, most, usual = USUAL[kind]
        if not least <= rate <= most:
            rule = "rate-low" if rate < least else "rate-high"
            judging.say(rule, "optimizer", "lr", rate=float(rate), kind=kind, usual=usual)
    if forced is not None and rate is not None and forced != rate:
        judging.say("rate-forced", "force_constant_lr", forced=number(forced), rate=number(rate))
    held_in = document.get("adapter", "dtype", default=document.get("model", "dtype"))
    if not tuned and held_in == "bfloat16" and named in ("adamw", "adamw8bit", "sgd"):
        judging.say("rounding-lost", "optimizer", "type", value=given.get("type"))
    accumulate = whole(document.get("gradient_accumulation_steps"), 1)
    if given.get("gradient_release") and accumulate > 1:
        judging.say("steps-per-microbatch", "optimizer", "gradient_release", value=accumulate)


def schedule(judging: Judging, per_epoch: int) -> None:
    """How the rate falls, and over how many steps of those that are taken."""
    document = judging.document
    named, steps, epochs = document.get("lr_scheduler"), whole(document.get("max_steps")), whole(document.get("epochs"))
    total = epochs * per_epoch
    if named is not None and named not in ("constant", "linear", "cosine"):
        judging.say("unknown-schedule", "lr_scheduler", value=named)
    elif named in ("linear", "cosine") and 0 < steps < total / 2:
        left = f"{1 - steps / total:.0%}"
        fields = {"value": named, "epochs": epochs, "total": total, "steps": steps}
        judging.say("schedule-by-epochs", "lr_scheduler", left=left, **fields)


def swapping(judging: Judging) -> None:
    """Blocks in main memory, and what else the card holds."""
    document = judging.document
    swapped, kind = number(document.get("blocks_to_swap"), 0.0), words(document.get("model", "type"))
    if swapped > 0:
        if not document.has("adapter") or whole(document.get("pipeline_stages"), 1) != 1:
            judging.say("swap-needs-lora", "blocks_to_swap")
        elif kind in judging.rules.keys["without_swap"]:
            judging.say("swap-not-here", "blocks_to_swap", model=kind)
        else:
            judging.say("swap-all", "blocks_to_swap", value=int(swapped))
    if not document.get("activation_checkpointing", default=False):
        judging.say("memory-kept", "activation_checkpointing")


def evaluation(judging: Judging) -> None:
    """Held-out sets."""
    document = judging.document
    sets = held(document.get("eval_datasets"))
    for index, one in enumerate(sets):
        if not isinstance(one, Mapping):
            judging.say("eval-by-name", "eval_datasets", index, value=one)
    asked = [name for name in EVERY if document.get(name)]
    if sets and not asked:
        judging.say("eval-once", "eval_datasets")
    elif asked and not sets:
        judging.say("eval-unused", asked[0], name=asked[0])


def habits(judging: Judging) -> None:
    """What is said, kept and sent."""
    document = judging.document
    judging.say("no-samples")
    if document.has("checkpoint_every_n_epochs") and document.has("checkpoint_every_n_minutes"):
        judging.say("two-clocks", "checkpoint_every_n_epochs")
    elif not document.has("checkpoint_every_n_epochs") and not document.has("checkpoint_every_n_minutes"):
        judging.say("never-resumable")
    given = table(document.get("monitoring"))
    if given.get("enable_wandb") is True:
        for name in ("wandb_api_key", "wandb_tracker_name", "wandb_run_name"):
            if name not in given:
                judging.say("wandb-keys", "monitoring", "enable_wandb", name=name)
    if words(given.get("wandb_api_key")).strip():
        judging.say("secret-in-config", "monitoring", "wandb_api_key")


def remainders(judging: Judging, found: Sequence[Directory]) -> None:
    """Pictures that are left out of a pass."""
    each = one_pass(judging.document, found)
    total = sum((each.counts or {}).values())
    if each.counts is not None and total and each.steps == 0:
        judging.say("nothing-left", "gradient_accumulation_steps", batch=each.batch)
    elif each.lost:
        fields = {"lost": each.lost, "pictures": total, "batch": each.batch, "dropped": each.dropped}
        judging.say("folder-remainders", "gradient_accumulation_steps", **fields)
