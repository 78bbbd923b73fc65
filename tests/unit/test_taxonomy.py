"""What a phrase is about, and what two phrases have to do with each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.dataset import taxonomy
from portraitist.dataset.taxonomy import KINDS, ORDER, OTHER, WORTH, Part, clashes, implied, is_identity, kind_of
from portraitist.dataset.vocabulary import EXCLUSIVE, IMPLIES, SAME, WORDS
from portraitist.judge import prompts
from portraitist.mini import scenes
from portraitist.project import Facts

PHRASES = [phrase for phrases in WORDS.values() for phrase in phrases]


@pytest.mark.parametrize(
    ("phrase", "kind"),
    [
        ("red_dress", "clothing"), ("a red dress", "clothing"), ("white shirt with long sleeves", "clothing"),
        ("wearing a black hoodie", "clothing"), ("with round glasses", "clothing"), ("hair ornament", "clothing"),
        ("blue hair", "hair"), ("long wavy hair", "hair"), ("lipstick", "hair"), ("green eyes", "face"),
        ("cat ears", "face"), ("closed eyes", "expression"), ("looking at viewer", "expression"),
        ("light smile", "expression"), ("standing in a forest", "pose"), ("sitting on a wooden chair", "pose"),
        ("hands on hips", "pose"), ("holding a red book", "object"), ("cup of coffee on a table", "object"),
        ("plain gray background", "background"), ("night sky background", "background"), ("in the rain", "background"),
        ("soft light", "lighting"), ("studio lighting", "lighting"), ("studio", "background"),
        ("from above", "view"), ("three-quarter left", "view"), ("full body", "framing"), ("Close-Up", "framing"),
        ("depth of field", "style"), ("fur_trim", "clothing"), ("hand_on_own_hip", "pose"), ("night", "lighting"),
        ("cloudy sky", "background"), ("watermark", "style"), ("ink style", "style"), ("zigzag", OTHER), ("", OTHER),
        ("...", OTHER),
    ],
)  # fmt: skip
def test_common_phrases_are_of_their_kind(phrase, kind):
    assert kind_of(phrase) == kind


def test_the_drawn_world_tells_kinds_as_we_do():
    """mini's captions are a fixed vocabulary of its own, written before there was a taxonomy."""
    for name in ("framing", "view", "expression", "light", "style", "outfit", "accessory"):
        for value in scenes.KINDS[name]:
            assert kind_of(value) == {"accessory": "clothing"}.get(name, taxonomy.kind_named(name)), value
    for value in scenes.BACKGROUNDS:
        assert kind_of(f"{value} background") == "background"


def test_every_kind_that_judging_orders_by_is_one_of_ours():
    for name in (*prompts.FIRST, *prompts.LAST, *prompts.TAILS, *prompts.USUAL):
        assert taxonomy.kind_named(name) in KINDS, name


def test_no_phrase_is_of_two_kinds_and_all_words_of_groups_are_known():
    assert len(PHRASES) == len(set(PHRASES)), [p for p in PHRASES if PHRASES.count(p) > 1]
    grouped = [word for group in SAME for word in group]
    assert len(grouped) == len(set(grouped))
    chosen = [word for things in EXCLUSIVE.values() for thing in things for word in thing]
    assert len(chosen) == len(set(chosen))
    assert sorted(WORTH) == sorted(ORDER)


def test_words_for_one_thing_are_of_one_kind_and_never_exclude_each_other():
    for group in SAME:
        assert len({kind_of(word) for word in group}) == 1, group
        assert not any(clashes(one, other) for one in group for other in group), group


@given(one=st.sampled_from(PHRASES), other=st.sampled_from(PHRASES))
def test_what_excludes_is_excluded_and_nothing_excludes_itself(one, other):
    assert clashes(one, other) == clashes(other, one)
    assert not clashes(one, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("close-up", "full body"), ("sitting", "standing"), ("from behind", "front view"), ("indoors", "outdoors")],
)
def test_what_cannot_both_be_true_clashes(one, other):
    assert clashes(one, other)


def test_a_longer_phrase_says_what_its_last_words_say():
    assert implied("dress", "red dress", "clothing")
    assert implied("sitting", "sitting on a chair", "pose")
    assert implied("smiling", "laughing", "expression")
    assert not implied("dress", "dress shirt", "clothing")
    assert not implied("dress", "dress", "clothing")
    assert not implied("red dress", "dress", "clothing")


def test_implications_do_not_go_in_circles():
    for word, less in IMPLIES.items():
        for one in less:
            assert word not in IMPLIES.get(one, ()), (word, one)


@pytest.mark.parametrize(
    "phrase", ["blue eyes", "long red hair", "a scar on the cheek", "cat ears", "freckles", "Bangs"]
)
def test_features_of_the_character_are_told(phrase):
    assert is_identity(phrase)
    assert not is_identity(phrase, varies=(phrase,))


@pytest.mark.parametrize(
    "phrase", ["closed eyes", "red dress", "hair ornament", "wet hair", "looking at viewer", "chair"]
)
def test_what_varies_is_no_feature_of_the_character(phrase):
    assert not is_identity(phrase)
    assert is_identity(phrase, always=(phrase,))


def test_the_order_is_of_kinds_and_within_one_as_it_came():
    parts = [Part("style", "a"), Part("framing", "b"), Part(OTHER, "c"), Part("background", "d"), Part("framing", "e")]
    assert [part.text for part in taxonomy.ordered(parts)] == ["b", "e", "c", "d", "a"]


def test_a_persons_word_for_a_thing_goes_before_ours():
    assert taxonomy.usual()["half body"] == "upper body"
    assert taxonomy.usual(("half body",))["upper body"] == "half body"
    assert taxonomy.usual(("seated", "sitting"))["sitting"] == "seated"


def test_a_brief_may_use_any_names():
    assert Facts(name="m", trigger="m", subject="fictional", brief={"mood": ("happy",), "hobby": ("chess",)})
    assert taxonomy.kind_named("mood") == "expression"
    assert taxonomy.kind_named("hobby") == "hobby"
