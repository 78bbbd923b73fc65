"""Are the forecasts of memory and time true on a real card?

python -m benchmarks.card [--only flux ...] [--seconds 130] [--out card.jsonl] [--tiny]

Bases of the published sizes are made on the card of random numbers, in the way that the product reads them, and trained
by its own loop on random samples, at the longest captions that the forecast reckons with: one picture a step (the
presets' batch where a case says so), one step to warm up and four timed. One line of JSON a case, the most wanted
first; a case that fails says why, and the next goes on. `--tiny` runs the same code with tiny layers, also on a CPU.

weights_gb, drawn_gb, resting_gb  the denoiser; most while it was made; what lay there before the first step
away_gb, pinned_gb       of the blocks that lie away; what torch holds locked of main memory, earlier cases' too
allocated_gb, reserved_gb, driver_gb  the most that tensors took, that torch held, and what the driver shows as used
forecast_gb, ratio       what the forecast says, and driver_gb over it
tensors_ratio            allocated_gb over the forecast without slack and a process's own share
seconds, share           the median step, and the operations forecast in it over the card's
"""

import argparse
import gc
import importlib
import json
import math
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from portraitist import durable, families, recipe
from portraitist.adapters.dialects import tree_of
from portraitist.adapters.inject import mark
from portraitist.bases import reading, streaming
from portraitist.dataset.stream import course
from portraitist.events import Event, Stepped
from portraitist.family import Base, Sample
from portraitist.forecast import memory, pace
from portraitist.forecast.laws import operations_at
from portraitist.forecast.published import PUBLISHED, Part, Published
from portraitist.learn import loop, offload
from portraitist.learn.encoders import size
from portraitist.learn.memory import place, set_threads
from portraitist.recipe import Recipe
from portraitist.replies import ALLOCATOR, grow_segments
from portraitist.verbs.train import adapted

BEGAN = psutil.Process().create_time()
WARM, TIMED = 1, 4
CARD = pace.CARDS["H100"]
TINY_SIDE, TINY_TEXT = 64, 8
TINY: dict[str, dict[str, Any]] = {
    "sdxl": {
        "block_out_channels": (8, 16, 16), "attention_head_dim": (1, 2, 2), "transformer_layers_per_block": 1,
        "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 40, "cross_attention_dim": 32,
        "norm_num_groups": 4},
    "flux": {
        "num_layers": 1, "num_single_layers": 2, "attention_head_dim": 16, "num_attention_heads": 2,
        "joint_attention_dim": 32, "pooled_projection_dim": 16, "axes_dims_rope": (4, 4, 8)},
    "qwen-image": {
        "num_layers": 2, "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 32,
        "axes_dims_rope": (4, 6, 6)},
    "z-image": {
        "dim": 32, "n_layers": 2, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2, "cap_feat_dim": 32,
        "axes_dims": [4, 6, 6]},
}  # fmt: skip
TINY_VAE = {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4}


@dataclass(frozen=True)
class Case:
    """A preset with changes; `pictures` of a step, one after the other."""

    name: str
    preset: str
    changes: tuple[str, ...] = ()
    pictures: int = 1

    def recipe(self) -> Recipe:
        """The case's own, at two samples to the pass."""
        plain = ("training.accumulate=1", f"training.batch={self.pictures}", "training.save_every=1000")
        steps = f"stages.0.steps={WARM + TIMED}"
        return recipe.load(Path("none"), (f'preset="{self.preset}"', steps, *plain, *self.changes))


ON, OFF = 'training.recompute="on"', 'training.recompute="off"'
CASES = (
    Case("sdxl", "sdxl", (ON,)),
    Case("flux", "flux", (ON,)),
    Case("qwen-image", "qwen-image", (ON,)),
    Case("flux-nf4", "flux", (ON, 'model.quantised="nf4"')),
    Case("qwen-image-fp8", "qwen-image", (ON, 'model.quantised="fp8"')),
    Case("qwen-image-int8", "qwen-image", (ON, 'model.quantised="int8"')),
    Case("z-image", "z-image", (ON,)),
    Case("sdxl-kept", "sdxl", (OFF,)),
    Case("flux-kept", "flux", (OFF,)),
    Case("qwen-image-edit", "qwen-image-edit", (ON, 'data.references=["one.png"]')),
    Case("qwen-image-24gb", "qwen-image-24gb", (ON,), 2),
    Case("sdxl-full", "sdxl-full", (ON,), 2),
)
VAE = "sdxl-vae"
ORDER = [case.name for case in CASES[:-2]] + [VAE] + [case.name for case in CASES[-2:]]


