"""Adapter files: canonical names and ComfyUI's, strict headers, and what is never written.

Canonical names are `<module path>.lora_A.weight` (rank, in), `.lora_B.weight` (out, rank), `.alpha` (scalar); LyCORIS'
`.hada_w1_a` and so on beside an alpha; or, where all of a denoiser was trained, `whole.<parameter>` for that parameter
itself, which is no adapter and goes out by portraitist.bases.writing. ComfyUI takes kohya's suffixes behind
`lora_unet_...` names, peft's behind dotted ones, and LyCORIS' behind either; a missing alpha means scale 1 there and
rank elsewhere, so every module has one.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from portraitist import durable, tensorfile
from portraitist.adapters import dialects
from portraitist.adapters.products import ROLES, Product, lacks
from portraitist.adapters.products import rank as rank_of
from portraitist.errors import PortraitistError
from portraitist.family import Family
from portraitist.tensorfile import WHOLE

PARTS = (dialects.DOWN, dialects.UP, dialects.ALPHA)
DOWN, UP, ALPHA = (dialects.PEFT[part] for part in PARTS)
KOHYA = {dialects.PEFT[part]: dialects.KOHYA[part] for part in PARTS}
PEFT = {DOWN: DOWN, UP: UP, ALPHA: ALPHA}

SAYS = {"format", "family", "base", "kind", "step"}
"""What the metadata of a checkpoint's adapter say: of no other program's file all five."""

LARGEST_HEADER, MOST_TENSORS, MOST_DIMENSIONS = 10_000_000, 20_000, 8
DTYPES = {"F32": 4, "F16": 2, "BF16": 2}
HELD = 1_000_000_000  # bytes of a file: a larger one is mapped, for it may be a base that was given by mistake
FOREIGN = {**DTYPES, "F64": 8, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4}
"""Types that other people's files have; they can be looked at, not used."""


@dataclass(frozen=True, slots=True)
class Factors:
    """One module's low-rank change: alpha / rank * up @ down."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """Rows of `down`."""
        return int(self.down.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight they change: (out, in), or (out, in, kh, kw)."""
        return (int(self.up.shape[0]), *map(int, self.down.shape[1:]))


def factors(tensors: Mapping[str, Tensor]) -> dict[str, Factors]:
    """The low-rank changes in an adapter file, by module; empty for a whole one.

    Raises PortraitistError for halves without the other, unequal ranks, alphas that are no number, unknown names.
    """
    modules = {name.removesuffix(DOWN): name for name in tensors if name.endswith(DOWN)}
    found = {}
    for module, name in modules.items():
        down, up, alpha = tensors[name], tensors.get(module + UP), tensors.get(module + ALPHA)
        fits = up is not None and up.ndim == down.ndim and down.ndim in (2, 4) and up.shape[1] == down.shape[0]
        if up is None or not fits or down.shape[0] == 0 or any(side != 1 for side in up.shape[2:]):
            raise damaged(f"{module} lacks a half, or its halves do not fit")
        if alpha is not None and (alpha.numel() != 1 or not bool(torch.isfinite(alpha).all())):
            raise damaged(f"the alpha of {module} is no number")
        found[module] = Factors(down, up, float(down.shape[0]) if alpha is None else float(alpha))
    known = found.keys() | {module for module, _ in map(role, tensors) if module}
    for name in tensors:
        module = name.removesuffix(UP) if name.endswith(UP) else name.removesuffix(ALPHA)
        whole = name.startswith(WHOLE) or name in modules.values() or role(name)[0]
        if not whole and (module == name or module not in (modules if name.endswith(UP) else known)):
            raise damaged(f"{name} is not a part of an adapter")
    return found


def role(name: str) -> tuple[str, str]:
    """Module and role of a part of LoHa or LoKr; two empty words for other names."""
    module, _, last = name.rpartition(".")
    return (module, last) if last in ROLES and not name.startswith(WHOLE) else ("", "")


