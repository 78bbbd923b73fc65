"""Prompts that probe: the same asks without the trigger or in other words, and asks that no caption names."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.dataset.captions import holds
from portraitist.errors import PortraitistError
from portraitist.family import Profile
from portraitist.judge.grid import grid
from portraitist.pictures import Picture
from portraitist.project import Facts
from portraitist.recipe import Recipe
from portraitist.sections import Judging

PROFILES = {manner: Profile(128, 3.0, 20, captions=manner) for manner in ("tags", "sentences", "phrases")}
BRIEF = {"framing": ("close-up", "full body"), "expression": ("smiling", "angry"), "background": ("forest", "city")}


def facts(brief=BRIEF, noun="robot"):
    return Facts(name="Z", trigger="zorblax", subject="fictional", noun=noun, brief=brief)


def pictures(*captions):
    """Training pictures with these captions."""
    return [Picture(f"{i}.png", f"{i:02d}", 9, 9, split="train", caption=text) for i, text in enumerate(captions)]


def made(manner="sentences", about=None, shown=(), **judging):
    return grid(about or facts(), Recipe(judging=Judging(**judging)), PROFILES[manner], 16, pictures(*shown))


def of(found, purpose):
    """The probes of a purpose."""
    return [shot for shot in found.probing if shot.purpose == purpose]


@pytest.mark.parametrize("manner", PROFILES)
def test_what_probes_is_drawn_from_the_noise_and_with_the_asks_of_what_it_probes(manner):
    found = made(manner, unnamed=6, paraphrases=6)
    choosing = {(shot.prompt.text, shot.seed): shot for shot in found.choosing}
    probes = [*of(found, "unnamed"), *of(found, "paraphrase")]
    assert len(of(found, "unnamed")) == 6
    for shot in probes:
        twin = choosing[shot.twin, shot.seed]
        assert shot.noise == twin.noise
        assert shot.prompt.asks == twin.prompt.asks
        assert shot.prompt.text != twin.prompt.text
        assert twin in found.twins
    assert len({(shot.prompt.text, shot.seed) for shot in probes}) == len(probes)
    assert len({(shot.prompt.name, shot.seed) for shot in found.probing}) == len(found.probing), "each has its own file"


@pytest.mark.parametrize(
    ("manner", "noun", "said"),
    [("sentences", "robot", "a robot"), ("sentences", "the robot", "the robot"), ("tags", "robot", "robot")],
)
def test_unnamed_is_the_same_prompt_with_the_noun_in_the_triggers_place(manner, noun, said):
    found = made(manner, facts(noun=noun), prompts=("close-up of {trigger}, {noun}, smiling",))
    assert [shot.prompt.text for shot in of(found, "unnamed")] == [f"close-up of {said}, smiling"] * 2, "from two seeds"


def test_a_prompt_without_the_trigger_is_neither_unnamed_nor_reworded():
    found = made(prompts=("a forest",), restyled=0)
    assert found.probing == ()


WORDS = st.lists(st.sampled_from(["smiling", "dancing", "forest background", "side view", "soft light", "red hat"]),
                 min_size=1, max_size=6, unique=True)  # fmt: skip


@given(WORDS)
def test_to_a_base_of_few_words_the_same_phrases_are_told_in_another_order(words):
    text = ", ".join(["close-up of zorblax", *words])
    for shot in of(made("phrases", prompts=(text,), paraphrases=9), "paraphrase"):
        assert Counter(shot.prompt.text.split(", ")) == Counter(text.split(", "))


@given(WORDS)
def test_every_wording_names_the_character_and_none_comes_twice(words):
    text = ", ".join(["full body of zorblax", *words])
    found = [shot.prompt.text for shot in of(made(prompts=(text,), paraphrases=9), "paraphrase")]
    assert len(found) >= 2
    assert len(set(found) | {text}) == len(found) + 1
    assert all(holds(one, "zorblax") for one in found)


def test_other_words_stand_for_what_is_asked():
    found = made(prompts=("close-up of {trigger}, smiling, forest",), paraphrases=1)
    assert [shot.prompt.text for shot in of(found, "paraphrase")] == [
        "tight shot of the face of zorblax, with a smile, woods"
    ]


def test_a_trigger_that_is_a_common_word_is_never_told_by_another():
    about = Facts(name="F", trigger="forest", subject="fictional", noun="robot")
    found = made(about=about, prompts=("close-up of {trigger}, smiling",), paraphrases=9)
    assert all("forest" in shot.prompt.text for shot in of(found, "paraphrase"))


@pytest.mark.parametrize("manner", PROFILES)
def test_restyled_asks_are_named_by_no_caption_and_are_three_at_once(manner):
    shown = ("zorblax, oil painting, beach background", "zorblax in a desert, wearing a hoodie, a red dress, ink style")
    found = of(made(manner, shown=shown, restyled=6), "restyled")
    assert len(found) >= 4
    for shot in found:
        assert set(shot.prompt.asks) == {"style", "outfit", "background"}
        for value in shot.prompt.asks.values():
            assert value in shot.prompt.text
            assert value.removeprefix("wearing a ").removeprefix("in a ") not in " ".join(shown)
        assert shot.twin == ""


def test_what_the_brief_asks_for_and_no_caption_names_is_asked_first():
    brief = BRIEF | {"outfit": ("tuxedo", "kimono", "apron"), "background": ("forest", "space station")}
    found = made(about=facts(brief), shown=("zorblax, apron, forest background",), restyled=2)
    asked = {kind: {shot.prompt.asks[kind] for shot in of(found, "restyled")} for kind in ("outfit", "background")}
    assert asked["outfit"] == {"tuxedo", "kimono"}
    assert "space station" in asked["background"]
    assert "forest" not in asked["background"]
    assert set(found.changed["background"]) > {"space station", "forest"}


def test_with_counts_of_zero_nothing_is_probed_and_what_chooses_stays():
    without = made(unnamed=0, paraphrases=0, restyled=0)
    assert without.probing == without.twins == ()
    assert without.choosing == made().choosing
    assert without.digest != made().digest


def test_a_probe_that_must_not_be_drawn_is_refused():
    brief = {"outfit": ("lingerie",), "mood": ("happy",)}
    with pytest.raises(PortraitistError, match="sexualises a minor"):
        made(about=facts(brief, noun="schoolgirl"), prompts=("{trigger}",))


@given(st.integers(1, 40), st.integers(1, 20))
def test_a_grid_is_drawn_in_parts_of_which_the_first_is_the_screen(screen, seeds):
    found = made(screen=screen, seeds=seeds)
    whole = found.parts(found.choosing, "grid")
    assert tuple(shot for part in whole for shot in part) == found.shots("grid") == found.choosing
    assert found.shots("screen") == whole[0]
