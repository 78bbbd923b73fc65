"""The run that made a LoRA file, as far as its header says."""

from collections.abc import Mapping
from typing import Any

from portraitist.interop.diagnosis import Effective, SetCount, rules
from portraitist.interop.document import Document, Path
from portraitist.interop.headers import TENSORS
from portraitist.interop.judging import is_turbo, number, table, tables, whole, words

OT = "ot_config"
"""The key under which OneTrainer keeps its whole config."""

RATES = ("ss_unet_lr", "ss_learning_rate")


def where(document: Document, *names: str) -> Path:
    """The first of these keys that says something."""
    return next(((name,) for name in names if document.get(name) is not None), (names[0],))


def of_onetrainer(document: Document) -> Document | None:
    """The OneTrainer config inside a header, with its places there; None when it cannot be read."""
    value = document.get(OT)
    if not isinstance(value, Mapping):
        return None
    places = {path[1:]: place for path, place in document.places.items() if path[:1] == (OT,)}
    return Document(document.name, "", "json", document.text, value, places)


def family(document: Document) -> str:
    """The base as portraitist names it; "" for one that it does not know."""
    known = rules("header").keys["families"]
    for key in ("ss_base_model_version", "modelspec.architecture"):
        said = words(document.get(key)).lower().partition("/")[0].replace("_", "-").replace(".", "-")
        for beginning, name in known.items():
            if said.startswith(beginning):
                turbo = name == "z-image" and is_turbo(f"{said} {document.get('ss_sd_model_name')}")
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
