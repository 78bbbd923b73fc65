"""OneTrainer: its config (version 11, older ones and presets) and its concepts, and what it really does with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from portraitist.interop.diagnosis import Diagnosis, Effective, rules
from portraitist.interop.document import Document
from portraitist.interop.judging import Judging, table, tables, whole, words
from portraitist.interop.nearest import meant, nearest
from portraitist.interop.onetrainer.model import model_checks
from portraitist.interop.onetrainer.pictures import concept_checks, picture_checks
from portraitist.interop.onetrainer.reading import VERSION, Concept, Settings, concepts, kind_of, settings
from portraitist.interop.onetrainer.run import (
    Seen,
    ages,
    denoiser,
    effective,
    one_pass,
    rate,
    resolutions,
    scale,
    seen,
)

if TYPE_CHECKING:
    from portraitist.interop.carrying import Carried
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

NAME = "OneTrainer"
OWN = frozenset(
    {"training_method", "concept_file_name", "output_model_destination", "base_model_name", "workspace_dir"}
)
OF_CONCEPTS = frozenset({"balancing", "image_variations", "text_variations", "include_subdirectories", "enabled"})
OF_SAMPLES = frozenset({"diffusion_steps", "cfg_scale", "noise_scheduler", "negative_prompt"})
SECRETS = ("huggingface_token", "api_key", "password", "key_file")
ADAPTIVE = ("PRODIGY", "DADAPT")
USUAL = {"LORA": (1e-5, 1e-3, 3e-4), "FINE_TUNE": (5e-7, 1e-4, 1e-5)}
"""Least, most and usual rate by what is trained."""


def recognises(document: Document) -> bool:
    """Whether it is a config, a preset, or a list of concepts."""
    if document.kind != "json":
        return False
    if isinstance(document.value, list):
        held = tables(document.value)
        return bool(held) and (all("path" in one and OF_CONCEPTS & one.keys() for one in held) or are_samples(document))
    given = table(document.value)
    typed = words(given.get("model_type")) in rules("onetrainer").keys["choices"]["ModelType"]
    return len(OWN & given.keys()) >= 2 or (typed and bool(OWN & given.keys()))


def diagnose(document: Document) -> Diagnosis:
    """What OneTrainer would really do with it; a list of concepts is judged alone."""
    judging, config = Judging(document, rules("onetrainer"), NAME), settings(document)
    judging.traps()
    held = concepts(document, config)
    found = [seen(one, document.folder) for one in held or () if one.enabled]
    sampled(judging, config)
    if are_samples(document):
        return judging.diagnosis(Effective())
    if isinstance(document.value, list):
        concept_checks(judging, config, held or [], found)
        return judging.diagnosis(Effective(sets=effective(config, found).sets))
    version(judging, config)
    keys(judging, config)
    model_checks(judging, config)
    schedule(judging, config, found)
    rates(judging, config)
    files(judging, config)
    data(judging, config, held, found)
    return judging.diagnosis(effective(config, found))


def are_samples(document: Document) -> bool:
    """Whether it is a list of samples to draw, and no list of concepts."""
    held = tables(document.value)
    return bool(held) and all("prompt" in one and OF_SAMPLES & one.keys() for one in held)


def sampled(judging: Judging, config: Settings) -> None:
    """What is drawn while it trains: a list that is judged itself, or one inside a config."""
    inside = ("samples",) if not are_samples(judging.document) else ()
    for index, one in enumerate(tables(judging.document.get(*inside)) if inside else tables(judging.document.value)):
        judging.unknown(judging.rules.keys["sample"]["any"], *inside, index)
        if one.get("random_seed") is True:
            judging.say("samples-of-chance", *inside, index, "random_seed")
    unit = config.text("sample_after_unit")
    if isinstance(judging.document.value, dict) and unit in ("SECOND", "MINUTE", "HOUR"):
        judging.say(
            "samples-by-the-clock", *config.path("sample_after"), value=config.whole("sample_after"), unit=unit.lower()
        )


def carried(document: Document) -> Carried:
    """What of it our project and recipe can hold, and what not."""
    from portraitist.interop.onetrainer.carrying import carried as carry

    return carry(document)


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Our recipe as config.json and concepts.json."""
    from portraitist.interop.onetrainer.writing import written as write

    return write(recipe, facts, pictures)


def differences(recipe: Recipe) -> Iterator[str]:
    """What it would do otherwise with our recipe."""
    from portraitist.interop.onetrainer.writing import differences as differ

    return differ(recipe)


