"""An extracted LoRA is the best of its rank, says how good it is, and is a checkpoint like any other."""

import pytest
import torch

from portraitist import runs
from portraitist.adapters import extract as extraction
from portraitist.adapters import files, inject
from portraitist.adapters.extract import Asked, Held, Part
from portraitist.adapters.ranks import Ranks, within
from portraitist.errors import PortraitistError
from portraitist.sections import Adapter
from portraitist.verbs.export import export
from portraitist.verbs.extract import How, extract, extract_files
from tests.learning import BASE, Painter
from tests.projects import SETTINGS, made

WHOLE = ["adapter.kind=full", "training.optimiser=adafactor"]


def between(own, base, rank, whole=(), **asked):
    """What was extracted of tuned parameters against a base's denoiser."""
    part = Part(Held(own), Held(dict(base.named_parameters())), inject.layers(base), whole=frozenset(whole))
    return extraction.extract([part], Asked(Ranks(rank), **asked))


def test_base_plus_a_known_lora_comes_back_exactly():
    family = Painter()
    base, tuned = family.load_denoiser(BASE), family.load_denoiser(BASE)
    draw, known = torch.Generator().manual_seed(3), {}
    own = dict(tuned.named_parameters())
    for module in ("conv_in", "mid_block.attentions.0.proj_in", "down_blocks.0.resnets.0.conv1"):
        weight = own[f"{module}.weight"]
        up = torch.randn(weight.shape[0], 2, generator=draw, dtype=torch.float64)
        known[module] = 0.01 * up @ torch.randn(2, weight[0].numel(), generator=draw, dtype=torch.float64)
        weight.data += known[module].reshape(weight.shape).float()
    got = between(own, base, 2)
    assert {layer.module for layer in got.layers} == set(known)
    assert got.beside == 0
    assert got.kept > 1 - 1e-8, "what float32 rounds off the sum is all that is lost"
    for module, part in files.factors(got.tensors).items():
        back = part.up.flatten(1).double() @ part.down.flatten(1).double()
        torch.testing.assert_close(back, known[module], rtol=0, atol=1e-7)
    with inject.loaded(base, family, got.tensors, 1.0):
        given = torch.randn(1, 4, 8, 8, generator=draw), torch.tensor([0.5]), {"tokens": torch.randn(1, 5, 8)}
        torch.testing.assert_close(family.predict(base, *given), family.predict(tuned, *given), rtol=1e-4, atol=1e-5)


def test_what_no_lora_holds_is_counted_against_it():
    base, tuned = Painter().load_denoiser(BASE), Painter().load_denoiser(BASE)
    own = dict(tuned.named_parameters())
    with pytest.raises(PortraitistError, match="nothing to extract"):
        between(own, base, 2)
    own["conv_in.bias"].data += 0.3
    own["conv_in.weight"].data[0, 0, 0, 0] += 0.4
    got = between(own, base, 1)
    assert got.beside == pytest.approx(8 * 0.09, rel=1e-5)
    assert got.kept == pytest.approx(0.16 / (0.16 + 0.72), rel=1e-5)
    got = between(own, base, 1, whole=["conv_in.bias"])
    assert (got.beside, got.kept) == (0, pytest.approx(1))
    torch.testing.assert_close(got.differences, {"conv_in.diff_b": torch.full((8,), 0.3)})
    own["conv_in.weight"].data[1, 0, 0, 0] = float("inf")
    with pytest.raises(PortraitistError, match=r"conv_in.weight is not finite"):
        between(own, base, 2)


def tuned_everywhere(seed=5):
    """The parameters of a base all of whose layers were changed."""
    tuned, draw = Painter().load_denoiser(BASE), torch.Generator().manual_seed(seed)
    for parameter in tuned.parameters():
        parameter.data += 0.01 * torch.randn(parameter.shape, generator=draw)
    return dict(tuned.named_parameters())


def left_of(base, own, got):
    """The energy that an adapter leaves of the change, layer by layer, by multiplying it out."""
    before, left = dict(base.named_parameters()), {}
    for module, part in files.factors(got.tensors).items():
        change = (own[f"{module}.weight"] - before[f"{module}.weight"]).detach().double()
        made = part.up.flatten(1).double() @ part.down.flatten(1).double()
        left[module] = float((change.flatten(1) - made).square().sum())
    return left


