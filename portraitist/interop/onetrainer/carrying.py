"""OneTrainer's settings to ours."""

from portraitist.errors import PortraitistError
from portraitist.interop.carrying import Carried, Carrying
from portraitist.interop.diagnosis import Effective, rules
from portraitist.interop.document import Document
from portraitist.interop.judging import number, tables, words
from portraitist.interop.keeping import Folders, account, refuse_base, refuse_method
from portraitist.interop.onetrainer.reading import Settings, concepts, settings
from portraitist.interop.onetrainer.run import HELD, denoiser, effective, family, rate, resolutions, seen

OPTIMISERS = {
    "ADAMW": "adamw", "ADAMW_8BIT": "adamw8bit", "ADAFACTOR": "adafactor", "PRODIGY": "prodigy",
    "SCHEDULE_FREE_ADAMW": "schedulefree",
}  # fmt: skip
SCHEDULES = {"CONSTANT": "constant", "LINEAR": "linear", "COSINE": "cosine"}
MODULES = {"attn-mlp": "attention-mlp", "attn-only": "attention", "blocks": "blocks"}
KINDS = {"LORA": "lora", "LOHA": "loha", "LOKR": "lokr"}
PRECISIONS = {"BFLOAT_16": "bfloat16", "FLOAT_16": "float16", "FLOAT_32": "float32", "TFLOAT_32": "float32"}
HELD_OURS = {"fp8": "FLOAT_8", "int8": "INT_8", "nf4": "NFLOAT_4"}
PASSED = (
    "__version", "concepts", "concept_file_name", "samples", "workspace_dir", "cache_dir", "debug_mode", "debug_dir",
    "tensorboard", "optimizer_defaults", "optimizer", "cloud", "secrets", "embedding", "additional_embeddings",
)  # fmt: skip


def carried(document: Document) -> Carried:
    """What of a config our project and recipe can hold.

    Raises PortraitistError for a base, and for a way of training, that we do not have.
    """
    config, keeping = settings(document), Carrying(document)
    if isinstance(document.value, list) and not any("path" in one for one in tables(document.value)):
        raise PortraitistError("A list of samples says nothing of a training", "Import the config that names it.")
    if not isinstance(document.value, list):
        model(keeping, config)
        adapter(keeping, config)
        training(keeping, config)
        noise(keeping, config)
    pictures = sets(keeping, config)
    return account(keeping, pictures, PASSED)


def model(keeping: Carrying, config: Settings) -> None:
    """The base, and how it is held."""
    if not (named := family(config)):
        raise refuse_base("OneTrainer", config.text("model_type"))
    if config.text("training_method") not in ("LORA", "FINE_TUNE"):
        raise refuse_method("OneTrainer", config.text("training_method"))
    part = denoiser(config)
    keeping.keep("model.family", named, *config.path("model_type"))
    keeping.keep("model.base", config.text("base_model_name"), *config.path("base_model_name"))
    own = config.text(part, "model_name")
    if own:
        keeping.keep("model.parts.unet" if part == "unet" else "model.parts.transformer", own, part, "model_name")
    if words(config.given("vae", "model_name")):
        keeping.keep("model.parts.vae", words(config.given("vae", "model_name")), *config.path("vae", "model_name"))
    if config.given("force_v_prediction") is True and named == "sdxl":
        keeping.keep("model.prediction", "v", "force_v_prediction")
    keeping.keep("model.precision", PRECISIONS.get(config.text("train_dtype"), "bfloat16"), "train_dtype")
    held = HELD.get(config.text(part, "weight_dtype"), "")
    quantised = held if held in HELD_OURS else ""
    keeping.keep("model.quantised", quantised, *config.path(part, "weight_dtype"))
    keeping.keep("model.offload", unit(config.number(part, "offload_fraction")), *config.path(part, "offload_fraction"))
    on = "on" if config.flag(part, "gradient_checkpointing") else "off"
    keeping.keep("training.recompute", on, *config.path(part, "gradient_checkpointing"))
    sides = resolutions(config)
    if sides:
        keeping.keep("data.resolution", min(4096, sides[0]), "resolution")
    if len(sides) > 1:
        keeping.leave("only the first of its resolutions is carried", "resolution")
    for encoder in ("text_encoder", "text_encoder_2"):
        if config.flag(encoder, "train"):
            keeping.leave("text encoders stay frozen here", *config.path(encoder, "train"))


def unit(value: float) -> float:
    """A share, cut to 0 and 1."""
    return max(0.0, min(1.0, value))


