"""Minors who are sexualised are refused in any words; nothing ordinary is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.dataset.minors import unfit
from portraitist.dataset.vocabulary import WORDS

MINORS = ["child", "a little girl", "schoolgirl", "12-year-old", "sixteen years old", "17yo", "teenager", "toddler",
          "kid", "school uniform", "age 15", "underage", "shota"]  # fmt: skip
SEXUAL = ["nude", "topless", "lingerie", "NSFW", "seductive pose", "bikini", "upskirt", "sexy", "erotic", "panties"]


@given(
    minor=st.sampled_from(MINORS),
    sexual=st.sampled_from(SEXUAL),
    between=st.sampled_from([", ", " ", "_", ". ", " - "]),
)
def test_both_kinds_of_word_together_are_refused_in_any_order(minor, sexual, between):
    assert unfit(f"zorblax, {minor}{between}{sexual}")
    assert unfit(f"{sexual}{between}{minor}, zorblax".upper())
    assert unfit(sexual, minor), "the caption and what the project says of the character belong together"


@pytest.mark.parametrize("text", ["a l0li", "lolicon", "ch1ld, n4ked", "little_girl, panties", "ｃｈｉｌｄ nude"])
def test_spellings_that_hide_are_read(text):
    assert unfit(text)


@pytest.mark.parametrize(
    "text",
    ["young woman, nude", "1girl, bikini", "a child on a beach", "school uniform, classroom", "baby blue lingerie",
     "18-year-old woman, topless", "a kid with a ball, smiling", "20 years old, sexy", "childhood home, nude woman",
     "lolita fashion dress", "unisex sweater, child", "Sussex, children playing", "150 years old vampire, sexy",
     "kid gloves, lingerie", "", "sports bra", "class of 12, nude sketch"],
)  # fmt: skip
def test_ordinary_words_are_not(text):
    assert not unfit(text)


def test_no_phrase_of_our_own_vocabulary_is_unfit():
    assert not [phrase for phrases in WORDS.values() for phrase in phrases if unfit(phrase)]


@given(text=st.text(max_size=200))
def test_any_text_is_screened_without_a_crash(text):
    assert isinstance(unfit(text), str)
