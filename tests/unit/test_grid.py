"""The grid of prompts and seeds: everything in the brief is asked for, and what reports never chose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.errors import PortraitistError
from portraitist.family import Profile
from portraitist.judge import grid as judge_grid
from portraitist.judge.grid import grid
from portraitist.judge.measures import MEASURES
from portraitist.judge.prompts import alternatives, kinds
from portraitist.pictures import Picture
from portraitist.project import Facts
from portraitist.recipe import Recipe
from portraitist.sections import Judging

PROFILE = Profile(resolution=128, guidance=3.0, sampling_steps=20)
BRIEF = {
    "framing": ("close-up", "half body", "full body"),
    "expression": ("smiling", "angry", "surprised"),
    "background": ("forest", "city", "beach", "plain pink"),
}


def facts(**changes):
    return Facts(name="Z", trigger="zorblax", subject="fictional", noun="robot", brief=changes.get("brief", BRIEF))


def pictures(count=24):
    """Captioned pictures, every eighth held out."""
    moods, places = ("sad", "smiling", "winking"), ("room", "forest", "mountains", "plain blue")
    return [
        Picture(
            f"{i}.png", f"{i:02d}", 9, 9, split="held-out" if i % 8 == 0 else "train",
            caption=f"full body of zorblax, {moods[i % 3]}, side view, {places[i % 4]} background, take {i}",
        )
        for i in range(count)
    ]  # fmt: skip


def made(about=None, shown=None, **judging):
    return grid(
        about or facts(), Recipe(judging=Judging(**judging)), PROFILE, 16, pictures() if shown is None else shown
    )


VALUES = st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=9, unique=True)


@given(st.dictionaries(st.sampled_from(["framing", "pose", "outfit", "background", "light"]), VALUES, max_size=5))
def test_whatever_the_brief_prompts_and_seeds_that_report_never_chose(brief):
    found = made(facts(brief={kind: tuple(f"{kind} {v}" for v in values) for kind, values in brief.items()}))
    choosing, reporting = ({shot.prompt.text for shot in shots} for shots in (found.choosing, found.reporting))
    assert choosing
    assert reporting
    assert not choosing & reporting
    assert not {shot.seed for shot in found.choosing} & {shot.seed for shot in found.reporting}
    assert not {shot.prompt.name for shot in found.choosing} & {shot.prompt.name for shot in found.reporting}


@given(st.dictionaries(st.sampled_from(["framing", "pose", "outfit", "background"]), VALUES, min_size=1, max_size=4))
def test_every_value_of_the_brief_is_asked_for_among_what_chooses(brief):
    named = {kind: tuple(f"{kind} {v}" for v in values) for kind, values in brief.items()}
    found = made(facts(brief=named))
    asked = {pair for shot in found.choosing for pair in shot.prompt.asks.items()}
    assert {(kind, value) for kind, values in named.items() for value in values} <= asked


def test_prompts_read_as_captions_do():
    text = next(shot.prompt for shot in made().choosing if shot.prompt.name == "brief-1")
    values = text.asks
    assert text.text == f"{values['framing']} of zorblax, {values['expression']}, {values['background']} background"


def test_the_grid_is_the_same_every_time_and_a_change_changes_its_digest():
    assert made() == made()
    assert made().digest == made().digest
    others = [made(seeds=3), made(guidance=2.0), made(sampling_steps=7), made(prompts=("{trigger}",)), made(screen=4)]
    assert len({made().digest, *(other.digest for other in others)}) == 6


def test_scores_of_other_measures_are_of_another_grid(monkeypatch):
    """In a table of its own: what is taken out of the true one comes back at its end, and pages go by its order."""
    before = made().digest
    fewer = {name: about for name, about in MEASURES.items() if name != "likeness"}
    monkeypatch.setattr(judge_grid, "MEASURES", fewer)
    assert made().digest != before


def test_framings_that_lack_are_of_another_grid_and_only_what_prompts_ask_for_lacks():
    """Pictures of another framing, with the captions as they are: what strain is taken on changes."""

    def of(*framings):
        pictures = [
            Picture(f"{i}.png", str(i), 128, 128, f"{one} of zorblax, smiling, scene {i}")
            for i, one in enumerate(framings)
        ]
        return grid(facts(), Recipe(judging=Judging(prompts=("full body of {trigger}",))), PROFILE, 8, pictures)

    close, whole = of("close-up", "close-up"), of("close-up", "full body")
    assert (close.lacking, whole.lacking) == (("full",), ())
    assert close.digest != whole.digest


def test_the_screen_is_the_grids_beginning_and_of_different_prompts():
    found = made(screen=6)
    screen = found.shots("screen")
    assert screen == found.shots("grid")[:6]
    assert len({shot.prompt.text for shot in screen}) == 6


def test_each_prompt_is_drawn_from_every_seed():
    found = made(seeds=3)
    seeds = {}
    for shot in found.choosing:
        seeds.setdefault(shot.prompt.text, []).append(shot.seed)
    own = {text: drawn for text, drawn in seeds.items() if text not in {picture.caption for picture in pictures()}}
    assert set(map(tuple, own.values())) == {(1, 2, 3)}


def test_captions_come_again_only_when_all_others_have_come():
    """Two seen and two unseen a seed, by turns, though but two of the three held out are to choose by."""
    found = made(seeds=3)
    captions = {picture.caption: picture.split for picture in pictures()}
    drawn = [shot for shot in found.choosing if shot.prompt.text in captions]
    seeds = [sorted(s.seed for s in drawn if s.prompt.text == text) for text in {s.prompt.text for s in drawn}]
    assert {tuple(one) for one in seeds} <= {tuple(range(1, n)) for n in (2, 3, 4)}
    assert len(drawn) == 3 * 4
    assert max(map(len, seeds)) - min(map(len, seeds)) <= 1
    assert len(seeds) == 6 + 2
    assert [captions[shot.prompt.text] for shot in drawn[:4]] == ["train", "held-out"] * 2
    assert [shot.prompt.name.split("-")[0] for shot in found.choosing[4:8]] == ["seen", "unseen"] * 2


def test_without_a_brief_the_guides_five_and_two_captions_seen_and_unseen_choose():
    found = made(facts(brief={}), seeds=1)
    names = [shot.prompt.name for shot in found.choosing]
    assert [name.split("-")[0] for name in names] == ["guide"] * 5 + ["seen", "unseen"] * 2
    assert "portrait of zorblax, smiling, soft light" in {shot.prompt.text for shot in found.choosing}
    split = {picture.caption: picture.split for picture in pictures()}
    for shot in found.choosing:
        if shot.prompt.name.startswith("unseen"):
            assert split[shot.prompt.text] == "held-out"
        elif shot.prompt.name.startswith("seen"):
            assert split[shot.prompt.text] == "train"


def test_the_recipes_own_prompts_choose_alone():
    found = made(prompts=("{trigger}, a {noun}", "[trigger] running"), seeds=1)
    assert [shot.prompt.text for shot in found.choosing] == ["zorblax, a robot", "zorblax running"]
    assert found.reporting


def test_captions_tell_what_else_a_value_could_have_been():
    known = kinds(facts(), pictures())
    assert set(known["background"]) == {*BRIEF["background"], "room", "mountains", "plain blue"}
    assert "sad" in known["expression"]
    assert "forest" not in alternatives(known, "background", "forest")
    without = kinds(facts(brief={}), pictures())
    assert set(without["background"]) == {f"{p} background" for p in ("room", "forest", "mountains", "plain blue")}


@pytest.mark.parametrize("word", ["in a forest", "forest background", "at night"])
def test_a_value_that_says_what_it_is_takes_no_word_after_it(word):
    found = made(facts(brief={"background": (word,)}))
    assert f"zorblax, {word}" in {shot.prompt.text for shot in found.choosing}


def test_pictures_without_the_trigger_or_that_show_no_character_give_no_prompt():
    strange = [
        Picture("a.png", "a", 9, 9, caption="a forest"),
        Picture("b.png", "b", 9, 9, caption="zorblax", role="realism"),
    ]
    assert not [s for s in made(shown=strange).choosing if "seen" in s.prompt.name]


def test_a_caption_that_chose_as_the_recipes_own_prompt_does_not_report():
    found = made(prompts=tuple(picture.caption for picture in pictures()))
    assert not {shot.prompt.text for shot in found.reporting} & {shot.prompt.text for shot in found.choosing}


@pytest.mark.parametrize(
    "brief", [BRIEF, {"pose": ("running", "sitting")}, {"pose": ("running",), "light": ("soft light",)}]
)
def test_a_brief_that_choosing_uses_up_leaves_enough_to_report_by(brief):
    found = made(facts(brief=brief), shown=[], seeds=1)
    assert len(found.reporting) >= 4


def test_what_the_brief_can_still_combine_reports():
    """Four of its eight combinations choose, and the four others report."""
    brief = {"pose": ("running", "sitting", "flying", "asleep"), "outfit": ("red coat", "blue coat")}
    found = made(facts(brief=brief), shown=[], seeds=1)
    assert [shot.prompt.name for shot in (*found.choosing, *found.reporting)] == [f"brief-{i}" for i in range(1, 9)]


def test_a_prompt_that_is_never_drawn_is_refused_wherever_it_is_from():
    with pytest.raises(PortraitistError, match="sexualises a minor"):
        made(prompts=("{trigger}, schoolgirl, lingerie",))
    with pytest.raises(PortraitistError, match="sexualises a minor"):
        made(facts(brief={"outfit": ("lingerie",), "mood": ("16 years old",)}))
    made(prompts=("{trigger}, schoolgirl, smiling",))
