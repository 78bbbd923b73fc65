"""What a OneTrainer config says of concepts, and what can be seen of their pictures."""

from collections.abc import Sequence

from portraitist.interop.folders import tokens
from portraitist.interop.judging import Judging, table, whole, words
from portraitist.interop.nearest import meant
from portraitist.interop.onetrainer.model import sees_masks
from portraitist.interop.onetrainer.reading import Concept, Settings
from portraitist.interop.onetrainer.run import Seen, frozen_draws

DRAWN = (
    "enable_random_flip", "enable_random_rotate", "enable_random_brightness", "enable_random_contrast",
    "enable_random_saturation", "enable_random_hue", "enable_random_circular_mask_shrink",
    "enable_random_mask_rotate_crop",
)  # fmt: skip
SPOKEN = ("enable_tag_shuffling", "tag_dropout_enable", "caps_randomize_enable")
ENCODED = "modules/dataLoader/{}.py"


def concept_checks(judging: Judging, config: Settings, held: Sequence[Concept], found: Sequence[Seen]) -> None:
    """What each concept says, and how it goes with the config."""
    alone = isinstance(judging.document.value, list)
    validated = any(one.enabled and one.kind == "VALIDATION" for one in held)
    if not alone and config.flag("validation"):
        if not validated:
            judging.say("validation-no-concept", "validation")
        else:
            judging.say("validation-one-level", "validation")
            if config.text("ema") != "OFF":
                judging.say("validation-not-ema", "validation")
    for one in held:
        judging.turn(one.name, one.path)
        if one.path[-1] != "concept_file_name":
            named(judging, one)
        if one.enabled and not alone:
            joined(judging, config, one)
        if one.enabled:
            drawn(judging, config, one)
    for shown in found:
        judging.turn(shown.concept.name, shown.concept.path)
        if shown.concept.folder and not shown.folders and judging.document.folder:
            judging.say("folder-missing", *shown.concept.path, folder=shown.concept.folder)
    judging.about = ""


def named(judging: Judging, one: Concept) -> None:
    """Keys and choices of one concept."""
    groups = judging.rules.keys["concept"]
    known = [name for names in groups.values() for name in names]
    for name, value in one.values.items():
        if name not in known and name != "__version":
            judging.say("unknown-key", *one.path, name, name=name, near=meant(str(name), known))
        for kind in ("ConceptType", "BalancingStrategy"):
            choices = judging.rules.keys["choices"][kind]
            if name in groups[kind] and value not in choices:
                fields = {"value": value, "default": choices[0], "choices": ", ".join(choices)}
                judging.say("refused-value", *one.path, name, name=name, **fields)
        if name in groups["flag"] and isinstance(value, str):
            judging.say("text-flag", *one.path, name, name=name, value=value)
    text = table(one.values.get("text"))
    if one.enabled and text.get("prompt_source") == "concept" and not words(text.get("prompt_path")).strip():
        judging.say("prompt-file-missing", *one.path, "text", "prompt_source")


def joined(judging: Judging, config: Settings, one: Concept) -> None:
    """A concept against the config that it is trained by."""
    if one.kind == "VALIDATION" and not config.flag("validation"):
        judging.say("validation-off", *one.path, "type")
    if one.kind == "PRIOR_PREDICTION" and config.text("training_method") != "LORA":
        judging.say("prior-needs-lora", *one.path, "type", method=config.text("training_method"))


def drawn(judging: Judging, config: Settings, one: Concept) -> None:
    """What is drawn by chance and then cached for good."""
    text = table(one.values.get("text"))
    shuffled = text.get("enable_tag_shuffling") is True
    if shuffled and whole(text.get("keep_tags_count"), 1) < 1:
        judging.say("trigger-shuffled", *one.path, "text", "keep_tags_count")
    if not config.flag("latent_caching"):
        return
    variations = whole(one.values.get("image_variations"), 1)
    if variations <= 1 and (names := list(frozen_draws(one, "image", DRAWN))):
        plain = ", ".join(name.removeprefix("enable_") for name in names)
        judging.say("augmentation-frozen", *one.path, "image", names=plain, variations=variations)
    if whole(one.values.get("text_variations"), 1) <= 1 and (names := list(frozen_draws(one, "text", SPOKEN))):
        judging.say("text-frozen", *one.path, "text", names=", ".join(names))


def picture_checks(judging: Judging, config: Settings, found: Sequence[Seen]) -> None:
    """Masks and captions beside the pictures."""
    limit, where = tokens_read(config)
    for one in found:
        judging.turn(one.concept.name, one.concept.path)
        if not one.pictures:
            continue
        count = len(one.pictures)
        if config.flag("masked_training") and not sees_masks(config.text("model_type")):
            masked = sum(name.rpartition(".")[0] + "-masklabel.png" in folder.names for folder, name in one.pictures)
            if masked < count:
                judging.say("folder-masks-missing", *one.concept.path, missing=count - masked, pictures=count)
        source = table(one.concept.values.get("text")).get("prompt_source", "sample")
        if source != "sample":
            continue
        captioned = sum(name.rpartition(".")[0] + ".txt" in folder.names for folder, name in one.pictures)
        if captioned < count:
            judging.say("captions-missing", *one.concept.path, missing=count - captioned, pictures=count)
        lengths = {name: tokens(text) for folder in one.folders for name, text in folder.captions()}
        long = {name: length for name, length in lengths.items() if length > limit}
        if long:
            name = max(long, key=lambda each: long[each])
            fields = {"count": len(long), "limit": limit, "name": name, "most": long[name], "where": where}
            judging.say("captions-too-long", *one.concept.path, **fields)
    judging.about = ""


def tokens_read(config: Settings) -> tuple[int, str]:
    """Tokens of a caption that a model's text encoder is shown, and where that stands."""
    kind = config.text("model_type")
    if kind.startswith("FLUX"):
        return max(1, config.whole("text_encoder_2_sequence_length")) - 1, ENCODED.format("FluxBaseDataLoader") + ":47"
    if kind in ("QWEN", "Z_IMAGE"):
        return 512, "modules/model/QwenModel.py:26, ZImageModel.py:24"
    if kind.startswith("STABLE_DIFFUSION"):
        return 75, ENCODED.format("StableDiffusionXLBaseDataLoader") + ":43-44"
    return max(1, config.whole("text_encoder_sequence_length")), "TrainConfig.py:1152"
