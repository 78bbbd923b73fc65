"""What comes of a OneTrainer config: pictures found, buckets, batches, updates, and what is saved."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from portraitist.interop.diagnosis import Effective, SetCount, rules
from portraitist.interop.folders import Folder, folders
from portraitist.interop.judging import is_turbo
from portraitist.interop.onetrainer.reading import Concept, Settings

FAMILIES = {"STABLE_DIFFUSION_XL_10_BASE": "sdxl", "FLUX_DEV_1": "flux", "QWEN": "qwen-image", "Z_IMAGE": "z-image"}
HELD = {
    "FLOAT_8": "fp8", "FLOAT_W8A8": "fp8", "FLOAT_W8A8_COMPRESSED": "fp8", "INT_8": "int8", "INT_W8A8": "int8",
    "INT_W8A8_COMPRESSED": "int8", "NFLOAT_4": "nf4", "GGUF": "gguf", "GGUF_A8_FLOAT": "gguf", "GGUF_A8_INT": "gguf",
    "FLOAT_16": "float16", "BFLOAT_16": "bfloat16", "FLOAT_32": "float32", "TFLOAT_32": "float32",
}  # fmt: skip
ASPECTS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0)
STEPS = 64
"""Of buckets' sides, in pixels."""

MARKS = ("-masklabel", "-condlabel")
FIXED = re.compile(r"\s*(\d{2,5})\s*x\s*(\d{2,5})\s*")
AREAS = re.compile(r"\s*\d{2,5}\s*(?:,\s*\d{2,5}\s*)*")

Size = tuple[int, int]


def family(config: Settings) -> str:
    """The base as portraitist names it; "" for one that it does not know."""
    found = FAMILIES.get(config.text("model_type"), "")
    return "z-image-turbo" if found == "z-image" and is_turbo(config.text("base_model_name")) else found


def denoiser(config: Settings) -> str:
    """The part that draws, by the name of its table."""
    return parts(config)[0]


def parts(config: Settings) -> list[str]:
    """The parts that a model has: what draws, then the text encoders."""
    kind = config.text("model_type")
    usual = "STABLE_DIFFUSION_15" if kind.startswith(("STABLE_DIFFUSION_1", "STABLE_DIFFUSION_2")) else ""
    known: dict[str, list[str]] = rules("onetrainer").keys["parts"]
    return known.get(kind) or known.get(usual) or ["transformer", "text_encoder"]


def resolutions(config: Settings) -> tuple[int, ...]:
    """Sides of the squares whose area pictures take; () for what is none."""
    text = config.text("resolution")
    if fixed := FIXED.fullmatch(text):
        return (round(math.sqrt(int(fixed[1]) * int(fixed[2]))),)
    return tuple(int(side) for side in text.split(",")) if AREAS.fullmatch(text) else ()


@dataclass(frozen=True)
class Seen:
    """A concept's pictures, as far as they are to be seen from here."""

    concept: Concept
    folders: tuple[Folder, ...]

    @cached_property
    def pictures(self) -> tuple[tuple[Folder, str], ...]:
        """Each picture by its folder and name, masks left out."""
        return tuple(
            (folder, name)
            for folder in self.folders
            for name in folder.pictures
            if not name.rpartition(".")[0].endswith(MARKS)
        )

    @property
    def count(self) -> int:
        """How many; -1 when the folder is not to be seen."""
        return len(self.pictures) if self.folders else -1

    @property
    def samples(self) -> int:
        """Of one pass; -1 likewise."""
        return self.concept.samples(self.count)

    @cached_property
    def sizes(self) -> list[Size]:
        """Width and height of each; [] when one of them cannot be read."""
        known = {folder: folder.sizes() for folder in self.folders}
        found = [known[folder].get(name) for folder, name in self.pictures]
        return [] if None in found else [size for size in found if size]


def seen(concept: Concept, base: str) -> Seen:
    """What of a concept is to be seen from the folder of the config."""
    return Seen(concept, folders(concept.folder, base, bool(concept.values.get("include_subdirectories"))))


def buckets(side: int) -> list[Size]:
    """OneTrainer's buckets around an area, (width, height) each: nine ratios both ways, rounded."""
    found = []
    for aspect in ASPECTS:
        short, long = (rounded(side / math.sqrt(aspect)), rounded(side * math.sqrt(aspect)))
        found += [(long, short), (short, long)]
    return list(dict.fromkeys(found))


def rounded(length: float) -> int:
    """A side to the nearest step, at least one."""
    return max(STEPS, round(length / STEPS) * STEPS)


