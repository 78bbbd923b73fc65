"""musubi-tuner (kohya-ss): dataset and training configs, and command lines; Qwen-Image, Z-Image, FLUX and videos."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from portraitist.interop.carrying import Account, Carried
from portraitist.interop.diagnosis import Diagnosis, Effective, Remark, Rules, rules
from portraitist.interop.document import Document
from portraitist.interop.kohya import carrying, settings, trainings
from portraitist.interop.kohya.dataset import last
from portraitist.interop.kohya.reading import companion, completed, told
from portraitist.interop.kohya.schema import real, whole
from portraitist.interop.kohya.settings import Given
from portraitist.interop.kohya.trainings import Course, Training
from portraitist.interop.musubi import dataset
from portraitist.interop.musubi.dataset import Source

if TYPE_CHECKING:
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

NAME = "musubi-tuner"
SOURCES = ("image_directory", "image_jsonl_file", "video_directory", "video_jsonl_file")
ATTENTION = ("sdpa", "flash_attn", "sage_attn", "xformers", "flash3")
EDITS = frozenset({"edit", "edit-2509", "edit-2511"})
MOST_BLOCKS = 59


@dataclass(frozen=True)
class Gathered:
    """A training with its data, how long it goes, and what is remarked of it."""

    training: Training
    sources: tuple[Source, ...]
    went: Course
    remarks: tuple[Remark, ...]

    @property
    def effective(self) -> Effective:
        """The run that results."""
        sizes = {max(1, whole(source.values["batch_size"], 1)) for source in self.sources}
        held = "fp8" if self.training.has("fp8_base") else ""
        sides = dataset.resolutions(self.sources)
        batch = sizes.pop() if len(sizes) == 1 else -1
        counts = tuple(source.count for source in self.sources)
        return trainings.effective(self.training, self.went, counts, batch, sides, held)


def recognises(document: Document) -> bool:
    """Whether a config is musubi-tuner's: by its script, a dataset's source, or a `dit` beside a network."""
    if document.kind == "command":
        scripts = rules("musubi").keys["scripts"]
        return any(call.script and call.script in scripts for call in settings.commands(document.text))
    if document.kind != "toml":
        return False
    names = {str(path[-1]) for path, _ in settings.opened(document.value)}
    return is_dataset(document.value) or ("dit" in names and bool(names & {"network_module", "dataset_config"}))


def is_dataset(value: Any) -> bool:
    """Whether a config is a dataset's, with sources of pictures or videos in it."""
    found = value.get("datasets") if isinstance(value, Mapping) else None
    inner = found if isinstance(found, list) else [found]
    return any(isinstance(one, Mapping) and any(key in one for key in SOURCES) for one in inner)


def family(script: str, options: Mapping[str, Given], known: Rules) -> str:
    """The base's family, by script or network, and for Qwen-Image by its version; "" for what is none of these."""
    module = options.get("network_module")
    fitting = known.keys["modules"].get(str(module.value), []) if module else []
    found = str(known.keys["families"].get(script, fitting[0] if fitting else ""))
    version = options.get("model_version")
    edit = (version and str(version.value).lower() in EDITS) or "edit" in options or "edit_plus" in options
    return "qwen-image-edit" if edit and found == "qwen-image" else found


def read(document: Document) -> tuple[list[Gathered], list[Source], list[Remark]]:
    """The trainings of a document, datasets that stand alone, and what is remarked beside."""
    known = rules("musubi")
    if document.kind == "command":
        return of_commands(document, known)
    if is_dataset(document.value):
        sources, remarks = dataset.of_file(document, known)
        return [], sources, [*remarks, *dataset.remarks(sources, known)]
    options, remarks = settings.flattened(document, settings.table(known, ""), known)
    training = Training(known, "", family("", options, known), options, False)
    return [gathered(training, document)], [], remarks


def of_commands(document: Document, known: Rules) -> tuple[list[Gathered], list[Source], list[Remark]]:
    """Every call of a script of musubi-tuner."""
    found: list[Gathered] = []
    remarks: list[Remark] = []
    for call in settings.commands(document.text):
        if not call.script or call.script not in known.keys["scripts"]:
            continue
        options, wrong = settings.parsed(call, settings.table(known, call.script), known)
        remarks += wrong
        training = Training(known, call.script, "", options, not call.excerpt, call.place, call.launcher)
        if call.script == "qwen_extract_lora":
            if (quantile := real(training["clamp_quantile"], 0.99)) < 1:
                remarks.append(training.says("clamp-quantile", "clamp_quantile", quantile=quantile))
        elif call.script.endswith("_train_network"):
            options, more = completed(options, document, known)
            named = family(call.script, options, known)
            training = replace(training, family=named, options=options, whole=training.whole and not more)
            remarks += more
            found.append(gathered(training, document))
    return found, [], remarks


def gathered(training: Training, document: Document) -> Gathered:
    """A training with the data that it names."""
    known, given = training.rules, training.options.get("dataset_config")
    sources: list[Source] = []
    found: list[Remark] = []
    if given is not None and given.value:
        beside = companion(document, given.value)
        if beside is None:
            found.append(known["config-not-here"].at(given.path, given.place, name=given.value))
        else:
            sources, wrong = dataset.of_file(beside, known)
            found += [told(remark, given) for remark in [*wrong, *dataset.remarks(sources, known)]]
    counts = [source.batches() for source in sources]
    went = trainings.course(training, -1 if not counts or min(counts) < 0 else sum(counts))
    found += [*trainings.remarks(training, went), *own_remarks(training, sources)]
    return Gathered(training, tuple(sources), went, tuple(found))


