"""export: the chosen checkpoint as one file that ComfyUI loads completely, with what a user has to know inside it."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist import durable, families, provenance, runs
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Started, ignore
from portraitist.judge import settings
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.registry import said

if TYPE_CHECKING:
    from torch import Tensor

    from portraitist.deploy.handed import Handed, Judged, Target
    from portraitist.family import Family

ARCHITECTURES = {
    "sdxl": "stable-diffusion-xl-v1-base",
    "flux": "flux-1-dev",
    "qwen-image": "Qwen-Image",
    "qwen-image-edit": "Qwen-Image-Edit",
}
"""ModelSpec 1.0.1 names, by family; another family goes by its own."""

VERSIONS = {"sdxl": "sdxl_base_v1-0", "flux": "flux1", "qwen-image": "qwen_image", "qwen-image-edit": "qwen_image_edit"}
"""What kohya's readers, and A1111 after them, tell bases apart by (`ss_base_model_version`)."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The file that is handed out, and how to use it.

    card       the model card beside it: what it is, whose likeness, what was measured, what is not known
    lora       its path; of a whole denoiser the model's
    trigger    the word that calls the character
    strength   the recommended one; in a whole denoiser it is folded in
    run, step  which checkpoint of which run it is
    chosen_by  measures, votes, or person
    modules    layers it changes; of a whole denoiser its tensors
    megabytes  of the file, 1e6 bytes
    beside     what else was written, by its path in the same folder
    """

    lora: str
    trigger: str
    strength: float
    run: str
    step: int
    chosen_by: str
    modules: int
    megabytes: float
    beside: tuple[str, ...] = ()
    card: str = ""


def export(project: Project, run: str = "", emit: Emit = ignore, to: "Target | None" = None) -> ExportResult:
    """Write the chosen adapter of a run (the newest one without a name) below `exports/`, with its card.

    The weights are those that were judged, unrounded; strength is told, not folded in. The file is read back and
    compared before it is named. A whole denoiser is written as a model by its publisher's names, at the chosen
    strength, for a model has none of its own.

    to  what writes more beside the file, for a program or a place that it goes to (portraitist.deploy); None writes
        the file alone
    Raises PortraitistError without consent, without a choice, when the checkpoint is damaged, for what `to` refuses,
    and when the disk refuses.
    """
    from portraitist.adapters import files

    began = time.monotonic()
    project.require_consent()
    folder = runs.find(project, run)
    choice = folder.chosen()
    if choice is None:
        remedy = f"Run: portraitist choose {project.folder} --run {folder.name}"
        raise PortraitistError(f"Nothing has been chosen from run {folder.name}", remedy)
    step, strength = choice.step, choice.strength
    source, recipe = folder.adapter(step), folder.recipe()
    if problem := folder.damage(step):
        raise PortraitistError(
            f"Checkpoint {step} of {folder.name} cannot be exported: {problem}",
            f"Run: portraitist choose {project.folder}, or train again.",
        )
    family = families.get(recipe.model.family)
    tensors, _ = files.read(source)
    target = destination(project, folder, recipe)
    facts = metadata(project, folder, recipe, family, choice)
    rest = to.plan(handed(project, folder, recipe, family, choice, target, emit)) if to else list
    emit(Started(verb="export", total=1))
    with durable.lock(target.parent):
        durable.sweep(target.parent)
        if recipe.adapter.kind == "full":
            modules = write_model(target, recipe, tensors, strength, facts)
        else:
            modules = write_adapter(target, family, tensors, facts)
        card = write_card(project, folder, target, choice)
        beside = rest()
    emit(Finished(verb="export", seconds=time.monotonic() - began, facts={"step": step, "strength": strength}))
    size = target.stat().st_size / 1e6
    return ExportResult(
        str(target), project.facts.trigger, strength, folder.name, step, choice.by, modules, round(size, 3),
        tuple(path.relative_to(target.parent).as_posix() for path in beside), str(card),
    )  # fmt: skip


def handed(
    project: Project, folder: runs.RunFolder, recipe: Recipe, family: "Family", choice: runs.Choice, lora: Path,
    emit: Emit,
) -> "Handed":  # fmt: skip
    """What is known of a file before it is written, for whoever writes more beside it."""
    from portraitist.adapters import files
    from portraitist.deploy.graphs.setting import shifted
    from portraitist.deploy.handed import Handed

    profile, judging = family.profile, settings.read(folder)
    steps = judging.sampling_steps or profile.sampling_steps
    side = (recipe.data.resolution or profile.resolution) // family.pixel_multiple * family.pixel_multiple

    def another(step: int, path: Path) -> None:
        facts = metadata(project, folder, recipe, family, replace(choice, step=step))
        write_adapter(path, family, files.read(folder.adapter(step))[0], facts)

    return Handed(
        project=project,
        run=folder,
        recipe=recipe.model_copy(update={"judging": judging}),
        profile=profile,
        choice=choice,
        lora=lora,
        trigger=project.facts.trigger,
        guidance=choice.guidance or judging.guidance or profile.guidance,
        steps=steps,
        side=side,
        shift=shifted(family, steps, side),
        pictures=judged(project, folder),
        another=another,
        emit=emit,
    )


def write_card(project: Project, folder: runs.RunFolder, target: Path, choice: runs.Choice) -> Path:
    """Write the model card beside an exported file; returns its place."""
    from portraitist.bases.places import hub_id
    from portraitist.judge import card, dossier

    found = dossier.gather(project, folder.name)
    path = target.with_name("card.md")
    durable.write_text(path, card.text(found, choice, hub_id(found.recipe.model.base)))
    return path


def judged(project: Project, folder: runs.RunFolder) -> "list[Judged]":
    """The judged pictures of a run's choice that are there, the likest first."""
    from portraitist.deploy.handed import Judged
    from portraitist.judge import dossier

    found = dossier.gather(project, folder.name).chosen()
    pictures = [
        Judged(folder.path / one.path, one.text, one.seed, one.scores.get("likeness", 0.0))
        for one in (found[0].pictures if found else ())
        if (folder.path / one.path).is_file()
    ]
    return sorted(pictures, key=lambda one: -one.likeness)


