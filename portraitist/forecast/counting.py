"""Counts what one training step holds and computes, on fake tensors of the real classes: no weights and no GPU needed.

The step is the house's own: the family's `predict`, peft's layers, the loss, autocast. Fake tensors run torch's own
autograd at any size and hold nothing. Held to torch's profiler on real tensors by tests/integration/test_counting.py.
"""

import importlib
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from portraitist import durable, families
from portraitist.adapters import inject
from portraitist.adapters.dialects import tree_of
from portraitist.family import Batch
from portraitist.forecast.laws import RANK, Counts, Laws, Point, fit
from portraitist.forecast.published import PUBLISHED, Part, Published
from portraitist.learn.loss import picture_losses
from portraitist.sections import Adapter

FLOAT32 = (
    "cumsum", "exp", "group_norm", "layer_norm", "linalg_vector_norm", "log", "pow", "prod", "reciprocal", "rms_norm",
    "rsqrt", "softmax", "sum", "upsample_bilinear2d", "upsample_nearest2d",
)  # fmt: skip
"""Of what autocast takes to float32 on CUDA (torch/include/ATen/autocast_mode.h), all that a denoiser may call."""


@dataclass(frozen=True, slots=True)
class Case:
    """One step to be counted.

    side        of a square picture in pixels
    references  sides of its reference pictures
    card        whether norms and the like run in float32 under autocast, as on CUDA; else as on the CPU
    backward    False counts a forward pass that keeps nothing, as judging draws
    """

    side: int
    text: int
    batch: int = 1
    rank: int = RANK
    precision: str = "bfloat16"
    checkpointing: bool = True
    references: tuple[int, ...] = ()
    card: bool = True
    backward: bool = True


@dataclass(frozen=True, slots=True)
class Counted:
    """What a step needs.

    parameters, adapter  numbers frozen and numbers trained
    saved                bytes alive between forward and backward beside weights, gradients and inputs
    peak                 the most of them at any time
    operations           floating-point operations; attention's way back is counted as twice its way there
    """

    parameters: int
    adapter: int
    saved: int
    peak: int
    operations: int


class Whole(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answers yes where a family asks whether a mask leaves nothing out: all are ones, but a fake one cannot tell."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].dtype is torch.bool:
            return True
        return func(*args, **(kwargs or {}))


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of all tensors that were made within and are still alive, and the most there ever were."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak, self.known = 0, 0, known

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and (key := storage(leaf)) not in self.known:
                held = leaf.untyped_storage()
                self.known.add(key)
                self.now += held.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(held, self.gone, key, held.nbytes())
        return out

    def gone(self, key: int, size: int) -> None:
        """A storage was let go."""
        self.known.discard(key)
        self.now -= size


@contextmanager
def cards_autocast() -> Iterator[None]:
    """Within: autocast on the CPU takes to float32 what it takes on CUDA, by the dispatcher's own means."""
    library = torch.library.Library("aten", "IMPL", "AutocastCPU")  # type: ignore[no-untyped-call]
    there = set(torch._C._dispatch_get_all_op_names())
    for name in FLOAT32:
        packet = getattr(torch.ops.aten, name)
        for operation in (getattr(packet, overload) for overload in packet.overloads()):
            known = operation.name().removesuffix(".default")
            wanted = known in there and "out" not in known
            if wanted and not torch._C._dispatch_has_kernel_for_dispatch_key(known, "AutocastCPU"):
                library.impl(operation, partial(widened, operation))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        library._destroy()  # type: ignore[no-untyped-call]


def widened(operation: Any, *args: Any, **how: Any) -> Any:
    """An operation on float32 copies of its half-precision tensors, outside autocast."""
    args = tuple(arg.float() if isinstance(arg, Tensor) and arg.is_floating_point() else arg for arg in args)
    with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)):
        return operation(*args, **how)


def storage(tensor: Tensor) -> int:
    """What tells one storage from another while it lives."""
    return int(tensor.untyped_storage()._cdata)