def products(tensors: Mapping[str, Tensor]) -> dict[str, Product]:
    """The LoHa and LoKr changes in an adapter file, by module. Raises PortraitistError for parts that make none."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        module, part = role(name)
        if module:
            parts.setdefault(module, {})[part] = tensor
    found = {}
    for module, each in parts.items():
        if why := lacks(each):
            raise damaged(f"{module}: {why}")
        rank, alpha = rank_of(each), tensors.get(module + ALPHA)
        if alpha is not None and (alpha.numel() != 1 or not bool(torch.isfinite(alpha).all())):
            raise damaged(f"the alpha of {module} is no number")
        found[module] = Product(each, 1.0 if alpha is None or not rank else float(alpha) / rank)
    return found


def damaged(why: str) -> PortraitistError:
    """The refusal of a file that is not an adapter, or no longer."""
    return PortraitistError(f"Not an adapter: {why}", "Take the file of another checkpoint, or train again.")


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write an adapter durably; equal tensors and metadata make equal bytes.

    Raises PortraitistError for tensors that are not finite, for an adapter that changes nothing (what users call a
    LoRA that does nothing), and when the disk refuses.
    """
    refuse_empty(tensors)
    tensorfile.write(path, tensors, metadata)


def dtype(name: str) -> torch.dtype | None:
    """The type of a name such as "float16"; None for no name."""
    return getattr(torch, name) if name else None


def refuse_place(out: Path, overwrite: bool) -> None:
    """Refuse a place for a new file that is none, or that is taken."""
    if out.suffix != ".safetensors":
        raise PortraitistError(f"{out} does not end in .safetensors", f"Name it {out.name or 'adapter'}.safetensors.")
    if out.exists() and not overwrite:
        raise PortraitistError(f"{out} is there already", "Choose another name, or say --overwrite.")


