"""All that changes while training, and its way to the disk and back, bit for bit."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from portraitist import durable, tensorfile
from portraitist.errors import PortraitistError
from portraitist.events import Chosen, Emit, Event, Log, Rendered, Saved, Scored, Warned, to_line
from portraitist.learn import rounding
from portraitist.learn.memory import Scaler
from portraitist.learn.optimise import at_rest, average, decay, load_state, optimiser, state_of, take
from portraitist.runs import RunFolder
from portraitist.sections import Training

FORMAT = 1
ADAPTER, RESUME = "adapter.safetensors", "resume.safetensors"
WriteAdapter = Callable[[Path, Mapping[str, Tensor]], None]


class Trained(Protocol):
    """What is trained: an adapter in a denoiser, or the whole of it."""

    @property
    def exact(self) -> bool:
        """Whether its file holds the parameters themselves, as `whole.<name>`: they need not lie on the disk twice."""
        ...

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """By name, in an order that is always the same."""
        ...

    def tensors(self) -> Mapping[str, Tensor]:
        """What the parameters are worth now, as an adapter file holds it."""
        ...

    def off(self) -> AbstractContextManager[None]:
        """Within: the denoiser computes what it did before anything was trained. For predictions without gradients."""
        ...


@dataclass(eq=False)
class Trainee:
    """A denoiser with what is trained of it.

    step      optimiser steps taken
    averages  float32 running averages of the parameters; empty when nothing is averaged
    scaler    of the loss, in float16
    """

    denoiser: nn.Module
    trained: Trained
    settings: Training
    step: int = 0
    averages: dict[str, Tensor] = field(default_factory=dict)
    scaler: Scaler = field(default_factory=Scaler)
    optimiser: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimiser = optimiser(self.parameters, self.settings)
        self.begin_averages()

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """What the optimiser moves, by name."""
        return self.trained.parameters()

    @property
    def device(self) -> torch.device:
        """Where the denoiser lies."""
        return next(self.denoiser.parameters()).device

    @property
    def averaging(self) -> bool:
        """Whether what is judged is an average, and not the parameters as they are."""
        return bool(self.averages) or self.settings.optimiser == "schedulefree"

    def begin_averages(self) -> None:
        """Let the averages start at the parameters."""
        if self.settings.ema > 0:
            self.averages = {name: p.detach().float().clone() for name, p in self.parameters.items()}

    def update(self, rate: float) -> float:
        """One optimiser step at `rate` with the gradients at hand; clears them and moves the averages.

        Returns the rate that the weights moved at.
        """
        rounds = any(p.dtype == torch.bfloat16 for p in self.parameters.values())
        step = partial(rounding.step, self.optimiser, self.parameters, self.settings.seed, self.step)
        moved = take(self.optimiser, rate, step if rounds else None)
        if self.averages:
            average(self.averages, self.parameters, decay(self.settings.ema, self.step))
        self.scaler.went_well()
        self.step += 1
        return moved

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within: the parameters are their averages, if there are any. After: what they were, bit for bit."""
        raw = {name: p.detach().clone() for name, p in self.parameters.items()} if self.averaging else {}
        try:
            with at_rest(self.optimiser):
                fill(self.parameters, self.averages)
                yield
        finally:
            fill(self.parameters, raw)

    def state(self) -> dict[str, Tensor]:
        """Everything the next step depends on, by name; loading it elsewhere goes on bit for bit. A copy."""
        return {name: value.detach().cpu().clone().contiguous() for name, value in self.parts().items()}

    def parts(self) -> dict[str, Tensor]:
        """The same, as it lies there."""
        found: dict[str, Tensor] = {"step": torch.tensor(self.step)}
        for name, parameter in self.parameters.items():
            found[f"raw/{name}"] = parameter
        found |= state_of(self.optimiser, self.parameters, self.settings.optimiser)
        found |= self.scaler.state()
        return found | {f"average/{name}": value for name, value in self.averages.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the state that `state()` gave. Raises PortraitistError when it is of other parameters."""
        self.start_from(state)
        self.step = int(state["step"])
        kept = below(state, "average")
        self.averages = {name: value.to(self.device, copy=True) for name, value in kept.items()} or self.averages
        load_state(self.optimiser, self.parameters, self.settings.optimiser, state)
        self.scaler.load(state)

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Take the raw parameters alone of a state: a fork's beginning."""
        raw, own = below(state, "raw"), self.parameters
        for name in sorted(raw.keys() | own.keys()):
            theirs, ours = raw.get(name), own.get(name)
            if theirs is None or ours is None or theirs.shape != ours.shape:
                shapes = [tuple(t.shape) if t is not None else "absent" for t in (theirs, ours)]
                raise PortraitistError(
                    f"Saved weights do not fit this adapter: {name} is {shapes[0]} there and {shapes[1]} here",
                    "Train with the adapter settings they were saved with: kind, rank, targets.",
                )
        fill(own, raw)
        self.begin_averages()


@torch.no_grad()
def fill(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    """Copy named values into parameters, in place."""
    for name, value in values.items():
        parameters[name].copy_(value)


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under `prefix/`, without it."""
    return {key.removeprefix(f"{prefix}/"): value for key, value in state.items() if key.startswith(f"{prefix}/")}


def save(run: RunFolder, trainee: Trainee, write_adapter: WriteAdapter, held: Collection[int] | None = None) -> Path:
    """Write a checkpoint: what is judged, what is resumed from, and last the manifest that makes it exist.

    Resume files beyond the newest `keep` are let go afterwards; with `held`, whole checkpoints are, but for its steps.
    Raises PortraitistError when the disk refuses, or when the adapter is all zero or not finite; checkpoints made
    before stay whole.
    """
    folder = run.checkpoint(trainee.step)
    durable.remove(folder / "manifest.json")
    with trainee.averaged():
        write_adapter(folder / ADAPTER, trainee.trained.tensors())
    twice = trainee.trained.exact and not trainee.averaging
    parts = {name: value for name, value in trainee.parts().items() if not (twice and name.startswith("raw/"))}
    tensorfile.write(folder / RESUME, parts)
    files = {name: durable.digest(folder / name) for name in (ADAPTER, RESUME)}
    manifest = {"format": FORMAT, "step": trainee.step, "record": run.log.size(), "files": files}
    durable.write_json(folder / "manifest.json", manifest)
    for step in run.steps()[: -trainee.settings.keep]:
        if held is not None and step not in held:
            durable.remove(run.checkpoint(step) / "manifest.json")
            durable.remove(run.checkpoint(step))
        else:
            durable.remove(run.checkpoint(step) / RESUME)
    return folder


def restore(run: RunFolder, trainee: Trainee, emit: Emit) -> None:
    """Go back to the newest checkpoint whose files hold what was written, and take the record back to it.

    A damaged one is told of and passed over; with none left the run begins anew. What it then writes again is equal,
    for every draw is a function of the step.
    """
    told: list[Event] = []
    step, offset = 0, 0
    for step in reversed([0, *run.steps()]):
        if step == 0:
            break
        path = run.checkpoint(step)
        problem = run.damage(step) or ("" if (path / RESUME).is_file() else f"{RESUME} was let go")
        if not problem:
            trainee.load(saved_state(path))
            offset = int(run.manifest(step)["record"])
            break
        told.append(
            Warned(says=f"Checkpoint {step} cannot be resumed from: {problem}", remedy="An earlier one is taken.")
        )
        if run.damage(step):
            durable.remove(path / "manifest.json")
    saved = rewind(run.log, offset, step)
    for event in told:
        emit(event)
    if step and not saved:
        emit(Saved(step=step, path=str(run.checkpoint(step).relative_to(run.path))))


def saved_state(folder: Path) -> dict[str, Tensor]:
    """The state that a checkpoint holds, mapped; raw parameters that are not in its resume file are the judged ones.

    Raises PortraitistError when a file of it is damaged.
    """
    found = tensorfile.read(folder / RESUME)
    if not any(name.startswith("raw/") for name in found):
        judged = tensorfile.read(folder / ADAPTER)
        found |= {f"raw/{name.removeprefix(tensorfile.WHOLE)}": tensor for name, tensor in judged.items()}
    return found


def rewind(log: Log, offset: int, step: int) -> bool:
    """Take the record back to `offset`, the length it had at the checkpoint of `step`; returns whether it was told of.

    What was told after it stays if it is about checkpoints up to `step`: that one was saved, or an evaluation that
    follows the run has drawn and scored it meanwhile.
    """
    later = [event for event, _ in log.read(offset)]
    kept = [e for e in later if isinstance(e, Saved | Rendered | Scored | Chosen) and e.step <= step]
    if kept:
        head = log.path.read_bytes()[:offset]
        durable.write_bytes(log.path, head + "".join(to_line(event) + "\n" for event in kept).encode())
    elif log.size() > offset:
        durable.cut(log.path, offset)
    return any(isinstance(event, Saved) for event in kept)