def write_adapter(path: Path, family: "Family", tensors: "Mapping[str, Tensor]", facts: Mapping[str, str]) -> int:
    """Write an adapter by ComfyUI's names and read it back; returns how many layers it changes."""
    from portraitist.adapters import files

    named = {name: tensor.contiguous() for name, tensor in files.to_comfy(tensors, family).items()}
    files.write(path, named, {**facts, **files.hashes(files.packed(named, {}))})
    verify(path, tensors, family)
    return len({name.rpartition(".alpha")[0] for name in named if name.endswith(".alpha")})


def write_model(
    path: Path, recipe: Recipe, tensors: "Mapping[str, Tensor]", strength: float, facts: Mapping[str, str]
) -> int:
    """Write a whole denoiser at a strength, tensor by tensor, and read it back; returns how many tensors it has.

    What an SDXL base predicts is said in the file, by the marks that ComfyUI and this package read.
    """
    import torch

    from portraitist import tensorfile
    from portraitist.adapters.inject import between
    from portraitist.bases import prediction, writing

    family, base = families.pair(recipe.model)
    names = {name.removeprefix(tensorfile.WHOLE): tensor for name, tensor in tensors.items()}
    own = dict(family.load_denoiser(base).named_parameters()) if strength != 1 else {}

    def planned(name: str, tuned: "Tensor") -> tensorfile.Planned:
        before = own[name].detach() if own else tuned
        return tensorfile.Planned(tuple(tuned.shape), tuned.dtype, lambda: between(before, tuned, strength))

    plans = writing.published(family.name, {name: planned(name, tensor) for name, tensor in names.items()})
    if said := getattr(family.process, "prediction", ""):
        facts = {**facts, prediction.KEY: said}
        marks = [prediction.V] * (said == "v") + [prediction.ZERO] * bool(getattr(family.process, "zero_snr", False))
        plans |= {mark: tensorfile.planned(torch.zeros(1)) for mark in marks}
    tensorfile.write(path, plans, facts)
    back = tensorfile.read(path)
    if back.keys() != plans.keys() or any(not torch.equal(back[name], plan.make()) for name, plan in plans.items()):
        raise unlike(path)
    return len(plans)


def destination(project: Project, folder: runs.RunFolder, recipe: Recipe) -> Path:
    """Where a run's adapter goes: the same place every time."""
    family, name = recipe.model.family, plain(project.facts.name)
    run = folder.name if folder.name.startswith(f"{family}-") else f"{family}-{folder.name}"
    return project.exports / f"{name}-{run}" / f"{plain(project.facts.trigger)}.safetensors"


