"""The character's own pictures, as measures hold drawn ones against them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from portraitist.audit import framing as framings
from portraitist.dataset.buckets import Bucket, window
from portraitist.dataset.captions import rendered
from portraitist.pictures import Picture, cut, framing_word, open_upright
from portraitist.project import Project

BACK = "back"


@dataclass(frozen=True, slots=True)
class References:
    """The character's own pictures, cut to the size that is drawn: pixels (H, W, 3) uint8.

    train     every training picture: what could be copied
    held_out  pictures of the character that were kept from training
    shown     those of both that show the character: sets of role realism or style do not
    captions  of `shown`, with the trigger filled in; told: of `train`
    framings  of `shown`, see `framing`; "" where it is not known
    realism   the pictures of role realism: what skin is held against
    """

    train: tuple[np.ndarray, ...]
    held_out: tuple[np.ndarray, ...]
    shown: tuple[np.ndarray, ...]
    captions: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    framings: tuple[str, ...] = ()
    realism: tuple[np.ndarray, ...] = ()

    @classmethod
    def of(cls, project: Project, pictures: Sequence[Picture], width: int, height: int) -> "References":
        """From the pictures of the manifest; the crop is the training's: whole width, headroom above."""
        bucket = Bucket(width, height)
        pixels: dict[str, np.ndarray] = {}
        ordered = sorted(pictures, key=lambda picture: picture.name)
        for picture in ordered:
            opened = open_upright(project.pictures / picture.name)
            pixels[picture.name], _ = cut(opened, window(opened.width, opened.height, bucket))
        shown = showing(ordered)
        return cls(
            train=tuple(pixels[p.name] for p in ordered if p.split != "held-out"),
            held_out=tuple(pixels[p.name] for p in ordered if p.split == "held-out"),
            shown=tuple(pixels[p.name] for p in shown),
            captions=tuple(rendered(p.caption, project.facts.trigger) for p in shown),
            told=tuple(rendered(p.caption, project.facts.trigger) for p in ordered if p.split != "held-out"),
            framings=tuple(framing_of(p) for p in shown),
            realism=tuple(pixels[p.name] for p in ordered if p.role == "realism"),
        )


def showing(pictures: Sequence[Picture]) -> Sequence[Picture]:
    """Those that show the character: sets of role realism or style do not, unless there is nothing else."""
    return [picture for picture in pictures if picture.role in ("identity", "outfit")] or pictures


def framing(text: str) -> str:
    """What a prompt or a caption tells of how the figure is seen: close-up, mid, full; back, whatever else, where it is
    seen from behind; "" where it tells nothing."""
    return BACK if framings.view_word(text) == BACK else framing_word(text)


def framing_of(picture: Picture) -> str:
    """The same of a picture: by its caption, else by what the audit measured in it."""
    found = framings.shown(picture)
    return BACK if found.view == BACK else found.framing if found.sure or found.by == "eyes" else ""
