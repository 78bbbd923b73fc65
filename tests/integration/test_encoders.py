"""Encoders of words and of pictures apart: the same numbers, never both at once, wherever they lie."""

import pytest
import torch

from portraitist import families
from portraitist.dataset.encoding import Encoding
from portraitist.errors import PortraitistError
from portraitist.events import Warned
from portraitist.family import Prompt
from portraitist.learn import encoders
from tests.tiny import tiny

NAMES = ["sdxl", "flux", "qwen-image", "qwen-image-edit", "mini"]
CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")
TEXT = "zorblax, full body, waving, on a beach"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


@pytest.mark.parametrize("name", NAMES)
def test_words_and_pictures_apart_give_what_both_give(name, shelf):
    family, base = families.get(name), tiny(name, shelf / name)
    both = family.load_encoder(base)
    words, pictures = (encoders.read(family, base, needs, CPU, pytest.fail) for needs in ("words", "pictures"))
    sizes = [sum(map(encoders.size, encoders.modules(one))) for one in (both, words, pictures)]
    assert sizes[0] == sizes[1] + sizes[2]
    assert min(sizes) > 0
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = both.latents(pixels)
    assert torch.equal(pictures.latents(pixels), latents)
    assert torch.equal(pictures.pixels(latents), both.pixels(latents))
    found, expected = words.conditions(Prompt(TEXT)), both.conditions(Prompt(TEXT))
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in found.items())
    encoders.let_go(words)
    assert all(p.device.type == "meta" for module in encoders.modules(words) for p in module.parameters())
    assert torch.equal(pictures.latents(pixels), latents)


@pytest.mark.parametrize("name", NAMES)
def test_they_work_on_another_device_than_what_they_are_given(name, shelf):
    """On the meta device no number is computed, but a tensor that was left on the CPU is refused as elsewhere."""
    family, base = families.get(name), tiny(name, shelf / name)
    words, pictures = (encoders.read(family, base, needs, ELSEWHERE, pytest.fail) for needs in ("words", "pictures"))
    latents = pictures.latents(torch.zeros(1, 3, 64, 64))
    assert latents.device == ELSEWHERE
    assert pictures.pixels(torch.zeros(latents.shape)).device == ELSEWHERE
    if not name.startswith("qwen"):  # whose masks are asked for their values
        assert words.conditions(Prompt(TEXT))["tokens"].device == ELSEWHERE


def test_where_the_card_has_no_room_they_work_on_the_cpu_and_say_so(shelf, monkeypatch):
    family, base, told = families.get("flux"), tiny("flux", shelf / "flux"), []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    found = encoders.read(family, base, "words", torch.device("cuda", 0), told.append)
    assert {p.device for module in encoders.modules(found) for p in module.parameters()} == {CPU}
    assert [type(event) for event in told] == [Warned]
    assert "encoder of words" in told[0].says


def test_numbers_that_a_precision_cannot_hold_are_refused(shelf):
    family, base = families.get("sdxl"), tiny("sdxl", shelf / "sdxl", "bfloat16")
    encoder = family.load_encoder(base)
    assert {p.dtype for clip in encoder.clips for p in clip.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in encoder.vae.parameters()} == {torch.float32}
    next(encoder.clips[0].parameters()).data.fill_(3e38)
    with pytest.raises(PortraitistError, match=r"in torch.bfloat16 that are not finite, for 'zorblax"):
        Encoding(encoder).conditions(TEXT)
