"""Blocks that lie away or are computed again: the same losses, gradients, pictures and checkpoints, to the bit.

On a CPU both memories are one, so what is away is numbers that are none: a weight that is used before it came, or that
going back no longer finds, makes a loss or a gradient that is none either.
"""

import contextlib
from dataclasses import replace

import pytest
import torch

from portraitist import families
from portraitist.adapters import inject
from portraitist.errors import PortraitistError
from portraitist.family import Prompt, collate
from portraitist.forecast import placement
from portraitist.learn import offload, quantise, recovery
from portraitist.learn.state import Trainee
from portraitist.recipe import Recipe
from portraitist.sections import Adapter
from tests.learning import BASE, Weaver, drawn, job
from tests.tiny import tiny

CHANNELS = {"sdxl": 4, "flux": 4, "qwen-image": 16}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    found = {}
    for name in CHANNELS:
        family, base = families.get(name), tiny(name, folder / name)
        found[name] = family, base, collate([family.load_encoder(base).conditions(Prompt("zorblax on a beach"))])
    return found


def adapted(family, base):
    """A denoiser ready to train, with an adapter whose every factor says something."""
    denoiser = family.load_denoiser(base).train()
    trained = inject.attach(denoiser, Adapter(rank=2), family, 0)
    draw = torch.Generator().manual_seed(1)
    for parameter in trained.parameters().values():
        parameter.data = torch.randn(parameter.shape, generator=draw) / 10
    return denoiser, trained


def learnt(family, denoiser, trained, given, channels):
    """The loss and every gradient of one picture."""
    noisy = torch.randn(1, channels, 8, 8, generator=torch.Generator().manual_seed(2))
    loss = family.predict(denoiser, noisy, torch.tensor([0.5]), given).square().mean()
    loss.backward()
    return {"loss": loss.detach()} | {n: p.grad for n, p in trained.parameters().items() if p.grad is not None}


def same(some, others):
    assert some.keys() == others.keys()
    assert len(some) > 3
    assert all(torch.equal(value, others[name]) for name, value in some.items())


@pytest.mark.parametrize("name", CHANNELS)
def test_losses_and_gradients_are_those_of_the_whole_denoiser(bases, name):
    family, base, given = bases[name]
    denoiser, trained = adapted(family, base)
    whole = learnt(family, denoiser, trained, given, CHANNELS[name])
    for share in (0.5, 1.0):
        denoiser, trained = adapted(family, base)
        adapter = {n: p.data_ptr() for n, p in trained.parameters().items()}
        offload.settle(denoiser, share, CPU)
        assert any(parameter.isnan().all() for parameter in denoiser.parameters())
        for _ in range(2):
            for parameter in trained.parameters().values():
                parameter.grad = None
            same(learnt(family, denoiser, trained, given, CHANNELS[name]), whole)
        assert adapter == {n: p.data_ptr() for n, p in trained.parameters().items()}, "what is trained stays"


def recovering(denoiser):
    """Factors of a recovery adapter on every layer that is held in fewer bits; how many layers that are."""
    layers, draw = recovery.held(denoiser).values(), torch.Generator().manual_seed(3)
    for layer in layers:
        inner, outer = (torch.randn(2, n, generator=draw) / 10 for n in (layer.in_features, layer.out_features))
        layer.recover(inner.bfloat16(), outer.bfloat16().T.contiguous())
    return len(layers)


@pytest.mark.parametrize("how", ["int8", "nf4", "int3"])
def test_weights_in_fewer_bits_lie_away_too_and_what_gives_back_with_them(bases, how):
    family, base, given = bases["flux"]
    base = replace(base, quantised=how)
    denoiser, trained = adapted(family, base)
    plain = learnt(family, denoiser, trained, given, CHANNELS["flux"])["loss"]
    for parameter in trained.parameters().values():
        parameter.grad = None
    assert recovering(denoiser) > 20
    whole = learnt(family, denoiser, trained, given, CHANNELS["flux"])
    assert whole["loss"] != plain
    denoiser, trained = adapted(family, base)
    recovering(denoiser)
    offload.settle(denoiser, 1.0, CPU)
    held = [module for module in denoiser.modules() if isinstance(module, quantise.Quantised)]
    assert held
    assert all(layer.scale.isnan().all() or layer.spread.isnan().all() for layer in held)
    assert all(layer.inner.isnan().all() and layer.outer.isnan().all() for layer in held)
    same(learnt(family, denoiser, trained, given, CHANNELS["flux"]), whole)


