"""Weights of the embedded base on disk, in diffusers' layout: bfloat16 safetensors in shards, an index, a config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from portraitist import durable

SHARD = 12_000_000
DIFFUSERS, TRANSFORMERS = "diffusion_pytorch_model", "model"
"""What the two libraries call a file of weights."""


def store(folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], stem: str = TRANSFORMERS) -> None:
    """Write tensors, floating ones as bfloat16, in shards of at most `SHARD` bytes, and config.json; old shards go."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name in sorted(tensors):
        value = tensors[name].detach().cpu()
        value = (value.bfloat16() if value.is_floating_point() else value).clone().contiguous()
        if shards[-1] and size + value.nbytes > SHARD:
            shards.append({})
            size = 0
        shards[-1][name], size = value, size + value.nbytes
    for path in [*folder.glob("*.safetensors"), *folder.glob("*.index.json")]:
        durable.remove(path)
    count = len(shards)
    places: dict[str, str] = {}
    for i, shard in enumerate(shards):
        file = f"{stem}.safetensors" if count == 1 else f"{stem}-{i + 1:05d}-of-{count:05d}.safetensors"
        data = safetensors.torch.save(shard, metadata={"format": "pt"})
        durable.write_bytes(folder / file, durable.sorted_header(data))
        places |= dict.fromkeys(shard, file)
    if count > 1:
        whole = sum(value.nbytes for shard in shards for value in shard.values())
        index = {"metadata": {"total_size": whole}, "weight_map": places}
        durable.write_json(folder / f"{stem}.safetensors.index.json", index)
    durable.write_json(folder / "config.json", dict(config))