def adapter(keeping: Carrying, config: Settings) -> None:
    """What is trained."""
    if config.text("training_method") == "FINE_TUNE":
        keeping.keep("adapter.kind", "full", "training_method")
        held = config.text(denoiser(config), "weight_dtype")
        weights = "bfloat16" if held == "BFLOAT_16" else "float32"
        keeping.keep("adapter.weights", weights, denoiser(config), "weight_dtype")
        return
    kind = KINDS.get(config.text("peft_type"))
    if kind is None:
        raise refuse_method("OneTrainer", config.text("peft_type"))
    keeping.keep("adapter.kind", kind, "peft_type")
    run = effective(config, [])
    keeping.keep("adapter.rank", max(1, min(1024, run.rank)), "lokr_dim" if kind == "lokr" else "lora_rank")
    keeping.keep("adapter.alpha", 0.0 if run.alpha == run.rank else min(4096.0, run.alpha), "lora_alpha")
    if kind == "lora":
        keeping.keep("adapter.dropout", min(0.99, unit(config.number("dropout_probability"))), "dropout_probability")
    if config.text("lora_model_name"):
        keeping.keep("adapter.start", config.text("lora_model_name"), "lora_model_name")
    keeping.leave("weights are not decomposed here (DoRA)", "lora_decompose")
    name, filtered = config.text("layer_filter_preset"), config.text("layer_filter")
    known = rules("onetrainer").keys["layers"].get(config.text("model_type"), {})
    if filtered and filtered != known.get(name):
        keeping.leave("layers are named by sets here, or by peft's suffixes (adapter.targets)", "layer_filter")
        return
    everything = "locon" if family(config) == "sdxl" else "all-linear"
    modules = MODULES.get(name, everything) if filtered else everything
    keeping.keep("adapter.modules", modules, *config.path("layer_filter_preset"))
    keeping.kept.setdefault(config.path("layer_filter"), "adapter.modules")


