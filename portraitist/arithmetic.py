"""Which device and which precision a recipe's `auto` comes to here. Loads no torch for a card that is named."""

from functools import cache

AUTO = "auto"


def settled(precision: str, device: str) -> str:
    """The precision that is computed in: what `auto` comes to on a device, and any other word itself.

    That is bfloat16, which takes half the memory, and float32 on a CPU that would only imitate it.

    precision, device  words of a recipe
    """
    if precision != AUTO:
        return precision
    return "float32" if on_cpu(device) and not native() else "bfloat16"


def on_cpu(device: str) -> bool:
    """Whether a recipe's word for a device is the CPU here."""
    return (first() if device == AUTO else device).partition(":")[0] == "cpu"


def first() -> str:
    """What a recipe's `auto` comes to as a device: the first accelerator, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@cache
def native() -> bool:
    """Whether this CPU computes in bfloat16 itself, by kernels that torch has for it (oneDNN's).

    One that does not imitates it: on AVX2 a step took ten times as long (benchmarks/arithmetic.md).
    """
    import torch

    able = torch.cpu.get_capabilities()
    kernels: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return kernels and any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