@dataclass
class Meter:
    """Memory of a device in GB (1e9 bytes); nothing is known of a CPU's."""

    device: torch.device

    @property
    def card(self) -> bool:
        """Whether there is one."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.card:
            torch.cuda.synchronize(self.device)

    def empty(self) -> None:
        """Let go of what nobody holds, and forget peaks."""
        gc.collect()
        if self.card:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def now(self) -> float:
        """What tensors take."""
        return torch.cuda.memory_allocated(self.device) / 1e9 if self.card else 0.0

    def used(self) -> float:
        """What the driver shows as used, by everyone."""
        free, whole = torch.cuda.mem_get_info(self.device) if self.card else (0, 0)
        return (whole - free) / 1e9

    def peaks(self) -> dict[str, float]:
        """Since they were forgotten; `runtime_gb` is what the driver shows beyond what torch holds."""
        if not self.card:
            return {}
        held = torch.cuda.memory_reserved(self.device) / 1e9
        return {
            "allocated_gb": torch.cuda.max_memory_allocated(self.device) / 1e9,
            "reserved_gb": torch.cuda.max_memory_reserved(self.device) / 1e9,
            "driver_gb": self.used(),
            "runtime_gb": self.used() - held,
        }


class Drawn:
    """A family whose base is at hand, and not read; in all else the family itself."""

    def __init__(self, family: Any, denoiser: nn.Module) -> None:
        self.family, self.denoiser = family, denoiser

    def __getattr__(self, name: str) -> Any:
        return getattr(self.family, name)

    def load_denoiser(self, base: Base) -> nn.Module:
        """The base's denoiser."""
        return self.denoiser


@dataclass
class Clock:
    """When each step began: the loop asks before every one whether to go on; not after so many seconds in all."""

    meter: Meter
    most: float
    at: list[float] = field(default_factory=list)

    def note(self) -> None:
        """Another step begins, or all is done."""
        self.meter.wait()
        self.at.append(time.perf_counter())

    def halt(self) -> str:
        """Note the time; a word when it is over."""
        self.note()
        return "out of time" if passed() > self.most else ""

    def steps(self) -> list[float]:
        """Seconds of each step."""
        return [after - before for before, after in zip(self.at, self.at[1:], strict=False)]


def passed() -> float:
    """Seconds since this process began."""
    return time.time() - float(BEGAN)


def sized(family: str, tiny: bool) -> Published:
    """The published base, or one of the same class that a CPU trains in a moment."""
    found = PUBLISHED[family]
    if not tiny:
        return found
    config = {**found.trained.config, **TINY[tree_of(family)]}
    part = replace(found.trained, config=config, parameters=0)
    return replace(found, parts={found.denoiser: part}, text=TINY_TEXT, width=32, pooled=16)


