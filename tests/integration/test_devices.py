"""Training on another device than the CPU: whatever meets in an operation lies in the same place.

The other device is torch's `meta`, which every machine has. It computes nothing and forgives much, so what meets what
is looked at here. Batches, noise and levels are made on the CPU, as for a card.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from portraitist import families
from portraitist.adapters import inject
from portraitist.dataset.stream import course
from portraitist.family import Prompt, Sample
from portraitist.learn import loop, memory
from portraitist.learn.loss import held_out
from portraitist.learn.optimise import clip
from portraitist.learn.state import Trainee
from portraitist.recipe import Recipe
from tests.tiny import KNOWN, tiny

META = torch.device("meta")
aten = torch.ops.aten
MOVES = (aten._to_copy.default, aten.copy_.default, aten.index.Tensor)
"""What takes tensors from one place to another, and what CUDA takes indices from the CPU for."""


class Apart(TorchDispatchMode):
    """Refuses operations of tensors that lie apart, but for single numbers; says yes where a mask is asked about.

    What comes back from `meta` is zeros.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is aten._local_scalar_dense.default and args[0].dtype is torch.bool:
            return True
        if func is aten._to_copy.default and args[0].is_meta and (kwargs or {}).get("device", META) != META:
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype", args[0].dtype))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf.ndim]
        places = {tensor.device.type for tensor in given}
        assert len(places) < 2 or func in MOVES, f"{func} of tensors on {sorted(places)}"
        return func(*args, **(kwargs or {}))


def settings(name, **training):
    values = {"batch": 2, "preserve": 0.5, "ema": 0.9, **training}
    model = {"family": name, "precision": "float32"}
    return Recipe.model_validate({"model": model, "adapter": {"rank": 2}, "training": values, "data": {"dropout": 0}})


def samples(family, base, channels):
    given = family.load_encoder(base).conditions(Prompt("zorblax on a beach"))
    shown = (torch.randn(channels, 8, 8),) if getattr(family, "references", 0) else ()
    one = Sample("a", torch.randn(channels, 8, 8), (given,), given, nouns=(given,), references=shown)
    return [one, replace(one, key="b")]


def moved(denoiser, trained, recipe):
    """As `train` has it on a card; only `meta` gets parameters of its own, which a card does not."""
    moved = [parameter for parameter in denoiser.to(META).parameters() if parameter.requires_grad]
    return Trainee(denoiser, replace(trained, factors=dict(zip(trained.factors, moved, strict=True))), recipe.training)


@pytest.mark.parametrize(
    ("name", "recompute", "quantised"),
    [*((name, how, "") for name in KNOWN for how in ("on", "off")), ("flux", "on", "int8"), ("flux", "off", "fp8")],
)
def test_nothing_of_a_step_is_left_behind(name, recompute, quantised, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)  # `meta` has none to ask about
    family, base = families.get(name), replace(tiny(name, tmp_path / name), quantised=quantised)
    recipe = settings(name, recompute=recompute, snr_gamma=5.0 if name == "sdxl" else 0.0)
    denoiser, known = family.load_denoiser(base).train(), samples(family, base, KNOWN[name].channels)
    if recompute == "on":
        denoiser.enable_gradient_checkpointing()
    else:
        denoiser.disable_gradient_checkpointing()
    trainee = moved(denoiser, inject.attach(denoiser, recipe.adapter, family, 0), recipe)
    with Apart():
        loss = loop.backward(family, trainee, course(known, recipe).step(0), recipe)
        norm = clip(trainee.parameters, 1.0)
        trainee.update(1e-4)
        with trainee.averaged():
            judged = held_out(family, denoiser, known, 0, 2)
    assert loss.device == norm.device == META
    assert judged.shape == (2, 2)
    own = {key: value.device for key, value in trainee.parts().items() if value.ndim}
    assert set(own.values()) == {META}, own


def test_attention_is_not_left_to_cudnn():
    torch.backends.cuda.enable_cudnn_sdp(True)
    memory.place("cpu")
    assert not torch.backends.cuda.cudnn_sdp_enabled()
