"""What is remarked of sd-scripts' trainings: precision, text encoders, caches, networks, flow models, masks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portraitist.interop.diagnosis import Remark, Rules
from portraitist.interop.kohya.dataset import Dataset
from portraitist.interop.kohya.schema import real, sides, whole
from portraitist.interop.kohya.settings import LEFT_OPEN, Given
from portraitist.interop.kohya.trainings import Training

FLOW = frozenset({"flux", "sd3", "lumina", "anima", "hunyuan-image"})
FAMILIES = {
    "sdxl_train": "sdxl", "sdxl_train_network": "sdxl", "sdxl_train_textual_inversion": "sdxl",
    "flux_train": "flux", "flux_train_network": "flux", "sd3_train": "sd3", "sd3_train_network": "sd3",
    "lumina_train": "lumina", "lumina_train_network": "lumina", "anima_train": "anima",
    "anima_train_network": "anima", "hunyuan_image_train_network": "hunyuan-image",
    "train_network": "sd", "train_db": "sd", "fine_tune": "sd", "train_textual_inversion": "sd",
}  # fmt: skip
WITHOUT_CONVOLUTION = frozenset({"attn-mlp", "attn-only", "full-lin", "unet-transformer-only"})
XL = ("sdxl", "sd_xl", "-xl-", "xl_base", "illustrious", "pony")
"""What names of SDXL models have in them."""
IDLE_ON_FLOW = (
    "min_snr_gamma", "noise_offset", "multires_noise_iterations", "adaptive_noise_scale", "zero_terminal_snr",
    "debiased_estimation_loss", "scale_v_pred_loss_like_noise_pred", "v_pred_like_loss", "clip_skip",
    "v_parameterization",
)  # fmt: skip


def remarks(training: Training, datasets: Sequence[Dataset]) -> Iterator[Remark]:
    """What is particular to sd-scripts."""
    yield from of_needs(training)
    yield from of_precision(training)
    yield from of_text(training, datasets)
    yield from of_caches(training, datasets)
    yield from of_network(training)
    yield from of_family(training, datasets)
    yield from of_masks(training, datasets)


def of_needs(training: Training) -> Iterator[Remark]:
    """What a training cannot do without; of a config file a command may bring it."""
    if not training.whole:
        return
    if training.script.endswith("_network") and not training.has("network_module"):
        yield training.says("no-network-module", "network_module")
    if not training.has("pretrained_model_name_or_path"):
        yield training.says("no-base", "pretrained_model_name_or_path")
    if not training.has("output_dir"):
        yield training.says("no-output-dir", "output_dir")
    data = ("dataset_config", "train_data_dir", "dataset_class")
    if not any(training.has(name) for name in data):
        yield training.says("no-data", *data)
    folders = training.has("train_data_dir") and not training.has("dataset_config") and not training.has("in_json")
    if folders and sides(training["resolution"]) is None and not LEFT_OPEN.search(str(training["resolution"])):
        yield training.says("no-resolution", "resolution", "train_data_dir")
    beside = [name for name in ("train_data_dir", "reg_data_dir", "in_json") if training.has(name)]
    if training.has("dataset_config") and beside:
        yield training.says("data-beside-config", *beside, names=", ".join(beside))


def of_precision(training: Training) -> Iterator[Remark]:
    """Number formats."""
    mixed = str(training["mixed_precision"] or "no")
    given = (training.launcher or {}).get("mixed_precision")
    if given and given.value and not training.has("mixed_precision") and training.whole:
        yield training.rules["launcher-precision"].at((), given.place, value=given.value[0])
    for flag, format_ in (("full_fp16", "fp16"), ("full_bf16", "bf16")):
        if not training.has(flag) or (mixed == "no" and not training.whole):
            continue
        if mixed != format_:
            yield training.says("full-of-another", flag, flag=flag, format=format_, mixed=mixed)
        elif training["network_module"]:
            yield training.says("half-weights", flag, flag=flag, part={"fp16": "4,000th", "bf16": "500th"}[format_])
    if training.has("fp8_base") and mixed == "no" and training.whole:
        yield training.says("fp8-precision", "fp8_base")
    elif mixed == "no" and training.whole:
        yield training.says("full-precision", "mixed_precision")
    half = mixed == "fp16" and training.family == "sdxl"
    if half and not training.has("no_half_vae") and not training.has("vae"):
        yield training.says("half-vae", "mixed_precision")


def of_text(training: Training, datasets: Sequence[Dataset]) -> Iterator[Remark]:
    """Text encoders: trained, cached, or both."""
    cached = training.has("cache_text_encoder_outputs") or training.has("cache_text_encoder_outputs_to_disk")
    alone = training.has("network_train_unet_only")
    if cached and not alone and training.family in ("sdxl", "anima") and training.script.endswith("_network"):
        yield training.says("cache-text-needs-unet", "cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")
    elif training["network_module"] and not alone and training.family in ("sdxl", "sd", "flux", "sd3", ""):
        rates = training["text_encoder_lr"]
        rates = rates if isinstance(rates, list) else [rates]
        frozen = bool(rates) and all(not isinstance(one, bool) and one == 0 for one in rates)
        preset = training.network_args.get("preset", "")
        if not frozen and not preset.startswith("unet-") and (training.family or training.whole):
            yield training.says("text-encoder-trained", "text_encoder_lr", "network_module")
    if not cached:
        return
    names = ("cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")
    for holder in values(training, datasets):
        busy = [name for name in ("shuffle_caption", "caption_tag_dropout_rate", "token_warmup_step") if holder(name)]
        busy += ["caption_dropout_rate"] if holder("caption_dropout_rate") and training.family != "anima" else []
        if busy:
            yield training.says("changes-with-text-cache", *busy, *names, names=", ".join(busy))
            break
    for holder in values(training, datasets):
        wild = ("caption_prefix", "caption_suffix", "enable_wildcard", "caption_dropout_every_n_epochs")
        lost = [name for name in wild if holder(name)]
        if lost:
            yield training.says("lost-by-text-cache", *lost, *names, names=", ".join(lost))
            break


def values(training: Training, datasets: Sequence[Dataset]) -> list[Any]:
    """How to look a caption's setting up: in each subset that counts; without any, in the training itself."""
    inner = [subset.values.__getitem__ for dataset in datasets for subset in dataset.subsets]
    return inner or [lambda name: training[name] if training.has(name) else None]


