"""What a denoiser's blocks keep on a card: activations that are computed again, weights that lie away.

A denoiser may be larger than its card: frozen weights of some blocks then lie in main memory, and come when their
block is computed. Going back, the block is computed again (gradient checkpointing), and its weights come again. What is
trained stays on the card. Held to the denoiser that lies there whole by tests/integration/test_offload.py; decision 016
says why these are not diffusers' own hooks.
"""

import contextlib
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.errors import PortraitistError
from portraitist.recipe import Recipe

SLAB, ALIGNED = 2**29, 512  # bytes of main memory locked at a time, and what a tensor's place in it is a multiple of


def check(device: torch.device, share: float) -> None:
    """Refuse what has no second memory to lie in."""
    if share and device.type != "cuda":
        raise PortraitistError(
            f"model.offload = {share:g} on {device.type}: there is no card whose memory it would spare",
            "Set model.offload = 0.",
        )


def recompute(denoiser: Any, recipe: Recipe) -> None:
    """Let a denoiser compute its blocks again going back, or keep all it computed, as the recipe says.

    Raises PortraitistError where weights are to lie away and blocks are not computed again.
    """
    wanted = recipe.training.recompute
    if wanted == "on":
        denoiser.enable_gradient_checkpointing()
    elif wanted == "off":
        denoiser.disable_gradient_checkpointing()
    if recipe.model.offload and not getattr(denoiser, "is_gradient_checkpointing", False):
        raise PortraitistError(
            f"model.offload = {recipe.model.offload:g}, and this base keeps all that its blocks compute",
            'Set training.recompute = "on": only then are their weights let go before going back.',
        )


def settle(denoiser: nn.Module, share: float, device: torch.device) -> nn.Module:
    """The denoiser on a device, but for the frozen weights of a share of its blocks; to be called once.

    Raises PortraitistError for a denoiser that names no blocks.
    """
    if not share:
        return denoiser.to(device)
    away = chosen(denoiser, share)
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    shelf = Shelf(device, stream)
    for block in away:
        shelf.take(block)
    return denoiser.to(device)  # of what lies away there is nothing left to move


