"""sd-scripts (kohya-ss): dataset and training configs, command lines, and its convention of folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from portraitist.interop.carrying import Account, Carried
from portraitist.interop.diagnosis import Diagnosis, Effective, Remark, Rules, rules
from portraitist.interop.document import Document
from portraitist.interop.kohya import carrying, data_rules, schema, settings, training_rules, trainings
from portraitist.interop.kohya.dataset import Dataset, counted, of_file, of_folders
from portraitist.interop.kohya.reading import Gathered, gathered, of_commands, of_names, resolutions
from portraitist.interop.kohya.settings import Given
from portraitist.interop.kohya.trainings import Training

if TYPE_CHECKING:
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

NAME = "sd-scripts"
CERTAIN = frozenset({"pretrained_model_name_or_path", "train_data_dir", "in_json", "network_train_unet_only",
                     "cache_latents", "cache_latents_to_disk", "unet_lr", "train_batch_size"})  # fmt: skip


def recognises(document: Document) -> bool:
    """Whether a config is sd-scripts': by its script, its `[[datasets.subsets]]`, or the options that it sets."""
    known = rules("kohya").keys
    if document.kind == "command":
        calls = settings.commands(document.text)
        alone = [name for call in calls if not call.script for name, _ in call.options]
        return any(call.script in known["scripts"] for call in calls if call.script) or certain(alone)
    named = [str(path[-1]) for path, _ in settings.opened(document.value)]
    if isinstance(document.value, Mapping) and {"settings", "server"} <= set(document.value):
        return False  # the own settings of kohya_ss, by the same names
    return document.kind == "folder" or is_dataset(document.value) or (document.kind == "toml" and certain(named))


def certain(names: Iterable[str]) -> bool:
    """Whether enough options of sd-scripts' own are among these names."""
    found, table = set(names), settings.table(rules("kohya"), "")
    return len(found & set(table.kinds)) >= 3 and bool(found & CERTAIN) and "dit" not in found


def is_dataset(value: Any) -> bool:
    """Whether a config is a dataset's, with subsets; one of [general] alone included."""
    if isinstance(value, Mapping) and set(value) == {"general"} and isinstance(value["general"], Mapping):
        return bool(set(schema.known(rules("kohya"), "subset", "dropout", "dreambooth")) & set(value["general"]))
    found = value.get("datasets") if isinstance(value, Mapping) else None
    return any(isinstance(one, Mapping) and "subsets" in one for one in (found if isinstance(found, list) else [found]))


def read(document: Document) -> tuple[list[Gathered], list[Dataset], list[Remark]]:
    """The trainings of a document, datasets that stand alone, and what is remarked beside."""
    known = rules("kohya")
    if document.kind == "folder":
        return [], *of_folder(document, known)
    if document.kind == "command":
        calls = list(of_commands(document, known))
        found = [gathered(training, document) for training, _ in calls if training is not None]
        return found, [], [remark for _, remarks in calls for remark in remarks]
    if is_dataset(document.value):
        datasets, remarks = of_file(document, {}, known)
        return [], datasets, [*remarks, *data_rules.remarks(datasets, known, "", False)]
    options, remarks = settings.flattened(document, settings.table(known, ""), known)
    training = Training(known, "", training_rules.family(options, "", known), options, False)
    return [gathered(training, document)], [], remarks


def of_folder(document: Document, known: Rules) -> tuple[list[Dataset], list[Remark]]:
    """A folder of `10_name` folders, as train_data_dir; the command is taken to name the captions' extension."""
    place = document.place(())
    options = {"train_data_dir": Given(document.folder, (), place)}
    found = of_names(options, document, known)
    subsets = [subset for dataset in of_folders(options, document.folder) for subset in dataset.subsets]
    extension = next((said for one in subsets if one.folder and (said := one.folder.extension())), "")
    if extension and extension != ".caption":
        found.append(known["extension-default"].at((), place))
    options["caption_extension"] = Given(extension or ".caption", (), place)
    datasets = of_folders(options, document.folder)
    for subset in (subset for dataset in datasets for subset in dataset.subsets):
        found += [*data_rules.of_folder(subset, known), *data_rules.of_captions(subset, known, "")]
    return datasets, found


def diagnose(document: Document) -> Diagnosis:
    """What sd-scripts would really do with a config; of several trainings the run is the last one's."""
    found, datasets, remarks = read(document)
    remarks += [remark for one in found for remark in one.remarks]
    alone = Effective(sets=counted(datasets), resolutions=resolutions(datasets))
    return trainings.judged(NAME, rules("kohya"), remarks, found[-1].effective if found else alone)


def carried(document: Document) -> Carried:
    """What of a config our project and recipe can hold: of its last training, or of its datasets."""
    found, datasets, _ = read(document)
    if not found:
        going = Account()
        pictures = carrying.sets(going, datasets)
        dealt = frozenset({"image_dir", "num_repeats", "is_reg", "class_tokens"})
        carrying.leave_rest(going, dict(document.leaves()), dealt)
        return going.closed(*carrying.named(datasets), pictures)
    last = found[-1]
    going = carrying.carry(last.training, last.went.updates, last.went.per_epoch)
    return going.closed(*carrying.named(last.datasets), carrying.sets(going, last.datasets))


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Our recipe as its own files: a dataset config, a training config, and the command that starts it."""
    from portraitist.interop.kohya.writing import written as write

    return write(recipe, facts, pictures)


def differences(recipe: Recipe) -> Iterator[str]:
    """What it would do otherwise with our recipe."""
    from portraitist.interop.kohya.writing import differences as differ

    return differ(recipe)
