"""Rules and templates: what they leave out, what they never do, and what captions become."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.dataset import captions
from portraitist.dataset.captions_render import TEMPLATES, Subject, article, checked, parts_of, render
from portraitist.dataset.captions_rules import Manner, revised, reworded, settled
from portraitist.dataset.taxonomy import ORDER, Part, kind_of
from portraitist.dataset.vocabulary import FORBIDDEN, WORDS
from portraitist.errors import PortraitistError

SAID = [phrase for phrases in WORDS.values() for phrase in phrases] + [
    *sorted(FORBIDDEN),
    "red dress",
    "a woman",
    "zigzag",
]
phrases = st.sampled_from(SAID) | st.text("abc -'_é7", min_size=1, max_size=12)
parts = st.lists(phrases, max_size=12).map(lambda texts: parts_of([(kind_of(text), text) for text in texts]))
manners = st.builds(
    Manner,
    replace=st.dictionaries(st.sampled_from(SAID[:60]), st.sampled_from([*SAID[60:90], ""]), max_size=3),
    drop=st.lists(st.sampled_from(SAID), max_size=3).map(tuple),
    identity=st.sampled_from(["omit", "name"]),
    most=st.integers(0, 8),
    limit=st.integers(0, 20),
    own=st.lists(st.sampled_from(SAID), max_size=4).map(tuple),
    one_word=st.booleans(),
)
EVERYTHING = Manner(identity="name", one_word=False)


def words(text):
    """A tokenizer that every test can count by: one token a word."""
    return len(text.split())


def made(*texts):
    return parts_of([(kind_of(text), text) for text in texts])


def texts(found):
    return [part.text for part in found]


@settings(max_examples=80, deadline=None)
@given(parts=parts, manner=manners)
def test_rules_applied_again_change_nothing(parts, manner):
    def count(some):
        return words(render(some, Subject("zorblax", "a woman"), TEMPLATES["tags"]))

    once = settled(parts, manner, count)
    again = settled(once.parts, manner, count)
    assert texts(again.parts) == texts(once.parts)
    assert not again.changes
    assert [ORDER.index(p.kind) for p in once.parts] == sorted(ORDER.index(p.kind) for p in once.parts)


caption_texts = st.lists(phrases | st.just("close-up of zorblax") | st.just("zorblax"), max_size=10).flatmap(
    lambda some: st.sampled_from([", ".join(some), ". ".join(some) + ".", " , ".join(some)])
)


@settings(max_examples=80, deadline=None)
@given(text=caption_texts, manner=manners)
def test_a_written_caption_keeps_its_trigger_and_settles_at_once(text, manner):
    new, _ = revised(text, "zorblax", manner, words)
    assert captions.holds(new, "zorblax") == captions.holds(text, "zorblax")
    assert revised(new, "zorblax", manner, words)[0] == new


@settings(deadline=None)
@given(
    parts=parts, manner=manners, style=st.sampled_from(sorted(TEMPLATES)), tag=st.sampled_from(["", "realistic_body"])
)
def test_every_caption_holds_the_trigger_once_and_nothing_but_framings_before_it(parts, manner, style, tag):
    parts = [part for part in parts if "zorblax" not in part.text]
    text = render(settled(parts, manner).parts, Subject("zorblax", "a woman", tag), TEMPLATES[style])
    assert text.count("zorblax") == 1
    assert all(kind_of(phrase) == "framing" for phrase in text.split("zorblax")[0].split(",")[:-1])
    assert (tag in text) if tag else True
    assert ", ," not in text
    assert not text.startswith(",")


@settings(deadline=None)
@given(parts=parts, limit=st.integers(1, 12))
def test_what_does_not_fit_goes_by_whole_phrases(parts, limit):
    def count(some):
        return words(", ".join(["zorblax", *texts(some)]))

    manner = Manner(limit=limit, identity="name", one_word=False)
    found = settled(parts, manner, count).parts
    assert count(found) <= limit or not found
    assert set(texts(found)) <= set(texts(settled(parts, EVERYTHING).parts))


def test_the_least_worthy_kind_goes_first():
    found = settled(made("close-up", "red dress", "forest", "film grain", "smiling"), Manner(most=3))
    assert texts(found.parts) == ["close-up", "red dress", "forest"]
    assert set(found.changes) == {"film grain: no room", "smiling: no room"}


def test_each_rule_says_what_it_did():
    found = settled(
        made("dress", "red dress", "seated", "standing", "blue eyes", "masterpiece", "possibly tired", "cap", "tired"),
        Manner(replace={"cap": "hat"}),
    )
    assert texts(found.parts) == ["sitting", "tired", "red dress", "hat"]
    assert set(found.changes) == {
        "seated: now sitting", "standing: not together with sitting", "blue eyes: the character itself",
        "masterpiece: says nothing of this picture", "possibly tired: now tired", "cap: now hat",
        "tired: said before", "dress: said by another phrase",
    }  # fmt: skip


def test_features_of_the_character_stay_where_they_are_to_be_named():
    some = made("blue eyes", "long hair", "red dress")
    assert texts(settled(some, Manner(identity="name")).parts) == ["red dress", "long hair", "blue eyes"]
    assert texts(settled(some, Manner()).parts) == ["red dress"]
    assert texts(settled(some, Manner(always=("red dress",), varies=("long hair",))).parts) == ["long hair"]


def test_replacing_replaces_the_word_alone_and_no_other():
    """A widely used trainer's replacement turned every tag into the replacement."""
    table = {"dress": "gown", "hat": "red hat"}
    assert reworded("red dress", table) == "red gown"
    assert reworded("dressing room", table) == "dressing room"
    assert reworded("forest", table) == "forest"
    assert reworded("a hat", table) == "a red hat"
    assert reworded("a red hat", table) == "a red hat"


