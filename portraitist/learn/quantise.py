"""Frozen layers held in 8 bits or fewer: their weights are rebuilt for each product, going there and again going back.

int8  127 steps to either side of zero, a float32 scale for each row
fp8   float8 e4m3 (arXiv 2209.05433), a float32 scale for each row
nf4   sixteen levels of a normal distribution by blocks of 64, their scales in 8 bits by blocks of 256
      (arXiv 2305.14314), by bitsandbytes
int3, int2  even steps by groups of 64 (`learn.packing`); of use only with a recovery adapter (`learn.recovery`), which
            any layer here may have: frozen factors beside the weight

Only linear layers of a denoiser's repeated blocks are held so: they are nearly all of it. Norms, embeddings, what
stands before and after the blocks, convolutions, and every bias keep the base's own type.
Held to torch's own rounding and to bitsandbytes' own layer by tests/integration/test_quantise.py.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from portraitist.errors import PortraitistError
from portraitist.learn import packing

LARGEST = {"int8": 127.0, "fp8": 448.0}
TYPES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
BLOCK, SCALES = 64, 256  # numbers to a scale, and scales to a scale of theirs, of nf4
PIECE = 2**18  # numbers of a weight that are rounded at a time; whole blocks
LEAST = 1e-12  # what a row of zeros is scaled by


def available(how: str, device: torch.device) -> None:
    """Refuse a way of holding weights whose package is not installed, or that this device cannot rebuild.

    Apple's has no float8, and there bitsandbytes would fetch its kernels from the net.
    """
    if device.type == "mps" and how in ("fp8", "nf4"):
        raise PortraitistError(
            f'model.quantised = "{how}" does not work on {device.type}', "Use int8: --set model.quantised=int8"
        )
    if how == "nf4" and find_spec("bitsandbytes") is None:
        raise PortraitistError(
            'model.quantised = "nf4" needs the package bitsandbytes, which is not installed',
            "Run: pip install 'portraitist[quantised]', or use int8: --set model.quantised=int8",
        )


class Quantised(nn.Linear):
    """A frozen linear layer that holds its weight in fewer bits; what it computes is what the rebuilt weight would.

    weight  as it is held: (out, in) of int8 and fp8, bytes of two numbers each of nf4, (out, groups, bytes) below that
    scale   of int8 and fp8 (out, 1); of nf4 one byte a block, with `spread` and `offset` that tell what they stand for;
            of int3 and int2 a group's step, its least value being `offset`
    inner   (rank, in), and `outer` (out, rank): what a recovery adapter adds to the weight is outer @ inner
    recovering  whether it is added
    """

    scale: Tensor
    spread: Tensor | None
    offset: Tensor | None
    inner: Tensor | None
    outer: Tensor | None
    recovering = True

    def __init__(self, layer: nn.Linear, how: str) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.how = layer.in_features, layer.out_features, how
        self.register_parameter("weight", None)
        self.register_parameter("bias", layer.bias)
        for name in ("scale", "spread", "offset", "inner", "outer"):
            self.register_buffer(name, None)

    def take(self, weight: Tensor) -> None:
        """Hold a weight (out, in), on the device that it is on."""
        self.weight, self.scale, self.spread, self.offset = reduced(weight, self.how)

    def recover(self, inner: Tensor, outer: Tensor) -> None:
        """Have a recovery adapter's factors, (rank, in) and (out, rank), on the weight's device."""
        self.inner, self.outer = inner, outer

    def parts(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """All that the weight is rebuilt from."""
        return self.weight, self.scale, self.spread, self.offset

    def rebuilt(self, dtype: torch.dtype) -> Tensor:
        """The weight (out, in) that is computed with, in this type."""
        return rebuild(torch.Size((self.out_features, self.in_features)), dtype, *self.parts())

    def held(self) -> int:
        """Bytes that the weight takes, with all that it is rebuilt by and what is added to it."""
        own = (*self.parts(), self.inner, self.outer)
        return sum(part.untyped_storage().nbytes() for part in own if part is not None)

    def forward(self, input: Tensor) -> Tensor:
        """As a linear layer, under autocast too."""
        kind = input.device.type
        if torch.is_autocast_enabled(kind):
            input = input.to(torch.get_autocast_dtype(kind))
        shape = torch.Size((self.out_features, self.in_features))
        found: Tensor = Rebuilt.apply(input, shape, self.bias, *self.parts())  # type: ignore[no-untyped-call]
        if self.inner is None or self.outer is None or not self.recovering:
            return found
        down = functional.linear(input, self.inner.to(input.dtype))
        return found + functional.linear(down, self.outer.to(input.dtype))

    def extra_repr(self) -> str:
        """What a person reads of it."""
        return f"{super().extra_repr()}, {self.how}"


def reduced(weight: Tensor, how: str) -> tuple[nn.Parameter, Tensor, Tensor | None, Tensor | None]:
    """What `Quantised` holds of a weight (out, in), made piece by piece: what is needed on the way stays small."""
    if how == "nf4":
        library = bitsandbytes()
        whole = weight.reshape(-1)
        cuts = [whole[first : first + PIECE] for first in range(0, len(whole), PIECE)]
        pieces = [library.quantize_4bit(cut, blocksize=BLOCK, quant_type="nf4") for cut in cuts]
        scale = torch.cat([state.absmax for _, state in pieces])
        offset = scale.mean()
        scale, state = library.quantize_blockwise(scale - offset, blocksize=SCALES)
        held = torch.cat([piece for piece, _ in pieces])
        return nn.Parameter(held, requires_grad=False), scale, state.absmax, offset
    if how in packing.BITS:
        levels, step, least = packing.rounded(weight, packing.BITS[how])
        return nn.Parameter(levels, requires_grad=False), step, None, least
    held = torch.empty(weight.shape, dtype=TYPES[how], device=weight.device)
    scale = torch.empty(len(weight), 1, device=weight.device)
    rows = max(1, PIECE // weight.shape[1])
    for first in range(0, len(weight), rows):
        part = slice(first, first + rows)
        wide = weight[part].float()
        scale[part] = wide.abs().amax(1, keepdim=True).clamp_min(LEAST) / LARGEST[how]
        steps = wide / scale[part]
        held[part] = (steps.round_() if how == "int8" else steps).to(TYPES[how])
    return nn.Parameter(held, requires_grad=False), scale, None, None


class Rebuilt(torch.autograd.Function):
    """A linear layer's product that keeps for the way back what the weight is rebuilt from, and no rebuilt one.

    It keeps the tensors and not the layer: a layer's may be elsewhere by then.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, shape: torch.Size, bias: Tensor | None, *parts: Any) -> Tensor:
        """The layer's output."""
        ctx.shape = shape
        ctx.save_for_backward(*parts)
        return functional.linear(
            hidden, rebuild(shape, hidden.dtype, *parts), None if bias is None else bias.to(hidden.dtype)
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the layer's input."""
        parts = ctx.saved_tensors  # to be asked for once
        return gradients[0] @ rebuild(ctx.shape, gradients[0].dtype, *parts), *[None] * (len(parts) + 2)


def rebuild(
    shape: torch.Size, dtype: torch.dtype, weight: Tensor, scale: Tensor, spread: Tensor | None, offset: Tensor | None
) -> Tensor:
    """A weight out of what `Quantised` holds of it."""
    if offset is None:
        return weight.to(dtype).mul_(scale)
    if spread is None:
        return packing.restored(shape[1], dtype, weight, scale, offset)
    library = bitsandbytes()
    scale = library.dequantize_blockwise(scale, absmax=spread, blocksize=SCALES) + offset
    state = library.QuantState(scale, shape=shape, blocksize=BLOCK, quant_type="nf4", dtype=dtype)
    found: Tensor = library.dequantize_4bit(weight, state)
    return found


def prepare(denoiser: nn.Module, how: str) -> list[str]:
    """Put layers that will hold their weights in fewer bits into a denoiser's repeated blocks; returns their paths.

    Raises PortraitistError for a denoiser whose class names no such blocks.
    """
    kinds = set(getattr(denoiser, "_repeated_blocks", None) or ())
    blocks = [name for name, module in denoiser.named_modules() if type(module).__name__ in kinds]
    found = [
        f"{block}.{name}"
        for block in blocks
        for name, module in denoiser.get_submodule(block).named_modules()
        if isinstance(module, nn.Linear)
    ]
    if not found:
        raise PortraitistError(
            f'model.quantised = "{how}": {type(denoiser).__name__} has no blocks whose layers could be held so',
            "Leave model.quantised out.",
        )
    for path in found:
        before, _, name = path.rpartition(".")
        setattr(denoiser.get_submodule(before), name, Quantised(denoiser.get_submodule(path), how))  # type: ignore[arg-type]
    return found


def bitsandbytes() -> Any:
    """The library's functions, imported when first needed: it is an extra."""
    from bitsandbytes import functional as found

    return found
