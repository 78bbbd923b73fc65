"""What a OneTrainer config says of the model, the adapter, precision and masks."""

import re
from collections.abc import Mapping, Sequence

from portraitist.interop.judging import Judging, words
from portraitist.interop.onetrainer.reading import Settings
from portraitist.interop.onetrainer.run import HELD, denoiser, parts

DIFFUSION = (
    "STABLE_DIFFUSION_1",
    "STABLE_DIFFUSION_2",
    "STABLE_DIFFUSION_XL",
    "WUERSTCHEN",
    "STABLE_CASCADE",
    "PIXART",
)
INPAINTING = ("INPAINTING", "FLUX_FILL")
LORA_ALONE = ("QWEN", "Z_IMAGE", "FLUX_2", "ERNIE", "ANIMA", "KREA_2", "IDEOGRAM_4")
WITHOUT_LEGACY = ("WUERSTCHEN_2", "SANA", "HI_DREAM_FULL", "ANIMA", "KREA_2", "IDEOGRAM_4")
IN_FOLDERS = ("QWEN", "Z_IMAGE", "CHROMA_1", "FLUX_2", "KREA_2", "ERNIE", "IDEOGRAM_4")
LORA_FORMATS = ("DIFFUSERS_LORA", "KOHYA_LORA", "ORIGINAL_LORA", "COMFY_LORA")
LARGE_ENCODERS: Mapping[str, Sequence[str]] = {
    "FLUX_DEV_1": ("text_encoder_2",), "QWEN": ("text_encoder",), "Z_IMAGE": ("text_encoder",),
    "CHROMA_1": ("text_encoder",), "STABLE_DIFFUSION_35": ("text_encoder_3",), "FLUX_2": ("text_encoder",),
}  # fmt: skip
ROUNDED = ("fp8", "int8", "nf4", "gguf")


def is_diffusion(kind: str) -> bool:
    """Whether it is trained by noise that is taken away in steps, and not by flow matching."""
    return kind.startswith(DIFFUSION)


def sees_masks(kind: str) -> bool:
    """Whether a model is shown the mask itself."""
    return any(word in kind for word in INPAINTING)


def methods(kind: str) -> tuple[str, ...]:
    """What a model can be trained by."""
    found = ("FINE_TUNE", "LORA")
    if kind in LORA_ALONE:
        return found
    vae = kind.startswith(("STABLE_DIFFUSION_1", "STABLE_DIFFUSION_2"))
    return (*found, "EMBEDDING", "FINE_TUNE_VAE") if vae else (*found, "EMBEDDING")


def formats(kind: str, method: str) -> tuple[str, ...]:
    """What files a training of a model is saved in."""
    legacy = kind not in WITHOUT_LEGACY or (kind == "HI_DREAM_FULL" and method != "LORA")
    if method == "EMBEDDING":
        return ("SAFETENSORS",)
    if method == "LORA":
        return (*LORA_FORMATS, "LEGACY_LORA") if legacy else LORA_FORMATS
    if kind.startswith("STABLE_DIFFUSION"):
        return ("DIFFUSERS", "ORIGINAL_SINGLE_FILE", "LEGACY_SAFETENSORS")
    single = () if kind in ("SANA", "WUERSTCHEN_2", "STABLE_CASCADE_1") else ("ORIGINAL_TRANSFORMER",)
    comfy = ("COMFY_TRANSFORMER",) if kind == "Z_IMAGE" else ()
    return ("DIFFUSERS", *single, *comfy, *(("LEGACY_SAFETENSORS",) if legacy else ()))


def model_checks(judging: Judging, config: Settings) -> None:
    """All of them."""
    base(judging, config)
    method(judging, config)
    adapter(judging, config)
    layers(judging, config)
    encoders(judging, config)
    precision(judging, config)
    masks(judging, config)


def base(judging: Judging, config: Settings) -> None:
    """The base and its type."""
    kind, name = config.text("model_type"), config.text("base_model_name")
    where = config.path("base_model_name")
    own = words(config.given("transformer", "model_name"))
    if kind == "QWEN" and re.search(r"edit", f"{name} {own}", re.IGNORECASE):
        judging.say("edit-model", *where, name=name)
    if kind in IN_FOLDERS and name.lower().endswith((".safetensors", ".ckpt")):
        judging.say("single-file-not-read", *where, model=kind)