@pytest.mark.parametrize("table", [{"b": "c", "a": "b", "c": "a"}, {"b": "a c", "a": "b d"}])
def test_replacements_without_end_are_refused(table):
    with pytest.raises(PortraitistError, match="never come to rest"):
        reworded("a", table)


def test_prose_keeps_its_sentences():
    text = "A close-up of zorblax, a woman with long hair, smiling. She has blue eyes. She wears a dress, full body."
    new, found = revised(text, "zorblax", Manner())
    assert new == "A close-up of zorblax, smiling. She wears a dress."
    assert len(found.changes) == 3


@pytest.mark.parametrize("style", sorted(TEMPLATES))
def test_without_a_trigger_the_noun_stands_in_its_place(style):
    text = render(made("close-up", "forest"), Subject("", "a woman"), TEMPLATES[style])
    assert text.count("woman") == 1
    assert "a woman" in text.lower()


def test_captions_of_each_style():
    some = made("close-up", "side view", "sitting", "red dress", "glasses", "holding a book", "forest", "soft light")
    who = Subject("zorblax", "woman", "realistic_body")
    assert render(some, who, TEMPLATES["tags"]) == (
        "zorblax, realistic_body, close-up, side view, sitting, red dress, glasses, holding a book, forest, soft light"
    ).replace("sitting, red", "sitting, soft light, red").removesuffix(", soft light")
    assert render(some, who, TEMPLATES["sentences"]) == (
        "A close-up of zorblax, a woman, realistic_body, side view, sitting, soft light, wearing a red dress and"
        " glasses, holding a book, forest."
    )
    assert render(some, who, TEMPLATES["phrases"]).startswith("close-up of zorblax, realistic_body, sitting, side view")


def test_a_template_of_ones_own_leaves_nothing_empty_behind():
    template = checked("{trigger}[ in {background}], [wearing {clothing:and}], {pose}")
    who = Subject("zorblax", "a woman")
    assert render(made("forest", "red dress", "hat", "sitting"), who, template) == (
        "zorblax in forest, wearing a red dress and a hat, sitting"
    )
    assert render((), who, template) == "zorblax"


@pytest.mark.parametrize("template", ["{framing}", "{trigger}, {trigger}", "{trigger}, {mood}", "{trigger}, {pose:x}",
                                      "{trigger}, [{pose}", "{trigger}, {pose"])  # fmt: skip
def test_a_template_that_would_lose_something_is_refused(template):
    with pytest.raises(PortraitistError):
        checked(template)


def test_articles_stand_where_english_has_them():
    assert [article(word) for word in ("hat", "umbrella", "glasses", "a hat", "dress", "full body", "")] == [
        "a hat", "an umbrella", "glasses", "a hat", "a dress", "a full body picture", "",
    ]  # fmt: skip


def test_a_comma_divides_what_a_model_says_in_one_breath():
    assert parts_of([("clothing", "red dress, hat; scarf."), ("mood", "x"), ("pose", " ")]) == (
        Part("clothing", "red dress"), Part("clothing", "hat"), Part("clothing", "scarf"), Part("other", "x"),
    )  # fmt: skip


def test_the_order_in_which_phrases_come_changes_no_set_of_them():
    some = list(made("smiling", "forest", "close-up", "hat", "film grain"))
    draw = random.Random(0)
    for _ in range(10):
        draw.shuffle(some)
        assert texts(settled(some, EVERYTHING).parts) == ["close-up", "smiling", "hat", "forest", "film grain"]
