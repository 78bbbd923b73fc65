"""What of a LoRA file's header our project and recipe can hold."""

from portraitist.errors import PortraitistError
from portraitist.interop.carrying import Carried, Carrying
from portraitist.interop.diagnosis import Effective
from portraitist.interop.document import Document
from portraitist.interop.header.run import RATES, effective, of_onetrainer, where
from portraitist.interop.headers import TENSORS
from portraitist.interop.judging import number, whole, words
from portraitist.interop.keeping import Folders, account, refuse_base, refuse_written

OPTIMISERS = {
    "prodigyplusschedulefree": "schedulefree", "schedulefree": "schedulefree", "adamw8bit": "adamw8bit",
    "prodigy": "prodigy", "adafactor": "adafactor", "adamw": "adamw",
}  # fmt: skip


def carried(document: Document) -> Carried:
    """What of the run our project and recipe can hold: of a file with OneTrainer's config, that config."""
    if (config := of_onetrainer(document)) is not None and config.value:
        from portraitist.interop import onetrainer

        return onetrainer.carried(config)
    run, keeping = effective(document), Carrying(document)
    if not run.family:
        said = where(document, "ss_base_model_version", "modelspec.architecture")
        raise refuse_base("header", words(document.get(*said)))
    keeping.keep("model.family", run.family, *where(document, "ss_base_model_version", "modelspec.architecture"))
    keeping.keep("adapter.kind", "lora")
    if run.rank > 0:
        keeping.keep("adapter.rank", min(1024, run.rank), "ss_network_dim")
    if run.alpha >= 0:
        keeping.keep("adapter.alpha", 0.0 if run.alpha == run.rank else min(4096.0, run.alpha), "ss_network_alpha")
    if 0 < run.rate <= 1:
        keeping.keep("training.rate", run.rate, *where(document, *RATES))
    if run.updates > 0:
        stages = [{"name": "main", "steps": min(10_000_000, run.updates)}]
        keeping.keep("stages", stages, *where(document, "ss_steps", "training_info"))
    named = run.optimiser.lower().replace("_", "")
    ours = next((name for begun, name in OPTIMISERS.items() if begun in named), "")
    if ours:
        keeping.keep("training.optimiser", ours, "ss_optimizer")
    accumulate = max(1, min(4096, whole(document.get("ss_gradient_accumulation_steps"), 1)))
    if run.pictures_per_update > 0:
        batch = max(1, min(4096, run.pictures_per_update // accumulate))
        keeping.keep("training.batch", batch, *where(document, "ss_total_batch_size", "ss_batch_size_per_device"))
        keeping.keep("training.accumulate", accumulate, "ss_gradient_accumulation_steps")
    smaller(keeping, run)
    folders: Folders = []
    return account(keeping, folders, PASSED)


PASSED = ("format", TENSORS, "ss_tag_frequency", "ss_session_id", "sshs_model_hash", "sshs_legacy_hash")


def smaller(keeping: Carrying, run: Effective) -> None:
    """Single values that have the same meaning here."""
    document = keeping.document
    if run.resolutions and run.resolutions[0] <= 4096:
        keeping.keep("data.resolution", run.resolutions[0], *where(document, "ss_resolution", "ss_datasets"))
    for theirs, ours, most in (
        ("ss_caption_dropout_rate", "data.dropout", 1.0),
        ("ss_network_dropout", "adapter.dropout", 0.99),
        ("ss_max_grad_norm", "training.max_gradient", 1e6),
        ("ss_lr_warmup_steps", "training.warmup", 1e7),
        ("ss_seed", "training.seed", 2.0**31 - 1),
    ):
        value = number(document.get(theirs))
        if 0 <= value <= most:
            keeping.keep(ours, int(value) if ours in ("training.warmup", "training.seed") else value, theirs)
    gamma = number(document.get("ss_min_snr_gamma"))
    if 0 < gamma <= 1000 and run.family == "sdxl":
        keeping.keep("training.snr_gamma", gamma, "ss_min_snr_gamma")
    schedule = words(document.get("ss_lr_scheduler")).partition("_")[0]
    if schedule in ("constant", "linear", "cosine"):
        keeping.keep("training.schedule", schedule, "ss_lr_scheduler")
    named = [{"name": one.name, "weight": max(1, round(one.repeats))} for one in run.sets if one.name]
    if named:
        keeping.recipe["data.sets"] = [one | {"name": clean(one["name"])} for one in named]
        keeping.kept.setdefault(where(document, "ss_dataset_dirs", "ss_datasets"), "data.sets")


def clean(name: object) -> str:
    """A folder's name without kohya's repeats before it, as a set of ours may be called."""
    lead, _, rest = str(name).partition("_")
    plain = rest if lead.isdigit() and rest else str(name)
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in plain)[:60]


def refused() -> PortraitistError:
    """The refusal of writing a header."""
    return refuse_written("A file's header", "no place there: training writes it")