def count(published: Published, family: Any, case: Case, *, keep: bool = False) -> Counted:
    """What one step of a denoiser of this configuration needs; `family` gives `process` and `predict`.

    keep  a forward pass alone keeps what going back would need
    """
    denoiser = built(published.trained)
    with torch.device("meta"):
        inject.inject(denoiser, Adapter(rank=case.rank), list(published.targets), float(case.rank))
    if case.checkpointing:
        denoiser.enable_gradient_checkpointing(again)
    with FakeTensorMode(allow_non_fake_inputs=True):
        trained = faked(denoiser, getattr(torch, case.precision))
        batch, noise, level = inputs(published, case)
        beside = [*denoiser.parameters(), *denoiser.buffers(), *(p.grad for p in trained if p.grad is not None)]
        beside += [
            value for module in denoiser.modules() for value in vars(module).values() if isinstance(value, Tensor)
        ]
        beside += [batch.latents, batch.mask, batch.weight, noise, level, *batch.given.values()]
        live = Live({storage(tensor) for tensor in beside})
        with Whole(), live, flops() as operations:  # type: ignore[no-untyped-call]
            saved = step(family, denoiser, batch, noise, level, case, live, keep=keep)
    everything, adapter = sum(p.numel() for p in denoiser.parameters()), sum(p.numel() for p in trained)
    return Counted(everything - adapter, adapter, saved, live.peak, operations.get_total_flops())


def again(block: nn.Module, *given: Any) -> Any:
    """torch's older way of checkpointing: the newer one leaves cycles of fake tensors, which then seem to be held.

    It asks for an input with a gradient: where only the block's own adapter has one, an empty one is added.
    """
    if not any(isinstance(x, Tensor) and x.requires_grad for x in [*given, *block.parameters()]):
        return block(*given)
    anchor = torch.empty(0, requires_grad=True)
    return checkpoint(lambda _, *rest: block(*rest), anchor, *given, use_reentrant=True)


def step(
    family: Any,
    denoiser: nn.Module,
    batch: Batch,
    noise: Tensor,
    level: Tensor,
    case: Case,
    live: Live,
    *,
    keep: bool = False,
) -> int:
    """The forward and, if the case says so, the backward pass of `learn.loop`; returns the bytes alive between them."""
    half = case.precision != "float32"
    denoiser.train()
    with cards_autocast() if case.card else nullcontext():  # around both: what is computed again is widened again
        with torch.set_grad_enabled(case.backward or keep), torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = (picture_losses(family, denoiser, batch, noise, level) * batch.weight).sum()
        saved = live.now
        if case.backward:
            torch.autograd.backward(loss)
    return saved


def built(part: Part) -> Any:
    """A denoiser on the meta device, frozen."""
    library, _, kind = part.kind.partition(".")
    with torch.device("meta"):
        made = getattr(importlib.import_module(library), kind)(**part.config)
    return made.requires_grad_(False)


def faked(denoiser: nn.Module, dtype: torch.dtype) -> list[nn.Parameter]:
    """Turn a model on the meta device into one of fake CPU tensors, in place; returns what is trained of it.

    Frozen weights are of `dtype`; the adapter is float32, and its gradients are there beforehand.
    """
    trained = []
    for name, module in denoiser.named_modules():
        for key, parameter in list(module._parameters.items()):
            if parameter is not None:
                ours = "lora_" in name
                fake = torch.empty(parameter.shape, dtype=torch.float32 if ours else dtype)
                module._parameters[key] = made = nn.Parameter(fake, requires_grad=ours)
                if ours:
                    made.grad = torch.empty_like(made)
                    trained.append(made)
        for held in (module._buffers, module.__dict__):  # diffusers keeps rotary frequencies as plain attributes
            for key, value in list(held.items()):
                if isinstance(value, Tensor):
                    held[key] = torch.empty(value.shape, dtype=value.dtype)
    return trained


