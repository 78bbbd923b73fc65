"""A new adapter file out of hand: by a dialect's names, read back, with a certificate beside it and told in words."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from portraitist import durable, tensorfile
from portraitist.adapters import content, dialects, trees
from portraitist.adapters.fused import Parts
from portraitist.adapters.layered import Layer, certified
from portraitist.adapters.understanding import kept, singles
from portraitist.errors import PortraitistError

RANKS = ("ss_network_dim", "ss_network_alpha")
HASHES = ("sshs_model_hash", "modelspec.hash_sha256")


@dataclass(frozen=True, slots=True)
class Handed:
    """A new adapter file.

    layers       that have factors; `ranks` are the fewest and the most of one
    kept         share of the change's energy (the sum of its entries' squares) that it holds
    worst        the five layers that lose most
    certificate  the file that says it of every layer
    """

    file: str
    family: str
    dialect: str
    layers: int
    ranks: str
    kept: float
    worst: dict[str, str]
    certificate: str
    megabytes: float
    seconds: float


def handed(
    out: Path,
    parts: Mapping[str, Parts],
    layers: Sequence[Layer],
    family: str,
    to: str,
    metadata: Mapping[str, str],
    began: float,
) -> Handed:
    """Write parts by canonical modules as a file, verified by reading it.

    layers    what became of each; empty where nothing was factored anew, and there is nothing to certify
    to        the dialect; "" is the family's safest for ComfyUI
    began     when the work did, by time.monotonic
    Raises PortraitistError for values that are not finite or all zero, and for what the dialect has no name for.
    """
    dialect = dialects.get(family, to)
    named = content.write(singles(parts), dialect, trees.shapes(family))
    if wild := next((name for name, tensor in named.items() if not bool(torch.isfinite(tensor).all())), ""):
        raise PortraitistError(f"{wild} would not be finite", "Choose --dtype bfloat16 or float32.")
    ranks = [len(part["down"]) for part in parts.values() if "down" in part]
    if not any(bool(tensor.any()) for name, tensor in named.items() if not name.endswith(".alpha")):
        raise PortraitistError("The new adapter would change nothing", "See that the weights do not cancel out.")
    true = {key: value for key, value in kept(metadata).items() if key not in HASHES}
    true |= {key: str(max(ranks)) for key in RANKS if key in true and ranks}
    tensorfile.write(out, named, true)
    tensorfile.confirm(out, named, true)
    certificate = out.with_suffix(".certificate.json")
    if layers:
        facts = {"format": 1, "file": out.name, "layers": [certified(layer) for layer in layers]}
        durable.write_json(certificate, facts)
    energy = sum(layer.energy for layer in layers)
    worst = sorted(layers, key=lambda layer: layer.kept)[:5]
    few, most = min(ranks, default=0), max(ranks, default=0)
    return Handed(
        file=str(out),
        family=family,
        dialect=dialect.name,
        layers=len(ranks),
        ranks=str(most) if few == most else f"{few} to {most}",
        kept=round(1 - sum(layer.left for layer in layers) / energy, 6) if energy else 1.0,
        worst={layer.module: f"{layer.kept:.1%} held at rank {layer.rank}" for layer in worst},
        certificate=str(certificate) if layers else "",
        megabytes=round(out.stat().st_size / 1e6, 3),
        seconds=round(time.monotonic() - began, 1),
    )
