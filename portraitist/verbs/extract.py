"""extract: what fine-tuning changed, as a LoRA: of a run that trained the whole denoiser, or of two models at hand."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tomli_w

from portraitist import durable, families, runs, tensorfile
from portraitist.adapters.ranks import USUAL, Ranks
from portraitist.crew import cores
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Factored, Finished, Started, ignore
from portraitist.project import Project
from portraitist.sections import Adapter

if TYPE_CHECKING:
    from portraitist.adapters.extract import Asked, Extracted, Kohya, Part
    from portraitist.bases.stored import Stored

ENCODERS = {"sdxl": {"text_encoder": "clip_l.text_model.", "text_encoder_2": "clip_g."}}
"""Text encoders that are compared too where both models have them, and how canonical names of their modules begin."""

EXACTLY = 10_000_000
"""Numbers that the layers outside a denoiser's blocks may have in all to be carried as they are, and not by factors."""


@dataclass(frozen=True, slots=True)
class How:
    """What a person may say of how a LoRA is taken out.

    ranks    how many each layer gets
    method   "auto", "exact" or "fast", see `adapters.factoring`
    dtype    of the factors in a file; a run's are float32, as while training
    device   a recipe's word
    workers  threads side by side; 0 is one a core
    rest     whether a file carries biases, norms and what lies outside the blocks as they are, for ComfyUI to read
    kohya    whether it does as sd-scripts' script; then a clamp, and the difference from which on text encoders count
    """

    ranks: Ranks = field(default_factory=Ranks)
    method: Literal["auto", "exact", "fast"] = "auto"
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"
    device: str = "auto"
    workers: int = 0
    rest: bool = True
    kohya: bool = False
    clamp: float = 0.99
    least: float = 0.01


PLAIN = How()


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """The adapter, and how much of the change it holds.

    file         its path
    run          the run that it is a checkpoint of; "" for a file
    rank         the most of one layer; `ranks` tells the fewest and the most where they differ
    layers       that it is on
    kept         share of the whole change's energy (the sum of squares) that it holds; `beside` of it is in biases,
                 norms and the like of which it holds nothing
    carried      share of the energy in differences that are carried as they are
    checked      layers whose factors were held against the best there are; `excess` is by how much the worst errs more
    worst        the five layers that lose most, by the share of their energy that is held
    certificate  the file that says of every layer what its factors hold
    """

    file: str
    run: str
    step: int
    rank: int
    ranks: str
    layers: int
    kept: float
    beside: float
    carried: float
    checked: int
    excess: float
    worst: dict[str, str]
    certificate: str
    megabytes: float
    seconds: float
    warning: str = ""


def extract(project: Project, run: str = "", step: int = 0, how: How = PLAIN, emit: Emit = ignore) -> ExtractResult:
    """A LoRA of a run that trained the whole denoiser (the newest without a name), as a run of its own beside it.

    step  the checkpoint; 0 takes the chosen one, else the newest
    The new run is named after the old one and the ranks, and holds one checkpoint like any other: it is judged, chosen
    and exported by the same commands with --run. Raises PortraitistError for a run of another kind, a damaged
    checkpoint, and a base that is not the run's.
    """
    from portraitist.adapters import extract, files
    from portraitist.bases.stored import stored

    began = time.monotonic()
    how.ranks.check()
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
    base = families.pair(recipe.model)[1]
    if found.locked().get("base") != base.digest:
        raise PortraitistError(
            f"Run {found.name} was trained on another base than the one at hand", "Set model.base to that one."
        )
    tensors, metadata = files.read(source)
    tuned = extract.Held({name.removeprefix(tensorfile.WHOLE): tensor for name, tensor in tensors.items()})
    part = next(name for name in families.DENOISERS if base.place(name).exists())
    before = stored(base.place(part), recipe.model.family, part)
    refuse_strangers(tuned.shapes, before.shapes)
    got = taken_out([extract.Part(tuned, before, before.layers)], how, "float32", emit)
    new = runs.RunFolder(found.path.with_name(f"{found.name}-lora{word(how.ranks)}"))
    path = new.checkpoint(taken) / source.name
    targets = tuple(layer.module for layer in got.layers)
    adapter = Adapter(kind="lora", rank=max(x.rank for x in got.layers), modules="family", targets=targets)
    with durable.lock(new.path):
        locked = recipe.model_copy(update={"adapter": adapter, "why": f"extracted from {found.name}, step {taken}"})
        durable.write_text(new.lock, locked.to_toml() + "\n" + tomli_w.dumps({"lock": found.locked()}))
        files.write(path, got.tensors, {**metadata, "kind": "lora"})
        facts = {"format": 1, "step": taken, "record": 0, "files": {path.name: durable.digest(path)}}
        durable.write_json(path.with_name("manifest.json"), facts)
    return result(path, new.name, taken, got, new.path / "certificate.json", began, emit)