def inputs(published: Published, case: Case) -> tuple[Batch, Tensor, Tensor]:
    """A batch with its noise and levels, as the loop hands them to a family."""
    count, side = case.batch, case.side // 8
    shape = (count, published.channels, side, side)
    given = {
        "tokens": torch.zeros(count, case.text, published.width),
        "tokens_mask": torch.ones(count, case.text, dtype=torch.bool),
        "pooled": torch.zeros(count, published.pooled),
        "sizes": torch.zeros(count, 6),
    }
    for i, other in enumerate(case.references):
        given[f"reference_{i}"] = torch.zeros(count, published.channels, other // 8, other // 8)
    mask, weight = torch.ones(count, 1, side, side), torch.ones(count)
    batch = Batch(torch.zeros(shape), given, mask, weight, tuple(range(count)))
    return batch, torch.zeros(shape), torch.full((count,), 0.5)


def flops() -> FlopCounterMode:
    """torch's counter, taught the CPU's attention; its way back counts twice the way there, as papers do."""
    aten = torch.ops.aten

    def there(query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **how: Any) -> int:
        return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]

    def back(gradient: Any, query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **how: Any) -> int:
        return 2 * int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]

    own = {
        aten._scaled_dot_product_flash_attention_for_cpu: there,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: back,
    }
    return FlopCounterMode(display=False, custom_mapping=own)


SIDES = (512, 768, 1024)


def points(text: int) -> list[Case]:
    """The cases that laws of memory are fitted to, and three more that those of work need."""
    small, middle, large = (Case(side, text) for side in SIDES)
    pair, ranks = replace(middle, batch=2), [replace(one, rank=4 * RANK) for one in (small, large)]
    longer = [Case(side, more) for side, more in ((512, 2 * text), (1024, 2 * text), (512, 3 * text))]
    return [small, large, longer[0], pair, *ranks, middle, *longer[1:]]


def laws(name: str, published: Published, tell: Callable[[str], None] = lambda line: None) -> Laws:
    """The laws of a base, fitted to counts."""
    family = families.get(name)

    def counted(how: Callable[[Published, Any, Case], Counted], cases: list[Case], **change: Any) -> Counts:
        found = []
        for case in cases:
            case = replace(case, **change)
            found.append((point(published, case), how(published, family, case)))
            tell(f"{name} {case} {found[-1][1]}")
        return found

    cases = points(published.text)
    few = cases[:6]
    kept, drawn = (counted(deep, cases, checkpointing=False, backward=way) for way in (True, False))
    most = point(published, cases[1])
    again = deep(published, family, cases[1]).operations - dict(kept)[most].operations
    return fit(
        kept=kept,
        recomputed=counted(recomputed, few),
        wide=counted(recomputed, few, precision="float32"),
        drawn=drawn,
        again=again / dict(drawn)[most].operations,
    )


def deep(published: Published, family: Any, case: Case, *, keep: bool = False) -> Counted:
    """`count` of the whole denoiser, from one with a block of each kind and those with one more: blocks are alike."""
    first = count(published.shallow(), family, case, keep=keep)
    found = {field.name: getattr(first, field.name) for field in fields(first)}
    for times, added in published.more:
        second = count(published.shallow(added), family, case, keep=keep)
        for name in found:
            found[name] += times * (getattr(second, name) - getattr(first, name))
    return Counted(**found)


def recomputed(published: Published, family: Any, case: Case) -> Counted:
    """What a checkpointed step needs: what all blocks keep, and what one of each kind needs beside while going back.

    Taken apart since fake tensors of blocks that are done are let go late, which adds up over many of them.
    """
    kept = deep(published, family, replace(case, backward=False), keep=True)
    alone = count(published.shallow(), family, case)
    return replace(kept, peak=kept.saved + alone.peak - alone.saved)


def point(published: Published, case: Case) -> Point:
    """What of a case the laws depend on."""
    cells = sum((side // published.cell) ** 2 for side in (case.side, *case.references))
    return Point(case.batch, cells, case.text, case.rank)


def main(arguments: list[str]) -> None:
    """Count the published bases named (all without names) and write their laws beside this file."""
    for name in arguments or [name for name in PUBLISHED if tree_of(name) == name]:
        found = laws(name, PUBLISHED[name], lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201
        durable.write_json(Path(__file__).with_name(f"{name}.json"), found.as_json())


if __name__ == "__main__":
    main(sys.argv[1:])