def version(judging: Judging, config: Settings) -> None:
    """Its version, and how it comes to 11."""
    given = table(judging.document.value)
    if config.stops:
        judging.say("migration-stops", "__version", version=whole(given.get("__version"), 0), reason=config.stops)
    elif config.version > VERSION:
        judging.say("newer-version", "__version", version=config.version)
    elif config.version < VERSION:
        judging.say("migrated", "__version", version=config.version, moved=len(config.moved))


def keys(judging: Judging, config: Settings) -> None:
    """Keys that are not read, and values that are not of their kind."""
    judged: list[tuple[str, ...]] = []
    for name, value in config.values.items():
        if isinstance(value, dict) and kind_of((name, "train")) + kind_of((name, "svd_rank")) + kind_of(
            (name, "beta1")
        ):
            judged += [(name, inner) for inner in value if inner != "__version"]
        else:
            judged.append((name,))
    older = [path for path in judged if not kind_of(path) and path[0] in OLDER and config.version == VERSION]
    if older and "__version" not in table(judging.document.value):
        names = ", ".join(path[0] for path in older[:5])
        judging.say("old-keys-in-preset", older[0][0], names=names)
        judged = [path for path in judged if path not in older]
    for path in judged:
        kind = kind_of(path)
        where = config.path(*path)
        if not kind:
            known = [key for group in judging.rules.keys["config"].values() for key in group]
            judging.say("unknown-key", *where, name=".".join(path), near=meant(path[-1], known))
        else:
            value_check(judging, config, path, kind)


OLDER = frozenset(
    {"weight_dtype", "gradient_checkpointing", "enable_activation_offloading", "layer_offload_fraction", "embeddings",
     "enable_async_offloading", "lora_layers", "lora_layer_preset", "lora_layers_regex", "save_after", "token_count",
     "save_after_unit", "min_snr_gamma", "train_unet", "train_unet_epochs", "unet_learning_rate", "unet_weight_dtype",
     "train_text_encoder", "train_text_encoder_epochs", "text_encoder_learning_rate", "text_encoder_weight_dtype",
     "train_text_encoder_2", "train_text_encoder_2_epochs", "text_encoder_2_learning_rate", "prior_weight_dtype",
     "text_encoder_2_weight_dtype", "train_prior", "train_prior_epochs", "prior_learning_rate", "vae_weight_dtype",
     "prior_model_name", "effnet_encoder_weight_dtype", "effnet_encoder_model_name", "decoder_weight_dtype",
     "decoder_model_name", "decoder_text_encoder_weight_dtype", "decoder_vqgan_weight_dtype", "vae_model_name",
     "embedding_model_names", "initial_embedding_text", "optimizer_fused", "extra_model_name"}
)  # fmt: skip
"""Keys of versions before 11."""


def value_check(judging: Judging, config: Settings, path: tuple[str, ...], kind: str) -> None:
    """One value against its kind."""
    value, where = config.given(*path), config.path(*path)
    choices = judging.rules.keys["choices"].get(kind)
    name, default = ".".join(path), config.default(*path)
    if value is None:
        return
    if choices:
        if value not in choices:
            chosen = default if default is not None else "its default"
            rule = "refused-model" if path[-1] in ("model_type", "training_method") else "refused-value"
            judging.say(rule, *where, name=name, value=value, default=chosen, choices=near_choices(value, choices))
    elif kind == "flag" and isinstance(value, str):
        judging.say("text-flag", *where, name=name, value=value)
    elif kind in ("number", "whole") and value not in ("inf", "-inf") and whole(value, -(10**13)) == -(10**13):
        chosen = default if default is not None else "its default"
        judging.say("refused-value", *where, name=name, value=value, default=chosen, choices="a number")


def near_choices(value: object, choices: Sequence[str]) -> str:
    """The choices, the nearest alone where one is near."""
    return nearest(str(value), choices) or ", ".join(choices[:8]) + (" ..." if len(choices) > 8 else "")