def chosen(denoiser: nn.Module, share: float) -> list[nn.Module]:
    """The blocks that lie away, spread evenly among the others: their coming can hide behind what these compute.

    What a denoiser's blocks are it says itself (diffusers' `_repeated_blocks`).
    Raises PortraitistError for a denoiser that names none.
    """
    kinds = getattr(denoiser, "_repeated_blocks", None) or ()
    blocks = [module for module in denoiser.modules() if type(module).__name__ in kinds]
    if not blocks:
        raise PortraitistError(
            f"model.offload = {share:g}: a {type(denoiser).__name__} names no blocks that could lie away",
            "Set model.offload = 0.",
        )
    count = max(1, round(share * len(blocks)))
    return [block for i, block in enumerate(blocks) if (i + 1) * count // len(blocks) > i * count // len(blocks)]


@dataclass(eq=False)
class Parcel:
    """The frozen weights of one block.

    places   module and name of each
    hosts    in main memory
    absent   what the module has while they are away: numbers that are none, so that whatever uses them shows it
    arrived  on the device, or none yet. Each time they are other tensors: what was computed with the last ones and is
             still to go back has kept those
    """

    places: list[tuple[nn.Module, str]]
    hosts: list[Tensor]
    absent: list[Tensor]
    arrived: list[Tensor] = field(default_factory=list)

    def put(self, tensors: list[Tensor]) -> None:
        """Let the block have these."""
        for (module, name), tensor in zip(self.places, tensors, strict=True):
            setattr(module, name, tensor)


@dataclass(eq=False)
class Slabs:
    """Main memory that a card copies from by itself, locked in large pieces that tensors share.

    torch locks powers of two: alone, FLUX's and Qwen-Image's weights, 9 times such a power, would take nearly twice
    their size.

    lock  False takes ordinary memory
    left  of the last piece
    """

    lock: bool = True
    left: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8, device="cpu"))

    def copied(self, host: Tensor) -> Tensor:
        """A copy of a tensor."""
        size = -(-host.nbytes // ALIGNED) * ALIGNED
        if size > len(self.left):
            self.left = torch.empty(max(SLAB, size), dtype=torch.uint8, device="cpu", pin_memory=self.lock)
        piece, self.left = self.left[: host.nbytes], self.left[size:]
        return piece.view(host.dtype).view(host.shape).copy_(host)


@dataclass(eq=False)
class Shelf:
    """Main memory's part of a denoiser: brings a block's weights before it is computed, and the next one's meanwhile.

    stream  of the copies; None without CUDA
    slabs   where they are copied from, with CUDA
    order   blocks as they were first computed
    left    when the last block was computed, or computed again, on the device
    """

    device: torch.device
    stream: torch.cuda.Stream | None
    slabs: Slabs = field(default_factory=Slabs)
    order: list[Parcel] = field(default_factory=list)
    last: int = -1
    left: Any = None

    def take(self, block: nn.Module) -> None:
        """Have a block's frozen weights here from now on."""
        places = [(module, name) for module in block.modules() for name in frozen(module)]
        hosts = [getattr(module, name) for module, name in places]
        if self.stream:
            hosts = [pinned(host, self.slabs) for host in hosts]
        parcel = Parcel(places, hosts, [absent(host, self.device) for host in hosts])
        block.register_forward_pre_hook(partial(self.bring, parcel), prepend=True)
        # also when computing again ends early, as soon as the last thing needed is there
        block.register_forward_hook(partial(self.leave, parcel), always_call=True)
        self.leave(parcel)

    def bring(self, parcel: Parcel, *called: Any) -> None:
        """Before a block is computed: have its weights, and send for those of the one that should follow."""
        if parcel not in self.order:
            self.wait()
        self.send(parcel)
        if self.stream:
            now = torch.cuda.current_stream(self.device)
            now.wait_stream(self.stream)
            for tensor in parcel.arrived:
                tensor.record_stream(now)  # its memory is not given out again before the block is done with it
        parcel.put(parcel.arrived)
        if parcel not in self.order:
            self.order.append(parcel)
        here = self.order.index(parcel)
        following = here + (1 if here == 0 or here > self.last else -1)
        self.last = here
        if 0 <= following < len(self.order) and self.stream:
            self.wait()
            self.send(self.order[following])

    def wait(self) -> None:
        """Until the device has computed the last block that was here: else many would be sent for while it is still at
        the first, on the first way there all of them."""
        if self.left:
            self.left.synchronize()

    def send(self, parcel: Parcel) -> None:
        """Start the copies of a block's weights, unless they are under way."""
        if not parcel.arrived:
            with torch.cuda.stream(self.stream) if self.stream else contextlib.nullcontext():
                parcel.arrived = [like(host, host.to(self.device, non_blocking=True)) for host in parcel.hosts]

    def leave(self, parcel: Parcel, *called: Any) -> None:
        """After a block is computed: let its weights go. What going back still needs of them it holds itself."""
        parcel.put(parcel.absent)
        parcel.arrived = []
        if self.stream:
            self.left = torch.cuda.current_stream(self.device).record_event()


def frozen(module: nn.Module) -> list[str]:
    """Names of a module's own parameters that are not trained, and of its buffers."""
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    return [name for name, tensor in own.items() if not tensor.requires_grad]


def pinned(host: Tensor, slabs: Slabs) -> Tensor:
    """Where a card copies from by itself; quantised weights with facts of their own stay where they are."""
    plain = type(host) in (Tensor, nn.Parameter)
    return like(host, slabs.copied(host.data)) if plain else host


def absent(host: Tensor, device: torch.device) -> Tensor:
    """One number that is none (of integers, 0) on a device, in the shape of a tensor."""
    value = float("nan") if host.is_floating_point() else 0
    return like(host, torch.full((), value, dtype=host.dtype, device=device).expand(host.shape))


def like(host: Tensor, tensor: Tensor) -> Tensor:
    """A tensor as a frozen parameter where `host` is one."""
    parameter = isinstance(host, nn.Parameter) and not isinstance(tensor, nn.Parameter)
    return nn.Parameter(tensor, requires_grad=False) if parameter else tensor