@pytest.mark.parametrize("name", CHANNELS)
def test_only_the_block_that_is_computed_is_there_forth_and_back(bases, name):
    family, base, given = bases[name]
    denoiser, trained = adapted(family, base)
    offload.settle(denoiser, 1.0, CPU)
    kinds = denoiser._repeated_blocks
    blocks = [module for module in denoiser.modules() if type(module).__name__ in kinds]
    seen = []

    def here(block):
        return not any(p.isnan().any() for p in block.parameters())

    def look(block, *called):
        seen.append((blocks.index(block), [i for i, other in enumerate(blocks) if here(other)]))

    for block in blocks:
        block.register_forward_pre_hook(look)
    learnt(family, denoiser, trained, given, CHANNELS[name])
    assert all(there == [i] for i, there in seen)
    order = [i for i, _ in seen]
    assert order[: len(blocks)] == order[: len(blocks) - 1 : -1], "all came, and came again from the last to the first"
    assert not any(here(block) for block in blocks)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_finished_adapter_is_put_on_blocks_that_lie_away(bases, name):
    family, base, given = bases[name]
    tensors = adapted(family, base)[1].tensors()
    noisy, found = torch.randn(1, CHANNELS[name], 8, 8), []
    for share in (0.0, 0.7):
        denoiser = offload.settle(family.load_denoiser(base), share, CPU)
        with torch.no_grad():
            plain = family.predict(denoiser, noisy, torch.tensor([0.5]), given)
            with inject.loaded(denoiser, family, tensors, 0.8):
                drawn_with = family.predict(denoiser, noisy, torch.tensor([0.5]), given)
            again = family.predict(denoiser, noisy, torch.tensor([0.5]), given)
        assert torch.equal(again, plain)
        assert not torch.equal(drawn_with, plain)
        found.append(drawn_with)
    assert torch.equal(*found)


@pytest.mark.parametrize("name", CHANNELS)
def test_blocks_that_are_computed_again_learn_the_same(bases, name):
    family, base, given = bases[name]
    found = []
    for wanted in ("on", "off"):
        denoiser, trained = adapted(family, base)
        offload.recompute(denoiser, Recipe.model_validate({"training": {"recompute": wanted}}))
        assert denoiser.is_gradient_checkpointing == (wanted == "on")
        found.append(learnt(family, denoiser, trained, given, CHANNELS[name]))
    same(*found)


def test_a_training_ends_in_the_same_bytes_wherever_its_blocks_lie_and_however_it_was_cut(tmp_path):
    """Dropout in the adapter as well: what is computed again must draw the same."""

    def placed(folder, wanted, share):
        work = job(tmp_path / folder, Weaver(), drawn(7, size=(8, 12)), adapter__dropout=0.3)
        settings = {"model": {"offload": share}, "training": {"recompute": wanted}}

        def trainee():
            denoiser = Weaver().load_denoiser(BASE)
            offload.recompute(denoiser, Recipe.model_validate(settings))
            trained = inject.attach(denoiser, work.recipe.adapter, Weaver(), 0)
            offload.settle(denoiser, share, CPU)
            return Trainee(denoiser, trained, work.recipe.training)

        work.trainee = trainee
        return work

    kept, moved = placed("kept", "off", 0.0), placed("moved", "on", 0.6)
    kept.go()
    moved.go(halt=lambda step: "stop file" if step == 3 else "")
    moved.go()
    assert moved.files() == kept.files()
    assert len(kept.files()) == 5


