"""A LoRA file's header: what the run was that made it, as far as it says, and what of it had no effect."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from portraitist.interop import onetrainer
from portraitist.interop.carrying import Carried, Carrying
from portraitist.interop.diagnosis import Diagnosis, Effective, Remark, SetCount, rules
from portraitist.interop.document import Document, Path
from portraitist.interop.header_reading import TENSORS
from portraitist.interop.judging import Judging, number, table, tables, whole, words
from portraitist.interop.keeping import Folders, account, refuse_base, refuse_written
from portraitist.project import Facts
from portraitist.recipe import Recipe

NAME = "a LoRA file's header"
OT = "ot_config"
OFTEN = 300
"""Times that one picture is seen, from which it is often."""

OPTIMISERS = {
    "prodigyplusschedulefree": "schedulefree", "schedulefree": "schedulefree", "adamw8bit": "adamw8bit",
    "prodigy": "prodigy", "adafactor": "adafactor", "adamw": "adamw",
}  # fmt: skip
SAID = ("ss_network_dim", "ss_steps", "training_info", OT, "global_step", "ss_learning_rate", "lora_rank")


def recognises(document: Document) -> bool:
    """Whether it is the header of a file."""
    return document.kind == "header"


def diagnose(document: Document) -> Diagnosis:
    """What the header says of the run, and what of it was ineffective."""
    judging, held = Judging(document, rules("header"), NAME), table(document.get(TENSORS))
    if not whole(held.get("layers"), 0) and not whole(held.get("products"), 0):
        judging.say("no-adapter", TENSORS, count=whole(held.get("count"), 0))
    if not any(document.get(name) is not None for name in SAID):
        judging.say("says-nothing")
    tensors(judging, held)
    trained(judging)
    pictures(judging)
    private(judging)
    run = effective(document)
    own = any(name in run.optimiser.lower() for name in ("prodigy", "dadapt"))
    if run.rate > 0 and not own and not 1e-5 <= run.rate <= 1e-3:
        judging.say("rate-low" if run.rate < 1e-5 else "rate-high", *where(document, *RATES), rate=run.rate)
    return judging.diagnosis(run) if document.get(OT) is None else inside(judging, run)


RATES = ("ss_unet_lr", "ss_learning_rate")


def where(document: Document, *names: str) -> Path:
    """The first of these keys that says something."""
    return next(((name,) for name in names if document.get(name) is not None), (names[0],))


def inside(judging: Judging, run: Effective) -> Diagnosis:
    """A file of OneTrainer's with its whole config: OneTrainer's module judges that."""
    config = of_onetrainer(judging.document)
    if config is None:
        reason = "it is cut short or nested too deeply"
        judging.say("config-not-read", OT, reason=reason)
        return judging.diagnosis(run)
    other = onetrainer.diagnose(config)
    judging.remarks += [moved(remark) for remark in other.remarks if remark.rule.rpartition("/")[2] not in UNSEEN]
    mine = judging.diagnosis(run)
    told = other.effective if other.effective.updates >= 0 else replace(other.effective, updates=run.updates)
    ends = (mine.stops or other.stops, mine.differs or other.differs)
    return Diagnosis("OneTrainer, by a file's header:", other.version, mine.remarks, told, *ends)


UNSEEN = ("concepts-unseen", "folder-missing", "no-concepts", "config-in-file")
"""Remarks that mean nothing of a run that is over, on another machine."""


def of_onetrainer(document: Document) -> Document | None:
    """The OneTrainer config inside a header, with its places there; None when it cannot be read."""
    value = document.get(OT)
    if not isinstance(value, Mapping):
        return None
    places = {path[1:]: place for path, place in document.places.items() if path[:1] == (OT,)}
    return Document(document.name, "", "json", document.text, value, places)


def moved(remark: Remark) -> Remark:
    """A remark on the config inside as one on the header."""
    words_of = (remark.standing, remark.severity, remark.says, remark.instead, remark.source)
    return Remark(remark.rule, (OT, *remark.path), remark.place, *words_of)


def tensors(judging: Judging, held: Mapping[str, Any]) -> None:
    """What the shapes say against the words."""
    document = judging.document
    ranks = ranked(held)
    said, alpha = whole(document.get("ss_network_dim")), number(document.get("ss_network_alpha"))
    if len(ranks) > 1:
        judging.say("several-ranks", TENSORS, "ranks", least=ranks[0], most=ranks[-1])
    if said > 0 and ranks and said not in ranks:
        judging.say("rank-differs", "ss_network_dim", said=said, found=ranks[0] if len(ranks) == 1 else "others")
    if said > 0 and alpha >= 0 and not said / 2 <= alpha <= 2 * said:
        judging.say("alpha-scale", "ss_network_alpha", rank=said, alpha=alpha, scale=alpha / said)
    arguments = table(document.get("ss_network_args"))
    locon = words(arguments.get("algo")).lower() == "locon"
    asked = locon or whole(arguments.get("conv_dim"), 0) > 0
    if asked and held.get("layers") and not held.get("convolutions") and family(document) in ("sdxl", ""):
        judging.say("no-convolution", "ss_network_args")
    if encoders := whole(held.get("text_encoder_layers"), 0):
        judging.say("text-encoder-trained", TENSORS, "text_encoder_layers", count=encoders)


def trained(judging: Judging) -> None:
    """How it was trained."""
    document = judging.document
    steps, most = whole(document.get("ss_steps")), whole(document.get("ss_max_train_steps"))
    if 0 <= steps < most:
        judging.say("unfinished", "ss_steps", steps=steps, most=most)
    if document.has("ss_seed") and document.get("ss_seed") is None:
        judging.say("seed-unknown", "ss_seed")
    if document.get("ss_full_fp16") is True:
        judging.say("full-fp16", "ss_full_fp16")
    gamma, base = number(document.get("ss_min_snr_gamma"), 0.0), family(document)
    if gamma > 0 and base not in ("sdxl", ""):
        judging.say("min-snr-flow", "ss_min_snr_gamma", value=gamma, base=base)


def pictures(judging: Judging) -> None:
    """How its pictures and captions were used."""
    document = judging.document
    subsets = [inner for one in tables(document.get("ss_datasets")) for inner in tables(one.get("subsets"))]
    flat: Mapping[str, Any] = {
        "shuffle_caption": document.get("ss_shuffle_caption"),
        "keep_tokens": document.get("ss_keep_tokens"),
        "flip_aug": document.get("ss_flip_aug"),
    }
    for one in [*subsets, flat]:
        shuffled = one.get("shuffle_caption") is True and whole(one.get("keep_tokens"), 0) <= 0
        path = ("ss_datasets",) if one is not flat else ("ss_shuffle_caption",)
        if shuffled and not judging.found("trigger-shuffled") and not words(one.get("keep_tokens_separator")):
            judging.say("trigger-shuffled", *path)
        if one.get("flip_aug") is True and not judging.found("flipped"):
            judging.say("flipped", *(("ss_datasets",) if one is not flat else ("ss_flip_aug",)))
    run = effective(document)
    count = sum(one.pictures for one in run.sets if one.pictures > 0)
    if run.exposures > 0 and count and run.exposures / count > OFTEN:
        judging.say("seen-often", *where(document, "ss_dataset_dirs", "ss_datasets"), times=int(run.exposures / count))


def private(judging: Judging) -> None:
    """What of the maker is in it."""
    document = judging.document
    tags = table(document.get("ss_tag_frequency"))
    if count := sum(whole(value, 0) for value in tags.values()):
        judging.say("captions-inside", "ss_tag_frequency", count=count)
    for path, value in document.leaves():
        text = value if isinstance(value, str) else ""
        local = text[:1] in ("/", "~") or text[1:3] in (":\\", ":/")
        if local and len(text) > 3 and "/" in text.replace("\\", "/")[1:]:
            judging.say("paths-inside", *path, name=".".join(map(str, path)))
            break


def family(document: Document) -> str:
    """The base as portraitist names it; "" for one that it does not know."""
    known = rules("header").keys["sizes"]
    for key in ("ss_base_model_version", "modelspec.architecture"):
        said = words(document.get(key)).lower().partition("/")[0]
        for beginning, name in known.items():
            if said.startswith(beginning):
                turbo = name == "z-image" and "turbo" in str(document.get("ss_sd_model_name")).lower()
                return "z-image-turbo" if turbo else str(name)
    return ""


def effective(document: Document) -> Effective:
    """The run that made it, as far as the header says."""
    held = table(document.get(TENSORS))
    ranks = ranked(held)
    rank = whole(document.get("ss_network_dim"), ranks[0] if len(ranks) == 1 else -1)
    steps = first(document, ("ss_steps",), ("training_info", "step"), ("global_step",))
    accumulate = max(1, whole(document.get("ss_gradient_accumulation_steps"), 1))
    each = each_batch(document)
    batch = whole(document.get("ss_total_batch_size"), each * accumulate if each > 0 else -1)
    rate = number(document.get("ss_unet_lr"), number(document.get("ss_learning_rate")))
    return Effective(
        updates=steps,
        pictures_per_update=batch,
        sets=sets(document),
        family=family(document),
        quantised="fp8" if document.get("ss_fp8_base") is True or document.get("ss_fp8_base_unet") is True else "",
        resolutions=resolutions(document),
        rank=rank,
        alpha=number(document.get("ss_network_alpha")),
        rate=rate,
        optimiser=words(document.get("ss_optimizer")).partition("(")[0].rpartition(".")[2][:40],
    )


def ranked(held: Mapping[str, Any]) -> list[int]:
    """The ranks that the tensors have."""
    found = held.get("ranks")
    return [whole(one) for one in found] if isinstance(found, list) else []


def first(document: Document, *paths: Path) -> int:
    """The first of these that is an integer; -1 when none is."""
    return next((found for path in paths if (found := whole(document.get(*path))) >= 0), -1)


def each_batch(document: Document) -> int:
    """Pictures a forward pass: by the datasets where they agree, else -1."""
    held = tables(document.get("ss_datasets"))
    found = {whole(one.get("batch_size_per_device", one.get("batch_size"))) for one in held}
    flat = whole(document.get("ss_batch_size_per_device"))
    return flat if flat > 0 else (found.pop() if len(found) == 1 else -1)


def sets(document: Document) -> tuple[SetCount, ...]:
    """Its sets, each by its folder's name."""
    folders = table(document.get("ss_dataset_dirs"))
    found = [
        SetCount(name, whole(table(one).get("img_count")), max(0.0, number(table(one).get("n_repeats"), 1.0)))
        for name, one in folders.items()
    ]
    for one in tables(document.get("ss_datasets")) if not found else ():
        for inner in tables(one.get("subsets")) or [one]:
            name = words(inner.get("image_dir")) or words(inner.get("image_directory")) or "set"
            count = whole(inner.get("img_count", one.get("num_train_items")))
            found.append(SetCount(name, count, max(0.0, number(inner.get("num_repeats"), 1.0))))
    return tuple(found)


