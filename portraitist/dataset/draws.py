"""Randomness by counter: a draw is a function of (seed, purpose, index), so no generator state is ever saved."""

import hashlib

import torch


def number(seed: int, purpose: str, index: int) -> int:
    """63 bits that look random and are a function of their words alone."""
    sha = hashlib.sha256(f"{seed}/{purpose}/{index}".encode())
    return int.from_bytes(sha.digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, index: int) -> torch.Generator:
    """A CPU generator for one draw: of a sample (by its global index) or of a step.

    On the CPU also when training elsewhere, so that every device sees the same numbers.
    """
    return torch.Generator().manual_seed(number(seed, purpose, index))
