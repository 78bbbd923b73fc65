"""Muon for many small matrices: those of one shape are made orthogonal together.

The same steps as `torch.optim.Muon` with `adjust_lr_fn="original"` (Jordan 2024, kellerjordan.github.io/posts/muon),
which takes matrices one by one and so waits for some 1,700 small operations a step of the embedded base.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

A, B, C = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """Momentum (Nesterov's), made orthogonal by `ns_steps` of Newton and Schulz in bfloat16; decay apart from it."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float, ns_steps: int
    ) -> None:
        shapes: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in params:
            shapes.setdefault(parameter.shape, []).append(parameter)
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "ns_steps": ns_steps}
        super().__init__([{"params": alike} for alike in shapes.values()], settings)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # nobody asks for the loss again
        """One step of all parameters that have a gradient, which must be the same ones in every step."""
        for group in self.param_groups:
            given: list[nn.Parameter] = [p for p in group["params"] if p.grad is not None]
            gradient = torch.stack([p.grad for p in given if p.grad is not None])
            held = self.state[given[0]].setdefault("momentum", torch.zeros_like(gradient))
            held.lerp_(gradient, 1 - group["momentum"])
            update = orthogonal(gradient.lerp(held, group["momentum"]), group["ns_steps"])
            rows, columns = given[0].shape
            rate = group["lr"] * max(1, rows / columns) ** 0.5
            torch._foreach_mul_([p.data for p in given], 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_([p.data for p in given], list(update.to(given[0].dtype).unbind()), alpha=-rate)


def orthogonal(matrices: Tensor, steps: int) -> Tensor:
    """(N, rows, columns) to bfloat16 matrices of the same shape, their singular values near 1."""
    found = matrices.bfloat16()
    tall = found.shape[1] > found.shape[2]
    found = found.mT if tall else found
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(steps):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), found, beta=A)
    return found.mT if tall else found