def extract_files(
    tuned: Path,
    base: Path,
    out: Path,
    family: str,
    how: How = PLAIN,
    overwrite: bool = False,
    emit: Emit = ignore,
) -> ExtractResult:
    """A LoRA file, by ComfyUI's names, of a fine-tuned model and the base it came from.

    tuned, base  each a folder in diffusers' layout or a publisher's file, as `model.base` takes them; they may hold the
                 denoiser alone, and 8-bit floats
    Text encoders of SDXL are compared too where both have them. Neither model is ever in memory as a whole.
    """
    from portraitist.adapters import extract, files
    from portraitist.bases.stored import stored

    began = time.monotonic()
    how.ranks.check()
    if how.kohya and how.ranks.chosen:
        raise PortraitistError(
            "--like-kohya knows no singular values that ranks could be chosen by", "Leave out --energy and --size."
        )
    files.refuse_place(out, overwrite)
    kind = families.get(family)
    part = next((name for name in families.DENOISERS if families.located(base, family, name)), families.DENOISERS[0])
    parts = []
    for name, prefix in {part: "", **ENCODERS.get(family, {})}.items():
        places = families.located(tuned, family, name), families.located(base, family, name)
        if None in places and prefix:
            continue  # a text encoder that one of them does not bring
        if places[0] is None or places[1] is None:
            raise PortraitistError(
                f"{tuned if places[0] is None else base} has no {name} of {family}",
                "Name the model's own file or folder.",
            )
        after, before = (stored(place, family, name) for place in places if place is not None)
        refuse_strangers(after.shapes, before.shapes)
        layers = before.layers if not prefix else {m: s for m, s in before.layers.items() if ".layers." in m}
        if how.kohya and not prefix:
            layers = theirs(family, layers, how.ranks)
        exact = frozenset(carried(family, before)) if how.rest and not how.kohya and not prefix else frozenset()
        parts.append(extract.Part(after, before, layers, prefix, exact))
    got = taken_out(parts, how, how.dtype, emit)
    rank = max(layer.rank for layer in got.layers)
    told = {"ss_network_module": "networks.lora", "ss_network_dim": str(rank), "ss_network_alpha": str(rank)}
    named = files.to_comfy(got.tensors, kind) | {
        carried_as(family, name.rpartition(".")[0]) + "." + name.rpartition(".")[2]: tensor
        for name, tensor in got.differences.items()
    }
    told = {"format": "1", "portraitist.family": family, **told}
    files.write(out, named, told)
    tensorfile.confirm(out, named, told)
    return result(out, "", 0, got, out.with_suffix(".certificate.json"), began, emit)


