"""An adapter file of any program's, read and understood: its family, and what it says of each layer; or refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from portraitist.adapters import content, dialects, facts, files, trees
from portraitist.adapters.content import Content
from portraitist.adapters.fused import Parts, apart
from portraitist.errors import PortraitistError


@dataclass(frozen=True, eq=False)
class Understood:
    """A file of one family.

    said     its layers, alphas that only diffusers' header states beside their factors
    dialects whose names it has
    """

    path: Path
    family: str
    said: Content
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    dialects: tuple[str, ...]

    @property
    def tree(self) -> trees.Shapes:
        """The shapes of the family's weights."""
        return trees.shapes(self.family)

    def modules(self) -> dict[str, Parts]:
        """What it says of each module by its canonical name, fused layers taken apart."""
        found: dict[str, Parts] = {}
        for layer in self.said.layers:
            for module, parts in apart(layer.name, layer.entry, layer.tensors, self.tree).items():
                if module in found:
                    raise content.twice(module)
                found[module] = parts
        return found

    @property
    def dtype(self) -> torch.dtype:
        """The type of its largest tensor."""
        return max(self.tensors.values(), key=lambda tensor: tensor.numel()).dtype


def understood(path: Path, family: str = "") -> Understood:
    """Read a file.

    family  what it is of, where its names and shapes leave that open
    Raises PortraitistError for a file of no known family or of several, for tensors that belong to no layer, and for
    layers that lack a part or are of another shape.
    """
    tensors, metadata = files.read(path)
    known = facts.recognise(tensors, metadata, family)
    look = f"See what it is: portraitist inspect {path}"
    if known.alike:
        raise PortraitistError(
            f"{path} fits {' and '.join(known.alike)} alike", f"Say which: --family {known.alike[0]}"
        )
    if not known.family:
        raise PortraitistError(f"{path} fits no family that is known here", look)
    tree, said = trees.shapes(known.family), known.content
    if said.strangers:
        raise PortraitistError(
            f"{path} holds what belongs to no layer of {known.family}: {said.strangers[0][:200]}", look
        )
    for layer in said.layers:
        if (missing := facts.lacks(layer.tensors)) or not facts.fits(layer, tree):
            raise PortraitistError(f"{layer.name} {f'lacks {missing}' if missing else 'is of another shape'}", look)
    names = tuple(dialects.speakers(tensors, dialects.lexicon(known.family, tuple(tree))))
    return Understood(path, known.family, content.explicit(said, metadata), tensors, metadata, names)


def kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata that stay true of a file whose tensors are named or made anew."""
    return {key: value for key, value in metadata.items() if key not in (content.METADATA, "sshs_legacy_hash")}


def singles(parts: Mapping[str, Parts]) -> Content:
    """A content of layers by canonical names."""
    return Content(
        tuple(content.Layer(module, dialects.Entry((module,), False, ()), each) for module, each in parts.items()), ()
    )