@dataclass(frozen=True)
class Pass:
    """One epoch.

    samples  pictures drawn; -1 when not known
    counts   of them by bucket; None when sizes are not known
    batch    pictures a batch
    """

    samples: int
    counts: Counter[Size] | None
    batch: int

    @property
    def batches(self) -> int:
        """Whole batches: each bucket's remainder is dropped."""
        if self.counts is not None:
            return sum(count // self.batch for count in self.counts.values())
        return self.samples // self.batch if self.samples >= 0 else -1

    @property
    def lost(self) -> int:
        """Pictures left out of it."""
        return sum(count % self.batch for count in (self.counts or {}).values())

    @property
    def dropped(self) -> int:
        """Buckets that are left out whole."""
        return sum(count < self.batch for count in (self.counts or {}).values())


def one_pass(config: Settings, found: Sequence[Seen]) -> Pass:
    """One epoch over the concepts that are trained on."""
    batch = max(1, config.whole("batch_size"))
    trained = [one for one in found if one.concept.kind != "VALIDATION"]
    samples = sum(one.samples for one in trained) if all(one.samples >= 0 for one in trained) and trained else -1
    sides = resolutions(config)
    sized = (
        samples >= 0 and len(sides) == 1 and all(one.sizes for one in trained) and config.flag("aspect_ratio_bucketing")
    )
    if not sized:
        return Pass(samples, None, batch)
    known = buckets(sides[0])
    counts: Counter[Size] = Counter()
    for one in trained:
        nearest = [min(known, key=lambda own: abs(own[1] / own[0] - h / w)) for w, h in one.sizes]
        whole, rest = divmod(one.samples, len(nearest))
        for index, size in enumerate(nearest):
            counts[size] += whole + (index < rest)
    return Pass(samples, +counts, batch)


def effective(config: Settings, found: Sequence[Seen]) -> Effective:
    """The run that results."""
    each, epochs = one_pass(config, found), max(0, config.whole("epochs"))
    accumulate = max(1, config.whole("gradient_accumulation_steps"))
    total = each.batches * epochs if each.batches >= 0 else -1
    rank, alpha = ranked(config)
    saves = saved(config, total, epochs)
    return Effective(
        updates=total // accumulate if total >= 0 else -1,
        pictures_per_update=each.batch * accumulate,
        sets=tuple(counted(one) for one in found if one.concept.kind != "VALIDATION"),
        family=family(config),
        quantised=HELD.get(config.text(denoiser(config), "weight_dtype"), ""),
        resolutions=resolutions(config)[:1],
        rank=rank,
        alpha=alpha,
        rate=rate(config),
        optimiser=str(config.given("optimizer", "optimizer") or "ADAMW").lower()[:40],
        saves=saves,
        kept=saves,
    )


def counted(one: Seen) -> SetCount:
    """A concept as it counts in a pass."""
    by_count = one.concept.by_count and one.count > 0
    return SetCount(one.concept.name, one.count, one.samples / one.count if by_count else one.concept.balancing)


def ranked(config: Settings) -> tuple[int, float]:
    """Rank and alpha of what is trained; -1 where it has none."""
    if config.text("training_method") != "LORA" or config.text("peft_type") not in ("LORA", "LOHA", "LOKR"):
        return -1, -1.0
    lokr = config.text("peft_type") == "LOKR"
    rank = config.whole("lokr_dim") if lokr and config.given("lokr_dim") is not None else config.whole("lora_rank")
    return max(0, rank), max(0.0, config.number("lora_alpha"))


def rate(config: Settings) -> float:
    """The rate of what draws, after its scaler; -1 when it is none."""
    own = config.given(denoiser(config), "learning_rate")
    plain = config.number("learning_rate") if own is None else config.number(denoiser(config), "learning_rate")
    return max(-1.0, plain * scale(config, "learning_rate_scaler"))


def scale(config: Settings, key: str) -> int:
    """What a scaler multiplies by, on one card."""
    batch, accumulate = max(1, config.whole("batch_size")), max(1, config.whole("gradient_accumulation_steps"))
    both = {"BOTH", "GLOBAL_BOTH"}
    name = config.text(key)
    return (batch if name in {"BATCH", "GLOBAL_BATCH", *both} else 1) * (
        accumulate if name in {"GRADIENT_ACCUMULATION", *both} else 1
    )


def saved(config: Settings, batches: int, epochs: int) -> int:
    """Files written, the last one included; -1 when it goes by the clock or is not known."""
    unit, every = config.text("save_every_unit"), config.whole("save_every")
    if unit == "NEVER" or (unit in ("EPOCH", "STEP") and every <= 0):
        return 1
    if unit == "EPOCH":
        return max(0, epochs - 1) // every + 1
    return batches // every + 1 if unit == "STEP" and batches >= 0 else -1


def ages(decay: float, every: int, updates: int) -> float:
    """The mean age in updates of the average that is saved, of the weights at its own updates.

    The decay is min(d, (1 + s) / (10 + s)) at update s, taken every so many.
    """
    age, last = 0.0, updates - updates % every
    for step in range(0, min(last, 200_000) + 1, every):
        held = min((1 + step) / (10 + step), decay)
        age = held * (age + every)
    return age


def frozen_draws(one: Concept, within: str, names: Sequence[str]) -> Iterator[str]:
    """Those settings of a concept's table that draw by chance and are on."""
    held = one.values.get(within)
    yield from (name for name in names if isinstance(held, dict) and held.get(name) is True)
