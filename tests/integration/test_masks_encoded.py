"""A mask beside a picture decides what of it is learnt, and another mask encodes it anew."""

import numpy as np
import pytest
import torch

from portraitist import families
from portraitist.dataset import masks
from portraitist.dataset.cache import load_samples
from portraitist.errors import PortraitistError
from portraitist.recipe import load
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.encode import encode
from portraitist.verbs.new import new
from tests.pictures import saved, scenery
from tests.projects import SETTINGS
from tests.tiny import tiny


def test_the_mask_beside_a_picture_weighs_its_cells_and_another_one_encodes_it_anew(tmp_path):
    base = tiny("mini", tmp_path / "base")
    for i in range(3):
        path = saved(tmp_path / "from" / f"{i}.png", scenery(i, 64, 64))
        (tmp_path / "from" / f"{i}.txt").write_text(f"zorblax, scene {i}")
    left = np.zeros((64, 64), np.uint8)
    left[:, :32] = 255
    saved(masks.beside(path), left)
    project = new(tmp_path / "maya", trigger="zorblax", subject="fictional")
    project.recipe.write_text(SETTINGS.format(family="mini", base=base.folder))
    recipe = load(project.recipe, ["data.masks=0.25", "data.held_out=0.0"])
    add(project, [tmp_path / "from"])
    audit(project, recipe)
    assert encode(project, recipe).encoded == 3
    family, resolved = families.pair(recipe.model)

    def weights():
        return {s.picture: s.mask for s in load_samples(project, family, resolved, recipe, "train")}

    expected = torch.cat([torch.ones(1, 8, 4), torch.full((1, 8, 4), 0.25)], dim=2)
    assert torch.equal(weights()["2.png"], expected)
    assert weights()["0.png"] is None

    saved(masks.beside(project.pictures / "2.png"), 255 - left)
    with pytest.raises(PortraitistError, match=r"2\.png changed since the audit"):
        encode(project, recipe)
    audit(project, recipe)
    again = encode(project, recipe)
    assert (again.encoded, again.cached) == (1, 2)
    assert torch.equal(weights()["2.png"], expected.flip(2))
