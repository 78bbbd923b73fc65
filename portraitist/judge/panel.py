"""The panel: every measure, set up for one character by its references and by what the base draws."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from portraitist.dataset.buckets import Bucket, window
from portraitist.dataset.captions import rendered
from portraitist.family import PromptSpec
from portraitist.judge.fidelity import Agreement, Saturation
from portraitist.judge.identity import Likeness, Signature
from portraitist.judge.measures import READABLE
from portraitist.judge.overfit import Copying
from portraitist.judge.prompts import specified
from portraitist.pictures import Picture, cut, open_upright
from portraitist.project import Project
from portraitist.sight.eyes import Eyes, Looks

BATCH = 16

Eye = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class References:
    """The character's own pictures, cut to the size that is drawn: pixels (H, W, 3) uint8.

    train     every training picture: what could be copied
    held_out  pictures of the character that were kept from training
    shown     those of both that show the character: sets of role realism or style do not
    captions  of `shown`, with the trigger filled in
    """

    train: tuple[np.ndarray, ...]
    held_out: tuple[np.ndarray, ...]
    shown: tuple[np.ndarray, ...]
    captions: tuple[str, ...] = ()

    @classmethod
    def of(cls, project: Project, pictures: Sequence[Picture], width: int, height: int) -> "References":
        """From the pictures of the manifest; the crop is the training's: whole width, headroom above."""
        bucket = Bucket(width, height)
        pixels: dict[str, np.ndarray] = {}
        ordered = sorted(pictures, key=lambda picture: picture.name)
        for picture in ordered:
            opened = open_upright(project.pictures / picture.name)
            pixels[picture.name], _ = cut(opened, window(opened.width, opened.height, bucket))
        showing = [p for p in ordered if p.role in ("identity", "outfit")] or ordered
        return cls(
            train=tuple(pixels[p.name] for p in ordered if p.split != "held-out"),
            held_out=tuple(pixels[p.name] for p in ordered if p.split == "held-out"),
            shown=tuple(pixels[p.name] for p in showing),
            captions=tuple(rendered(p.caption, project.facts.trigger) for p in showing),
        )


@dataclass(frozen=True, slots=True)
class Panel:
    """The measures on a picture, each on the scale that judge/measures.py defines.

    unread  kinds of attribute that these eyes cannot read on this character: nothing is said about them
    """

    looks: Looks
    likeness: Likeness
    agreement: Agreement | None
    copying: Copying
    saturation: Saturation
    signature: Signature
    unread: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        looks: Looks,
        references: References,
        base: Sequence[np.ndarray],
        kinds: Mapping[str, Sequence[str]],
        trigger: str,
        noun: str,
    ) -> "Panel":
        """Set up by the references and by the base's pictures of the prompts that choose: the zero line.

        Eyes that do not read give no agreement.
        """
        who = embedded(looks.pictures, references.shown), embedded(looks.pictures, base)
        agreement: Agreement | None = None
        unread: tuple[str, ...] = ()
        if isinstance(looks, Eyes):
            told = [specified("", text, kinds) for text in references.captions]
            content = embedded(looks.content, references.shown[: len(told)])
            agreement, unread = Agreement(looks, kinds, trigger, noun).trusted(told, content)
        return cls(
            looks=looks,
            likeness=Likeness.of(*who),
            agreement=agreement,
            copying=Copying.of(references.train, references.held_out),
            saturation=Saturation.of(references.shown),
            signature=Signature.of(references.shown, base),
            unread=unread,
        )

    def measure(self, prompts: Sequence[PromptSpec], pictures: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """The values of each picture by measure; what cannot be measured on a picture is absent."""
        columns: dict[str, np.ndarray] = {
            "identity": self.likeness(embedded(self.looks.pictures, pictures)),
            "copying": self.copying(pictures),
            "saturation": self.saturation(pictures),
        }
        if self.agreement is not None:
            columns["agreement"] = self.agreement(prompts, embedded(self.agreement.eyes.content, pictures))
            columns[READABLE] = self.agreement.readable(prompts)
        if len(self.signature.colours):
            columns["signature"] = self.signature(pictures)
        columns["likeness"] = (columns["identity"] + columns.get("signature", columns["identity"])) / 2
        return [
            {name: round(float(column[i]), 6) for name, column in columns.items() if np.isfinite(column[i])}
            for i in range(len(pictures))
        ]


def embedded(eye: Eye, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Embeddings (N, d) float64 of pictures (H, W, 3) uint8, some at a time."""
    rows = []
    with torch.no_grad():
        for at in range(0, len(pictures), BATCH):
            pixels = np.stack(pictures[at : at + BATCH])
            rows.append(eye(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1).double().cpu().numpy())
    return np.concatenate(rows)
