"""How an account of what is carried over ends, and what is refused in the same words for every tool."""

from portraitist.errors import PortraitistError
from portraitist.interop.carrying import Carried, Carrying
from portraitist.interop.judging import short
from portraitist.recipe import Recipe

TRAINED = "sdxl, flux, qwen-image, qwen-image-edit, z-image and z-image-turbo"
MACHINE = "it is about the trainer's own machinery, or has no equal here"

Folders = list[tuple[str, str]]


def account(carrying: Carrying, pictures: Folders, passed: tuple[str, ...], trigger: str = "") -> Carried:
    """The whole account; beginnings of dotted paths in `passed` need no word."""
    told = []
    for one in carrying.rest({}, MACHINE):
        path = ".".join(map(str, one.path))
        if not any(path == lead or path.startswith(f"{lead}.") for lead in passed):
            told.append(one)
    kept = {path: key for path, key in carrying.kept.items() if carrying.document.has(*path)}
    return Carried(carrying.recipe, trigger, "", tuple(pictures), kept, tuple(told))


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


def refuse_rare(tool: str, recipe: Recipe) -> None:
    """Refuse what no other trainer has, so that nothing of a recipe is dropped without a word."""
    training = recipe.training
    rare = {
        "stages of different rates or sets": any(one.rate != 1 or one.sets for one in recipe.stages),
        "training.preserve": training.preserve > 0,
        "training.stratified": training.stratified,
        "a recovery adapter (model.recovery)": bool(recipe.model.recovery),
    }
    for what, applies in rare.items():
        if applies:
            raise refuse_written(tool, what)
