"""A LoRA file's header: what the run was that made it, as far as it says, and what of it had no effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portraitist.interop.diagnosis import Diagnosis, Effective, Remark, rules
from portraitist.interop.document import Document
from portraitist.interop.header.run import OT, RATES, effective, family, of_onetrainer, ranked, where
from portraitist.interop.headers import TENSORS
from portraitist.interop.judging import Judging, number, table, tables, whole, words

if TYPE_CHECKING:
    from portraitist.interop.carrying import Carried
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

NAME = "a LoRA file's header"
OFTEN = 300
"""Times that one picture is seen, from which it is often."""

SAID = ("ss_network_dim", "ss_steps", "training_info", OT, "global_step", "ss_learning_rate", "lora_rank")


def recognises(document: Document) -> bool:
    """Whether it is the header of a file."""
    return document.kind == "header"


def diagnose(document: Document) -> Diagnosis:
    """What the header says of the run, and what of it was ineffective."""
    judging, held = Judging(document, rules("header"), NAME), table(document.get(TENSORS))
    if not whole(held.get("layers"), 0) and not whole(held.get("products"), 0):
        judging.say("no-adapter", TENSORS, count=whole(held.get("count"), 0))
    if not any(document.get(name) is not None for name in SAID):
        judging.say("says-nothing")
    tensors(judging, held)
    trained(judging)
    pictures(judging)
    private(judging)
    run = effective(document)
    own = any(name in run.optimiser.lower() for name in ("prodigy", "dadapt"))
    if run.rate > 0 and not own and not 1e-5 <= run.rate <= 1e-3:
        judging.say("rate-low" if run.rate < 1e-5 else "rate-high", *where(document, *RATES), rate=run.rate)
    return judging.diagnosis(run) if document.get(OT) is None else inside(judging, run)


def inside(judging: Judging, run: Effective) -> Diagnosis:
    """A file of OneTrainer's with its whole config: OneTrainer's module judges that."""
    config = of_onetrainer(judging.document)
    if config is None:
        reason = "it is cut short or nested too deeply"
        judging.say("config-not-read", OT, reason=reason)
        return judging.diagnosis(run)
    from portraitist.interop import onetrainer

    other = onetrainer.diagnose(config)
    judging.remarks += [moved(remark) for remark in other.remarks if remark.rule.rpartition("/")[2] not in UNSEEN]
    mine = judging.diagnosis(run)
    told = other.effective if other.effective.updates >= 0 else replace(other.effective, updates=run.updates)
    ends = (mine.stops or other.stops, mine.differs or other.differs)
    return Diagnosis("OneTrainer, by a file's header:", other.version, mine.remarks, told, *ends)


UNSEEN = ("concepts-unseen", "folder-missing", "no-concepts", "config-in-file")
"""Remarks that mean nothing of a run that is over, on another machine."""


def moved(remark: Remark) -> Remark:
    """A remark on the config inside as one on the header."""
    words_of = (remark.standing, remark.severity, remark.says, remark.instead, remark.source)
    return Remark(remark.rule, (OT, *remark.path), remark.place, *words_of)


def tensors(judging: Judging, held: Mapping[str, Any]) -> None:
    """What the shapes say against the words."""
    document = judging.document
    ranks = ranked(held)
    said, alpha = whole(document.get("ss_network_dim")), number(document.get("ss_network_alpha"))
    if len(ranks) > 1:
        judging.say("several-ranks", TENSORS, "ranks", least=ranks[0], most=ranks[-1])
    if said > 0 and ranks and said not in ranks:
        judging.say("rank-differs", "ss_network_dim", said=said, found=ranks[0] if len(ranks) == 1 else "others")
    if said > 0 and alpha >= 0 and not said / 2 <= alpha <= 2 * said:
        judging.say("alpha-scale", "ss_network_alpha", rank=said, alpha=alpha, scale=alpha / said)
    arguments = table(document.get("ss_network_args"))
    locon = words(arguments.get("algo")).lower() == "locon"
    asked = locon or whole(arguments.get("conv_dim"), 0) > 0
    if asked and held.get("layers") and not held.get("convolutions") and family(document) in ("sdxl", ""):
        judging.say("no-convolution", "ss_network_args")
    if encoders := whole(held.get("text_encoder_layers"), 0):
        judging.say("text-encoder-trained", TENSORS, "text_encoder_layers", count=encoders)


def trained(judging: Judging) -> None:
    """How it was trained."""
    document = judging.document
    steps, most = whole(document.get("ss_steps")), whole(document.get("ss_max_train_steps"))
    if 0 <= steps < most:
        judging.say("unfinished", "ss_steps", steps=steps, most=most)
    if document.has("ss_seed") and document.get("ss_seed") is None:
        judging.say("seed-unknown", "ss_seed")
    if document.get("ss_full_fp16") is True:
        judging.say("full-fp16", "ss_full_fp16")
    gamma, base = number(document.get("ss_min_snr_gamma"), 0.0), family(document)
    if gamma > 0 and base not in ("sdxl", ""):
        judging.say("min-snr-flow", "ss_min_snr_gamma", value=gamma, base=base)


def pictures(judging: Judging) -> None:
    """How its pictures and captions were used."""
    document = judging.document
    subsets = [inner for one in tables(document.get("ss_datasets")) for inner in tables(one.get("subsets"))]
    flat: Mapping[str, Any] = {
        "shuffle_caption": document.get("ss_shuffle_caption"),
        "keep_tokens": document.get("ss_keep_tokens"),
        "flip_aug": document.get("ss_flip_aug"),
    }
    for one in [*subsets, flat]:
        shuffled = one.get("shuffle_caption") is True and whole(one.get("keep_tokens"), 0) <= 0
        path = ("ss_datasets",) if one is not flat else ("ss_shuffle_caption",)
        if shuffled and not judging.found("trigger-shuffled") and not words(one.get("keep_tokens_separator")):
            judging.say("trigger-shuffled", *path)
        if one.get("flip_aug") is True and not judging.found("flipped"):
            judging.say("flipped", *(("ss_datasets",) if one is not flat else ("ss_flip_aug",)))
    run = effective(document)
    count = sum(one.pictures for one in run.sets if one.pictures > 0)
    if run.exposures > 0 and count and run.exposures / count > OFTEN:
        judging.say("seen-often", *where(document, "ss_dataset_dirs", "ss_datasets"), times=int(run.exposures / count))


def private(judging: Judging) -> None:
    """What of the maker is in it."""
    document = judging.document
    tags = table(document.get("ss_tag_frequency"))
    if count := sum(whole(value, 0) for value in tags.values()):
        judging.say("captions-inside", "ss_tag_frequency", count=count)
    for path, value in document.leaves():
        text = value if isinstance(value, str) else ""
        local = text[:1] in ("/", "~") or text[1:3] in (":\\", ":/")
        if local and len(text) > 3 and "/" in text.replace("\\", "/")[1:]:
            judging.say("paths-inside", *path, name=".".join(map(str, path)))
            break


def carried(document: Document) -> Carried:
    """What of the run our project and recipe can hold: of a file with OneTrainer's config, that config."""
    from portraitist.interop.header.carrying import carried as carry

    return carry(document)


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Refused: a header is what training leaves, and no config."""
    from portraitist.interop.header.carrying import refused

    raise refused()


def differences(recipe: Recipe) -> Iterator[str]:
    """None, for no recipe is written."""
    return iter(())
