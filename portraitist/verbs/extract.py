"""extract: what fine-tuning changed, as a LoRA: of a run that trained the whole denoiser, or of two models at hand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from portraitist import durable, families, runs, tensorfile
from portraitist.errors import PortraitistError
from portraitist.project import Project
from portraitist.sections import Adapter, Model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from portraitist.adapters.extract import Extracted


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """The adapter, and how much of the change it holds.

    file    its path
    run     the run that it is a checkpoint of; "" for a file
    layers  that it is on
    kept    share of the whole change's energy (the sum of squares) that it holds; `beside` of it is in biases, norms
            and the like, which no LoRA holds
    worst   the five layers that lose most, by the share of their energy that is held
    each    every layer: module, rank, share held
    """

    file: str
    run: str
    step: int
    rank: int
    layers: int
    kept: float
    beside: float
    worst: dict[str, str]
    each: list[dict[str, Any]]
    megabytes: float


def extract(project: Project, run: str = "", step: int = 0, rank: int = 64) -> ExtractResult:
    """A LoRA of a run that trained the whole denoiser (the newest without a name), as a run of its own beside it.

    step  the checkpoint; 0 takes the chosen one, else the newest
    The new run is named after the old one and the rank, and holds one checkpoint like any other: it is judged, chosen
    and exported by the same commands with --run. Raises PortraitistError for a run of another kind, a damaged
    checkpoint, and a base that is not the run's.
    """
    from portraitist.adapters import files

    refuse_rank(rank)
    found = runs.find(project, run)
    recipe = found.recipe()
    if recipe.adapter.kind != "full":
        raise PortraitistError(
            f"Run {found.name} trained a {recipe.adapter.kind}, which is small already",
            "Name a run of kind full: --run",
        )
    taken = step or chosen(found) or max(found.steps(), default=0)
    source = found.adapter(taken)
    if problem := found.damage(taken):
        raise PortraitistError(f"Checkpoint {taken} of {found.name} is damaged: {problem}", "Name another: --step")
    family, base = families.pair(recipe.model)
    if found.locked().get("base") != base.digest:
        raise PortraitistError(
            f"Run {found.name} was trained on another base than the one at hand", "Set model.base to that one."
        )
    tensors, metadata = files.read(source)
    tuned = {name.removeprefix(tensorfile.WHOLE): tensor for name, tensor in tensors.items()}
    got = between(tuned, family.load_denoiser(base), rank)
    new = runs.RunFolder(found.path.with_name(f"{found.name}-lora{rank}"))
    path = new.checkpoint(taken) / source.name
    adapter = Adapter(kind="lora", rank=rank, modules="family", targets=tuple(layer.module for layer in got.layers))
    with durable.lock(new.path):
        locked = recipe.model_copy(update={"adapter": adapter, "why": f"extracted from {found.name}, step {taken}"})
        durable.write_text(new.lock, locked.to_toml() + "\n" + tomli_w.dumps({"lock": found.locked()}))
        files.write(path, got.tensors, {**metadata, "kind": "lora"})
        facts = {"format": 1, "step": taken, "record": 0, "files": {path.name: durable.digest(path)}}
        durable.write_json(path.with_name("manifest.json"), facts)
    return result(path, new.name, taken, rank, got)


def extract_files(
    tuned: Path, base: Path, out: Path, family: str, rank: int = 64, overwrite: bool = False
) -> ExtractResult:
    """A LoRA file, by ComfyUI's names, of a fine-tuned model and the base it came from.

    tuned, base  each a folder in diffusers' layout or a publisher's file, as `model.base` takes them
    """
    from portraitist.adapters import files

    refuse_rank(rank)
    if out.exists() and not overwrite:
        raise PortraitistError(f"{out} is there already", "Choose another name, or say --overwrite.")
    kind, here = families.pair(Model(family=family, base=str(base), precision="float32"))
    _, there = families.pair(Model(family=family, base=str(tuned), precision="float32"))
    names = dict(kind.load_denoiser(there).named_parameters())
    got = between(names, kind.load_denoiser(here), rank)
    told = {"ss_network_module": "networks.lora", "ss_network_dim": str(rank), "ss_network_alpha": str(rank)}
    files.write(out, files.to_comfy(got.tensors, kind), {"format": "1", "portraitist.family": family, **told})
    return result(out, "", 0, rank, got)


def between(tuned: "Mapping[str, Tensor]", denoiser: "nn.Module", rank: int) -> "Extracted":
    """What was extracted of tuned parameters against a base's denoiser."""
    from portraitist.adapters import extract, inject

    own = dict(denoiser.named_parameters())
    if strange := sorted(name for name in own.keys() | tuned.keys() if sizes(own, name) != sizes(tuned, name)):
        raise PortraitistError(
            f"The two models differ in their layers: {strange[0]} is absent in one, or of another shape",
            "Give the base that the tuned one came from.",
        )

    def pairs() -> "Iterator[tuple[str, Tensor, Tensor]]":
        for name, before in own.items():
            yield name, tuned[name].detach(), before.detach()

    return extract.extract(pairs(), inject.layers(denoiser), rank)


def sizes(tensors: "Mapping[str, Tensor]", name: str) -> tuple[int, ...] | None:
    """The shape of a named tensor; None where there is none."""
    return tuple(tensors[name].shape) if name in tensors else None


def chosen(run: runs.RunFolder) -> int:
    """The step that a run's choice names; 0 for none, and for one that is not there any more."""
    choice = run.chosen()
    return choice.step if choice and choice.step in run.steps() else 0


def refuse_rank(rank: int) -> None:
    """Refuse a rank that no adapter has."""
    if not 1 <= rank <= 1024:
        raise PortraitistError(f"--rank {rank} is not from 1 to 1024", "64 is usual for SDXL, 16 to 32 for the others.")


def result(path: Path, run: str, step: int, rank: int, got: "Extracted") -> ExtractResult:
    """What is told of it."""
    whole = sum(layer.energy for layer in got.layers) + got.beside
    worst = sorted(got.layers, key=lambda layer: layer.kept)[:5]
    return ExtractResult(
        file=str(path),
        run=run,
        step=step,
        rank=rank,
        layers=len(got.layers),
        kept=round(got.kept, 6),
        beside=round(got.beside / whole, 6),
        worst={layer.module: f"{layer.kept:.1%} held at rank {layer.rank}" for layer in worst},
        each=[{"module": x.module, "rank": x.rank, "kept": round(x.kept, 6)} for x in got.layers],
        megabytes=round(path.stat().st_size / 1e6, 3),
    )
