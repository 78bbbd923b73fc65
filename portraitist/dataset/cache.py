"""Encoded samples and prompts by content, in and out of safetensors.

A key is a SHA-256 over the picture's content and everything else that decides the numbers, so a cached sample is
never wrong, only absent: a damaged or torn file counts as absent and is encoded again. What does not change the
numbers (weight, role, split, how much the background counts) is not in the key; it lies in the listing that `encode`
writes, or is taken from the recipe when samples are loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from portraitist import durable
from portraitist.dataset import references
from portraitist.dataset.captions import rendered
from portraitist.dataset.intake import weigh
from portraitist.errors import PortraitistError
from portraitist.family import Base, Family, Sample
from portraitist.pictures import Crop, Picture
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe

if TYPE_CHECKING:
    from portraitist.family import Conditions

FORMAT = 1
TEMPLATE = 1
"""Raised whenever captions are put to the encoder in another way than before."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One crop of a picture and the keys of what is cached of it.

    nouns  of each caption variant as the noun tells it, "" for one without the trigger; empty where none is needed
    """

    key: str
    crop: Crop
    nouns: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Of all that is cached of the crop."""
        return (self.key, *(key for key in self.nouns if key))


@dataclass(frozen=True, slots=True)
class Entry:
    """One crop of one picture as training and judging see it: its key, and what does not change its numbers.

    weight         exposures of this crop per pass, relative to others
    width, height  of the crop as trained, pixels
    nouns          keys of the conditions of its captions as the noun tells them, "" for one without the trigger
    """

    key: str
    picture: str
    set: str
    split: str
    role: str
    weight: int
    loss_weight: float
    width: int
    height: int
    nouns: tuple[str, ...] = ()


def sample_key(
    picture: str,
    family: str,
    base: Base,
    crop: Crop,
    captions: Sequence[str],
    references: Sequence[str] = (),
) -> str:
    """The content key of one crop of one picture.

    picture     SHA-256 of its upright pixels and alpha
    captions    every caption variant as the encoder gets it
    references  SHA-256 of each reference picture, in order
    """
    return key_of(
        kind="sample",
        picture=picture,
        family=family,
        base=base.digest,
        precision=base.precision,
        crop=asdict(crop),
        captions=list(captions),
        references=list(references),
    )


def prompt_key(family: str, base: Base, text: str, crop: Crop | None = None, references: Sequence[str] = ()) -> str:
    """The content key of a prompt's conditions."""
    return key_of(
        kind="prompt",
        family=family,
        base=base.digest,
        precision=base.precision,
        text=text,
        crop=None if crop is None else asdict(crop),
        references=list(references),
    )