def schedule(judging: Judging, config: Settings, found: Sequence[Seen]) -> None:
    """Updates, warmup, averaging and saving against each other."""
    run = effective(config, found)
    accumulate = max(1, config.whole("gradient_accumulation_steps"))
    warmup = config.number("learning_rate_warmup_steps")
    rising = warmup / accumulate if warmup > 1 else warmup * max(0, run.updates)
    if run.updates > 0 and rising > 0.2 * run.updates:
        judging.say("warmup-long", *config.path("learning_rate_warmup_steps"), warmup=int(rising), updates=run.updates)
    if accumulate > 1:
        for name, unit in (("save_every", "save_every_unit"), ("validate_after", "validate_after_unit")):
            if config.text(unit) == "STEP" and config.given(name) is not None:
                value = config.whole(name)
                fields = {"value": value, "updates": value / accumulate, "accumulate": accumulate}
                judging.say("steps-are-batches", *config.path(name), name=name, **fields)
        if config.given("optimizer", "fused_back_pass") is True:
            judging.say("fused-accumulated", "optimizer", "fused_back_pass", accumulate=accumulate)
    averaged(judging, config, run.updates)
    if config.text("save_every_unit") == "NEVER":
        judging.say("final-save-only", *config.path("save_every_unit"))


def averaged(judging: Judging, config: Settings, updates: int) -> None:
    """Whether the average that is saved is much older than the run's end."""
    if config.text("ema") == "OFF" or updates <= 0:
        return
    decay, every = config.number("ema_decay"), max(1, config.whole("ema_update_step_interval"))
    age = ages(decay, every, updates)
    if age > 0.25 * updates:
        fit = max(0.5, 1 - 10 * every / updates)
        fields = {"decay": decay, "every": every, "updates": updates, "age": int(age), "fit": fit}
        judging.say("ema-outlasts", *config.path("ema"), share=f"{age / updates:.0%}", **fields)


def rates(judging: Judging, config: Settings) -> None:
    """The learning rate against what is usual, and its scalers."""
    method, rated = config.text("training_method"), rate(config)
    optimiser = str(config.given("optimizer", "optimizer") or "ADAMW")
    kind = {"LORA": "LoRA", "FINE_TUNE": "fine-tune"}.get(method, "")
    own = config.given(denoiser(config), "learning_rate") is not None
    where = config.path(denoiser(config), "learning_rate") if own else config.path("learning_rate")
    if optimiser.startswith(ADAPTIVE):
        if rated < 0.1:
            judging.say("rate-adaptive", *where, optimiser=optimiser, rate=rated)
    elif kind:
        least, most, usual = USUAL[method]
        if rated < least or rated > most:
            rule = "rate-low" if rated < least else "rate-high"
            judging.say(rule, *where, rate=rated, kind=kind, usual=usual)
    loss, by = config.text("loss_scaler"), config.text("learning_rate_scaler")
    if "NONE" not in (loss, by):
        times = scale(config, "loss_scaler") * scale(config, "learning_rate_scaler")
        judging.say("scaled-twice", "learning_rate_scaler", loss=loss, rate=by, times=times)


def files(judging: Judging, config: Settings) -> None:
    """What is written beside the model."""
    if config.text("include_train_config") in ("SETTINGS", "ALL"):
        judging.say("config-in-file", "include_train_config", value=config.text("include_train_config"))
    unit = config.text("backup_after_unit")
    kept = unit != "NEVER" and not config.flag("rolling_backup") and config.given("backup_after") is not None
    if kept and config.text("training_method") == "FINE_TUNE":
        judging.say("backups-pile-up", "backup_after", value=config.whole("backup_after"), unit=unit.lower())
    for path, value in judging.document.leaves():
        if path and path[-1] in SECRETS and isinstance(value, str) and value.strip():
            judging.say("secret-in-config", *path, name=".".join(map(str, path)))


def data(judging: Judging, config: Settings, held: list[Concept] | None, found: Sequence[Seen]) -> None:
    """Concepts, pictures and what is cached of them."""
    if not resolutions(config):
        judging.say("resolution-not-read", "resolution", value=config.text("resolution"))
    elif len(resolutions(config)) > 1:
        judging.say("several-resolutions", "resolution", value=config.text("resolution"))
    if config.flag("latent_caching") and not config.flag("clear_cache_before_training"):
        judging.say("cache-stale", "clear_cache_before_training")
    if held is None:
        name = PurePath(config.text("concept_file_name")).name or "the file of concepts"
        judging.say("concepts-unseen", "concept_file_name", name=name)
        return
    if not any(one.enabled and one.kind != "VALIDATION" for one in held):
        judging.say("no-concepts", *config.path("concepts"))
    concept_checks(judging, config, held, found)
    picture_checks(judging, config, found)
    each = one_pass(config, found)
    if each.counts is not None and each.batches == 0 and each.samples > 0:
        judging.say("batch-too-large", "batch_size", batch=each.batch)
    elif each.lost:
        fields = {"lost": each.lost, "pictures": each.samples, "batch": each.batch, "dropped": each.dropped}
        judging.say("folder-remainders", "batch_size", **fields)
