"""Steps of weights that are held in bfloat16: each computed in float32, and rounded up or down by chance.

A bfloat16 number has eight bits: one next to 1 is 0.4 % away, and a step of a rate like 4e-6 rounded to the nearest
would be lost every time. Rounded up with the probability of the part that is cut off, the weight is on average what it
would have been (arXiv 1502.02551, 2.2.2). The chance is counted (decision 003): a function of seed, weight and step.

Libraries have this inside single optimisers, drawing from the global generator: torchao in its own AdamW, none in
Adafactor. Here it stands around any optimiser that treats its parameters one by one.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from portraitist.dataset.draws import number


def rounded(values: Tensor, generator: torch.Generator) -> Tensor:
    """float32 values as bfloat16, each one of its two neighbours, so that the expectation over draws is the value.

    The sixteen bits that bfloat16 lacks get a uniform number of sixteen bits added, which carries into those it keeps
    as often as they say; infinities are beyond this.
    """
    bits = values.contiguous().view(torch.int32)
    chance = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, device=bits.device, generator=generator)
    return chance.add_(bits).bitwise_and_(-1 << 16).view(torch.float32).to(torch.bfloat16)


@torch.no_grad()
def step(optimiser: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], seed: int, count: int) -> None:
    """One step of an optimiser that has a group for each parameter, in their order; `count` steps were taken before.

    Parameters in bfloat16 are widened one at a time: what it takes beside the weights is a copy of the largest.
    """
    groups = optimiser.param_groups
    try:
        for (name, parameter), group in zip(parameters.items(), groups, strict=True):
            optimiser.param_groups = [group]
            if parameter.dtype != torch.bfloat16 or parameter.grad is None:
                optimiser.step()
                continue
            held, gradient = parameter.data, parameter.grad
            parameter.grad = None
            parameter.data = held.float()
            parameter.grad = gradient.float()
            optimiser.step()
            draws = torch.Generator(held.device).manual_seed(number(seed, f"rounding {name}", count))
            held.copy_(rounded(parameter.data, draws))
            parameter.grad = None
            parameter.data = held
    finally:
        optimiser.param_groups = groups