def method(judging: Judging, config: Settings) -> None:
    """How it is trained, weighed and saved, against what the model allows."""
    kind, how, saved = (config.text(key) for key in ("model_type", "training_method", "output_model_format"))
    if how not in methods(kind):
        choices = ", ".join(methods(kind))
        judging.say("method-not-offered", "training_method", model=kind, method=how, choices=choices)
    offered = formats(kind, how)
    if config.given("output_model_format") is None and how != "EMBEDDING":
        judging.say("format-not-named", "output_model_format", choices=offered[0])
    elif saved not in offered:
        fields = {"value": saved, "method": how, "model": kind, "choices": ", ".join(offered)}
        judging.say("format-not-offered", *config.path("output_model_format"), **fields)
    weight = config.text("loss_weight_fn")
    where = config.path("loss_weight_fn")
    if not is_diffusion(kind) and weight not in ("CONSTANT", "SIGMA"):
        judging.say("loss-weight-flow", *where, value=weight, model=kind)
    elif is_diffusion(kind) and weight == "SIGMA":
        judging.say("loss-weight-diffusion", *where, model=kind)


def adapter(judging: Judging, config: Settings) -> None:
    """Rank and alpha."""
    if config.text("training_method") != "LORA" or config.text("peft_type") not in ("LORA", "LOHA"):
        return
    rank, alpha = max(1, config.whole("lora_rank")), config.number("lora_alpha")
    if alpha < rank / 2 or alpha > 2 * rank:
        judging.say("alpha-scale", *config.path("lora_alpha"), rank=rank, alpha=alpha, scale=alpha / rank)


def layers(judging: Judging, config: Settings) -> None:
    """The layers that are trained: the window's name for them, and the filter that counts."""
    kind, name, filtered = (config.text(key) for key in ("model_type", "layer_filter_preset", "layer_filter"))
    known = judging.rules.keys["layers"].get(kind, {})
    if name in ("full", "custom", "") or config.text("training_method") not in ("LORA", "FINE_TUNE"):
        return
    meant = known.get(name, "the layers that are meant")
    where = config.path("layer_filter_preset")
    if not filtered.strip():
        judging.say("layer-preset-only", *where, value=name, layers=meant)
    elif name in known and split(filtered) != split(meant):
        judging.say("layer-filter-disagrees", *where, value=name, layers=filtered)


def split(filtered: str) -> set[str]:
    """The patterns of a filter."""
    return {part.strip() for part in filtered.split(",") if part.strip()}


def encoders(judging: Judging, config: Settings) -> None:
    """Text encoders that are trained, for a character's sake or by default."""
    kind = config.text("model_type")
    if config.text("training_method") not in ("LORA", "FINE_TUNE"):
        return
    for part in parts(config)[1:]:
        if not config.flag(part, "train"):
            continue
        large = part in LARGE_ENCODERS.get(kind, ())
        why = (
            "it is a language model of billions of weights, on a few pictures"
            if large
            else "on a few pictures it unlearns words faster than it learns the character"
        )
        judging.say("text-encoder-trained", *config.path(part, "train"), part=part, why=why)


def precision(judging: Judging, config: Settings) -> None:
    """Types of weights and arithmetic."""
    how, part = config.text("training_method"), denoiser(config)
    trained = config.text("lora_weight_dtype") if how == "LORA" else config.text(part, "weight_dtype")
    held = HELD.get(config.text(part, "weight_dtype"), "")
    if config.text("train_dtype") == "FLOAT_16" and how in ("LORA", "FINE_TUNE"):
        if trained in ("FLOAT_32", "TFLOAT_32"):
            judging.say("fp16-scaler", *config.path("train_dtype"))
        else:
            judging.say("fp16-without-scaler", *config.path("train_dtype"), value=trained)
    if how == "FINE_TUNE" and held in ROUNDED and config.flag(part, "train"):
        value = config.text(part, "weight_dtype")
        judging.say("quantised-tuned", *config.path(part, "weight_dtype"), part=part, value=value)
    offloaded = config.number(part, "offload_fraction")
    if offloaded > 0 and not config.flag(part, "gradient_checkpointing"):
        judging.say("offload-uncheckpointed", *config.path(part, "offload_fraction"), part=part, value=offloaded)


def masks(judging: Judging, config: Settings) -> None:
    """Masked training."""
    kind, how = config.text("model_type"), config.text("training_method")
    if not config.flag("masked_training"):
        return
    if sees_masks(kind):
        judging.say("mask-ignored", "masked_training", model=kind)
        return
    if config.given("unmasked_probability") is not None and config.number("unmasked_probability") > 0:
        value = config.number("unmasked_probability")
        judging.say("unmasked-probability", "unmasked_probability", value=value, model=kind)
    if not config.flag("normalize_masked_area_loss"):
        kept = min(1.0, max(0.0, config.number("unmasked_weight")))
        times = (kept + 0.6 * (1 - kept)) / max(1e-6, kept + 0.05 * (1 - kept))
        judging.say("mask-not-normalised", "normalize_masked_area_loss", times=f"{times:.2g}")
    if config.number("masked_prior_preservation_weight") > 0:
        rule = "masked-prior-doubles" if how == "LORA" else "masked-prior-needs-lora"
        judging.say(rule, "masked_prior_preservation_weight", method=how)
