"""Captions as people and other tools leave them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.dataset import captions
from portraitist.errors import PortraitistError

words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@given(lines=st.lists(words, min_size=1, max_size=5), gap=st.sampled_from(["\n", "\r\n", "\n\n", "\n  \n", "\r"]))
def test_the_first_line_is_the_caption_and_further_ones_are_variants(lines, gap):
    assert captions.parse(gap.join(lines)) == (lines[0], tuple(lines[1:]))


@given(text=st.text(st.sampled_from(" \t\r\n\u3000"), max_size=9))
def test_white_space_is_no_caption(text):
    assert captions.parse(text) == ("", ())


def test_a_sidecar_is_found_by_stem_and_txt_goes_first(tmp_path):
    for name in ("a.png", "a.b.png", "a.b.caption", "c.png"):
        (tmp_path / name).touch()
    assert captions.sidecar(tmp_path / "a.png") is None
    assert captions.sidecar(tmp_path / "a.b.png") == tmp_path / "a.b.caption"
    (tmp_path / "a.b.txt").touch()
    assert captions.sidecar(tmp_path / "a.b.png") == tmp_path / "a.b.txt"


def test_a_caption_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"zorblax, caf\xe9")
    with pytest.raises(PortraitistError, match="not UTF-8"):
        captions.read(tmp_path / "a.txt")


@pytest.mark.parametrize(
    "text", ["zorblax", "a zorblax, sitting", "(zorblax)", "[trigger], sitting", "{trigger} again"]
)
def test_the_trigger_is_found_as_a_word(text):
    assert captions.holds(text, "zorblax")


@pytest.mark.parametrize("text", ["", "zorblaxian", "xzorblax", "Zorblax", "zorb lax", "zorblax_2"])
def test_what_only_looks_like_the_trigger_is_not_it(text):
    assert not captions.holds(text, "zorblax")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("portrait of zorblax, smiling", "portrait of a robot, smiling"),
        ("zorblax, a robot, at night", "a robot, at night"),
        ("zorblax a robot", "a robot"),
        ("zorblax, a robotic arm", "a robot, a robotic arm"),
        ("[trigger] and zorblax", "a robot and a robot"),
        ("zorblaxian, a robot", ""),
        ("", ""),
    ],
)
def test_the_noun_takes_the_triggers_place_and_is_said_once(text, told):
    assert captions.by_noun(text, "zorblax", "a robot") == told


def test_a_noun_is_text_and_no_pattern():
    assert captions.by_noun("z, smiling", "z", r"a \1 (x)") == r"a \1 (x), smiling"


@given(trigger=words)
def test_a_trigger_between_commas_is_held_whatever_signs_it_has(trigger):
    assert captions.holds(f"{trigger}, cartoon character", trigger)