def training(keeping: Carrying, config: Settings) -> None:
    """Optimiser, schedule and saving."""
    accumulate = max(1, config.whole("gradient_accumulation_steps"))
    keeping.keep("training.batch", clamped(config.whole("batch_size")), "batch_size")
    keeping.keep("training.accumulate", clamped(accumulate), "gradient_accumulation_steps")
    keeping.keep("training.rate", max(1e-9, min(1.0, rate(config))), "learning_rate")
    keeping.kept.setdefault(("learning_rate_scaler",), "training.rate")
    named = str(config.given("optimizer", "optimizer") or "ADAMW")
    where = config.path("optimizer", "optimizer")
    if named in OPTIMISERS:
        keeping.keep("training.optimiser", OPTIMISERS[named], *where)
    else:
        keeping.leave("this optimiser is not here; adamw is taken", *where)
    usual = {"beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0 if named in ("ADAFACTOR", "PRODIGY") else 0.01}
    for key, default in usual.items():
        value = number(config.given("optimizer", key), default)
        keeping.keep(f"training.{key}", value if 0 <= value < 1 else default, "optimizer", key)
    schedule = config.text("learning_rate_scheduler")
    if schedule in SCHEDULES:
        keeping.keep("training.schedule", SCHEDULES[schedule], "learning_rate_scheduler")
        if schedule != "CONSTANT":
            keeping.keep("training.floor", unit(config.number("learning_rate_min_factor")), "learning_rate_min_factor")
    else:
        keeping.leave("schedules here are constant, linear and cosine; constant is taken", "learning_rate_scheduler")
    clip = config.given("clip_grad_norm")
    none = clip is None and keeping.document.has("clip_grad_norm")
    keeping.keep("training.max_gradient", 0.0 if none else max(0.0, config.number("clip_grad_norm")), "clip_grad_norm")
    if config.text("ema") != "OFF":
        every = max(1, config.whole("ema_update_step_interval"))
        decay = unit(config.number("ema_decay")) ** (1 / every)
        keeping.keep("training.ema", round(min(0.999999, decay), 9), "ema_decay")
        keeping.kept.setdefault(("ema_update_step_interval",), "training.ema")
    keeping.kept.setdefault(config.path("ema"), "training.ema")


def clamped(value: int) -> int:
    """A count that our recipe takes."""
    return max(1, min(4096, value))


def noise(keeping: Carrying, config: Settings) -> None:
    """Levels of noise, and what is weighed."""
    kind = config.text("timestep_distribution")
    if kind in ("UNIFORM", "LOGIT_NORMAL"):
        keeping.keep("training.level", kind.lower().replace("_", "-"), *config.path("timestep_distribution"))
    else:
        keeping.leave("noise is uniform or logit-normal here; the family's own is taken", "timestep_distribution")
    if kind == "LOGIT_NORMAL":
        keeping.keep("training.level_mean", max(-5.0, min(5.0, config.number("noising_bias"))), "noising_bias")
        spread = max(0.001, min(5.0, config.number("noising_weight") + 1))
        keeping.keep("training.level_spread", spread, "noising_weight")
    if config.flag("dynamic_timestep_shifting"):
        keeping.leave("the shift does not go by the resolution here", "dynamic_timestep_shifting")
    keeping.keep("training.level_shift", max(0.01, min(20.0, config.number("timestep_shift"))), "timestep_shift")
    weight = config.text("loss_weight_fn")
    if weight == "MIN_SNR_GAMMA" and family(config) == "sdxl":
        gamma = max(0.0, min(1000.0, config.number("loss_weight_strength")))
        keeping.keep("training.snr_gamma", gamma, *config.path("loss_weight_strength"))
        keeping.kept.setdefault(config.path("loss_weight_fn"), "training.snr_gamma")
    elif weight != "CONSTANT":
        keeping.leave("all levels count alike here, or by min-SNR", *config.path("loss_weight_fn"))
    masked = config.flag("masked_training")
    keeping.keep("data.masks", unit(config.number("unmasked_weight")) if masked else 1.0, "unmasked_weight")
    keeping.kept.setdefault(("masked_training",), "data.masks")
    if masked:
        keeping.leave("masks are divided by their area here", "normalize_masked_area_loss")
        keeping.leave("it does nothing in OneTrainer either", "unmasked_probability")
    keeping.keep(
        "data.dropout",
        unit(config.number("text_encoder", "dropout_probability")),
        "text_encoder",
        "dropout_probability",
    )


def sets(keeping: Carrying, config: Settings) -> Folders:
    """Concepts as sets, and how long it trains; returns their folders, each with the name of its set."""
    held = concepts(keeping.document, config)
    found, ours = [], []
    pictures: Folders = []
    for one in held or []:
        where = one.path
        if not one.enabled:
            keeping.leave("it is not enabled", *where, "path")
        elif one.kind == "VALIDATION":
            keeping.leave("a share of the pictures is held out here (data.held_out)", *where, "path")
        elif one.kind == "PRIOR_PREDICTION":
            keeping.leave("the base's own drawing is held by training.preserve here", *where, "path")
        else:
            found.append(seen(one, keeping.document.folder))
            name = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in one.name)[:60]
            pictures.append((one.folder, name if len(held or []) > 1 else ""))
            weight = max(1, min(10_000, round(one.balancing))) if not one.by_count else 1
            loss = max(0.0, min(100.0, number(one.values.get("loss_weight"), 1.0)))
            ours.append({"name": pictures[-1][1], "weight": weight, "loss_weight": loss})
            if keeping.document.has(*where, "path"):
                keeping.kept[*where, "path"] = "pictures"
                keeping.kept[*where, "balancing"] = "data.sets.weight"
            if one.by_count and len(held or []) > 1:
                keeping.leave("sets are weighed by repeats here, not by samples", *where, "balancing_strategy")
    if ours:
        keeping.recipe["data.sets"] = ours
    if not isinstance(keeping.document.value, list):
        lasting(keeping, config, effective(config, found))
    return pictures


def lasting(keeping: Carrying, config: Settings, run: Effective) -> None:
    """Steps, warmup and saving, in updates."""
    accumulate = max(1, config.whole("gradient_accumulation_steps"))
    warmup = config.number("learning_rate_warmup_steps")
    if run.updates > 0:
        keeping.recipe["stages"] = [{"name": "main", "steps": min(10_000_000, run.updates)}]
        keeping.kept["epochs",] = "stages.steps"
    else:
        keeping.leave("updates are not known from epochs while the pictures cannot be seen", "epochs")
    if warmup > 1 or run.updates > 0:
        rising = int(warmup / accumulate) if warmup > 1 else int(warmup * run.updates)
        keeping.keep("training.warmup", max(0, min(10**7, rising)), "learning_rate_warmup_steps")
    every, unit_name = config.whole("save_every"), config.text("save_every_unit")
    if unit_name == "STEP" and every > 0:
        keeping.keep("training.save_every", max(1, every // accumulate), *config.path("save_every"))
    elif unit_name == "EPOCH" and every > 0 and run.updates > 0:
        each = max(1, run.updates * every // max(1, config.whole("epochs")))
        keeping.keep("training.save_every", each, *config.path("save_every"))
    else:
        keeping.leave("saving goes by steps here (training.save_every)", *config.path("save_every_unit"))
