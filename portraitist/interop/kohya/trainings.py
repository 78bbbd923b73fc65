"""A training that a script is asked for, and what sd-scripts and musubi-tuner have in common to be remarked of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from portraitist.interop.diagnosis import Diagnosis, Effective, Remark, Rules, SetCount
from portraitist.interop.document import TOP, Place
from portraitist.interop.kohya import counting
from portraitist.interop.kohya.schema import real, whole
from portraitist.interop.kohya.settings import Given, number


@dataclass(frozen=True)
class Training:
    """One training.

    script    without `.py`; "" where a config does not tell
    family    of the base as portraitist names it, or another word of the tool's; "" where it cannot be told
    options   what is set, by the script's names
    whole     whether nothing can come to it: true of commands, false of config files, which a command completes
    place     where remarks go that are about nothing that is set
    launcher  options of `accelerate launch`
    """

    rules: Rules
    script: str
    family: str
    options: Mapping[str, Given]
    whole: bool
    place: Place = TOP
    launcher: Mapping[str, Given] | None = None

    def __getitem__(self, name: str) -> Any:
        given = self.options.get(name)
        return self.rules.keys["defaults"].get(name) if given is None or given.value is None else given.value

    def has(self, name: str) -> bool:
        """Whether an option is set to something that counts."""
        given = self.options.get(name)
        return given is not None and given.value not in (None, False, "", [])

    def says(self, rule: str, *names: str, **fields: object) -> Remark:
        """A remark at the first of the options that is set, else at the script's name."""
        found = next((self.options[name] for name in names if name in self.options), None)
        path, place = (found.path, found.place) if found else ((), self.place)
        return self.rules[rule].at(path, place, **fields)

    @cached_property
    def network_args(self) -> dict[str, str]:
        """`network_args` as pairs."""
        return paired(self["network_args"])

    @cached_property
    def optimizer_args(self) -> dict[str, str]:
        """`optimizer_args` as pairs."""
        return paired(self["optimizer_args"])

    @property
    def optimiser(self) -> str:
        """In small letters; AdamW where nothing is set."""
        return str(self["optimizer_type"] or "AdamW").lower()

    @property
    def rank(self) -> int:
        """Of the adapter; 4 where nothing is set."""
        return whole(self["network_dim"], 4)

    @property
    def alpha(self) -> float:
        """Of the adapter; 1 where nothing is set, and the rank where it is 0."""
        alpha = real(self["network_alpha"], 1.0)
        return alpha if alpha else float(self.rank)

    @property
    def rate(self) -> float:
        """Learning rate of the denoiser."""
        return real(self["unet_lr"] if self.has("unet_lr") else self["learning_rate"], -1.0)

    @property
    def processes(self) -> int:
        """Devices that share a batch."""
        given = (self.launcher or {}).get("num_processes")
        return max(1, whole(number(given.value[0]) if given and given.value else 1, 1))

    @property
    def accumulate(self) -> int:
        """Batches per update."""
        return max(1, whole(self["gradient_accumulation_steps"], 1))

    @property
    def epochs(self) -> int:
        """Epochs that are asked for; -1 where steps decide."""
        return whole(self["max_train_epochs"], -1)


def paired(value: object) -> dict[str, str]:
    """`key=value` words as pairs; of a word without a sign nothing."""
    words = value if isinstance(value, list) else []
    pairs = [str(word).partition("=") for word in words]
    return {key.strip(): said.strip("\"' ") for key, equals, said in pairs if equals}


@dataclass(frozen=True)
class Course:
    """How long a training goes, in numbers; -1 where not known. per_epoch: updates of one epoch."""

    batches: int
    updates: int
    per_epoch: int
    epochs: int
    saves: int
    kept: int


def course(training: Training, batches: int) -> Course:
    """How long a training goes, of batches of one pass (-1 where not known)."""
    accumulate, processes = training.accumulate, training.processes
    steps = whole(training["max_train_steps"], 1600)
    updates = counting.updates(batches, accumulate, processes, training.epochs, steps)
    epochs = training.epochs if training.epochs >= 0 else counting.passes(batches, accumulate, processes, updates)
    by_step = counting.saved(updates, whole(training["save_every_n_steps"], 0), whole(training["save_last_n_steps"], 0))
    every = whole(training["save_every_n_epochs"], 0)
    by_epoch = counting.saved_by_epoch(epochs, every, whole(training["save_last_n_epochs"], 0))
    unknown = updates < 0 or (every > 0 and epochs < 0)
    saves, kept = by_step[0] + by_epoch[0] + 1, by_step[1] + by_epoch[1] + 1
    per_epoch = counting.updates(batches, accumulate, processes, 1, -1)
    return Course(batches, updates, per_epoch, epochs, -1 if unknown else saves, -1 if unknown else kept)


