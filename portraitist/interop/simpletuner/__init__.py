"""SimpleTuner: its config.json and multidatabackend.json, and what it really does with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from portraitist.interop.diagnosis import Diagnosis, Effective, rules
from portraitist.interop.document import Document
from portraitist.interop.judging import Judging, number, tables, words
from portraitist.interop.nearest import meant, nearest
from portraitist.interop.simpletuner.pictures import DELETES, backend_checks, table_sizes
from portraitist.interop.simpletuner.reading import WAVES, Backend, Options, backends, effective, options

if TYPE_CHECKING:
    from portraitist.interop.carrying import Carried
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

NAME = "SimpleTuner"
OWN = frozenset({"model_family", "data_backend_config", "tracker_run_name", "train_batch_size", "model_type"})
USUAL = {"lora": (1e-5, 1e-3, 1e-4), "full": (5e-7, 1e-4, 1e-5)}
"""Least, most and usual rate by what is trained."""

KEEPS = "preserve_data_backend_cache"


def recognises(document: Document) -> bool:
    """Whether it is a config, with or without dashes before its keys, or a list of data backends."""
    if document.kind != "json":
        return False
    if isinstance(document.value, list):
        held = tables(document.value)
        known = rules("simpletuner").keys["types"]
        return (
            bool(held)
            and all("id" in one or "type" in one for one in held)
            and any(
                one.get("type") in known
                and ("dataset_type" in one or "instance_data_dir" in one or "cache_dir_vae" in one)
                for one in held
            )
        )
    given = options(document).values
    return "model_family" in given or len(OWN & given.keys()) >= 2


def diagnose(document: Document) -> Diagnosis:
    """What SimpleTuner would really do with it; a list of data backends is judged alone."""
    judging, config = Judging(document, rules("simpletuner"), NAME), options(document)
    if isinstance(document.value, list):
        config = Options({}, {})
    judging.traps()
    held = backends(document, config)
    if isinstance(document.value, list):
        backend_checks(judging, config, held or [])
        return judging.diagnosis(Effective(sets=effective(config, held).sets))
    names(judging, config)
    length(judging, config)
    model(judging, config)
    rates(judging, config)
    schedule(judging, config, held)
    habits(judging, config)
    evaluation(judging, config, held)
    sizes(judging, config)
    if held is None:
        named = words(config.given("data_backend_config"))
        if not named:
            judging.say("no-data-config")
        judging.say("data-unseen", *config.path("data_backend_config"), name=PurePath(named).name or "the data backend")
    else:
        backend_checks(judging, config, held)
    return judging.diagnosis(effective(config, held))


def carried(document: Document) -> Carried:
    """What of it our project and recipe can hold, and what not."""
    from portraitist.interop.simpletuner.carrying import carried as carry

    return carry(document)


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Our recipe as config.json and multidatabackend.json."""
    from portraitist.interop.simpletuner.carrying import written as write

    return write(recipe, facts, pictures)


def differences(recipe: Recipe) -> Iterator[str]:
    """What it would do otherwise with our recipe."""
    from portraitist.interop.simpletuner.carrying import differences as differ

    return differ(recipe)


def names(judging: Judging, config: Options) -> None:
    """Options that are not known, or not here, and texts that are taken for something else."""
    keys = judging.rules.keys
    known = keys["options"]
    prefixes = tuple(f"{family.split('_')[0]}_" for family in keys["families"]) + tuple(
        f"{family}_" for family in keys["families"]
    )
    for name, path in config.paths.items():
        written = str(path[-1]).strip().lstrip("-")
        if written != name:
            judging.say("old-name", *path, name=written, now=name)
        elif name in keys["in_dataset"]:
            judging.say("dataset-key", *path, name=name)
        elif name not in known and name not in keys["of_interface"] and not name.startswith("_"):
            begun = [option for option in known if option.startswith(name)]
            if nearest(name[:100], known) and not name.startswith(prefixes):
                judging.say("unknown-option", *path, name=name, near=meant(name, known))
            elif len(begun) != 1:
                judging.say("option-not-listed", *path, name=name)
        value = config.values[name]
        choices = keys["choices"].get(name)
        if choices and config.given(name) is not None and value not in choices:
            judging.say("not-a-choice", *path, name=name, value=value, choices=", ".join(choices))
        if name in keys["on_by_default"] and isinstance(value, str) and value.strip().lower() == "false":
            judging.say("false-text", *path, name=name)


def length(judging: Judging, config: Options) -> None:
    """Steps and epochs, one of which counts."""
    steps, epochs = config.whole("max_train_steps"), config.whole("num_train_epochs")
    if steps > 0 and config.given("num_train_epochs") is None:
        judging.say("epochs-by-default", *config.path("max_train_steps"), steps=steps)
    elif steps > 0 and epochs > 0:
        judging.say("steps-and-epochs", *config.path("num_train_epochs"), steps=steps, epochs=epochs)
    elif steps <= 0 and epochs <= 0:
        judging.say("no-length", *config.path("max_train_steps"))


