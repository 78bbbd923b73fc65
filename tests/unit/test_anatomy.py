"""Where an adapter acts: norms and directions against singular values that are known."""

import math

import pytest
import torch
from safetensors.torch import save_file

from portraitist.adapters import anatomy, dialects
from portraitist.adapters.understanding import understood
from portraitist.show import told
from portraitist.verbs.inspect import inspect
from tests.adapters import lora, written

MODULES = (
    "transformer_blocks.0.attn.to_q",
    "transformer_blocks.0.attn.to_k",
    "transformer_blocks.2.attn.to_q",
    "proj_out",
)


def test_directions_count_singular_values_that_are_alike():
    assert anatomy.directions([2.0, 2.0, 2.0]) == pytest.approx(3)
    assert anatomy.directions([5.0]) == pytest.approx(1)
    assert anatomy.directions([0.75, 0.25]) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
    assert anatomy.directions([]) == anatomy.directions([0.0]) == 0


@pytest.mark.parametrize(
    ("module", "block", "kind"),
    [
        ("transformer_blocks.12.attn.to_q", "transformer_blocks.12", "attn.to_q"),
        ("single_transformer_blocks.3.proj_mlp", "single_transformer_blocks.3", "proj_mlp"),
        (
            "down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_k",
            "down_blocks.1.attentions.0",
            "transformer_blocks.1.attn1.to_k",
        ),
        ("mid_block.resnets.1.conv1", "mid_block.resnets.1", "conv1"),
        ("conv_in", "", "conv_in"),
    ],
)
def test_layers_are_of_blocks(module, block, kind):
    one = anatomy.Acting(module, 1.0, 4, 2.0)
    assert (one.block, one.kind) == (block, kind)


def test_norms_are_of_the_change_scale_included(tmp_path):
    parts = lora("mini", MODULES, rank=3, alpha=lambda r: 1.5)
    parts[MODULES[1]]["up"] *= 0
    path = tmp_path / "a.safetensors"
    save_file({n: t.contiguous() for n, t in written(parts, dialects.get("mini")).items()}, path)
    found = {one.module: one for one in anatomy.acting(understood(path, "mini"))}
    for module, each in parts.items():
        sizes = torch.linalg.svdvals(0.5 * each["up"] @ each["down"])
        assert found[module].norm == pytest.approx(float(sizes.norm()), rel=1e-4)
        assert found[module].rank == 3
    assert found[MODULES[1]].effective == 0
    assert found[MODULES[0]].full, "random factors use all their ranks"
    shares = anatomy.shares(list(found.values()))
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares) == ["transformer_blocks.0", "transformer_blocks.2", "other layers"]
    blocks, kinds, cells = anatomy.grid(list(found.values()))
    assert (blocks, kinds) == (("transformer_blocks.0", "transformer_blocks.2"), ("attn.to_q", "attn.to_k"))
    assert (blocks[1], kinds[1]) not in cells
    said = inspect(path, "mini", tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert html.count('class="cell" title') == 3
    assert "1 change nothing." in html
    assert said.acting["full"] == [m for m in MODULES if m != MODULES[1]]
    assert "acts in transformer_blocks.2" in told(said)
