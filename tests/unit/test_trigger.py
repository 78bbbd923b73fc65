"""A trigger that the base knows is told of, with a word that it does not know."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.audit import Rules, Seen
from portraitist.audit.trigger import coined, meant, trigger_known
from portraitist.dataset.words import COMMON, everyday
from portraitist.families import word_counter
from portraitist.sections import Model
from tests.vocabularies import clip_tokenizer


@pytest.mark.parametrize("word", ["woman", "Woman", "WOMAN", "woman_1", "red_dress", "girl", "cat", "maria", "robot2"])
def test_everyday_words_are_known_however_they_are_written(word):
    assert everyday(word)
    assert "everyday" in meant(word, None)


@pytest.mark.parametrize("word", ["ohwx", "zorblax", "maya_char", "sks_v2", "womanx", "1234", "_", "дом"])
def test_coined_words_are_not(word):
    assert not everyday(word)
    assert meant(word, None) == ""


def test_the_list_is_of_plain_words():
    assert len(COMMON) > 400
    assert all(word.isascii() and word.isalpha() and word.islower() for word in COMMON)


def test_one_token_of_the_bases_own_vocabulary_is_known(tmp_path):
    """A CLIP tokenizer taught on our captions has words of those as one token; a coined word is several."""
    made = clip_tokenizer("<|endoftext|>")
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(made.backend_tokenizer.to_str())
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    pieces = word_counter(Model(family="sdxl", base=str(tmp_path)))
    assert pieces is not None
    assert pieces("sleeves") == 1
    assert "one token" in meant("sleeves", pieces)
    assert meant("ohwx", pieces) == ""


def test_the_embedded_bases_own_words_are_known():
    pieces = word_counter(Model())
    assert pieces is not None
    known = next(word for word in ("smiling", "angry", "standing") if pieces(word) == 1)
    assert "one token" in meant(known, pieces)
    assert meant("zorblax", pieces) == ""


def test_without_a_vocabulary_nothing_is_guessed(tmp_path):
    assert word_counter(Model(family="flux", base=str(tmp_path / "gone"))) is None
    assert word_counter(Model(family="flux")) is None


def test_the_finding_names_a_word_to_take():
    seen = Seen([], "woman", 128, trigger_meant=meant("woman", None))
    (finding,) = trigger_known(seen, Rules())
    assert (finding.check, finding.severity) == ("trigger_known", "warn")
    assert coined("woman") in finding.remedy
    assert list(trigger_known(Seen([], "zorblax", 128), Rules())) == []


@given(word=st.sampled_from(sorted(COMMON)))
def test_what_is_proposed_instead_is_known_to_nobody(word):
    assert not everyday(coined(word))