def refuse_strangers(tuned: Mapping[str, tuple[int, ...]], base: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse two models that are not of one make."""
    if strange := sorted(name for name in base.keys() | tuned.keys() if base.get(name) != tuned.get(name)):
        raise PortraitistError(
            f"The two models differ in their layers: {strange[0]} is absent in one, or of another shape",
            "Give the base that the tuned one came from.",
        )


def carried(family: str, base: "Stored") -> Iterator[str]:
    """The parameters whose differences ComfyUI reads as they are: biases and norms, and the layers outside the blocks
    where these are small, as SDXL's six are that kohya's and LyCORIS' extraction leave out."""
    from portraitist.adapters import modules

    if family not in modules.SETS or family == "mini":
        return
    blocks = "locon" if "locon" in modules.SETS[family] else "blocks"
    inside = modules.reached(Adapter(modules=blocks), family, ())
    outside = {module for module, shape in base.layers.items() if not inside(module, len(shape))}
    small = sum(prod(base.layers[module]) for module in outside) <= EXACTLY
    for name in base.shapes:
        module, _, leaf = name.rpartition(".")
        factored = leaf == "weight" and module in base.layers and not (small and module in outside)
        if leaf in ("weight", "bias") and not factored and carried_as(family, module):
            yield name


def carried_as(family: str, module: str) -> str:
    """The name by which ComfyUI reads a module's own difference: one that stands for a whole weight; "" for none."""
    from portraitist.adapters import dialects

    tree = dialects.tree_of(family)
    native, safest = dialects.get(tree, "comfyui"), dialects.get(tree)
    place = native.place(module)
    if place is None or place.parts > 1 or place.swapped:
        return ""
    row = safest if safest.layout is native.layout else native
    found = row.place(module)
    return found.name if found else ""


def theirs(family: str, layers: Mapping[str, tuple[int, ...]], ranks: Ranks) -> dict[str, tuple[int, ...]]:
    """The layers that sd-scripts' script looks at: larger convolutions only where these have a rank of their own."""
    from portraitist.adapters import modules

    wanted = ("locon" if ranks.convolution else "attention-mlp") if family == "sdxl" else "blocks"
    inside = modules.reached(Adapter(modules=wanted), family, ())
    return {module: shape for module, shape in layers.items() if inside(module, len(shape))}


def taken_out(parts: "list[Part]", how: How, dtype: str, emit: Emit) -> "Extracted":
    """What was extracted of the parts of two models, told as it goes."""
    import torch

    from portraitist.adapters import extract
    from portraitist.learn import memory

    if not 0 < how.clamp <= 1:
        raise PortraitistError(f"--clamp {how.clamp:g} is no quantile", "Say one above 0 and up to 1, such as 0.99.")
    device = memory.place(how.device)
    device = torch.device("cpu") if device.type == "mps" else device  # which has no float64
    kohya: Kohya | None = extract.Kohya(how.clamp, how.least) if how.kohya else None
    workers = how.workers or (cores() if device.type == "cpu" else 1)
    asked: Asked = extract.Asked(how.ranks, how.method, getattr(torch, dtype), device, workers, kohya)
    emit(Started(verb="extract", total=sum(len(part.base.shapes) for part in parts)))
    return extract.extract(parts, asked, lambda name, done, of: emit(Factored(what="layers", done=done, total=of)))


def word(ranks: Ranks) -> str:
    """The end of a run's name, by what chose the ranks."""
    if ranks.energy:
        return f"-e{ranks.energy * 100:g}".replace(".", "_")
    return f"-s{ranks.size:g}".replace(".", "_") if ranks.size else str(ranks.linear or USUAL)


def chosen(run: runs.RunFolder) -> int:
    """The step that a run's choice names; 0 for none, and for one that is not there any more."""
    choice = run.chosen()
    return choice.step if choice and choice.step in run.steps() else 0


def result(
    path: Path, run: str, step: int, got: "Extracted", certificate: Path, began: float, emit: Emit
) -> ExtractResult:
    """What is told of it; the certificate is written."""
    from portraitist.adapters.layered import certified

    durable.write_json(
        certificate, {"format": 1, "file": path.name, "layers": [certified(layer) for layer in got.layers]}
    )
    worst = sorted(got.layers, key=lambda layer: layer.kept)[:5]
    checked = [layer.excess for layer in got.layers if layer.excess is not None]
    few, most = min(layer.rank for layer in got.layers), max(layer.rank for layer in got.layers)
    seconds = round(time.monotonic() - began, 1)
    emit(Finished(verb="extract", seconds=seconds, facts={"layers": len(got.layers)}))
    return ExtractResult(
        file=str(path),
        run=run,
        step=step,
        rank=most,
        ranks=str(most) if few == most else f"{few} to {most}",
        layers=len(got.layers),
        kept=round(got.kept, 6),
        beside=round(got.beside / got.energy, 6),
        carried=round(got.carried / got.energy, 6),
        checked=len(checked),
        excess=round(max([0.0, *checked]), 6),
        worst={layer.module: f"{layer.kept:.1%} held at rank {layer.rank}" for layer in worst},
        certificate=str(certificate),
        megabytes=round(path.stat().st_size / 1e6, 3),
        seconds=seconds,
        warning=f"{got.capped} layers hold less than asked with the most ranks: raise --rank" if got.capped else "",
    )
