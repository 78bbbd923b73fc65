"""Weights in 3 and 2 bits: groups of 64 numbers of a row, each with its own step and least value.

A group's numbers become the nearest of 8 or 4 evenly spaced levels. Where these lie is found by a short search for the
least squared error: five ranges from the group's whole one down to 0.6 of it, then twice the line that fits the chosen
levels best (least squares), after which numbers choose again. On normal numbers that leaves a root mean square error of
17.0 % in 3 bits and 32.5 % in 2, where the whole range leaves 19.2 % and 45 %; twenty ranges and eight fits would leave
16.8 % and 32.3 %. What is left is given back by a recovery adapter (`learn.recovery`).

Levels are packed four to a byte; of 3 bits the upper one lies after them, eight to a byte.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

BITS = {"int3": 3, "int2": 2}
GROUP = 64
RANGES = (1.0, 0.9, 0.8, 0.7, 0.6)
FITS = 2
LEAST = 1e-12  # the step of a group whose numbers are all the same
PIECE = 2**18  # numbers that are rounded at a time

ROUNDING = "1"
"""Raised whenever the same weight is rounded in another way than before: recovery adapters are made for one way."""


def rounded(weight: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """A weight (out, in) in so many bits.

    returns  levels (out, groups, 8 * bits), packed in bytes; step and least value (out, groups, 1), bfloat16. A last
             group that is not full is filled up with its row's last number.
    """
    width = -(-weight.shape[1] // GROUP) * GROUP
    groups = width // GROUP
    packed = torch.empty(len(weight), groups, 8 * bits, dtype=torch.uint8, device=weight.device)
    step = torch.empty(len(weight), groups, 1, dtype=torch.bfloat16, device=weight.device)
    least = torch.empty_like(step)
    rows = max(1, PIECE // width)
    for first in range(0, len(weight), rows):
        part = slice(first, first + rows)
        wide = weight[part].float()
        wide = pad(wide, (0, width - weight.shape[1]), mode="replicate") if width > weight.shape[1] else wide
        levels, step[part], least[part] = nearest(wide.view(-1, groups, GROUP), bits)
        packed[part] = folded(levels, bits)
    return packed, step, least


def restored(columns: int, dtype: torch.dtype, packed: Tensor, step: Tensor, least: Tensor) -> Tensor:
    """The weight (out, columns) that was rounded, in a type."""
    found = unfolded(packed).to(dtype).mul_(step).add_(least)
    return found.flatten(1)[:, :columns]


def nearest(groups: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """The levels (..., 64) of groups of numbers, uint8, and the step and least value (..., 1) of each, bfloat16."""
    top = 2**bits - 1
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    step, least, error = low, low, torch.full_like(low, torch.inf)
    for share in RANGES:
        new, start = (high - low) * share / top, low * share
        off = chosen(groups, new, start, top).mul_(new).add_(start).sub_(groups)
        left = off.square_().sum(-1, keepdim=True)
        better = left < error
        step, least = torch.where(better, new, step), torch.where(better, start, least)
        error = torch.where(better, left, error)
    mean = groups.mean(-1, keepdim=True)
    for _ in range(FITS):
        levels = chosen(groups, step, least, top)
        middle = levels.mean(-1, keepdim=True)
        centred = levels.sub_(middle)
        spread = centred.square().sum(-1, keepdim=True)
        slope = (centred * groups).sum(-1, keepdim=True) / spread
        step = torch.where(spread > 0, slope, step)
        least = mean - step * middle
    step, least = step.clamp_min(LEAST).bfloat16(), least.bfloat16()
    return chosen(groups, step.float(), least.float(), top).to(torch.uint8), step, least


def chosen(groups: Tensor, step: Tensor, least: Tensor, top: int) -> Tensor:
    """The level of each number, 0 to `top`, in its own type."""
    return (groups - least).div_(step.clamp_min(LEAST)).round_().clamp_(0, top)


def folded(levels: Tensor, bits: int) -> Tensor:
    """Levels (..., 64) of 2 or 3 bits in bytes (..., 16 or 24)."""
    low = together(levels & 3, 2)
    return low if bits == 2 else torch.cat([low, together(levels >> 2, 1)], -1)


def unfolded(packed: Tensor) -> Tensor:
    """The levels (..., 64) in bytes (..., 16 or 24)."""
    low = apart(packed[..., : GROUP // 4], 2)
    if packed.shape[-1] == GROUP // 4:
        return low
    return low.bitwise_or_(apart(packed[..., GROUP // 4 :], 1).bitwise_left_shift_(2))


def together(levels: Tensor, bits: int) -> Tensor:
    """Numbers of 1 or 2 bits in bytes, the first in the lowest bits."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=levels.device)
    return (levels.reshape(*levels.shape[:-1], -1, 8 // bits) << shifts).sum(-1, dtype=torch.uint8)


def apart(packed: Tensor, bits: int) -> Tensor:
    """The numbers in bytes, back."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=packed.device)
    return (packed.unsqueeze(-1) >> shifts).bitwise_and_(2**bits - 1).flatten(-2)
