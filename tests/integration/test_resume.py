"""Stopped anywhere and continued, a training ends in the bytes of the uncut one; what cannot go on is refused."""

import math

import pytest
import safetensors.torch
import torch

from portraitist import runs
from portraitist.errors import PortraitistError
from portraitist.events import Saved, Stepped, Warned
from portraitist.learn import state
from portraitist.learn.optimise import PACKAGES
from portraitist.project import Facts, Project
from portraitist.verbs.train import keep, parent_weights
from tests.learning import BASE, Painter, Weaver, drawn, job

OLD = {"portraitist": "0", "base": BASE.digest, "data": "cd", "torch": "t", "threads": 1, "device": "cpu"}
FACTS = {**OLD, "precision": "float32"}


class Killed(BaseException):
    """The process is gone: nothing of ours may catch it."""


def steps(told):
    return [(e.step, e.loss, e.gradient, e.rate) for e in told if isinstance(e, Stepped)]


def dying(step):
    def watch(event):
        if isinstance(event, Stepped) and event.step == step:
            raise Killed

    return watch


SETTINGS = {
    "a plain lora": {},
    "averaged weights": {"training__ema": 0.9},
    "dropout in the adapter": {"adapter__dropout": 0.3},
    "the whole denoiser": {"adapter__kind": "full", "training__rate": 1e-3},
    "a falling rate, stages": {
        "training__schedule": "cosine",
        "training__warmup": 2,
        "stages": [{"name": "a", "steps": 4}, {"name": "b", "steps": 5, "rate": 0.5}],
    },
    "bfloat16": {"model__precision": "bfloat16"},
    "loha": {"adapter__kind": "loha"},
    "lokr": {"adapter__kind": "lokr", "adapter__factor": 2, "training__ema": 0.9},
    "spread levels": {"training__stratified": True, "training__level": "logit-normal", "training__level_mean": 0.5},
    "adafactor": {"training__optimiser": "adafactor", "training__ema": 0.9},
    "the whole denoiser in bfloat16": {
        "adapter__kind": "full",
        "adapter__weights": "bfloat16",
        "model__precision": "bfloat16",
        "training__optimiser": "adafactor",
        "training__rate": 1e-4,
    },
    "the whole denoiser averaged": {"adapter__kind": "full", "training__rate": 1e-3, "training__ema": 0.9},
    "adamw8bit": {
        "adapter__kind": "full",
        "adapter__weights": "bfloat16",
        "model__precision": "bfloat16",
        "training__optimiser": "adamw8bit",
        "training__rate": 1e-4,
    },
    "prodigy": {"training__optimiser": "prodigy", "training__rate": 1.0, "training__schedule": "cosine"},
    "schedulefree": {"training__optimiser": "schedulefree", "training__warmup": 4},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("family", [Painter(), Weaver()], ids=lambda family: family.name)
def test_killed_and_continued_it_equals_the_uncut_run_bit_for_bit(family, name, tmp_path):
    pytest.importorskip(PACKAGES.get(name, "torch"))
    samples = drawn(7, size=(8, 12))
    whole = job(tmp_path / "whole", family, samples, **SETTINGS[name])
    whole.go()
    cut = job(tmp_path / "cut", family, samples, **SETTINGS[name])
    for step in (2, 4, 8):  # before the first checkpoint, between two, after the second
        with pytest.raises(Killed):
            cut.go(watch=dying(step))
    cut.go(halt=lambda step: "stop file" if step == 8 else "")  # a stop saves; it must leave no trace either
    cut.go()
    assert cut.run.steps() == [3, 6, 8, 9]
    files = {name: data for name, data in cut.files().items() if "000008" not in name}
    uncut = {name: data for name, data in whole.files().items() if name in files}
    assert files == uncut
    assert len(files) == 4, "three adapters, and the newest resume file that is not of the stop"
    recorded = [e for e in cut.run.log.events() if isinstance(e, Stepped)]
    assert steps(recorded) == steps(whole.told)
    assert [s for s, *_ in steps(recorded)] == list(range(1, 10))


def test_another_seed_is_another_run(tmp_path):
    """What makes the equality above mean something."""
    one, two = (job(tmp_path / str(seed), Painter(), training__seed=seed) for seed in (0, 1))
    one.go(), two.go()
    assert not set(one.files().values()) & set(two.files().values())
    assert steps(one.told)[0][1] != steps(two.told)[0][1]


def test_global_generators_do_not_reach_the_training(tmp_path):
    one, two = (job(tmp_path / str(seed), Painter(), adapter__dropout=0.2) for seed in (0, 1))
    torch.manual_seed(1)
    one.go()
    torch.manual_seed(2)
    two.go(watch=lambda event: torch.rand(3))
    assert one.files() == two.files()


def test_it_learns(tmp_path):
    """On the pictures it saw, and further with more steps: the last losses are below the first, on the same noise."""
    from portraitist.learn.loss import held_out

    family = Weaver()
    work = job(tmp_path, family, drawn(2), stages=[{"steps": 60}], training__save_every=60, data__dropout=0.0)
    trainee = work.trainee()
    before = held_out(family, trainee.denoiser, work.samples, 0).mean()
    after = held_out(family, work.go().denoiser, work.samples, 0).mean()
    assert after < 0.9 * before


def test_what_is_saved_is_what_is_averaged_and_the_raw_weights_go_on(tmp_path):
    family = Painter()
    work = job(tmp_path, family, training__ema=0.9)
    trainee = work.go()
    adapter = safetensors.torch.load_file(work.run.adapter(9))
    raw = {name: p.detach() for name, p in trainee.parameters.items()}
    resumed = safetensors.torch.load((work.run.checkpoint(9) / state.RESUME).read_bytes())
    for name, value in raw.items():
        assert torch.equal(adapter[name], trainee.averages[name])
        assert torch.equal(resumed[f"raw/{name}"], value)
        assert torch.equal(resumed[f"average/{name}"], trainee.averages[name])
    moved = [name for name in raw if not torch.equal(raw[name], trainee.averages[name])]
    assert moved == list(raw)


def test_averages_follow_the_weights_as_the_formula_says(tmp_path):
    """a <- k a + (1 - k) w with k = min(d, (1 + t) / (10 + t)), in float64 from the weights of every step."""
    work = job(tmp_path, Painter(), training__ema=0.35, training__save_every=1, training__keep=9)
    name, expected = "", None
    for t in range(1, 10):
        trainee = work.go(halt=lambda step, t=t: "stop" if step == t else "")
        name = name or next(name for name in trainee.parameters if "lora_B" in name)
        weight = trainee.parameters[name].detach().double()
        keep = min(0.35, t / (9 + t))
        expected = (1 - keep) * weight + (0 if expected is None else keep * expected)
    torch.testing.assert_close(trainee.averages[name].double(), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change_and_writes_nothing(poison, tmp_path):
    samples = drawn(4)
    work = job(tmp_path, Painter(), samples, data__dropout=0.0)
    work.go(halt=lambda step: "enough" if step == 6 else "")
    before = work.files()
    samples[0].latents[0, 0, 0] = poison
    trainees = []
    original = work.trainee
    work.trainee = lambda: trainees.append(original()) or trainees[0]
    with pytest.raises(PortraitistError, match="the weights were not touched"):
        work.go()
    assert work.files() == before
    (trainee,) = trainees
    saved = safetensors.torch.load((work.run.checkpoint(6) / state.RESUME).read_bytes())
    assert trainee.step == 6
    assert all(torch.equal(p, saved[f"raw/{name}"]) for name, p in trainee.parameters.items())


def test_an_adapter_that_learnt_nothing_is_never_written(tmp_path):
    work = job(tmp_path, Painter(), drawn(4, loss_weight=0.0))
    with pytest.raises(PortraitistError, match="all zero"):
        work.go()
    assert work.run.steps() == []
    assert work.files() == {}


DAMAGE = {
    "a resume file cut short": ("resume.safetensors", lambda data: data[:-5]),
    "a bit flipped in the adapter": ("adapter.safetensors", lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]),
    "an empty manifest": ("manifest.json", lambda data: b""),
    "a manifest of something else": ("manifest.json", lambda data: b"[]"),
    "no resume file": ("resume.safetensors", None),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_newest_checkpoint_is_told_of_and_an_earlier_one_taken(name, tmp_path):
    whole = job(tmp_path / "whole", Painter(), training__keep=9)
    whole.go()
    cut = job(tmp_path / "cut", Painter(), training__keep=9)
    cut.go(halt=lambda step: "stop" if step == 7 else "")
    file, change = DAMAGE[name]
    victim = cut.run.checkpoint(7) / file
    victim.unlink() if change is None else victim.write_bytes(change(victim.read_bytes()))
    cut.told.clear()
    cut.go()
    warnings = [event for event in cut.told if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert "Checkpoint 7" in warnings[0].says
    assert [s for s, *_ in steps(cut.told)] == [7, 8, 9], "it went on from 6"
    assert {k: v for k, v in cut.files().items() if "000007" not in k} == whole.files()


def test_with_every_checkpoint_damaged_it_begins_anew_and_ends_alike(tmp_path):
    whole, cut = job(tmp_path / "whole", Painter()), job(tmp_path / "cut", Painter())
    whole.go()
    cut.go(halt=lambda step: "stop" if step == 6 else "")
    for path in cut.run.checkpoints.rglob("resume.safetensors"):
        path.write_bytes(b"")
    cut.told.clear()
    cut.go()
    assert [s for s, *_ in steps(cut.told)] == list(range(1, 10))
    assert cut.files() == whole.files()


def test_only_the_newest_can_be_resumed_from_and_every_adapter_is_kept(tmp_path):
    work = job(tmp_path, Painter(), training__keep=1, training__save_every=2)
    work.go()
    assert work.run.steps() == [2, 4, 6, 8, 9]
    resumable = [step for step in work.run.steps() if (work.run.checkpoint(step) / state.RESUME).is_file()]
    assert resumable == [9]
    assert all(work.run.adapter(step).is_file() and not work.run.damage(step) for step in work.run.steps())


def test_a_run_is_extended_and_its_first_steps_keep_their_rates(tmp_path):
    """The horizon that schedules run over is the one first planned."""
    falling = {"training__schedule": "linear"}
    short = job(tmp_path / "one", Painter(), **falling)
    assert runs.enter(short.run, short.recipe, FACTS) == (9, [])
    longer = job(tmp_path / "one", Painter(), stages=[{"steps": 12}], **falling)
    horizon, changed = runs.enter(longer.run, longer.recipe, {**FACTS, "threads": 2})
    assert horizon == 9
    assert changed == ["threads: 1 then, 2 now"]


def test_a_lock_from_before_auto_was_in_its_recipes_precision(tmp_path):
    work = job(tmp_path / "one", Painter(), stages=[{"steps": 9}])
    runs.enter(work.run, work.recipe, OLD)
    own = work.recipe.model.precision
    assert runs.enter(work.run, work.recipe, {**OLD, "precision": own}) == (9, [])
    other = {"float32": "bfloat16", "bfloat16": "float32"}[own]
    assert runs.enter(work.run, work.recipe, {**OLD, "precision": other})[1] == [f"precision: {own} then, {other} now"]


@pytest.mark.parametrize(
    ("settings", "facts", "says"),
    [
        ({}, {"base": "ef"}, "another base"),
        ({"training__rate": 1e-3}, {}, "cannot change training"),
        ({"adapter__rank": 4}, {}, "cannot change adapter"),
        ({}, {"data": "ef"}, "cannot change the pictures"),
        ({"stages": [{"steps": 4}]}, {}, "has been trained for 6 steps"),
    ],
    ids=["base", "rate", "rank", "pictures", "fewer steps"],
)
def test_what_would_be_another_run_is_refused_and_nothing_is_changed(settings, facts, says, tmp_path):
    work = job(tmp_path, Painter())
    runs.enter(work.run, work.recipe, FACTS)
    work.go(halt=lambda step: "stop" if step == 6 else "")
    before = work.run.lock.read_bytes(), work.files()
    changed = job(tmp_path, Painter(), **settings)
    with pytest.raises(PortraitistError, match=says):
        runs.enter(changed.run, changed.recipe, {**FACTS, **facts})
    assert (work.run.lock.read_bytes(), work.files()) == before


def test_a_fork_starts_from_its_parents_newest_raw_weights_and_its_own_first_step(tmp_path):
    project = Project(tmp_path, Facts(name="maya", trigger="maya_char", subject="fictional"))
    parent = job(tmp_path / "runs" / "parent", Painter(), training__ema=0.9)
    runs.enter(parent.run, parent.recipe, FACTS)
    parent.go()
    fork = job(tmp_path / "runs" / "fork", Painter(), training__rate=1e-3, training__ema=0.9, parent="parent")
    raw = parent_weights(project, fork.recipe, fork.run, BASE)
    trainee = fork.trainee()
    trainee.start_from(raw)
    saved = safetensors.torch.load((parent.run.checkpoint(9) / state.RESUME).read_bytes())
    assert trainee.step == 0
    assert not trainee.optimiser.state
    for name, parameter in trainee.parameters.items():
        assert torch.equal(parameter, saved[f"raw/{name}"])
        assert torch.equal(trainee.averages[name], saved[f"raw/{name}"])
    keep(fork.run, raw)
    (parent.run.checkpoint(9) / state.RESUME).unlink()
    again = parent_weights(project, fork.recipe, fork.run, BASE)  # the fork's own copy stays
    assert all(torch.equal(again[name], raw[name]) for name in raw)
    other = job(tmp_path / "runs" / "other", Painter(), adapter__rank=5, parent="parent")
    with pytest.raises(PortraitistError, match="do not fit this adapter"):
        other.trainee().start_from(raw)


def test_a_fork_of_another_base_or_of_nothing_is_refused(tmp_path):
    project = Project(tmp_path, Facts(name="maya", trigger="maya_char", subject="fictional"))
    parent = job(tmp_path / "runs" / "parent", Painter())
    runs.enter(parent.run, parent.recipe, {**FACTS, "base": "ef"})
    fork = job(tmp_path / "runs" / "fork", Painter(), parent="parent")
    with pytest.raises(PortraitistError, match="another base"):
        parent_weights(project, fork.recipe, fork.run, BASE)
    (parent.run.lock).unlink()
    runs.enter(parent.run, parent.recipe, FACTS)
    with pytest.raises(PortraitistError, match="no checkpoint"):
        parent_weights(project, fork.recipe, fork.run, BASE)


def test_a_checkpoint_is_told_of_once_also_when_the_telling_was_cut_off(tmp_path):
    work = job(tmp_path, Painter())

    def watch(event):
        if isinstance(event, Saved):
            raise Killed

    work.go(halt=lambda step: "stop" if step == 3 else "")
    log = work.run.log.path
    log.write_bytes(b"".join(line for line in log.read_bytes().splitlines(True) if b'"saved"' not in line))
    work.go()
    told = [event.step for event in work.run.log.events() if isinstance(event, Saved)]
    assert told == [3, 6, 9]
