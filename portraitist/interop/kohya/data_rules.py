"""What is remarked of sd-scripts' datasets: their folders, captions, buckets and validation."""

from collections.abc import Iterator, Sequence

from portraitist.interop import folders
from portraitist.interop.diagnosis import Remark, Rules
from portraitist.interop.folders import Folder
from portraitist.interop.kohya.dataset import Dataset, Subset, Values
from portraitist.interop.kohya.schema import real, sides, whole
from portraitist.interop.kohya.settings import LEFT_OPEN

TEXT_LIMIT = 75
LIMITED = frozenset({"", "sd", "sdxl", "flux"})
"""Families whose limit is known here; "" is taken for CLIP's."""


def remarks(datasets: Sequence[Dataset], rules: Rules, family: str, whole_run: bool) -> Iterator[Remark]:
    """Everything about datasets alone.

    family     of the base, "" when not known
    whole_run  whether the command is known too, and nothing can come to it
    """
    for dataset in datasets:
        yield from of_size(dataset, rules, whole_run)
        yield from of_validation(dataset, rules)
        yield from of_doubles(dataset, rules)
        if dataset.style == "masks" and not whole_run:
            yield rules["masks-need-flag"].at(dataset.path, dataset.place)
        for subset in dataset.subsets:
            yield from of_folder(subset, rules)
            if dataset.style == "dreambooth":
                yield from of_captions(subset, rules, family)
    if datasets and not any(subset.pictures for dataset in datasets for subset in dataset.subsets):
        yield rules["folder-all-empty"].at(datasets[0].path, datasets[0].place)


def on(
    rules: Rules, name: str, values: Values, keys: Sequence[str], holder: Dataset | Subset, **fields: object
) -> Remark:
    """A remark at the first of `keys` that is given, else at the table that holds them."""
    found = next((given for key in keys if (given := values.given(key))), None)
    if found is None:
        return rules[name].at(holder.path, holder.place, **fields)
    return rules[name].at(found.path, found.place, **fields)


def of_size(dataset: Dataset, rules: Rules, whole_run: bool) -> Iterator[Remark]:
    """Resolution and buckets."""
    values, side = dataset.values, sides(dataset.values["resolution"])
    if side is None and LEFT_OPEN.search(str(values["resolution"])):
        return
    if side is None:
        rule = "no-resolution" if whole_run else "resolution-of-command"
        yield on(rules, rule, values, ("resolution",), dataset)
        return
    if not values["enable_bucket"]:
        yield on(rules, "no-buckets", values, ("enable_bucket", "resolution"), dataset, side=f"{side[0]}x{side[1]}")
        return
    steps = whole(values["bucket_reso_steps"], 64)
    if steps <= 0 or steps % 32:
        yield on(rules, "bucket-steps", values, ("bucket_reso_steps",), dataset, steps=steps)
        return
    least, most = whole(values["min_bucket_reso"], 256), whole(values["max_bucket_reso"], 1024)
    least, top = least - least % steps, most + -most % steps
    if min(side) < least or max(side) > top:
        keys = ("max_bucket_reso", "min_bucket_reso", "resolution")
        yield on(rules, "bucket-range", values, keys, dataset, least=least, most=top, side=f"{side[0]}x{side[1]}")
    elif top < 1.25 * max(side) and not values["bucket_no_upscale"]:
        yield on(rules, "bucket-ceiling", values, ("max_bucket_reso", "enable_bucket"), dataset, most=top)


def of_validation(dataset: Dataset, rules: Rules) -> Iterator[Remark]:
    """The share that is kept for validation."""
    values, share = dataset.values, real(dataset.values["validation_split"], 0.0)
    if not 0 <= share <= 1:
        yield on(rules, "validation-out-of-range", values, ("validation_split",), dataset, share=share)
        return
    if not share:
        return
    if values["validation_seed"] is None:
        yield on(rules, "validation-leak", values, ("validation_split",), dataset)
    parts = [name for subset in dataset.subsets if subset.folder for name in folders.parts(subset.folder.pictures)]
    if parts and dataset.style == "dreambooth":
        some = folders.some(parts)
        yield on(rules, "folder-crops", values, ("validation_split",), dataset, count=len(parts), some=some)
    if any(subset.values["cache_info"] for subset in dataset.subsets):
        yield on(rules, "cache-info-with-validation", values, ("cache_info", "validation_split"), dataset)