def key_of(**parts: Any) -> str:
    """SHA-256 over named parts, the cache's format and the template's version."""
    words = json.dumps({"format": FORMAT, "template": TEMPLATE, **parts}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(words.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Cache:
    """The samples and prompts of one base in one folder, a safetensors file each."""

    folder: Path

    @classmethod
    def of(cls, project: Project, family: str, base: Base) -> Cache:
        """The project's cache for a base: `cache/<family>-<digest>`."""
        return cls(project.cache / f"{family}-{base.digest[:8]}")

    def path(self, key: str) -> Path:
        """Where a sample or prompt lies."""
        return self.folder / f"{key}.safetensors"

    def has(self, key: str) -> bool:
        """Whether the key is there and reads back whole."""
        return self.read(key) is not None

    def write(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Store named tensors with a checksum over names, types, shapes and bytes."""
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        metadata = {"format": str(FORMAT), "key": key, "sha256": checksum(whole)}
        durable.write_bytes(self.path(key), durable.sorted_header(safetensors.torch.save(whole, metadata=metadata)))

    def read(self, key: str) -> dict[str, Tensor] | None:
        """The named tensors of a key; None when absent, torn or damaged."""
        path = self.path(key)
        if not path.is_file():
            return None
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (safetensors.SafetensorError, OSError, ValueError):
            return None
        whole = metadata.get("key") == key and metadata.get("sha256") == checksum(tensors)
        return tensors if whole else None

    def write_sample(self, key: str, sample: Sample) -> None:
        """Store what of a sample depends on its content: latents, conditions, references, mask."""
        tensors: dict[str, Tensor] = {"latents": sample.latents.float()}
        for i, conditions in enumerate(sample.captions):
            tensors |= {f"caption.{i}.{name}": tensor for name, tensor in conditions.items()}
        tensors |= {f"empty.{name}": tensor for name, tensor in sample.empty.items()}
        tensors |= {f"reference.{i}": tensor.float() for i, tensor in enumerate(sample.references)}
        if sample.mask is not None:
            tensors["mask"] = sample.mask.float()
        # safetensors refuses tensors that share memory, which conditions of equal texts may do
        self.write(key, {name: tensor.clone() for name, tensor in tensors.items()})

    def read_sample(self, key: str) -> Sample:
        """The sample of a key, with the raw mask and neutral weights. Raises PortraitistError when it is absent."""
        tensors = self.read(key)
        if tensors is None or "latents" not in tensors:
            raise absent(self.folder)
        return Sample(
            key=key,
            latents=tensors["latents"],
            captions=tuple(numbered(tensors, "caption")),
            empty=named(tensors, "empty"),
            references=tuple(tensors[f"reference.{i}"] for i in range(count(tensors, "reference"))),
            mask=tensors.get("mask"),
        )

    def read_noun(self, key: str) -> Conditions | None:
        """The conditions of a caption as the noun tells it, None for "". Raises PortraitistError when absent."""
        found = self.read(key) if key else None
        if key and found is None:
            raise absent(self.folder)
        return found

    def write_prompt(self, key: str, conditions: Conditions) -> None:
        """Store the conditions of a prompt, without batch dimension."""
        self.write(key, {name: tensor.clone() for name, tensor in conditions.items()})

    def listing(self, facts: Facts, recipe: Recipe) -> Path:
        """Where the listing for a recipe's samples lies: recipes that cut and tell pictures alike share one."""
        cuts: dict[str, Any] = {name: getattr(recipe.data, name) for name in ("resolution", "aspect", "crops")}
        if recipe.training.preserve:
            cuts["noun"] = [facts.trigger, facts.noun]
        if recipe.references:
            cuts["references"] = [recipe.data.references, [(s.name, s.references) for s in recipe.data.sets]]
        return self.folder / f"samples-{key_of(**cuts)[:8]}.json"

    def write_index(
        self, project: Project, recipe: Recipe, pictures: Sequence[Picture], crops: Mapping[str, Sequence[Placed]]
    ) -> None:
        """Write the listing that training and judging read: per picture name the crops with their keys."""
        lines = [
            {"key": placed.key, "picture": name, "width": placed.crop.to_width, "height": placed.crop.to_height}
            | ({"nouns": placed.nouns} if placed.nouns else {})
            for name in sorted(crops)
            for placed in crops[name]
        ]
        value = {"format": FORMAT, "pictures": pictures_digest(pictures, project.facts.trigger), "samples": lines}
        stamps = references.stamps(project, recipe, pictures)
        durable.write_json(self.listing(project.facts, recipe), value | ({"references": stamps} if stamps else {}))


def load_index(project: Project, recipe: Recipe, base: Base) -> list[Entry]:
    """The crops that a recipe trains on and is judged by; weights and roles as the recipe now says.

    Ordered by what is in the pictures, and by nothing of the base: two bases see a project's samples in one order.
    Raises PortraitistError when nothing has been encoded for this base and these cuts, or when pictures, captions,
    the trigger in them or the split have changed since.
    """
    path = Cache.of(project, recipe.model.family, base).listing(project.facts, recipe)
    again = f"Run: portraitist encode {project.folder}"
    if not path.is_file():
        raise PortraitistError(
            f"{project.folder} has no samples for {recipe.model.family} as this recipe cuts and tells them", again
        )
    value, pictures = durable.read_json(path), project.read_manifest()
    if value.get("format") != FORMAT or value.get("pictures") != pictures_digest(pictures, project.facts.trigger):
        raise PortraitistError(
            f"Pictures, captions, their trigger or the split of {project.folder} changed since they were encoded", again
        )
    if value.get("references", {}) != references.stamps(project, recipe, pictures):
        raise PortraitistError(f"Reference pictures of {project.folder} have changed since they were encoded", again)
    by_name, found = {p.name: p for p in pictures}, Counter(line["picture"] for line in value["samples"])
    entries = []
    for line in value["samples"]:
        picture = by_name[line["picture"]]
        weight, loss_weight, role = weigh(picture, found[picture.name], recipe)
        line = {**line, "nouns": tuple(line.get("nouns", ()))}
        entries.append(
            Entry(set=picture.set, split=picture.split, role=role, weight=weight, loss_weight=loss_weight, **line)
        )
    return sorted(entries, key=lambda entry: (by_name[entry.picture].digest, entry.picture))


def load_samples(project: Project, family: Family, base: Base, recipe: Recipe, split: str) -> list[Sample]:
    """The samples of a split (`train` or `held-out`) in the order of `load_index`, as the recipe weighs them.

    `data.masks` is laid into the masks here: a cell outside the subject weighs that much, one inside 1. Raises
    PortraitistError when samples are absent or out of date, with `encode` as the remedy.
    """
    cache, samples = Cache.of(project, family.name, base), []
    for entry in load_index(project, recipe, base):
        if entry.split == split:
            sample = replace(cache.read_sample(entry.key), nouns=tuple(map(cache.read_noun, entry.nouns)))
            facts = {k: v for k, v in asdict(entry).items() if k not in ("key", "width", "height", "nouns")}
            samples.append(replace(sample, mask=floored(sample.mask, recipe.data.masks), **facts))
    return samples


def floored(mask: Tensor | None, background: float) -> Tensor | None:
    """A raw subject mask (1, h, w) as loss weights, the background weighing `background`; None when all weigh alike."""
    if mask is None or background == 1:
        return None
    return background + (1 - background) * mask


def pictures_digest(pictures: Sequence[Picture], trigger: str) -> str:
    """SHA-256 of everything about the pictures that training depends on, captions with the trigger in its place."""

    def told(p: Picture) -> tuple[str, list[str]]:
        return rendered(p.caption, trigger), [rendered(text, trigger) for text in p.variants]

    facts = sorted((p.name, p.digest, *told(p), p.set, p.repeats, p.role, p.split) for p in pictures)
    return hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, in name order."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def named(tensors: Mapping[str, Tensor], prefix: str) -> Conditions:
    """The tensors below a dotted prefix, without it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def numbered(tensors: Mapping[str, Tensor], prefix: str) -> list[Conditions]:
    """The conditions stored under `prefix.0`, `prefix.1`, ... in order."""
    return [named(tensors, f"{prefix}.{i}") for i in range(count(tensors, prefix))]


def count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbers follow a prefix."""
    return len({name.split(".")[1] for name in tensors if name.startswith(f"{prefix}.")})


def absent(folder: Path) -> PortraitistError:
    """The refusal for a sample that is not there or does not read back whole."""
    return PortraitistError(
        f"A sample in {folder} is missing or damaged", "Run `portraitist encode` again: it mends only what is needed."
    )