def plain(name: str) -> str:
    """A name that every file system takes, and never empty, hidden or a way out of its folder."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:80] or "character"


def metadata(
    project: Project, folder: runs.RunFolder, recipe: Recipe, family: "Family", choice: runs.Choice
) -> dict[str, str]:
    """What is written into the file: ModelSpec for managers, `ss_*` for A1111 and kohya's tools, and where it is from.

    Nothing of when or where: no date, no path, no caption, no reason of a person. Equal exports are equal files.
    """
    step, strength = choice.step, choice.strength
    trigger, name, training = project.facts.trigger, family.name, recipe.training
    side, lora = recipe.data.resolution or family.profile.resolution, recipe.adapter.kind != "full"
    pictures = [p for p in project.read_manifest() if p.split == "train"] if project.manifest.is_file() else []
    guided = choice.guidance or settings.read(folder).guidance
    how = [*([f"strength {strength:g}"] if lora else []), *([f"guidance {guided:g}"] if guided else [])]
    architecture = ARCHITECTURES.get(name) or said(name, "architecture", name)
    found = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": architecture + ("/lora" if lora else ""),
        "modelspec.implementation": "https://github.com/huggingface/diffusers",
        "modelspec.title": project.facts.name,
        "modelspec.resolution": f"{side}x{side}",
        "modelspec.trigger_phrase": trigger,
        "modelspec.usage_hint": f"Put {trigger} into the prompt{''.join(f'; {word}' for word in how)}.",
        "modelspec.tags": "character",
        "trained_words": json.dumps([trigger], ensure_ascii=False),
        "ss_output_name": plain(trigger),
        "ss_base_model_version": VERSIONS.get(name) or said(name, "version", name),
        "ss_v2": "False",
        "ss_tag_frequency": json.dumps({plain(trigger): {trigger: len(pictures)}}, ensure_ascii=False),
        "ss_num_train_images": str(len(pictures)),
        "ss_resolution": f"({side}, {side})",
        "ss_steps": str(step),
        "ss_total_batch_size": str(recipe.pictures_per_step),
        "ss_learning_rate": repr(training.rate),
        "ss_lr_scheduler": training.schedule,
        "ss_optimizer": training.optimiser,
        "ss_seed": str(training.seed),
        "portraitist.family": name,
        "portraitist.base": str(folder.locked().get("base", "")),
        "portraitist.recipe": recipe.digest(),
        "portraitist.run": folder.name,
        "portraitist.step": str(step),
        "portraitist.strength": f"{strength:g}",
        "portraitist.chosen_by": choice.by,
    }
    if guided:
        found["portraitist.guidance"] = f"{guided:g}"
    found |= origins(project, [p.name for p in pictures])
    if begun := folder.locked().get("start"):
        found["portraitist.start"] = str(begun)
    if lora:
        found["ss_network_module"] = "networks.lora" if recipe.adapter.kind == "lora" else "lycoris.kohya"
        found["ss_network_dim"] = str(recipe.adapter.rank)
        found["ss_network_alpha"] = f"{recipe.adapter.alpha or recipe.adapter.rank:g}"
    if recipe.adapter.kind in ("loha", "lokr"):
        found["ss_network_args"] = json.dumps({"algo": recipe.adapter.kind})
    return found


def origins(project: Project, names: Sequence[str]) -> dict[str, str]:
    """Whose likeness it is, and where its pictures are from, as the ledger has it: no name of a person, no path."""
    real = "a real adult, with recorded consent" if project.facts.subject == "real" else "fictional"
    quoted = provenance.quoted(provenance.read(project.ledger), names)
    return {"portraitist.subject": real, **{f"portraitist.{name}": words for name, words in quoted.items()}}


def verify(path: Path, tensors: "Mapping[str, Tensor]", family: "Family") -> None:
    """Read an exported file back: it must hold the very adapter that was judged."""
    import torch

    from portraitist.adapters import files

    modules = {name.removesuffix(files.DOWN) for name in tensors if name.endswith(files.DOWN)}
    modules |= set(files.products(tensors))
    back = files.from_comfy(files.read(path)[0], family, sorted(modules))
    if any(name not in back or not torch.equal(back[name], tensor) for name, tensor in tensors.items()):
        raise unlike(path)


def unlike(path: Path) -> PortraitistError:
    """Remove a file that is not what was written, and say so."""
    durable.remove(path)
    return PortraitistError(
        f"{path} did not read back as it was written, and was removed", "Check the disk, then run export again."
    )