def of_doubles(dataset: Dataset, rules: Rules) -> Iterator[Remark]:
    """Subsets that do not count, and regularisation."""
    had: set[str] = set()
    for subset in dataset.every:
        if not subset.repeats:
            yield on(rules, "repeats-zero", subset.values, ("num_repeats",), subset, folder=subset.name)
        elif subset.name in had and dataset.style != "finetune":
            yield on(rules, "duplicate-folder", subset.values, ("image_dir",), subset, folder=subset.name)
        had.add(subset.name)
    regular = [subset for subset in dataset.subsets if subset.values["is_reg"]]
    if regular:
        yield on(rules, "reg-images", regular[0].values, ("is_reg",), regular[0])


def of_folder(subset: Subset, rules: Rules) -> Iterator[Remark]:
    """Whether there are pictures, and what its name seems to say."""
    values, folder = subset.values, subset.folder
    keys = ("image_dir",)
    if folder is None and values["image_dir"]:
        yield on(rules, "folder-not-here", values, keys, subset, folder=subset.name)
    elif folder is not None and not folder.pictures:
        yield on(rules, "folder-empty", values, keys, subset, folder=subset.name)
    times = folders.repeats(subset.label)
    if times > 1 and "_" in subset.name and values.given("num_repeats") is None:
        yield on(rules, "repeats-in-name", values, keys, subset, folder=subset.name, times=times)
    if whole(values["keep_tokens"], 0) > 0 and not (
        values["shuffle_caption"] or real(values["token_warmup_step"], 0) or real(values["caption_tag_dropout_rate"], 0)
    ):
        yield on(rules, "keep-tokens-idle", values, ("keep_tokens",), subset)


def of_captions(subset: Subset, rules: Rules, family: str) -> Iterator[Remark]:
    """Whether captions are read, and all of them."""
    values, folder = subset.values, subset.folder
    extension, keys = str(values["caption_extension"]), ("caption_extension", "image_dir")
    if not extension.startswith("."):
        yield on(rules, "extension-without-dot", values, keys, subset, extension=extension)
        return
    if folder is None or not folder.pictures:
        if values.given("caption_extension") is None and values["image_dir"]:
            yield on(rules, "extension-default", values, keys, subset)
        return
    captioned, other = folder.captioned(extension), folder.extension()
    fields = {"folder": subset.name, "extension": extension}
    tokens = str(values["class_tokens"]) if values["class_tokens"] else "nothing"
    if not captioned and other:
        count = len(folder.captioned(other))
        yield on(rules, "captions-not-read", values, keys, subset, other=other, count=count, tokens=tokens, **fields)
    elif len(captioned) < len(folder.pictures) and not values["is_reg"]:
        count = len(folder.pictures) - len(captioned)
        yield on(rules, "captions-missing", values, keys, subset, count=count, tokens=tokens, **fields)
    yield from of_words(subset, folder, extension, rules, family)


def of_words(subset: Subset, folder: Folder, extension: str, rules: Rules, family: str) -> Iterator[Remark]:
    """Captions that are empty, of several lines, or too long."""
    values, wild = subset.values, bool(subset.values["enable_wildcard"])
    limit = max(TEXT_LIMIT, whole(values["max_token_length"], TEXT_LIMIT)) if family != "flux" else 512
    empty, lines, long = [], [], []
    for name, text in folder.captions(extension):
        parts = [line for line in text.splitlines() if line.strip()]
        if not text:
            empty.append(name)
        elif len(parts) > 1 and not wild:
            lines.append(name)
        read = parts[0] if parts and not wild else text
        if family in LIMITED and folders.tokens(read, family != "flux") > limit:
            long.append(name)
    keys = ("image_dir", "caption_extension")
    if empty:
        yield on(rules, "captions-empty", values, keys, subset, count=len(empty), some=folders.some(empty))
    if lines:
        yield on(rules, "captions-first-line", values, keys, subset, count=len(lines), some=folders.some(lines))
    if long:
        yield on(
            rules, "captions-too-long", values, keys, subset, count=len(long), some=folders.some(long), limit=limit
        )
