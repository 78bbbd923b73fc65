"""How an account of what is carried over ends, and what is refused in the same words for every tool."""

from portraitist.errors import PortraitistError
from portraitist.interop.carrying import Carried, Carrying
from portraitist.interop.judging import short

TRAINED = "sdxl, flux, qwen-image, qwen-image-edit, z-image and z-image-turbo"
MACHINE = "it is about the trainer's own machinery, or has no equal here"

Folders = list[tuple[str, str]]


def account(carrying: Carrying, pictures: Folders, passed: tuple[str, ...], trigger: str = "") -> Carried:
    """The whole account; beginnings of dotted paths in `passed` need no word."""
    dotted = {one: ".".join(map(str, one.path)) for one in carrying.rest({}, MACHINE)}
    told = tuple(
        one for one, path in dotted.items() if not any(path == lead or path.startswith(f"{lead}.") for lead in passed)
    )
    return Carried(carrying.recipe, trigger, "", tuple(pictures), dict(carrying.kept), told)


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