def own_remarks(training: Training, sources: Sequence[Source]) -> Iterator[Remark]:
    """What is particular to musubi-tuner."""
    if training.whole:
        needs = {"dit": "no-dit", "dataset_config": "no-dataset-config", "network_module": "no-network-module"}
        yield from (training.says(rule, name) for name, rule in needs.items() if not training.has(name))
        if not training.has("output_dir"):
            yield training.says("no-output-dir", "output_dir")
        if training.family and not any(training.has(name) for name in ATTENTION):
            yield training.says("no-attention", *ATTENTION)
    if training.has("sage_attn"):
        yield training.says("sage-attention", "sage_attn")
    yield from of_memory(training)
    if training.family.startswith("qwen-image"):
        yield from of_qwen(training, sources)
    wants = training.rules.keys["modules"].get(str(training["network_module"] or ""))
    if wants and training.script and training.family and training.family not in wants:
        modules = training.rules.keys["modules"].items()
        fitting = " or ".join(name for name, fits in modules if training.family in fits)
        fields = {"module": training["network_module"], "family": training.family, "fitting": fitting}
        yield training.says("module-of-another", "network_module", **fields)


def of_memory(training: Training) -> Iterator[Remark]:
    """fp8, and blocks that are moved."""
    if training.has("fp8_scaled") and not training.has("fp8_base"):
        yield training.says("fp8-scaled-alone", "fp8_scaled")
    elif training.has("fp8_base") and not training.has("fp8_scaled") and training.family.startswith("qwen-image"):
        yield training.says("fp8-unscaled", "fp8_base")
    blocks = whole(training["blocks_to_swap"], 0)
    if blocks > MOST_BLOCKS and training.family.startswith("qwen-image"):
        yield training.says("too-many-blocks", "blocks_to_swap", blocks=blocks, most=MOST_BLOCKS)


def of_qwen(training: Training, sources: Sequence[Source]) -> Iterator[Remark]:
    """Qwen-Image: noise levels, modulation, control pictures."""
    if (training.whole or training["network_module"]) and not training.has("timestep_sampling"):
        yield training.says("timesteps-default", "discrete_flow_shift", "network_module")
    if training["network_module"] == "networks.lora_qwen_image" and not excludes(training):
        yield training.says("modulation-trained", "network_args", "network_module")
    listed = [source for source in sources if source.style == "image" and source.values["image_directory"]]
    controlled = [source for source in listed if source.values["control_directory"]]
    if training.family == "qwen-image-edit" and len(controlled) < len(listed):
        yield training.says("edit-without-control", "dataset_config")
    elif training.family == "qwen-image" and controlled and training["model_version"] != "layered":
        yield training.says("control-without-edit", "dataset_config", "model_version")


def excludes(training: Training) -> bool:
    """Whether a pattern of `network_args` leaves the modulation out."""
    try:
        patterns = ast.literal_eval(training.network_args.get("exclude_patterns", "[]"))
        return any(re.fullmatch(str(one), "transformer_blocks.0.img_mod.1") for one in patterns)
    except (ValueError, SyntaxError, TypeError, re.error, RecursionError, MemoryError):
        return False


def diagnose(document: Document) -> Diagnosis:
    """What musubi-tuner would really do with a config; of several trainings the run is the last one's."""
    found, sources, remarks = read(document)
    remarks += [remark for one in found for remark in one.remarks]
    counts = tuple(source.count for source in sources)
    alone = Effective(sets=counts, resolutions=dataset.resolutions(sources))
    return trainings.judged(NAME, rules("musubi"), remarks, found[-1].effective if found else alone)


def carried(document: Document) -> Carried:
    """What of a config our project and recipe can hold: of its last training, or of its datasets."""
    found, sources, _ = read(document)
    if found:
        going = carrying.carry(found[-1].training, found[-1].went.updates, found[-1].went.per_epoch)
        return going.closed(pictures=sets(going, found[-1].sources))
    going = Account()
    pictures = sets(going, sources)
    dealt = frozenset({"image_directory", "num_repeats", "control_directory", "caption_extension", "cache_directory"})
    carrying.leave_rest(going, dict(document.leaves()), dealt)
    return going.closed(pictures=pictures)


def sets(going: Account, sources: Iterable[Source]) -> list[tuple[str, str]]:
    """Sources of pictures as our sets."""
    pictures: list[tuple[str, str]] = []
    found: list[dict[str, Any]] = []
    said: dict[str, Any] = {}
    for source in sources:
        if source.style != "image" or not source.values["image_directory"]:
            continue
        for name, key in (("batch_size", "training.batch"), ("resolution", "data.resolution")):
            given = source.values.given(name)
            convert = carrying.side if name == "resolution" else carrying.positive
            if given is not None and (value := convert(given.value)) is not None:
                carrying.once(going, said, key, value, given)
        folder = str(source.folder.path) if source.folder else source.name
        name = last(folder)
        name = name if name not in {one["name"] for one in found} else f"{name}-{len(found) + 1}"
        controls = source.values["control_directory"]
        shown = {"references": [str(source.controls.path if source.controls else controls)]} if controls else {}
        found.append({"name": name, "weight": min(10_000, max(1, int(source.count.repeats))), **shown})
        pictures.append((folder, name))
    if found:
        going.recipe["data.sets"] = found
    return pictures


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Our recipe as its own files: a dataset config, and the commands."""
    from portraitist.interop.musubi.writing import written as write

    return write(recipe, facts, pictures)


def differences(recipe: Recipe) -> Iterator[str]:
    """What it would do otherwise with our recipe."""
    from portraitist.interop.musubi.writing import differences as differ

    return differ(recipe)
