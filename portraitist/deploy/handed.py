"""What an export hands to those who write more beside the file, and what these are to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from portraitist.events import Emit
from portraitist.family import Profile
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.runs import Choice, RunFolder


@dataclass(frozen=True, slots=True)
class Judged:
    """A picture of the chosen checkpoint that was judged.

    path      of its PNG; text: the prompt, as the encoder got it
    likeness  to the character, as it was measured on this picture alone; 0 where it was not
    """

    path: Path
    text: str
    seed: int
    likeness: float


@dataclass(frozen=True, slots=True)
class Handed:
    """A file that is exported, and what is known of it.

    recipe    of the run, but for its judging, which is as it was judged last
    lora      where it will lie: whatever else is written lies beside it
    trigger   the word that calls the character
    guidance, steps, side  as it was judged, or as the recipe, else the base, would have it; side in pixels
    shift     of the base's schedule at that size, see `deploy.graphs.setting`
    pictures  judged ones of the choice, the likest first; none where nobody judged
    another   writes another checkpoint of the run as such a file
    """

    project: Project
    run: RunFolder
    recipe: Recipe
    profile: Profile
    choice: Choice
    lora: Path
    trigger: str
    guidance: float
    steps: int
    side: int
    shift: float
    pictures: Sequence[Judged]
    another: Callable[[int, Path], object]
    emit: Emit


class Target(Protocol):
    """Somewhere that an export goes to."""

    def plan(self, handed: Handed) -> Callable[[], Sequence[Path]]:
        """Check all that can be checked before the file is there; returns what then writes the rest beside it, and
        says where. Raises PortraitistError for what cannot be handed there."""
        ...
