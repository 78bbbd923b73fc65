"""What SimpleTuner's data backends say, and what can be seen of their pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence

from portraitist.interop.document import Path
from portraitist.interop.judging import Judging, number, whole, words
from portraitist.interop.nearest import meant
from portraitist.interop.simpletuner.reading import Backend, Options, family

STORES = ("text_embeds", "image_embeds", "conditioning_image_embeds", "distillation_cache")
PICTURES = ("image", "video", "audio", "caption")
DELETES = {
    "delete_problematic_images": "whatever it fails to read or encode",
    "delete_unwanted_images": "whatever is too small, or of a shape that it does not want",
    "delete_nsfw_images": "whatever its classifier takes for indecent",
}
REFERENCES = ("reference_strict", "reference_loose")
ROUNDING = 2
"""Digits of a ratio that makes a bucket (aspect_bucket_rounding)."""


def backend_checks(judging: Judging, config: Options, held: Sequence[Backend]) -> None:
    """All of them, each and together."""
    enabled = [one for one in held if one.enabled]
    together(judging, config, enabled)
    seen: set[str] = set()
    for one in enabled:
        judging.turn(one.name, one.path)
        if not one.name:
            judging.say("no-id", *one.path)
        elif one.name in seen:
            judging.say("same-id", *where(one, "id"), value=one.name)
        seen.add(one.name)
        named(judging, one)
        if one.kind not in STORES:
            pictures(judging, one)
            captions(judging, config, one)
            sized(judging, one)
            counted(judging, config, one)
    judging.about = ""


def where(one: Backend, *keys: str) -> Path:
    """Where a key of a backend stands: in the list that is judged, else where its file is named."""
    return (*one.path, *keys) if isinstance(one.path[-1], int) else one.path


def together(judging: Judging, config: Options, held: Sequence[Backend]) -> None:
    """What a list of backends needs."""
    alone = isinstance(judging.document.value, list)
    place: Path = () if alone else config.path("data_backend_config")
    kinds = {one.kind for one in held}
    if "text_embeds" not in kinds:
        judging.say("no-text-embeds" if family(config) else "text-embeds-elsewhere", *place)
    if not kinds & {*PICTURES, "eval", "conditioning"}:
        judging.say("no-pictures", *place)
    sets = [one for one in held if one.kind == "image"]
    joined = [one.values.get("conditioning_data") for one in sets]
    named_there = {str(name) for value in joined for name in (value if isinstance(value, list) else [value])}
    for one in held:
        masked = one.kind == "conditioning" and one.values.get("conditioning_type") == "mask"
        own = one.values.get("source_dataset_id") in [two.name for two in sets]
        if masked and one.name not in named_there and not own:
            judging.say("mask-not-joined", *where(one, "conditioning_type"), value=one.name)
    if family(config) == "qwen-image-edit":
        shown = any(one.kind == "conditioning" and one.values.get("conditioning_type") in REFERENCES for one in held)
        if not shown and not any(one.values.get("conditioning") for one in held):
            judging.say("edit-without-references", *config.path("model_flavour"), value=config.text("model_flavour"))


def named(judging: Judging, one: Backend) -> None:
    """Keys and types of one backend."""
    keys = judging.rules.keys
    for name in one.values:
        if name == "ignore_epochs":
            judging.say("ignore-epochs", *where(one, name))
        elif name not in keys["backend"] and name not in keys["options"] and not str(name).startswith(("_", "#")):
            judging.say("unknown-key", *where(one, name), name=name, near=meant(str(name), keys["backend"]))
    kind = one.values.get("type", "local")
    if kind not in keys["types"]:
        judging.say("unknown-type", *where(one, "type"), value=kind)


def pictures(judging: Judging, one: Backend) -> None:
    """Repeats, deletions and paths."""
    if (value := whole(one.values.get("repeats"), 0)) > 0:
        fields = {"value": value, "times": value + 1, "less": value - 1}
        judging.say("repeats-again", *where(one, "repeats"), **fields)
    for name, why in DELETES.items():
        if one.values.get(name) is True:
            judging.say("deletes-pictures", *where(one, name), name=name, why=why)
    if one.values.get("preserve_data_backend_cache") is True:
        name = "preserve_data_backend_cache"
        judging.say("cache-kept", *where(one, name), name=name)
    local = one.values.get("type", "local") == "local"
    folder = words(one.values.get("instance_data_dir"))
    if local and folder and not one.seen and one.base and "{" not in folder:
        judging.say("folder-missing", *where(one, "instance_data_dir"), folder=folder)


def captions(judging: Judging, config: Options, one: Backend) -> None:
    """Where captions come from."""
    if one.kind == "conditioning":
        return
    alone = isinstance(judging.document.value, list)
    own = one.values.get("caption_strategy")
    strategy = str(one.setting("caption_strategy") or "")
    usual = own is None and config.given("caption_strategy") is None and one.values.get("type", "local") == "local"
    if usual and one.kind != "audio" and not alone:
        judging.say("names-as-captions", *where(one, "caption_strategy"))
    elif strategy == "instanceprompt":
        prompt = words(one.values.get("instance_prompt")) or config.text("instance_prompt")
        if prompt:
            judging.say("one-caption", *where(one, "caption_strategy"), value=prompt)
        elif not alone:
            judging.say("prompt-missing", *where(one, "caption_strategy"), name="caption_strategy instanceprompt")
    elif strategy == "textfile" and one.count > 0:
        held = sum(name.rpartition(".")[0] + ".txt" in folder.names for folder in one.seen for name in folder.pictures)
        if held < one.count:
            fields = {"missing": one.count - held, "pictures": one.count}
            judging.say("captions-missing", *where(one, "caption_strategy"), **fields)
    prepended = one.values.get("prepend_instance_prompt") is True
    if prepended and not alone and not (words(one.values.get("instance_prompt")) or config.text("instance_prompt")):
        judging.say("prompt-missing", *where(one, "prepend_instance_prompt"), name="prepend_instance_prompt")


def sized(judging: Judging, one: Backend) -> None:
    """Sizes in the unit that counts, and what they leave out."""
    alone = isinstance(judging.document.value, list)
    kind = one.measured if not alone or "resolution_type" in one.values else ""
    if one.kind != "audio" and kind:
        paths = {name: where(one, name) for name in one.values}
        table_sizes(judging, one.values, kind, 20, paths)
    value = number(one.setting("minimum_image_size"), 0.0)
    if value <= 0 or not one.sizes or not kind or (kind == "area" and value > 5):
        return
    lost, all_of_them = one.too_small(), len(one.sizes)
    if lost == all_of_them:
        judging.say("all-too-small", *where(one, "minimum_image_size"), pictures=all_of_them, value=value)
    elif lost:
        judging.say(
            "folder-too-small", *where(one, "minimum_image_size"), count=lost, pictures=all_of_them, value=value
        )


Paths = Mapping[str, Path]


def table_sizes(judging: Judging, held: Mapping[str, object], kind: str, most: float, paths: Paths) -> None:
    """Sizes of a config or of a data backend; up to `most` megapixels pass."""
    largest, target = number(held.get("maximum_image_size"), 0.0), number(held.get("target_downsample_size"), 0.0)
    if largest > 0 and target <= 0:
        judging.say("size-without-target", *paths["maximum_image_size"], value=largest)
    limits = {"resolution": 100.0, "minimum_image_size": 5.0}
    limits |= {"maximum_image_size": most, "target_downsample_size": most}
    for name, limit in limits.items():
        value = number(held.get(name), 0.0)
        if kind == "area" and value > limit:
            why = "every picture would be larger than any is" if name == "resolution" else "SimpleTuner stops"
            judging.say("megapixels-meant", *paths[name], name=name, value=value, why=why)
        least = {"resolution": 64, "minimum_image_size": 0}.get(name, 512 if kind == "pixel" else 0)
        if kind in ("pixel", "pixel_area") and 0 < value < least:
            why = f"pictures of {value:g} pixels are trained" if name == "resolution" else "SimpleTuner stops"
            judging.say("pixels-meant", *paths[name], name=name, value=value, kind=kind, why=why)


def counted(judging: Judging, config: Options, one: Backend) -> None:
    """Shapes of too few pictures for a batch."""
    batch = max(1, config.whole("train_batch_size")) * max(1, config.whole("gradient_accumulation_steps"))
    square = one.setting("crop") and one.setting("crop_aspect") in (None, "square")
    if config.flag("disable_bucket_pruning") or square or not one.sizes or isinstance(judging.document.value, list):
        return
    buckets = Counter(round(width / height, ROUNDING) for width, height in one.sizes)
    small = {ratio: count for ratio, count in buckets.items() if count * one.passes < batch}
    if small:
        fit = -(-batch // min(small.values())) - 1
        fields = {"lost": sum(small.values()), "pictures": len(one.sizes), "batch": batch, "fit": fit}
        judging.say("folder-pruned", *where(one, "repeats"), **fields)
