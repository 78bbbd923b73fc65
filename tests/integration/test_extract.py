"""An extracted LoRA is the best of its rank, says how good it is, and is a checkpoint like any other."""

import pytest
import torch

from portraitist import runs
from portraitist.adapters import extract as extraction
from portraitist.adapters import files, inject
from portraitist.errors import PortraitistError
from portraitist.sections import Adapter
from portraitist.verbs.export import export
from portraitist.verbs.extract import between, extract, extract_files
from tests.learning import BASE, Painter
from tests.projects import SETTINGS, made

WHOLE = ["adapter.kind=full", "training.optimiser=adafactor"]


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (20, 20), (10, 6, 3, 3)])
@pytest.mark.parametrize("rank", [1, 5, 10])
def test_what_is_left_is_the_smaller_singular_values_and_no_more(shape, rank):
    """Eckart & Young 1936, against torch's own SVD."""
    delta = torch.randn(shape, generator=torch.Generator().manual_seed(rank), dtype=torch.float64) * 1e-3
    up, down, energy, left = extraction.low_rank(delta, rank)
    values = torch.linalg.svdvals(delta.flatten(1))
    assert energy == pytest.approx(float(values.square().sum()))
    assert left == pytest.approx(float(values[rank:].square().sum()), rel=1e-9, abs=1e-18)
    real = delta.flatten(1) - (up.flatten(1).double() @ down.flatten(1).double())
    assert float(real.square().sum()) == pytest.approx(left, rel=1e-5, abs=1e-10 * energy)
    assert up.shape == (shape[0], rank, *(1 for _ in shape[2:]))
    assert down.shape == (rank, *shape[1:])
    torch.testing.assert_close(up.flatten(1).norm(dim=0), down.flatten(1).norm(dim=1), msg="halves are balanced")


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
    assert got.kept > 1 - 1e-9, "what float32 rounds off the sum is all that is lost"
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
    del own["conv_out.bias"]
    with pytest.raises(PortraitistError, match="differ in their layers"):
        between(own, base, 2)


def test_of_a_run_it_is_a_checkpoint_that_is_exported_and_of_files_the_same(tmp_path):
    done = made(tmp_path, "sdxl", WHOLE, SETTINGS.replace("alpha = 5.0\n", ""))
    found = extract(done.project, done.run.name, rank=4)
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
    one = extract_files(folder, done.base.folder, tmp_path / "x.safetensors", "sdxl", rank=4)
    assert one.kept == pytest.approx(found.kept)
    got = files.read(tmp_path / "x.safetensors")[0]
    assert got.keys() == handed.keys()
    assert all(torch.equal(got[name], handed[name]) for name in got)
    assert whole
    with pytest.raises(PortraitistError, match="is there already"):
        extract_files(folder, done.base.folder, tmp_path / "x.safetensors", "sdxl")