def packed(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The bytes of an adapter file; refused as `write` says."""
    refuse_empty(tensors)
    return pack(tensors, metadata)


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a safetensors file, whatever its tensors are."""
    return b"".join(tensorfile.chunks(tensors, metadata))


def refuse_empty(tensors: Mapping[str, Tensor]) -> None:
    """Refuse what is not finite, and what changes nothing."""
    for name in sorted(tensors):
        if not bool(torch.isfinite(tensors[name]).all()):
            raise PortraitistError(
                f"The adapter is not finite: {name}; nothing was written", "Train with a lower training.rate."
            )
    if not any(changes(name, tensors) for name in tensors):
        raise PortraitistError(
            "The adapter is all zero: nothing was learnt, and nothing was written",
            "See that training.rate, loss weights and masks leave something to learn.",
        )


def hashes(whole: bytes) -> dict[str, str]:
    """SHA-256 of the tensors' bytes as ModelSpec and kohya's tools tell it: the header is not in it."""
    digest = hashlib.sha256(whole[8 + int.from_bytes(whole[:8], "little") :]).hexdigest()
    return {"modelspec.hash_sha256": f"0x{digest}", "sshs_model_hash": digest}


def changes(name: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a tensor changes a denoiser: a difference, or an up whose down is not zero either."""
    for up, down in ((UP, DOWN), (KOHYA[UP], KOHYA[DOWN])):
        if name.endswith(up):
            other = tensors.get(name.removesuffix(up) + down)
            return bool(tensors[name].any()) and other is not None and bool(other.any())
    if module := role(name)[0]:
        return all(bool(part.any()) for other, part in tensors.items() if role(other)[0] == module)
    return name.startswith(WHOLE)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata of an adapter file, on the CPU; of a whole denoiser or a large file mapped.

    The header is checked before anything is allocated by its word. Raises PortraitistError for what is no safetensors
    file, for headers, counts and types beyond what an adapter has, and for values that are not finite.
    """
    tensors, metadata = load(path, DTYPES)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise PortraitistError(f"{path} is damaged: {name} is not finite", "Take another checkpoint.")
    return tensors, metadata


def load(path: Path, types: Collection[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata of a file of tensors of these types; refused as `read` says, but for their values."""
    try:
        with path.open("rb") as file:
            data = file.read(8)
            data += file.read(min(LARGEST_HEADER, int.from_bytes(data, "little")))
            metadata = header(path, data, types)
            if f'"{WHOLE}'.encode() in data or path.stat().st_size > HELD:
                return tensorfile.read(path, "Take another checkpoint, or train again."), metadata
            data += file.read()
    except OSError as error:
        raise durable.refusal(error, path, "read") from error
    except (ValueError, RecursionError) as error:
        raise unreadable(path, error) from error
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError) as error:
        raise unreadable(path, error) from error
    return tensors, metadata


def unreadable(path: Path, error: Exception) -> PortraitistError:
    """The refusal of a file that cannot be understood."""
    why = " ".join(str(error).split())[:200]
    return PortraitistError(f"{path} is damaged: {why}", "Take another checkpoint, or train again.")


def header(path: Path, data: bytes, types: Collection[str]) -> dict[str, str]:
    """The metadata of a safetensors file whose header claims nothing out of the way; else ValueError.

    Raises PortraitistError for values of other types.
    """
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(LARGEST_HEADER, len(data) - 8):
        raise ValueError("it is no safetensors file, or cut short")
    value: Any = json.loads(data[8 : 8 + size])
    if not isinstance(value, dict):
        raise ValueError("its header is no table")
    metadata = value.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata are not text")
    if not value or len(value) > MOST_TENSORS:
        raise ValueError(f"it holds {len(value)} tensors")
    for name, facts in value.items():
        shape, stored = (facts.get("shape"), facts.get("dtype")) if isinstance(facts, dict) else (None, None)
        if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS or not isinstance(stored, str):
            raise ValueError(f"{name[:100]} is of a shape or type that no adapter has")
        if stored not in types:
            raise PortraitistError(
                f"{path} holds values of type {stored[:20]}, such as {name[:100]}",
                f"Give the file with values of one of these: {', '.join(types)}.",
            )
    return metadata


def to_comfy(tensors: Mapping[str, Tensor], family: Family) -> dict[str, Tensor]:
    """An adapter by the names that ComfyUI loads completely for its family, `.alpha` beside every module."""
    found: dict[str, Tensor] = {}
    for module, part in factors(tensors).items():
        name = file_name(module, family)
        suffixes = PEFT if "." in name else KOHYA
        found[name + suffixes[DOWN]], found[name + suffixes[UP]] = part.down, part.up
        found[name + ALPHA] = torch.tensor(part.alpha, dtype=torch.float32)
    for module, product in products(tensors).items():
        name = family.file_name(module)
        found |= {f"{name}.{part}": tensor for part, tensor in product.parts.items()}
        found |= {name + ALPHA: tensors[module + ALPHA]} if module + ALPHA in tensors else {}
    return found


def file_name(module: str, family: Family) -> str:
    """A module's name in the dialect that a family's files are written in, a text encoder's too."""
    if not module.startswith(tuple(f"{encoder}." for encoder in dialects.ENCODERS)):
        return family.file_name(module)
    place = dialects.get(dialects.tree_of(family.name)).place(module)
    if place is None:
        raise PortraitistError(f"{module} has no name in files of {family.name}", "Leave text encoders out.")
    return place.name


def from_comfy(tensors: Mapping[str, Tensor], family: Family, modules: Iterable[str]) -> dict[str, Tensor]:
    """An adapter by canonical names from one by ComfyUI's.

    modules  paths that it may be on, such as the names of all the denoiser's modules
    Raises PortraitistError for a name that belongs to none of them.
    """
    known = {}
    for module in modules:
        try:
            known[family.file_name(module)] = module
        except (PortraitistError, KeyError, ValueError):
            continue  # a module that has no name there cannot be meant
    ours = {theirs: suffix for table in (KOHYA, PEFT) for suffix, theirs in table.items()}
    ours |= {f".{part}": f".{part}" for part in ROLES}
    found = {}
    for name, tensor in tensors.items():
        suffix = next((s for s in ours if name.endswith(s)), "")
        module = known.get(name.removesuffix(suffix), "")
        if not suffix or not module:
            raise PortraitistError(
                f"{name} belongs to no module of {family.name}", "Use the file with the family it was trained for."
            )
        found[module + ours[suffix]] = tensor
    return found
