"""The second LoRA that a choice is judged beside: a file of any dialect, read for the base at hand."""

from pathlib import Path

from torch import Tensor, nn

from portraitist import durable
from portraitist.adapters import inject, start
from portraitist.adapters.fused import kind
from portraitist.errors import PortraitistError
from portraitist.family import Family
from portraitist.project import Project
from portraitist.sections import Judging

KINDS = ("LoRA", "LoHa", "LoKr")


def path(project: Project, judging: Judging) -> Path | None:
    """Where it lies; None without one. Raises PortraitistError where the recipe names a file that is not there."""
    if not judging.companion:
        return None
    found = project.folder / durable.expanded(judging.companion)
    if not found.is_file():
        raise PortraitistError(
            f"judging.companion: there is no file {found}",
            "Correct the path, or judge without it: judging.companion = ''",
        )
    return found


def read(file: Path, family: Family, denoiser: nn.Module) -> dict[str, Tensor]:
    """Its parts by canonical names, float32 on the CPU.

    Raises PortraitistError for a file of another base, of text encoders, or of a kind that is not known here.
    """
    found: dict[str, Tensor] = {}
    for module, parts in start.modules(file, family.name, inject.layers(denoiser)).items():
        if kind(parts) not in KINDS or not parts.keys() <= start.NAMES.keys():
            raise PortraitistError(
                f"{file}: {module} is a {kind(parts)}, which judging cannot draw with",
                "Name a LoRA, LoHa or LoKr as judging.companion.",
            )
        found |= {f"{module}{start.NAMES[role]}": part.float() for role, part in parts.items()}
    with inject.loaded(denoiser, family, found, 0.0):  # refuses what is of another size
        return found