def test_what_lies_away_shares_memory_that_is_locked_in_large_pieces(monkeypatch):
    monkeypatch.setattr(offload, "SLAB", 2**13)
    draw = torch.Generator().manual_seed(0)
    hosts = [torch.randn(shape, generator=draw) for shape in ((), (3, 3), (40, 9), (60, 60), (30, 30), (0, 4), (7,))]
    hosts = [*hosts, *(host.bfloat16() for host in hosts), torch.arange(-9, 9, dtype=torch.int8), hosts[3].t()]
    with torch.device("meta"):  # wherever torch is told to make tensors
        slabs = offload.Slabs(lock=False)
        copies = [slabs.copied(host) for host in hosts]
    places = {copy.untyped_storage().data_ptr(): copy.untyped_storage().nbytes() for copy in copies}
    assert all(torch.equal(copy, host) and copy.dtype == host.dtype for copy, host in zip(copies, hosts, strict=True))
    assert all(copy.data_ptr() % offload.ALIGNED == next(iter(places)) % offload.ALIGNED for copy in copies[:3])
    assert len(places) < len(hosts) / 2
    assert sum(places.values()) < 1.5 * sum(host.nbytes for host in hosts)


def test_what_would_save_nothing_or_cannot_be_is_refused(bases):
    with pytest.raises(PortraitistError, match="no card whose memory it would spare"):
        offload.check(CPU, 0.5)
    offload.check(torch.device("cuda", 0), 0.5)
    with pytest.raises(PortraitistError, match="saves nothing with"):
        Recipe.model_validate({"model": {"offload": 0.5}, "training": {"recompute": "off"}})
    with pytest.raises(PortraitistError, match=r"model\.offload = 0\.5 means nothing with adapter\.kind"):
        Recipe.model_validate({"model": {"offload": 0.5}, "adapter": {"kind": "full"}})
    recipe = Recipe.model_validate({"model": {"offload": 0.5}})
    with pytest.raises(PortraitistError, match="keeps all that its blocks compute"):
        offload.recompute(Weaver().load_denoiser(BASE), recipe)
    with pytest.raises(PortraitistError, match="names no blocks"):
        offload.settle(torch.nn.Linear(2, 2), 0.5, CPU)


class Patient:
    """A card's queue that gets nothing done before it is waited for; how many blocks were sent for beyond that."""

    def __init__(self):
        self.sent = self.left = self.done = self.most = 0

    def record_event(self):
        self.left += 1
        return Done(self, self.left)

    def wait_stream(self, other):
        """On the device, not here."""

    def sending(self, stream):
        self.sent += 1
        self.most = max(self.most, self.sent - self.done)
        return contextlib.nullcontext()


class Done:
    def __init__(self, card, left):
        self.card, self.left = card, left

    def synchronize(self):
        self.card.done = max(self.card.done, self.left)


@pytest.mark.parametrize("name", CHANNELS)
def test_few_blocks_are_sent_for_while_the_device_is_still_at_one(bases, name, monkeypatch):
    """On the first way there too, when it is not yet known which follows which."""
    family, base, given = bases[name]
    denoiser, _ = adapted(family, base)
    card = Patient()
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: card)
    monkeypatch.setattr(torch.cuda, "stream", card.sending)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: None)
    shelf = offload.Shelf(CPU, card, offload.Slabs(lock=False))
    away = offload.chosen(denoiser, 1.0)
    for block in away:
        shelf.take(block)
    card.done = card.left  # nothing of it was on its way
    card.sent = card.left
    noisy, most = torch.randn(1, CHANNELS[name], 8, 8), []
    for going_back in (False, True, True):
        card.most = 0
        with torch.set_grad_enabled(going_back):
            loss = family.predict(denoiser, noisy, torch.tensor([0.5]), given).square().mean()
        if going_back:
            loss.backward()
        most.append(card.most)
    assert card.sent - len(away) >= 5 * len(away)
    assert most[0] <= 2
    assert max(most) <= placement.THERE, "what the forecast reckons with"
