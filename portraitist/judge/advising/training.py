"""Symptoms of training itself, by its record: spikes, losses that rise, a stop, and memory that will not do. Pure."""

import re
from collections.abc import Sequence

import numpy as np

from portraitist.events import Failed, Finished, Overflowed, Stepped
from portraitist.judge.advising.evidence import EVENTS, LOSSES, NONE, Fact, Need, Seen, Symptom

WINDOW = 50
"""Steps before a step that it is held against."""

STANDS_OUT = 6.0
"""Robust z (Iglewicz & Hoaglin 1993: distance to the median over 1.4826 MAD) of a step's logarithm that is a spike;
they advise 3.5 for one look, and here there are hundreds. Judged."""

TIMES = 4.0
"""How many times its window's median a spike must be as well: a quiet run's small steps are none. Judged."""

MANY = 0.01
"""Share of steps that are spikes from which on it is a symptom; at least two. Judged."""

RISEN = 1.03
"""Fixed-noise loss on training pictures over the least of an earlier checkpoint, from which on training undoes what it
did: in all of benchmarks/mini.md's runs it falls to the end."""

FEW = 2
"""Samples up to which a rise may be one picture's chance: of 8 pictures one is looked at, and went up and down."""

WORSE = 1.02
"""The same over the base's: the adapter draws its own training pictures worse than without it."""

STOPPED = re.compile(r"Step (\d+): loss (\S+), gradient norm (\S+); the weights were not touched")
"""How a step that is not finite is told (learn/loop.py)."""


def stopped(seen: Seen) -> Symptom | None:
    """Training ended by itself on a loss or gradient that was not finite."""
    ends = [event for event in seen.events if isinstance(event, Failed | Finished) and event.verb == "train"]
    if not ends or not isinstance(ends[-1], Failed):
        return None
    told = STOPPED.search(ends[-1].problem)
    if told is None:
        return None
    step = int(told[1])
    fact = Fact.plain("step", step, seen.recipe.steps, ends[-1].problem, EVENTS)
    says = f"Training stopped itself at step {step} of {seen.recipe.steps}: loss {told[2]}, gradient norm {told[3]}"
    return Symptom("stopped", says, 1.0, True, (fact,))


def diverged(seen: Seen) -> Symptom | None:
    """Training ruined what was there: its own pictures' loss ends above the base's."""
    course = seen.course("train_each")
    if not course or course[-1][1].mean <= WORSE or course[-1][1].low <= 1:
        return None
    step, got = course[-1]
    fact = Fact.of_score("loss on training pictures", got, WORSE, f"step {step} over the base", LOSSES)
    says = f"It draws its own training pictures worse than the base does: {got.mean:.2f} times its loss"
    return Symptom("diverged", says, 0.95, got.low > WORSE, (fact,))


def unsteady(seen: Seen) -> Symptom | None:
    """Training undoes what it did: its own pictures' loss ends above that of an earlier checkpoint."""
    course = seen.course("train_each")
    step, least = (course[-1][0], min(course, key=lambda point: point[1].mean)[0]) if course else (0, 0)
    rise = seen.between("train_each", step, least) if least != step else NONE
    if rise.count <= FEW or rise.mean <= RISEN or rise.low <= 1:
        return None
    fact = Fact.of_score("loss on training pictures", rise, RISEN, f"step {step} over step {least}", LOSSES)
    says = f"Training undoes what it did: its loss on the same noise is {rise.mean:.2f} times that of step {least}"
    return Symptom("unsteady", says, 0.7, rise.low > RISEN, (fact,))


def spikes(seen: Seen) -> Symptom | None:
    """Steps whose loss or gradient stands out from those before them."""
    steps = seen.steps()
    warm = [step for step in steps if step.step > seen.recipe.training.warmup]
    facts, words, most = [], [], 0
    for name in ("loss", "gradient"):
        where = outliers(warm, name)
        if len(where) >= max(2, MANY * len(warm)):
            of = f"steps {', '.join(str(step) for step in where[:5])}" + (" and more" if len(where) > 5 else "")
            facts.append(Fact.plain(f"{name} spikes", len(where), max(2.0, MANY * len(warm)), of, EVENTS))
            words.append(f"its {name} stands out at {len(where)} of {len(warm)} steps")
            most = max(most, len(where))
    again = sum(isinstance(event, Overflowed) for event in seen.events)
    if again > max(4, MANY * len(steps)):
        facts.append(Fact.plain("overflows", again, max(4.0, MANY * len(steps)), "float16", EVENTS))
        words.append(f"its gradient overflowed {again} times")
    if not words:
        return None
    return Symptom("spikes", f"Training jumps: {', and '.join(words)}", 0.5, most >= 4, tuple(facts))


def outliers(steps: Sequence[Stepped], name: str) -> list[int]:
    """Steps that are a spike in "loss" or "gradient", held against the WINDOW of steps before each."""
    there = [(step.step, getattr(step, name)) for step in steps]
    there = [(step, value) for step, value in there if np.isfinite(value) and value > 0]
    logs = np.log([value for _, value in there]) if there else np.zeros(0)
    found = []
    for i in range(WINDOW // 2, len(there)):
        before = logs[max(0, i - WINDOW) : i]
        middle = np.median(before)
        spread = 1.4826 * np.median(np.abs(before - middle))
        if logs[i] - middle > max(np.log(TIMES), STANDS_OUT * spread):
            found.append(there[i][0])
    return found


def short_of_memory(seen: Seen) -> Symptom | None:
    """The card has less memory free than training is forecast to take."""
    need: Need | None = seen.need
    if need is None or need.gb <= need.free_gb:
        return None
    fact = Fact.plain("memory in GB", need.gb, need.free_gb, "forecast of training", "docs/plan.md")
    says = f"Training needs {need.gb:.1f} GB by the forecast, and {need.free_gb:.1f} are free"
    done = bool(seen.steps())  # it went all the same: the forecast is then on the safe side
    return Symptom("memory", says, 0.2 if done else 1.0, not done, (fact,))
