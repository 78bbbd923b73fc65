"""The shipped eyes and probe do what their cards say, on characters and scenes that neither was taught on."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from portraitist.errors import PortraitistError
from portraitist.mini import probe
from portraitist.mini.corpus import scene, to_pixels
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import caption
from portraitist.mini.teach_eyes import agreeing, area, contrast, telling_apart
from portraitist.sight import dual, eyes

WEIGHTS = Path(str(resources.files("portraitist"))) / "weights"


@pytest.fixture(scope="module")
def shipped():
    return eyes.load("mini")


def test_the_eyes_tell_held_out_characters_apart(shipped):
    """By chance the area is one half; these characters have marks of kinds that the eyes were never shown."""
    found = telling_apart(shipped, characters=16, each=4)
    assert found["all"] > 0.85
    assert found["across_framings"] > 0.85


def test_the_eyes_read_framing_and_background(shipped):
    found = agreeing(shipped, count=40)
    assert found["framing"] > 0.75
    assert found["background"] > 0.7


def test_what_eyes_say_is_of_length_one_and_does_not_depend_on_the_batch(shipped):
    pixels = to_pixels([draw(scene("test", i)).pixels for i in range(5)])
    texts = [caption(scene("test", i)) for i in range(3)] + [""]
    for found in (shipped.pictures(pixels), shipped.content(pixels), shipped.texts(texts)):
        torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)))
    torch.testing.assert_close(shipped.pictures(pixels)[3:4], shipped.pictures(pixels[3:4]), atol=1e-5, rtol=1e-4)


def test_eyes_look_at_any_size_of_picture(shipped):
    pixels = to_pixels([draw(scene("test", 1)).pixels])
    large = torch.nn.functional.interpolate(pixels, scale_factor=2, mode="nearest")
    torch.testing.assert_close(shipped.pictures(large), shipped.pictures(pixels), atol=1e-5, rtol=1e-4)
    assert shipped.pictures(torch.rand(1, 3, 90, 201)).shape == shipped.pictures(pixels).shape


def test_other_weights_are_other_eyes(shipped, tmp_path):
    for path in (WEIGHTS / "eyes").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert dual.load(tmp_path).digest == shipped.digest
    file = next(tmp_path.glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    assert dual.load(tmp_path).digest != shipped.digest
    file.write_bytes(bytes(data[: len(data) // 2]))
    with pytest.raises(PortraitistError, match="cannot be read"):
        dual.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"vocabulary": 3}))
    with pytest.raises(PortraitistError):
        dual.load(tmp_path)


def test_the_probe_reads_drawings_that_it_never_saw():
    scenes = [scene("evaluation", 100 + i) for i in range(48)]
    found = probe.right(probe.load(WEIGHTS / "probe"), scenes, to_pixels([draw(one).pixels for one in scenes]))
    assert found["framing"] > 0.95
    assert found["background"] > 0.85
    assert found["hair"] > 0.5


def test_a_probe_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PortraitistError, match="probe"):
        probe.load(tmp_path)


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order():
    """Mann and Whitney's U, by counting."""
    draws = np.random.default_rng(0)
    values, same = draws.random(60), draws.random(60) < 0.4
    pairs = [(a > b) for a in values[same] for b in values[~same]]
    assert area(values, same) == pytest.approx(np.mean(pairs), abs=1e-4)


def test_contrast_is_least_where_equals_meet():
    names = torch.arange(4).repeat_interleave(2)
    together, apart = torch.eye(4).repeat_interleave(2, 0), torch.eye(8)[:, :8]
    sharp = torch.tensor(3.0)
    assert contrast(together, names, sharp) < contrast(apart, names, sharp)
