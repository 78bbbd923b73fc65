"""float16's loss scale: torch.amp.GradScaler's rule, and a training that overflows, repeats and goes on to the bit.

A CPU has no float16 arithmetic, so what overflows here is float32: the scale begins where its gradients are infinite.
"""

import contextlib
import types

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from portraitist import tensorfile
from portraitist.errors import PortraitistError
from portraitist.events import Overflowed, Stepped
from portraitist.learn import memory, state
from portraitist.learn.memory import Scaler
from tests.learning import Painter, drawn, job

HIGH = 2.0**130  # times a float32 loss near 1: more than float32 holds


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5))
def test_the_scale_goes_as_torchs_own(overflows, growth):
    ours = Scaler(2.0**16, 0, growth)
    torchs = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=growth)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=0.0)
    for overflows_now in overflows:
        torchs.scale(weight.sum()).backward()
        if overflows_now:
            weight.grad.fill_(torch.inf)
            ours.overflowed()
        else:
            ours.went_well()
        torchs.step(optimiser)
        torchs.update()
        optimiser.zero_grad()
        assert (ours.scale, ours.good) == (torchs.get_scale(), torchs._get_growth_tracker())


def test_without_float16_nothing_is_scaled_or_saved():
    for precision in ("float32", "bfloat16"):
        scaler = Scaler.of(precision)
        scaler.went_well()
        assert (scaler.scale, scaler.state()) == (1.0, {})
        assert not scaler.overflowed()
    assert Scaler.of("float16").state()


def scaled(folder, scale=HIGH, growth=2):
    """A job whose trainee has a scaler, and the trainees it made."""
    made, work = [], job(folder, Painter(), drawn(7))
    plain = work.trainee

    def trainee():
        made.append(plain())
        made[-1].scaler = Scaler(scale, 0, growth)
        return made[-1]

    work.trainee = trainee
    return work, made


def test_a_step_that_overflows_is_done_again_and_leaves_no_trace(tmp_path):
    plain, (work, made) = job(tmp_path / "plain", Painter(), drawn(7)), scaled(tmp_path / "scaled")
    expected, _ = plain.go(), work.go()
    overflows = [event for event in work.told if isinstance(event, Overflowed)]
    assert {event.step for event in overflows} >= {1}
    assert len({event.step for event in overflows}) > 1, "the scale grew until it was too high again"
    assert all(event.scale < HIGH for event in overflows)
    both = [[(e.step, e.loss, e.rate) for e in told if isinstance(e, Stepped)] for told in (plain.told, work.told)]
    assert both[0] == both[1], "the same steps at the same rates"
    for name, parameter in expected.parameters.items():
        torch.testing.assert_close(made[0].parameters[name], parameter, rtol=1e-6, atol=1e-7)


def test_what_lifts_gradients_off_the_subnormals_is_taken_out_again(tmp_path):
    """The scale is a power of two: where nothing is near an edge, not a bit of a run depends on it."""
    plain, (work, made) = job(tmp_path / "plain", Painter(), drawn(7)), scaled(tmp_path / "scaled", 2.0**12, 2000)
    expected, _ = plain.go(), work.go()
    assert all(torch.equal(value, made[0].parameters[name]) for name, value in expected.parameters.items())


@pytest.mark.parametrize("step", [4, 8])
def test_cut_and_continued_the_scale_goes_on_where_it_was(step, tmp_path):
    (whole, _), (cut, _) = scaled(tmp_path / "whole"), scaled(tmp_path / "cut")
    whole.go()
    cut.go(halt=lambda now: "stop file" if now == step else "")
    assert "scaler/scale" in tensorfile.read(cut.run.checkpoint(step) / state.RESUME)
    cut.go()
    files = {name: data for name, data in cut.files().items() if f"{step:06}" not in name}
    assert files.items() <= whole.files().items()
    assert any("resume" in name for name in files)
    told = [[e.scale for e in work.told if isinstance(e, Overflowed)] for work in (whole, cut)]
    assert told[0] == told[1]


def test_below_its_floor_the_training_stops_and_nothing_was_touched(tmp_path):
    """A gradient that is infinite at any scale: the weights themselves have overflowed."""
    work, made = scaled(tmp_path, scale=8.0)
    make = work.trainee

    def broken():
        trainee = make()
        first = next(iter(trainee.parameters.values()))
        first.register_hook(lambda gradient: gradient * torch.inf)
        return trainee

    work.trainee = broken
    with pytest.raises(PortraitistError, match="the weights were not touched"):
        work.go()
    assert [event.scale for event in work.told if isinstance(event, Overflowed)] == [4.0, 2.0, 1.0]
    assert (made[0].step, work.run.steps()) == (0, [])


def test_a_card_without_bfloat16_is_told_to_take_float16(monkeypatch):
    old = types.SimpleNamespace(is_bf16_supported=lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", old.is_bf16_supported)
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GeForce RTX 2080 Ti")
    with pytest.raises(PortraitistError, match="RTX 2080 Ti has no arithmetic for it in bfloat16") as refused:
        memory.autocast(torch.device("cuda", 0), "bfloat16")
    assert "model.precision=float16" in refused.value.remedy