def effective(
    training: Training,
    went: Course,
    sets: tuple[SetCount, ...],
    batch: int,
    resolutions: tuple[int, ...],
    quantised: str,
) -> Effective:
    """The run that results. batch: pictures of one batch, -1 where datasets differ."""
    network = bool(training["network_module"]) or training.script.endswith("_network")
    return Effective(
        updates=went.updates,
        pictures_per_update=batch * training.accumulate * training.processes if batch > 0 else -1,
        sets=sets,
        family=training.family,
        quantised=quantised,
        resolutions=resolutions,
        rank=training.rank if network else -1,
        alpha=training.alpha if network else -1,
        rate=training.rate,
        optimiser=str(training["optimizer_type"] or "AdamW"),
        saves=went.saves,
        kept=went.kept,
    )


def remarks(training: Training, went: Course) -> Iterator[Remark]:
    """What both tools have in common."""
    yield from of_length(training, went)
    yield from of_optimiser(training)
    if training["network_module"] or training.script.endswith("_network"):
        yield from of_rank(training)
    if whole(training["max_data_loader_n_workers"], 8) > 0 and training.whole:
        workers = whole(training["max_data_loader_n_workers"], 8)
        yield training.says("epoch-not-exact", "max_data_loader_n_workers", workers=workers)
    if training.has("resume") and not training.has("skip_until_initial_step"):
        yield training.says("resume-counts-again", "resume")


def of_length(training: Training, went: Course) -> Iterator[Remark]:
    """Steps against epochs, and what is saved."""
    if training.has("max_train_epochs") and training.has("max_train_steps"):
        fields = {"steps": training["max_train_steps"], "epochs": training["max_train_epochs"]}
        yield training.says("epochs-over-steps", "max_train_steps", **fields)
    every_steps, every = whole(training["save_every_n_steps"], 0), whole(training["save_every_n_epochs"], 0)
    by_ratio = training.has("save_n_epoch_ratio")
    if every_steps <= 0 and every <= 0:
        if training.whole and not by_ratio:
            yield training.says("only-the-end")
    elif went.saves == 1 and not by_ratio:
        names = ("save_every_n_epochs", "save_every_n_steps")
        yield training.says("saves-never", *names, updates=went.updates, epochs=went.epochs)
    last = whole(training["save_last_n_steps"], 0)
    if 0 < last < every_steps:
        yield training.says("last-n-steps", "save_last_n_steps", last=last, every=every_steps)


def of_optimiser(training: Training) -> Iterator[Remark]:
    """Rates that are missing, or that the optimiser does not take."""
    kind, args = training.optimiser, training.optimizer_args
    rated = training.has("learning_rate") or training.has("unet_lr")
    if not rated and (training.whole or training["network_module"]):
        yield training.says("rate-default")
    relative = kind == "adafactor" and args.get("relative_step", "True") != "False"
    if relative:
        yield training.says("adafactor-relative", "optimizer_type")
    adaptive = kind.startswith(("dadapt", "prodigy"))
    if adaptive and rated and 0 <= training.rate <= 0.1:
        yield training.says("adaptive-rate", "unet_lr", "learning_rate", rate=f"{training.rate:g}")
    schedule = str(training["lr_scheduler"] or "constant")
    warmup = training["lr_warmup_steps"]
    own = kind.endswith("schedulefree") or training.has("lr_scheduler_type")
    if (relative or schedule == "constant") and isinstance(warmup, int | float) and warmup and not own:
        yield training.says("warmup-of-constant", "lr_warmup_steps", warmup=warmup)
    known = training.rules.keys["ranges"].get(training.family)
    if known and rated and not adaptive and training["network_module"] and training.rate > 0:
        low, high = known["rate"]
        if not low <= training.rate <= high:
            fields = {"rate": f"{training.rate:g}", "low": f"{low:g}", "high": f"{high:g}"}
            yield training.says("rate-outside", "unet_lr", "learning_rate", **fields)


def of_rank(training: Training) -> Iterator[Remark]:
    """Rank and alpha."""
    rank, alpha = training.rank, training.alpha
    own = training.has("dim_from_weights") or training["network_module"] not in training.rules.keys["ranked"]
    if own or not (training.whole or training.has("network_dim") or training.has("network_alpha")):
        return
    if rank >= 8 and alpha == 1 and training.network_args.get("algo", "lora") in ("lora", "locon", "loha", "lokr"):
        yield training.says("alpha-one", "network_alpha", "network_dim", rank=rank)
    known = training.rules.keys["ranges"].get(training.family)
    if known and not known["rank"][0] <= rank <= known["rank"][1]:
        low, high = known["rank"]
        yield training.says("rank-outside", "network_dim", "network_module", rank=rank, low=low, high=high)


def judged(name: str, known: Rules, found: Sequence[Remark], effective: Effective) -> Diagnosis:
    """The diagnosis of a tool: the first error says why it will not start, or what differs."""
    once = tuple(dict.fromkeys(found))
    errors = [remark for remark in once if remark.severity == "error"]
    stopping = set(known.keys["stops"])
    stops = [remark.says for remark in errors if remark.rule.partition("/")[2] in stopping]
    differs = [remark.says for remark in errors if remark.rule.partition("/")[2] not in stopping]
    return Diagnosis(name, known.version, once, effective, "".join(stops[:1]), "".join(differs[:1]))