def resolutions(document: Document) -> tuple[int, ...]:
    """Sides of the squares that its pictures were cut to."""
    found = [one.get("resolution") for one in tables(document.get("ss_datasets"))]
    said = document.get("ss_resolution", default=document.get("modelspec.resolution"))
    for text in [said] if isinstance(said, str) else []:
        found.append([whole(part) for part in text.strip("()[]").replace("x", ",").split(",")])
    sides = []
    for value in found:
        pair = [whole(side) for side in value] if isinstance(value, list) else [whole(value)]
        if pair and min(pair) > 0:
            sides.append(round((pair[0] * pair[-1]) ** 0.5))
    return tuple(dict.fromkeys(sides))


def carried(document: Document) -> Carried:
    """What of the run our project and recipe can hold: of a file with OneTrainer's config, that config."""
    if (config := of_onetrainer(document)) is not None and config.value:
        return onetrainer.carried(config)
    run, keeping = effective(document), Carrying(document)
    if not run.family:
        said = where(document, "ss_base_model_version", "modelspec.architecture")
        raise refuse_base("header", words(document.get(*said)))
    keeping.keep("model.family", run.family, *where(document, "ss_base_model_version", "modelspec.architecture"))
    keeping.keep("adapter.kind", "lora")
    if run.rank > 0:
        keeping.keep("adapter.rank", min(1024, run.rank), "ss_network_dim")
    if run.alpha >= 0:
        keeping.keep("adapter.alpha", 0.0 if run.alpha == run.rank else min(4096.0, run.alpha), "ss_network_alpha")
    if 0 < run.rate <= 1:
        keeping.keep("training.rate", run.rate, *where(document, *RATES))
    if run.updates > 0:
        stages = [{"name": "main", "steps": min(10_000_000, run.updates)}]
        keeping.keep("stages", stages, *where(document, "ss_steps", "training_info"))
    named = run.optimiser.lower().replace("_", "")
    ours = next((name for begun, name in OPTIMISERS.items() if begun in named), "")
    if ours:
        keeping.keep("training.optimiser", ours, "ss_optimizer")
    accumulate = max(1, min(4096, whole(document.get("ss_gradient_accumulation_steps"), 1)))
    if run.pictures_per_update > 0:
        batch = max(1, min(4096, run.pictures_per_update // accumulate))
        keeping.keep("training.batch", batch, *where(document, "ss_total_batch_size", "ss_batch_size_per_device"))
        keeping.keep("training.accumulate", accumulate, "ss_gradient_accumulation_steps")
    smaller(keeping, run)
    folders: Folders = []
    return account(keeping, folders, PASSED)


PASSED = ("format", TENSORS, "ss_tag_frequency", "ss_session_id", "sshs_model_hash", "sshs_legacy_hash")


def smaller(keeping: Carrying, run: Effective) -> None:
    """Single values that have the same meaning here."""
    document = keeping.document
    if run.resolutions and run.resolutions[0] <= 4096:
        keeping.keep("data.resolution", run.resolutions[0], *where(document, "ss_resolution", "ss_datasets"))
    for theirs, ours, most in (
        ("ss_caption_dropout_rate", "data.dropout", 1.0),
        ("ss_network_dropout", "adapter.dropout", 0.99),
        ("ss_max_grad_norm", "training.max_gradient", 1e6),
        ("ss_lr_warmup_steps", "training.warmup", 1e7),
        ("ss_seed", "training.seed", 2.0**31 - 1),
    ):
        value = number(document.get(theirs))
        if 0 <= value <= most:
            keeping.keep(ours, int(value) if ours in ("training.warmup", "training.seed") else value, theirs)
    gamma = number(document.get("ss_min_snr_gamma"))
    if 0 < gamma <= 1000 and run.family == "sdxl":
        keeping.keep("training.snr_gamma", gamma, "ss_min_snr_gamma")
    schedule = words(document.get("ss_lr_scheduler")).partition("_")[0]
    if schedule in ("constant", "linear", "cosine"):
        keeping.keep("training.schedule", schedule, "ss_lr_scheduler")
    named = [{"name": one.name, "weight": max(1, round(one.repeats))} for one in run.sets if one.name]
    if named:
        keeping.recipe["data.sets"] = [one | {"name": clean(one["name"])} for one in named]
        keeping.kept.setdefault(where(document, "ss_dataset_dirs", "ss_datasets"), "data.sets")


def clean(name: object) -> str:
    """A folder's name without kohya's repeats before it, as a set of ours may be called."""
    lead, _, rest = str(name).partition("_")
    plain = rest if lead.isdigit() and rest else str(name)
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in plain)[:60]


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Refused: a header is what training leaves, and no config."""
    raise refuse_written("A file's header", "no place there: training writes it")
