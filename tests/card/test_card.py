"""What only a card can show: that the same numbers come of it as of the CPU. `make card`; skipped without one."""

from dataclasses import replace

import pytest
import torch

from portraitist import families
from portraitist.adapters import factoring
from portraitist.dataset.stream import course
from portraitist.events import Stepped
from portraitist.learn import loop, memory, quantise
from portraitist.recipe import Recipe
from portraitist.verbs.train import adapted
from tests.integration.test_devices import samples
from tests.tiny import KNOWN, tiny

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no card")]
FAMILIES = [name for name in KNOWN if name != "mini"]
STEPS = 4


@pytest.fixture(autouse=True)
def exact():
    """Products of float32 in float32, not in 19 bits; attention as the product has it."""
    memory.place("cuda")
    kept = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept


def learnt(name, folder, device, precision="float32", quantised="", **changes):
    """What some steps of the product's own loop moved, their losses and the sizes of their gradients."""
    training = {"batch": 2, "preserve": 0.5, "ema": 0.9, "rate": 1e-3, "save_every": 100, **changes.pop("training", {})}
    model = {"family": name, "precision": precision, "quantised": quantised, "device": device, **changes}
    recipe = Recipe.model_validate(
        {
            "model": model,
            "adapter": {"rank": 2},
            "training": training,
            "data": {"dropout": 0},
            "stages": [{"steps": STEPS}],
        }
    )
    family = families.get(name)
    base = replace(tiny(name, folder, precision), quantised=quantised, device=device)
    torch.manual_seed(0)
    known = samples(family, base, KNOWN[name].channels)
    trainee = adapted(family, base, recipe, torch.device(device))
    before = [value.detach().cpu().float().clone() for value in trainee.parameters.values()]
    events = []
    loop.train(
        family,
        trainee,
        course(known, recipe),
        recipe,
        horizon=STEPS,
        emit=events.append,
        checkpoint=lambda trainee: None,
        halt=lambda: "",
    )
    steps = [event for event in events if isinstance(event, Stepped)]
    after = [value.detach().cpu().float() for value in trainee.parameters.values()]
    moved = torch.cat([(a - b).flatten() for a, b in zip(after, before, strict=True)])
    return moved, [event.loss for event in steps], [event.gradient for event in steps]


def same(some, others, rtol):
    """Losses, gradients and what was learnt, as near as two devices' sums are."""
    (one, losses, norms), (other, losses_there, norms_there) = some, others
    assert losses == pytest.approx(losses_there, rel=rtol)
    assert norms == pytest.approx(norms_there, rel=10 * rtol)
    assert len(losses) == STEPS
    # AdamW's first steps are as large for a gradient of nothing but rounding as for any other
    assert (one - other).norm() < 0.5 * one.norm()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_training_goes_as_on_the_cpu(name, tmp_path):
    same(learnt(name, tmp_path / name, "cpu"), learnt(name, tmp_path / name, "cuda"), 1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_it_goes_alike_wherever_blocks_lie_and_however_often_they_are_computed(name, tmp_path):
    plain = learnt(name, tmp_path / name, "cuda", training={"recompute": "off"})
    for share, wanted in ((0.0, "on"), (1.0, "on"), (0.5, "on")):
        same(learnt(name, tmp_path / name, "cuda", offload=share, training={"recompute": wanted}), plain, 1e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", FAMILIES)
def test_fewer_bits_of_arithmetic_stay_near(name, precision, tmp_path):
    found = learnt(name, tmp_path / precision, "cuda", precision)
    whole = learnt(name, tmp_path / "whole", "cpu")
    assert found[1] == pytest.approx(whole[1], rel=0.1)


@pytest.mark.parametrize("how", ["int8", "fp8", "nf4", "int3"])
def test_a_base_in_fewer_bits_is_held_as_on_the_cpu(how, tmp_path):
    """What is rebuilt of a layer, to the bit or to the last place; and a training over such a base."""
    layers, weight = [], torch.randn(96, 192, generator=torch.Generator().manual_seed(0))
    for device in ("cpu", "cuda"):
        with torch.device(device):
            plain = torch.nn.Linear(192, 96).requires_grad_(False)
        layer = quantise.Quantised(plain, how)
        layer.take(weight.to(device))
        layers.append(layer.rebuilt(torch.float32).cpu())
    steps = weight.abs().amax(1, keepdim=True)
    apart = (layers[0] - layers[1]).abs() / steps
    assert (apart > 1e-3).float().mean() < 1e-3, "but for what lies halfway between two"
    if how == "int3":
        return  # trained over with a recovery adapter alone
    offloaded = learnt("flux", tmp_path / how, "cuda", "bfloat16", how, offload=1.0)
    there = learnt("flux", tmp_path / how, "cuda", "bfloat16", how)
    same(offloaded, there, 1e-2)


@pytest.mark.parametrize("shape", [(96, 640), (640, 96), (512, 2304)])
def test_factors_on_a_card_are_as_good_as_on_the_cpu(shape):
    draw = torch.Generator().manual_seed(0)
    signal = torch.randn(shape[0], 40, generator=draw) * torch.arange(1, 41) ** -0.7 @ torch.randn(40, shape[1])
    matrix = signal + 0.05 * torch.randn(shape, generator=draw)
    here = factoring.split(matrix, 16)
    there = factoring.split(matrix.cuda(), 16)
    assert there.left(16) == pytest.approx(here.left(16), rel=1e-3)
    assert there.energy == pytest.approx(here.energy, rel=1e-5)
