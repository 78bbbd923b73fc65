"""From a document to the trainings that sd-scripts would run, each with the data that it names and can be seen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from portraitist.errors import PortraitistError
from portraitist.interop import folders, opening
from portraitist.interop.diagnosis import Effective, Remark, Rules
from portraitist.interop.document import Document
from portraitist.interop.kohya import data_rules, settings, training_rules, trainings
from portraitist.interop.kohya.dataset import PICTURES, Dataset, counted, of_file, of_folders
from portraitist.interop.kohya.schema import real, sides, whole
from portraitist.interop.kohya.settings import Command, Given
from portraitist.interop.kohya.trainings import Course, Training

EXTRACTORS = ("extract_lora_from_models", "flux_extract_lora")


@dataclass(frozen=True)
class Gathered:
    """A training with its data, how long it goes, and what is remarked of it."""

    training: Training
    datasets: tuple[Dataset, ...]
    went: Course
    remarks: tuple[Remark, ...]

    @property
    def effective(self) -> Effective:
        """The run that results."""
        training, sets = self.training, counted(self.datasets)
        sizes = {max(1, whole(dataset.values["batch_size"], 1)) for dataset in self.datasets}
        sizes = sizes or {max(1, whole(training["train_batch_size"], 1))}
        side = sides(training["resolution"])
        shown = resolutions(self.datasets) or ((max(side),) if side else ())
        fp8 = "fp8" if training.has("fp8_base") or training.has("fp8_base_unet") else ""
        batch = sizes.pop() if len(sizes) == 1 else -1
        return trainings.effective(training, self.went, sets, batch, shown, fp8)


def gathered(training: Training, document: Document) -> Gathered:
    """A training with the data that it names."""
    datasets, found = data(training, document)
    counts = [dataset.batches() for dataset in datasets]
    went = trainings.course(training, -1 if not counts or min(counts) < 0 else sum(counts))
    found += [*trainings.remarks(training, went), *training_rules.remarks(training, datasets)]
    return Gathered(training, tuple(datasets), went, tuple(found))


def data(training: Training, document: Document) -> tuple[list[Dataset], list[Remark]]:
    """The datasets of a training, of a dataset config or of folders, and what is remarked of them."""
    known, options = training.rules, training.options
    given = options.get("dataset_config")
    if given is not None and given.value:
        beside = companion(document, given.value)
        if beside is None:
            return [], [known["config-not-here"].at(given.path, given.place, name=given.value)]
        datasets, wrong = of_file(beside, options, known)
        wrong += data_rules.remarks(datasets, known, training.family, training.whole)
        return datasets, [told(remark, given) for remark in wrong if remark.rule != "kohya/masks-need-flag"]
    if not training.has("train_data_dir") or training.has("in_json"):
        return [], []
    found = of_names(options, document, known)
    datasets = of_folders(options, document.folder)
    return datasets, [*found, *data_rules.remarks(datasets, known, training.family, training.whole)]


def told(remark: Remark, given: Given) -> Remark:
    """A remark on a dataset config, at the place that names it."""
    return replace(remark, path=given.path, place=given.place, says=f"{given.value}: {remark.says}")


def of_names(options: Mapping[str, Given], document: Document, known: Rules) -> list[Remark]:
    """Folders of train_data_dir whose pictures are passed over."""
    given = options["train_data_dir"]
    parent = folders.seen(given.value, document.folder, PICTURES)
    if parent is None:
        return [known["folder-not-here"].at(given.path, given.place, folder=given.value)]
    named = [name for name in parent.folders if folders.repeats(name)]
    if not named:
        return [known["no-prefixed-folder"].at(given.path, given.place, folder=given.value)]
    others = [name for name in parent.folders if name not in named]
    others = [name for name in others if folders.Folder(parent.path / name, PICTURES).pictures]
    others += [f"{len(parent.pictures)} pictures beside the folders"] if parent.pictures else []
    if others:
        return [known["folder-without-repeats"].at(given.path, given.place, names=folders.some(others))]
    return []


def of_commands(document: Document, known: Rules) -> Iterator[tuple[Training | None, list[Remark]]]:
    """Every call of a script of sd-scripts: its training (none for an extraction), and what argparse refuses of it."""
    for call in settings.commands(document.text):
        if call.script not in known.keys["scripts"]:
            continue
        options, wrong = settings.parsed(call, settings.table(known, call.script), known)
        if call.script in EXTRACTORS:
            yield None, [*wrong, *of_extraction(call, options, known)]
            continue
        options, more = completed(options, document, known)
        family = training_rules.family(options, call.script, known)
        whole_run = bool(call.script) and not more and not call.excerpt
        yield Training(known, call.script, family, options, whole_run, call.place, call.launcher), [*wrong, *more]


def completed(options: Mapping[str, Given], document: Document, known: Rules) -> tuple[dict[str, Given], list[Remark]]:
    """Options over those of the config file that they name; a remark where that is not to be seen."""
    given = options.get("config_file")
    if given is None:
        return dict(options), []
    named = str(given.value)
    beside = companion(document, named if named.endswith(".toml") else f"{named}.toml")
    if beside is None:
        return dict(options), [known["config-not-here"].at(given.path, given.place, name=named)]
    below, _ = settings.flattened(beside, settings.table(known, ""), known)
    inner = {name: Given(one.value, (*given.path, name), given.place) for name, one in below.items()}
    return inner | dict(options), []


def companion(document: Document, named: Any) -> Document | None:
    """A config beside this one, or where its path says; None when it is not to be read."""
    for path in (Path(document.folder) / str(named), Path(str(named))):
        try:
            return opening.opened(path)
        except (PortraitistError, ValueError, OSError):
            continue
    return None


def of_extraction(call: Command, options: Mapping[str, Given], known: Rules) -> list[Remark]:
    """A LoRA taken out of two models."""
    training = Training(known, call.script, "", options, True, call.place)
    found, quantile = [], real(training["clamp_quantile"], 0.99)
    if quantile < 1:
        found.append(training.says("clamp-quantile", "clamp_quantile", quantile=quantile))
    if training.has("min_diff"):
        found.append(training.says("min-difference", "min_diff"))
    return found


def resolutions(datasets: tuple[Dataset, ...] | list[Dataset]) -> tuple[int, ...]:
    """The longer sides that datasets are trained at."""
    found = [sides(dataset.values["resolution"]) for dataset in datasets]
    return tuple(sorted({max(side) for side in found if side}))