@pytest.mark.parametrize("ranks", [Ranks(3), Ranks(energy=0.6), Ranks(size=0.05), Ranks(4, 2)])
def test_the_certificate_of_each_layer_is_its_true_error(ranks, tmp_path):
    base, own = Painter().load_denoiser(BASE), tuned_everywhere()
    part = Part(Held(own), Held(dict(base.named_parameters())), inject.layers(base))
    got = extraction.extract([part], Asked(ranks, dtype=torch.float16, workers=2))
    really = left_of(base, own, got)
    assert {layer.module: layer.left for layer in got.layers} == pytest.approx(really, rel=1e-3)
    again = extraction.extract([part], Asked(ranks, dtype=torch.float16, workers=1))
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in got.tensors.items()), "workers are nothing"
    if ranks.energy:
        assert all(layer.kept > 0.6 - 1e-3 for layer in got.layers)
        assert len({layer.rank for layer in got.layers}) > 3
    if ranks.size:
        files.write(tmp_path / "a.safetensors", got.tensors, {})
        assert 0.03e6 < (tmp_path / "a.safetensors").stat().st_size < 0.05e6


def test_a_size_is_spent_better_than_on_equal_ranks():
    base, own = Painter().load_denoiser(BASE), tuned_everywhere()
    own["mid_block.resnets.0.conv1.weight"].data *= 1.5

    def held(got):
        return sum(layer.energy - layer.left for layer in got.layers)

    fixed = between(own, base, 2, dtype=torch.float16)
    size = sum(tensor.nbytes for tensor in fixed.tensors.values() if tensor.ndim) + 400 * len(fixed.layers)
    part = Part(Held(own), Held(dict(base.named_parameters())), inject.layers(base))
    got = extraction.extract([part], Asked(Ranks(size=size / 1e6), dtype=torch.float16))
    assert sum(t.nbytes for t in got.tensors.values()) <= sum(t.nbytes for t in fixed.tensors.values())
    assert held(got) > 1.1 * held(fixed)


def test_of_the_layers_that_have_room_for_more_ranks_more_are_looked_at():
    """Held to the choice from all ranks of all layers: by torch's SVD, most energy for a byte first."""
    base, own = Painter().load_denoiser(BASE), tuned_everywhere()
    own["mid_block.resnets.0.conv1.weight"].data *= 3
    part = Part(Held(own), Held(dict(base.named_parameters())), inject.layers(base))
    one, three = (extraction.extract([part], Asked(Ranks(size=0.04), workers=count)) for count in (1, 3))
    assert all(torch.equal(one.tensors[name], three.tensors[name]) for name in one.tensors)
    sizes, costs = {}, {}
    for module in part.layers:
        change = (own[f"{module}.weight"] - part.base.take(f"{module}.weight")).detach().flatten(1)
        sizes[module] = torch.linalg.svdvals(change.double()).tolist()
        costs[module] = 4 * sum(change.shape)
    size = 40_000 - 400 * len(sizes)
    best = within(sizes, costs, size)
    assert max(best.values()) > 3 * size / sum(costs.values()), "some get more than thrice the mean"
    assert {layer.module: layer.rank for layer in one.layers} == {name: rank for name, rank in best.items() if rank}


def test_of_a_run_it_is_a_checkpoint_that_is_exported_and_of_files_the_same(tmp_path):
    done = made(tmp_path, "sdxl", WHOLE, SETTINGS.replace("alpha = 5.0\n", ""))
    found = extract(done.project, done.run.name, how=How(Ranks(4)))
    assert found.step == 2, "the chosen one"
    assert 0.1 < found.kept < 1
    new = runs.find(done.project, found.run)
    assert new.steps() == [2]
    assert not new.damage(2)
    assert new.recipe().adapter == Adapter(rank=4, targets=new.recipe().adapter.targets)
    (new.choice).write_text('format = 1\nstep = 2\nstrength = 1.0\nwhy = "it is"\n')
    adapter, _ = files.read(new.adapter(2))
    handed = files.read(tmp_path / export(done.project, found.run).lora)[0]
    assert {n for n in handed if n.endswith(".lora_down.weight")}
    (done.run.choice).write_text('format = 1\nstep = 2\nstrength = 1.0\nwhy = "it is"\n')
    whole = export(done.project, done.run.name).lora
    with pytest.raises(PortraitistError, match="small already"):
        extract(done.project, found.run)
    assert len(handed) == len(adapter)
    folder = tmp_path / "tuned"
    import shutil

    shutil.copytree(done.base.folder, folder)
    tuned = done.family.load_denoiser(done.base)
    with inject.loaded(tuned, done.family, files.read(done.run.adapter(2))[0], 1.0):
        tuned.save_pretrained(folder / "unet")
    how = How(Ranks(4), dtype="float32", rest=False)
    one = extract_files(folder, done.base.folder, tmp_path / "x.safetensors", "sdxl", how)
    assert one.kept == pytest.approx(found.kept)
    got = files.read(tmp_path / "x.safetensors")[0]
    assert got.keys() == handed.keys()
    assert all(torch.equal(got[name], handed[name]) for name in got)
    assert whole
    with pytest.raises(PortraitistError, match="is there already"):
        extract_files(folder, done.base.folder, tmp_path / "x.safetensors", "sdxl")