def of_caches(training: Training, datasets: Sequence[Dataset]) -> Iterator[Remark]:
    """Latents that are cached, and pictures that change."""
    if training.has("cache_latents") or training.has("cache_latents_to_disk"):
        for holder in values(training, datasets):
            busy = [name for name in ("color_aug", "random_crop") if holder(name)]
            if busy:
                yield training.says(
                    "changes-with-cache", *busy, "cache_latents", "cache_latents_to_disk", names=busy[0]
                )
                break
    if real(training["validation_split"], 0) > 0 or any(dataset.split for dataset in datasets):
        if training.family in FLOW:
            yield training.says("flow-validation", "validation_split", "dataset_config")
        alone = training.has("validation_split") and training["validation_seed"] is None
        if alone and not datasets:
            yield training.says("validation-leak", "validation_split")


def of_network(training: Training) -> Iterator[Remark]:
    """Which layers are trained."""
    module, args = str(training["network_module"] or ""), training.network_args
    if module == "lycoris.kohya":
        preset, algo = args.get("preset", "full"), args.get("algo", "lora")
        meant = algo == "locon" or "conv_dim" in args
        if preset in WITHOUT_CONVOLUTION and meant and algo not in ("full", "ia3"):
            yield training.says("locon-without-convolution", "network_args", preset=preset)
    elif module == "networks.lora" and "conv_alpha" in args and "conv_dim" not in args:
        yield training.says("conv-alpha-alone", "network_args")
    wants = training.rules.keys["modules"].get(module)
    if wants and training.family and training.family not in wants:
        fitting = [name for name, fits in training.rules.keys["modules"].items() if training.family in fits]
        fields = {"module": module, "family": training.family, "fitting": " or ".join(fitting[:2])}
        yield training.says("module-of-another", "network_module", **fields)


def of_family(training: Training, datasets: Sequence[Dataset]) -> Iterator[Remark]:
    """What a family does not read, or refuses."""
    if training.family in FLOW:
        idle = [name for name in IDLE_ON_FLOW if training.has(name) and training[name] not in (0, 0.0)]
        if idle:
            yield training.says("idle-on-flow", *idle, names=", ".join(idle))
        least, most = whole(training["min_timestep"], 0), whole(training["max_timestep"], 1000)
        if training.family == "flux" and (least > 0 or most < 1000):
            yield training.says("timesteps-on-flow", "min_timestep", "max_timestep")
    if training.family == "flux" and (training.whole or training["network_module"]):
        yield from of_flux(training)
    if training.family == "sdxl":
        if training.has("v2"):
            yield training.says("v2-on-sdxl", "v2")
        if training.has("blocks_to_swap"):
            yield training.says("blocks-on-sdxl", "blocks_to_swap")
        small = [side for side in [sides(training["resolution"])] if side and max(side) < 768]
        if small and not datasets:
            yield training.says("small-for-sdxl", "resolution", side=max(small[0]))


def of_flux(training: Training) -> Iterator[Remark]:
    """FLUX's guidance, what its prediction is taken for, and blocks that are moved."""
    guidance = real(training["guidance_scale"], 3.5)
    if guidance != 1 and training["model_type"] != "chroma":
        yield training.says("flux-guidance", "guidance_scale", guidance=f"{guidance:g}")
    taken = str(training["model_prediction_type"] or "sigma_scaled")
    if taken != "raw":
        yield training.says("flux-prediction", "model_prediction_type", taken=taken)
    if whole(training["blocks_to_swap"], 0) > 35:
        yield training.says("too-many-blocks", "blocks_to_swap", blocks=training["blocks_to_swap"])


def of_masks(training: Training, datasets: Sequence[Dataset]) -> Iterator[Remark]:
    """Masks that are refused, that are not there, and what one does."""
    if not training.whole or not datasets:
        return
    masked = training.has("masked_loss")
    alpha = any(subset.values["alpha_mask"] for dataset in datasets for subset in dataset.subsets)
    pictures = any(dataset.style == "masks" for dataset in datasets)
    if pictures and not masked and "control" not in training.script:
        yield training.says("masks-without-flag", "dataset_config")
    elif masked and not alpha and not pictures:
        yield training.says("masks-without-masks", "masked_loss")
    elif alpha or (pictures and masked):
        yield training.says("mask-scales", "masked_loss", "alpha_mask", "dataset_config")


def family(options: Mapping[str, Given], script: str, rules: Rules) -> str:
    """The base's family, by the script, else by options that only one has; "" when it cannot be told."""
    if script:
        return FAMILIES.get(script, "")
    module, base = options.get("network_module"), options.get("pretrained_model_name_or_path")
    fitting = rules.keys["modules"].get(str(module.value), []) if module else []
    if len(fitting) == 1:
        return str(fitting[0])
    if {"t5xxl", "ae"} <= set(options):
        return "flux"
    named = str(base.value).lower() if base else ""
    return "sdxl" if any(word in named for word in XL) else ""