def numbers(model: nn.Module, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Random tensors for every place of an empty model, one at a time, as a file of bfloat16 would give them."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}

    def one(name: str, shape: torch.Size) -> Tensor:
        made = torch.empty(shape, dtype=torch.bfloat16, device=device)
        return made.fill_(1) if len(shape) == 1 and name.endswith("weight") else made.normal_(0, 0.02)

    return ((name, one(name, shape)) for name, shape in shapes.items())


def drawn(part: Part, dtype: torch.dtype, quantised: str, device: torch.device) -> Any:
    """A part of a base with random weights, put on the device tensor by tensor by the product's own reader."""
    library, _, kind = part.kind.partition(".")
    model = reading.empty(getattr(importlib.import_module(library), kind), dict(part.config))
    return streaming.fill(model, numbers(model, device), dtype, quantised, device)


def sample(published: Published, settings: Recipe, side: int) -> Sample:
    """A picture as the cache would have it, of random numbers, with its caption as long as the forecast takes it."""
    cells, channels = side // 8, published.channels
    text = published.text + settings.references * memory.SEEN
    given = {
        "tokens": torch.randn(text, published.width).bfloat16(),
        "tokens_mask": torch.ones(text, dtype=torch.bool),
        "pooled": torch.randn(published.pooled).bfloat16(),
        "sizes": torch.tensor([side, side, 0, 0, side, side], dtype=torch.float32),
    }
    shown = tuple(torch.randn(channels, cells, cells) for _ in range(settings.references))
    return Sample("drawn", torch.randn(channels, cells, cells), (given,), given, references=shown)


def forecast(settings: Recipe, side: int) -> dict[str, Any]:
    """What the product says of the recipe: peak by parts, operations of a step, seconds by measured step times.

    It has no forecast of whole denoisers; for these its parts are put together here.
    """
    base: Any = memory.known(settings.model.family)
    at, kept = memory.point(base, settings, side), settings.training.recompute == "off"
    shares = memory.training(base, settings, side)
    work = pace.operations(base.laws, at, recomputed=not kept)
    if settings.adapter.kind == "full":
        shares = [
            memory.Share(base.numbers * 4 / 1e9, "weights and gradients", "2 bytes each"),
            *(share for share in shares if share.what in ("activations", "slack", "runtime")),
        ]
        work += operations_at(base.laws.work_drawn, at)
    low, high, _ = pace.shares(settings.model.family, CARD)
    return {
        "forecast_gb": memory.total(shares),
        "parts": {share.what: share.gb for share in shares},
        "tflop": work / 1e12,
        "forecast_seconds": [work / CARD.tflops / 1e12 / share for share in (high, low)],
    }


def trained(case: Case, meter: Meter, tiny: bool, most: float) -> dict[str, Any]:
    """One case: the base made, the adapter put in and trained as `train` does it, and what that took."""
    began, settings = time.perf_counter(), case.recipe()
    family = families.get(settings.model.family)
    side = TINY_SIDE if tiny else settings.data.resolution or family.profile.resolution
    told = {**forecast(settings, side), "recipe": settings.model.model_dump(include={"quantised", "offload"})}
    published, model, device = sized(settings.model.family, tiny), settings.model, meter.device
    denoiser = drawn(published.trained, torch.bfloat16, model.quantised, device)
    meter.wait()
    told |= {"weights_gb": size(denoiser) / 1e9, "drawn_gb": meter.peaks().get("allocated_gb", 0.0)}
    told |= {"drawn_seconds": time.perf_counter() - began}
    away = offload.chosen(denoiser, model.offload) if model.offload else []
    told |= {"away_gb": sum(size(block.to("cpu")) for block in away) / 1e9}
    with device:  # peft's first values are made there at once, and then drawn by the product
        base = Base(Path("none"), "", model.precision)
        trainee = adapted(Drawn(family, denoiser), base, settings, device)
    samples = [sample(published, settings, side) for _ in range(case.pictures)]
    meter.empty()
    told |= {"adapted_seconds": time.perf_counter() - began, "resting_gb": meter.now()}
    told |= {"trained": sum(p.numel() for p in trainee.parameters.values())}
    events: list[Event] = []
    clock, way = Clock(meter, most), course(samples, settings)
    how: dict[str, Any] = {"horizon": settings.steps, "emit": events.append, "halt": clock.halt}
    word = loop.train(family, trainee, way, settings, checkpoint=lambda trainee: clock.note(), **how)
    steps = [event for event in events if isinstance(event, Stepped)]
    told |= measured(meter, clock.steps()[: len(steps)], told) | ({"halted": word} if word else {})
    if settings.adapter.kind == "full":
        one = next(iter(trainee.parameters.values())).detach()
        told["marks_agree"] = mark(one) == mark(one.cpu())
    return told | {"losses": [event.loss for event in steps], "norms": [event.gradient for event in steps]}


def measured(meter: Meter, steps: list[float], told: dict[str, Any]) -> dict[str, Any]:
    """Peaks and step times beside their forecasts. Slack and runtime are not in tensors."""
    found: dict[str, Any] = {**meter.peaks(), "steps": steps}
    if later := steps[WARM:]:
        found["seconds"] = statistics.median(later)
        found["tflops"] = told["tflop"] / found["seconds"]
        found["share"] = found["tflops"] / CARD.tflops
    if meter.card:
        pinned: dict[str, int] = getattr(torch.cuda, "host_memory_stats", dict)()
        found["pinned_gb"] = pinned.get("allocated_bytes.current", 0) / 1e9
        tensors = told["forecast_gb"] - told["parts"]["slack"] - told["parts"]["runtime"]
        found["ratio"] = found["driver_gb"] / told["forecast_gb"]
        found["tensors_ratio"] = found["allocated_gb"] / tensors
        states = told["parts"].get("adapter", 0.0) * 3 / 5  # gradient and two averages, which come with the first step
        found["activations_gb"] = found["allocated_gb"] - told["resting_gb"] - states
    return found


def autoencoder(meter: Meter, tiny: bool) -> dict[str, Any]:
    """SDXL's VAE in float32, one picture there and back as `encode` and `evaluate` have it, and what that took."""
    base: Any = memory.known("sdxl")
    part = PUBLISHED["sdxl"].parts["vae"]
    side = TINY_SIDE if tiny else 1024
    part = replace(part, config={**part.config, **TINY_VAE}) if tiny else part
    vae = drawn(part, torch.float32, "", meter.device)
    told: dict[str, Any] = {"weights_gb": size(vae) / 1e9, "forecast_gb": memory.decoding(base, side)}
    there = timed(meter, partial(families.to_latents, vae, torch.rand(1, 3, side, side) * 2 - 1))
    back = timed(meter, partial(families.to_pixels, vae, torch.randn(1, 4, side // 8, side // 8)))
    return told | {"encode": there, "decode": back}


def timed(meter: Meter, do: Callable[[], Tensor]) -> dict[str, float]:
    """Peaks and seconds of the second of two calls."""
    seconds = 0.0
    for _ in range(2):
        meter.empty()
        began = time.perf_counter()
        do()
        meter.wait()
        seconds = time.perf_counter() - began
    return meter.peaks() | {"seconds": seconds}


def tried(name: str, meter: Meter, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What came of a case, or why it failed; nothing of it is held after. `lost`: the card answers no more."""
    began = time.perf_counter()
    try:
        meter.empty()
        found = do()
    except Exception as error:  # noqa: BLE001 - whatever a card's libraries raise, the next case goes on
        calls = traceback.extract_tb(error.__traceback__)[-6:]
        where = [f"{call.filename.rpartition('/')[2]}:{call.lineno} {call.name}" for call in calls]
        found = {"error": f"{type(error).__name__}: {str(error)[:300]}", "where": where}
        traceback.clear_frames(error.__traceback__)
    try:
        found |= meter.peaks() if "error" in found else {}
        meter.empty()
    except RuntimeError:
        return {"case": name, **found, "lost": True}
    return {"case": name, **found, "left_gb": meter.now(), "case_seconds": time.perf_counter() - began}


def main(words: list[str] | None = None) -> None:
    """Measure, and write one line of JSON per case as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.card")
    parser.add_argument("--only", nargs="+", choices=ORDER, metavar="NAME")
    parser.add_argument("--seconds", type=float, default=math.inf, help="since the process began: no case after")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args(words)
    grow_segments()  # before anything is on the card
    meter = Meter(place("auto"))
    set_threads(0)

    def tell(line: dict[str, Any]) -> None:
        figures = {"parse_float": lambda text: float(f"{float(text):.4g}"), "parse_constant": str}
        text = json.dumps(json.loads(json.dumps(line), **figures))
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        if given.out:
            durable.append_line(given.out, text)

    torch.zeros(1, device=meter.device)
    kind = torch.cuda.get_device_name(meter.device) if meter.card else "cpu"
    segments = next((os.environ[name] for name in ALLOCATOR if name in os.environ), "torch's own")
    told = {"device": kind, "torch": torch.__version__, "segments": segments}
    tell(told | {"started_seconds": passed(), "started_gb": meter.used()})
    todo: dict[str, Callable[[], dict[str, Any]]] = {VAE: partial(autoencoder, meter, given.tiny)}
    todo |= {case.name: partial(trained, case, meter, given.tiny, given.seconds) for case in CASES}
    asked = [name for name in ORDER if name in (given.only or ORDER)]
    for i, name in enumerate(asked):
        if passed() > given.seconds:
            tell({"case": name, "skipped": "out of time"})
            continue
        line = tried(name, meter, todo[name])
        tell(line)
        if "lost" in line and asked[i + 1 :]:  # the rest in this process made new, whose time goes on
            os.execv(sys.executable, [*sys.orig_argv[:3], *sys.argv[1:], "--only", *asked[i + 1 :]])


if __name__ == "__main__":
    main()
