"""An adapter added to a publisher's file for good, tensor by tensor: neither is ever in memory twice.

Held to ComfyUI's rule, weight + strength * change, by tests/integration/test_workshop.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from portraitist import tensorfile
from portraitist.adapters import changes, dialects, trees
from portraitist.adapters.factoring import squares
from portraitist.adapters.fused import Parts
from portraitist.adapters.layouts import Place
from portraitist.adapters.understanding import Understood
from portraitist.bases import headers, layouts, reading
from portraitist.bases.layouts import SGM
from portraitist.errors import PortraitistError

CLIP_L, CLIP_G = f"{SGM}0.transformer.", f"{SGM}1.model.transformer.resblocks."
"""Before the names of CLIP-L's modules in SDXL's file, and before the numbers of CLIP-G's blocks."""

LAYERS = "clip_g.text_model.encoder.layers."
OPEN_CLIP = {"self_attn.out_proj": "attn.out_proj.", "mlp.fc1": "mlp.c_fc.", "mlp.fc2": "mlp.c_proj."}
"""A block's layers in OpenCLIP's names; query, key and value are one there, `attn.in_proj_weight`."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What is added to rows of one tensor of the file.

    first, rows  which; `swapped`: their halves stand the other way round in the file
    made         makes the change, flattened to (rows, columns), from the rows' weight as the adapter knows it
    """

    first: int
    rows: int
    swapped: bool
    made: Callable[[Tensor], Tensor]


@dataclass(slots=True)
class Baked:
    """What was added, in energies: of all changes, and of what rounding to the file's type lost of them."""

    layers: int = 0
    energy: float = 0.0
    lost: float = 0.0
    names: set[str] = field(default_factory=set)


def bake(adapter: Understood, base: Path, out: Path, strength: float, tell: Callable[[int, int], None]) -> Baked:
    """Write a publisher's file with an adapter in it, of the same names, types and order.

    tell  is given how many tensors are done, and of how many
    Raises PortraitistError for a base in folders or in 8 bits, and for an adapter on layers that the file lacks.
    """
    header = headers.read(base)
    headers.refuse_rounded(header)
    pieces = targets(adapter, header, strength)
    made = Baked()
    with reading.opened(base) as file:

        def maker(name: str) -> Callable[[], Tensor]:
            def make() -> Tensor:
                made.names.add(name)
                tell(len(made.names), len(header.shapes))
                return put(file.get_tensor(name), pieces.get(name, []), made)

            return make

        kinds = {kind: getattr(torch, name) for name, kind in tensorfile.TYPES.items()}
        planned = {
            name: tensorfile.Planned(shape, kinds[header.types[name]], maker(name))
            for name, shape in header.shapes.items()
        }
        tensorfile.write(out, planned, dict(header.words))
    headers.read(out)
    made.layers = len({name for name in pieces if name.endswith("weight")})
    return made


def put(tensor: Tensor, pieces: list[Piece], made: Baked) -> Tensor:
    """A tensor with its changes, in its type."""
    if not pieces:
        return tensor
    exact = tensor.float().clone()
    for piece in pieces:
        rows = exact[piece.first : piece.first + piece.rows]
        weight = torch.cat(rows.chunk(2)[::-1]) if piece.swapped else rows
        change = piece.made(weight.reshape(len(weight), -1)).reshape(weight.shape)
        made.energy += squares(change.reshape(len(weight), -1))
        rows += torch.cat(change.chunk(2)[::-1]) if piece.swapped else change
    found = exact.to(tensor.dtype)
    if not bool(torch.isfinite(found).all()):
        raise PortraitistError("A weight would not be finite with the adapter in it", "Bake it at a lower --strength.")
    made.lost += squares((found.float() - exact).reshape(len(exact), -1))
    return found


def targets(adapter: Understood, header: headers.Header, strength: float) -> dict[str, list[Piece]]:
    """What is added to which tensors of a file; refused where the file has no place for a module."""
    found: dict[str, list[Piece]] = {}
    places = Places(adapter.family, header)
    for module, parts in adapter.modules().items():
        name, first, place = places.of(module)
        shape = adapter.tree[module]
        if parts.keys() - {"alpha", *changes.BESIDE}:
            piece = Piece(first, shape[0], place.swapped, weighted(module, parts, shape, strength))
            found.setdefault(f"{name}weight", []).append(piece)
        for role in changes.BESIDE:
            if role in parts:
                bias = parts[role].float().reshape(-1, 1) * strength
                piece = Piece(first, shape[0], place.swapped, lambda _, bias=bias: bias)  # type: ignore[misc]
                found.setdefault(f"{name}bias", []).append(piece)
    if missing := sorted(found.keys() - header.shapes.keys()):
        raise PortraitistError(
            f"{header.path} has no {missing[0]}, which the adapter changes", "Name the file it was trained on."
        )
    return found


def weighted(module: str, parts: Parts, shape: tuple[int, ...], strength: float) -> Callable[[Tensor], Tensor]:
    """What makes a module's change at a strength from its weight."""

    def made(weight: Tensor) -> Tensor:
        one = changes.change(module, parts, shape, weight)
        if one is None:
            raise ValueError(module)
        return strength * one.dense()

    return made


class Places:
    """Where a family's modules lie in a file of its publisher's, or of diffusers' names."""

    def __init__(self, family: str, header: headers.Header) -> None:
        layout = layouts.of(family)
        part = next((name for name in ("unet", "transformer") if layout and name in layout.weights), "")
        if layout is None or part not in layout.found(header):
            raise PortraitistError(
                f"{header.path} is no file of {family}'s denoiser", "Name the publisher's file; folders are not baked."
            )
        inside = layout.weights[part].inside
        self.family = family
        self.prefix = inside if any(name.startswith(inside) for name in header.shapes) else ""
        self.tree = trees.shapes(family)
        row = dialects.get(family, "comfyui")
        native = {m: place for m in self.tree if not trees.is_encoder(m) and (place := row.place(m))}
        names = {m: place.name.removeprefix(row.prefix or "") for m, place in native.items()}
        own = any(f"{self.prefix}{name}.weight" in header.shapes for name in names.values())
        self.native: Mapping[str, tuple[str, Place]] = {
            m: (names[m], native[m]) if own else (m, Place(m)) for m in native
        }

    def of(self, module: str) -> tuple[str, int, Place]:
        """What stands before `weight` in a module's name in the file, the first of its rows there, and its place."""
        if module.startswith("clip_l.") and self.family == "sdxl":
            return f"{CLIP_L}{module.removeprefix('clip_l.')}.", 0, Place(module)
        if module.startswith(LAYERS):
            return *self.open_clip(module), Place(module)
        if module not in self.native:
            raise PortraitistError(
                f"{module} is of a text encoder that is not baked", "Load the adapter beside the base instead."
            )
        name, place = self.native[module]
        return f"{self.prefix}{name}.", sum(self.before(name, place)), place

    def open_clip(self, module: str) -> tuple[str, int]:
        """The same of a layer of CLIP-G."""
        number, _, layer = module.removeprefix(LAYERS).partition(".")
        if layer in OPEN_CLIP:
            return f"{CLIP_G}{number}.{OPEN_CLIP[layer]}", 0
        part = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj").index(layer)
        return f"{CLIP_G}{number}.attn.in_proj_", part * self.tree[module][0]

    def before(self, name: str, place: Place) -> Iterator[int]:
        """The rows of the modules that lie before a place in the same layer."""
        for module, (other, there) in self.native.items():
            if other == name and there.part < place.part:
                yield self.tree[module][0]
