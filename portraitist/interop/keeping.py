"""How an account of what is carried over ends, and what is refused in the same words for every tool.

What checks recipes is loaded by those who check one: a config of a base that is not trained here needs none of it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from portraitist import rules
from portraitist.errors import PortraitistError
from portraitist.interop.carrying import Carried, Carrying
from portraitist.interop.judging import short
from portraitist.tables import value_at

if TYPE_CHECKING:
    from portraitist.recipe import Recipe

TRAINED = "sdxl, flux, qwen-image, qwen-image-edit, z-image and z-image-turbo"
MACHINE = "it is about the trainer's own machinery, or has no equal here"

Folders = list[tuple[str, str]]


def account(carrying: Carrying, pictures: Folders, passed: tuple[str, ...], trigger: str = "") -> Carried:
    """The whole account, of a recipe that holds where a base is named; beginnings of paths in `passed` need no word."""
    if "model.family" in carrying.recipe:
        carrying.keep("preset", carrying.recipe["model.family"])
        carrying.recipe.setdefault("training.ema", 0.0)
        fit(carrying)
    told = []
    for one in carrying.rest({}, MACHINE):
        path = ".".join(map(str, one.path))
        if not any(path == lead or path.startswith(f"{lead}.") for lead in passed):
            told.append(one)
    kept = {path: key for path, key in carrying.kept.items() if carrying.document.has(*path)}
    return Carried(carrying.recipe, trigger, "", tuple(pictures), kept, tuple(told))


def fit(carrying: Carrying) -> None:
    """Change and take out what a recipe of ours would be refused for, each with a word on it."""
    held = carrying.recipe
    optimiser, kind = held.get("training.optimiser", "adamw"), held.get("adapter.kind")
    rounded = held.get("model.precision") == "bfloat16" and optimiser in rules.ONE_BY_ONE
    products = kind in ("loha", "lokr") and held.get("model.quantised") == "nf4"
    flow = held["model.family"] != "sdxl"
    for applies, key, value, why in (
        (optimiser == "prodigy", "training.rate", 1.0, "Prodigy's rate is 1 here"),
        (optimiser == "schedulefree", "training.schedule", "constant", "schedule-free needs no falling rate"),
        (not flow, "training.level_shift", 1.0, "a shift is of flows"),
        (flow, "training.snr_gamma", 0.0, "it is of diffusion models"),
        (kind == "full", "model.quantised", "", "weights of 8 bits are not trained here"),
        (products, "model.quantised", "int8", "a LoRA alone goes over packed weights"),
        (bool(held.get("model.offload")), "training.recompute", "on", "offloading wants it"),
        (not rounded, "adapter.weights", "float32", "it does not go with that precision or optimiser"),
    ):
        if applies and held.get(key, value) != value:
            drop(carrying, key, why)
            held[key] = value
    idle(carrying)


def bound(carrying: Carrying) -> None:
    """Take out what lies outside its range here, each with a word; the preset's own stands in its place."""
    from pydantic import ValidationError

    from portraitist.recipe import Recipe, over, shipped

    merged = over(shipped(carrying.recipe["preset"]), Carried(carrying.recipe).tables())
    try:
        Recipe.model_validate(merged)
    except ValidationError as error:
        for one in error.errors():
            where = ".".join(map(str, one["loc"]))
            for key in [key for key in carrying.recipe if where == key or where.startswith(f"{key}.")]:
                drop(carrying, key, f"it is out of range here: {short(one['msg'])}")
                del carrying.recipe[key]


def idle(carrying: Carrying) -> None:
    """Take out what counts for nothing beside the rest; where the preset says something there, the default stands."""
    from portraitist.recipe import Recipe, shipped

    held, plain = carrying.recipe, Recipe()
    preset = shipped(held["preset"])
    for key, (chooser, choices) in rules.COUNTS.items():
        chosen = held.get(chooser, value_at(preset, chooser))
        if (rules.value_of(plain, chooser) if chosen is None else chosen) in choices:
            continue
        own = rules.default_of(plain, key)
        if held.get(key, own) != own:
            drop(carrying, key, f"it means nothing with {chooser} = {chosen}")
        held.pop(key, None)
        if value_at(preset, key) not in (None, own):
            held[key] = own


def drop(carrying: Carrying, key: str, why: str) -> None:
    """Account for values that were kept under a key as left."""
    for path in [path for path, kept in carrying.kept.items() if kept == key]:
        del carrying.kept[path]
        carrying.leave(why, *path)


def refuse_base(tool: str, name: str) -> PortraitistError:
    """The refusal of a base that portraitist does not train."""
    shown = short(name) or "a base that it does not name"
    return PortraitistError(f"This {tool} config trains {shown}, which portraitist does not", f"It trains {TRAINED}.")


def refuse_method(tool: str, method: str) -> PortraitistError:
    """The refusal of a way of training that portraitist does not have."""
    remedy = "It trains LoRA, LoHa and LoKr, and whole denoisers."
    return PortraitistError(f"This {tool} config trains by {short(method)}, which portraitist does not", remedy)


def refuse_written(tool: str, what: str) -> PortraitistError:
    """The refusal of a recipe that a tool cannot train."""
    return PortraitistError(f"{tool} cannot train this recipe: it has {what}", "Train it here, or change that setting.")


def refuse_rare(tool: str, recipe: Recipe, parts: Collection[str]) -> None:
    """Refuse what no other trainer has, and parts that lie elsewhere but for `parts`: nothing is dropped silently."""
    training = recipe.training
    elsewhere = [name for name, path in recipe.model.parts.model_dump().items() if path and name not in parts]
    rare = {
        f"model.parts.{' and '.join(elsewhere)}": bool(elsewhere),
        "tokenizers that lie elsewhere": bool(recipe.model.tokenizers),
        "stages of different rates or sets": any(one.rate != 1 or one.sets for one in recipe.stages),
        "training.preserve": training.preserve > 0,
        "training.stratified": training.stratified,
        "a recovery adapter (model.recovery)": bool(recipe.model.recovery),
    }
    for what, applies in rare.items():
        if applies:
            raise refuse_written(tool, what)


def refuse_plain(tool: str, recipe: Recipe, modules: Collection[str]) -> None:
    """Refuse what a tool without sets' own weights, a choice of layers or a choice of SDXL's noise levels cannot do."""
    training, diffusion = recipe.training, recipe.model.family == "sdxl"
    for what, applies in {
        f"adapter.modules {recipe.adapter.modules}": recipe.adapter.modules not in modules,
        "adapter.targets": bool(recipe.adapter.targets),
        "a loss weight of a set": any(one.loss_weight != 1 for one in recipe.data.sets),
        "masks by weight, and its masks are pictures": recipe.data.masks < 1,
        "training.level_mean": training.level_mean != 0,
        "logit-normal levels of SDXL": diffusion and training.level == "logit-normal",
    }.items():
        if applies:
            raise refuse_written(tool, what)