def model(judging: Judging, config: Options) -> None:
    """The base, its precision, the optimiser and the adapter."""
    keys, kind = judging.rules.keys, config.text("model_family")
    if not kind:
        judging.say("no-family")
    elif kind.replace("-", "_") not in keys["families"]:
        judging.say("unknown-family", *config.path("model_family"), value=kind, near=meant(kind, keys["families"]))
    held, optimiser = config.text("base_model_precision"), config.text("optimizer")
    where = config.path("base_model_precision")
    if held not in keys["precisions"]:
        judging.say("precision-not-known", *where, value=held, near=meant(held, keys["precisions"]))
    elif "int2" in held:
        judging.say("two-bits", *where, value=held)
    if optimiser in keys["optimisers_gone"]:
        instead = keys["optimisers_gone"][optimiser]
        judging.say("optimiser-gone", *config.path("optimizer"), value=optimiser, instead=instead)
    if config.flag("train_text_encoder"):
        judging.say("text-encoder-trained", *config.path("train_text_encoder"))
    if config.flag("fuse_qkv_projections"):
        judging.say("fused-qkv", *config.path("fuse_qkv_projections"))
    if config.text("model_type") == "lora":
        adapter(judging, config)


def adapter(judging: Judging, config: Options) -> None:
    """Rank, alpha and dropout."""
    if config.text("lora_type") == "lycoris":
        for name in ("lora_rank", "lora_alpha"):
            if config.given(name) is not None:
                judging.say("lycoris-ignores", *config.path(name), name=name)
        return
    rank = max(1, config.whole("lora_rank"))
    alpha = number(config.given("lora_alpha"), float(rank))
    if alpha < rank / 2 or alpha > 2 * rank:
        judging.say("alpha-scale", *config.path("lora_alpha"), rank=rank, alpha=alpha, scale=alpha / rank)
    if config.given("lora_dropout") is None:
        judging.say("dropout-default")


def rates(judging: Judging, config: Options) -> None:
    """The learning rate against what is usual, and what is cut of gradients."""
    rate, kind = config.number("learning_rate"), config.text("model_type")
    where = config.path("learning_rate")
    if "prodigy" in config.text("optimizer"):
        if rate < 0.1:
            judging.say("rate-adaptive", *where, rate=rate)
    elif kind in USUAL:
        least, most, usual = USUAL[kind]
        if rate < least or rate > most:
            named = "LoRA" if kind == "lora" else "fine-tune"
            judging.say("rate-low" if rate < least else "rate-high", *where, rate=rate, kind=named, usual=usual)
    end = config.number("lr_end")
    if config.text("lr_scheduler") == "polynomial" and end >= rate:
        judging.say("end-above-rate", *config.path("lr_end"), rate=rate, end=end)
    if config.given("max_grad_norm") is not None and config.text("grad_clip_method") != "norm":
        judging.say("clips-values", *config.path("max_grad_norm"), value=config.number("max_grad_norm"))


def schedule(judging: Judging, config: Options, held: Sequence[Backend] | None) -> None:
    """Updates, warmup, averaging and saving against each other."""
    run = effective(config, held)
    if run.updates <= 0:
        return
    warmup, every = config.whole("lr_warmup_steps"), config.whole("checkpoint_step_interval")
    named = config.text("lr_scheduler")
    if named in WAVES:
        if (interval := warmup if warmup > 0 else 1000) != run.updates:
            judging.say("wave", *config.path("lr_scheduler"), value=named, interval=interval, updates=run.updates)
    elif warmup > 0.2 * run.updates:
        judging.say("warmup-long", *config.path("lr_warmup_steps"), warmup=warmup, updates=run.updates)
    if every >= run.updates and run.updates >= 100:
        fields = {"every": every, "updates": run.updates, "fit": max(1, run.updates // 10)}
        judging.say("never-saved", *config.path("checkpoint_step_interval"), **fields)
    elif 0 <= run.kept < run.saves:
        judging.say("checkpoints-lost", *config.path("checkpoints_total_limit"), saves=run.saves, kept=run.kept)


def habits(judging: Judging, config: Options) -> None:
    """What is deleted, kept, published, or left to chance."""
    if str(config.given("seed")) in ("0", "-1"):
        judging.say("seed-by-clock", *config.path("seed"), value=config.whole("seed"))
    if config.flag("push_to_hub"):
        judging.say("published", *config.path("push_to_hub"))
    for name, why in DELETES.items():
        if config.flag(name):
            judging.say("deletes-pictures", *config.path(name), name=name, why=why)
    if config.flag(KEEPS):
        judging.say("cache-kept", *config.path(KEEPS), name=KEEPS)
    if config.given("caption_dropout_probability") is None:
        judging.say("caption-dropout-default")


def evaluation(judging: Judging, config: Options, held: Sequence[Backend] | None) -> None:
    """Evaluation by loss."""
    asked = [name for name in ("eval_steps_interval", "eval_epoch_interval") if number(config.given(name), 0.0) > 0]
    if not asked:
        return
    evals = [one for one in held or () if one.enabled and one.kind == "eval"]
    if held is not None and not evals:
        judging.say("eval-without-data", *config.path(asked[0]), name=asked[0])
        return
    drawn = config.whole("num_eval_images")
    if any(one.count < 0 or one.count > drawn for one in evals) or not evals:
        judging.say("eval-subset", *config.path("num_eval_images"), drawn=drawn)
    if (dropped := config.number("caption_dropout_probability")) > 0:
        judging.say("eval-dropout", *config.path("caption_dropout_probability"), value=dropped)


def sizes(judging: Judging, config: Options) -> None:
    """Sizes of pictures, in the unit that counts."""
    paths = {name: config.path(name) for name in config.values}
    table_sizes(judging, config.values, config.text("resolution_type"), 5, paths)
