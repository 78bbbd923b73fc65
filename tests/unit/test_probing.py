"""Measures that compare pictures of a set, held to the drawn world: true drawings of a character, and of strangers."""

import random
from dataclasses import replace

import numpy as np
import pytest

from portraitist.family import PromptSpec
from portraitist.judge.measuring.companion import Companion
from portraitist.judge.measuring.definition import Case, Pictures
from portraitist.judge.measuring.diversity import Diversity
from portraitist.judge.measuring.leak import Leak
from portraitist.judge.measuring.likeness import Likeness
from portraitist.judge.measuring.moved import Moved
from portraitist.judge.measuring.obedience import Obedience
from portraitist.judge.measuring.paraphrase import Paraphrase
from portraitist.judge.measuring.references import References
from portraitist.judge.shot import Shot
from portraitist.mini.characters import ZORBLAX, album, told
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import Context, Scene, a_character
from portraitist.sight import eyes

SEEDS = (1, 2)
PLACES = ("forest", "city", "room")
CHANGED = {"style": ("pastel style", "ink style"), "background": ("beach", "night sky", "forest", "city", "room")}


def scene(who, place, seed, style="ink style"):
    """A character in a place."""
    return Scene(who, Context("half body", "front view", "smiling", "standing", place, "soft light", style), seed)


def pixels(who, place, seed, style="ink style"):
    """The drawing of it."""
    return draw(scene(who, place, seed, style)).pixels


def stranger(number):
    """Someone else."""
    return a_character(random.Random(f"stranger {number}"))


def named(place, seed):
    """A shot that names the character."""
    return Shot(PromptSpec(place, f"half body of zorblax, {place} background", {"background": place}), seed)


def probe(place, purpose, seed=1):
    """A shot that probes the named one of a place."""
    spec = PromptSpec(f"{purpose}-{place}", f"{purpose} {place}", {"background": place})
    return Shot(spec, seed, purpose, named(place, seed).prompt.text)


SHOTS = [named(place, seed) for place in PLACES for seed in SEEDS]
KEYS = [(place, seed) for place in PLACES for seed in SEEDS]


@pytest.fixture(scope="module")
def base():
    """What the base draws for the prompts: strangers."""
    return [pixels(stranger(i), *key) for i, key in enumerate(KEYS)]


@pytest.fixture(scope="module")
def own():
    """What a perfect LoRA draws: the character."""
    return [pixels(ZORBLAX, *key) for key in KEYS]


@pytest.fixture(scope="module")
def case(base):
    scenes = album(ZORBLAX, 10, 5)
    shown = tuple(draw(one).pixels for one in scenes)
    captions = tuple(told(one, "zorblax") for one in scenes)
    return Case(
        References(shown, (), shown, captions),
        Pictures(SHOTS, base, base),
        eyes.load("mini"),
        {"background": PLACES},
        "zorblax",
        "a cartoon character",
        CHANGED,
    )


def probed(purpose, pictures, of_base, own, base):
    """One probe a place beside the named pictures."""
    shots = [probe(place, purpose) for place in PLACES]
    return Pictures([*shots, *SHOTS], [*pictures, *own], [*of_base, *base])


def test_a_leak_is_one_where_the_noun_draws_the_character_and_nothing_where_it_draws_what_the_base_does(
    case, own, base
):
    strangers = [pixels(stranger(20 + i), place, 9) for i, place in enumerate(PLACES)]
    there = [pixels(ZORBLAX, place, 9) for place in PLACES]
    whole = case.taken(Leak)(probed("unnamed", there, strangers, own, base))
    none = case.taken(Leak)(probed("unnamed", strangers, strangers, own, base))
    assert np.isnan(whole[len(PLACES) :]).all(), "the named pictures leak nothing"
    assert whole[: len(PLACES)].mean() == pytest.approx(1, abs=0.3)
    assert none[: len(PLACES)] == pytest.approx([0, 0, 0], abs=1e-9)
    others = [pixels(stranger(40 + i), place, 9) for i, place in enumerate(PLACES)]
    assert abs(np.nanmean(case.taken(Leak)(probed("unnamed", others, strangers, own, base)))) < 0.3, "another stranger"


def test_moved_tells_any_change_in_terms_of_what_the_name_changes(case, own, base):
    """The first seeds' own pictures, once as the base drew them and once as the character: 0 and 1 by definition."""
    firsts = [i for i, (_, seed) in enumerate(KEYS) if seed == 1]
    before, after = [base[i] for i in firsts], [own[i] for i in firsts]
    assert case.taken(Moved)(probed("unnamed", before, before, own, base))[:3] == pytest.approx([0, 0, 0])
    assert case.taken(Moved)(probed("unnamed", after, before, own, base))[:3].mean() == pytest.approx(1)


def test_without_named_pictures_beside_them_probes_are_not_measured(case):
    some = Pictures([probe("forest", "unnamed"), probe("city", "paraphrase")], *[[pixels(ZORBLAX, "city", 3)] * 2] * 2)
    for kind in (Leak, Moved, Paraphrase):
        assert np.isnan(case.taken(kind)(some)).all()


def test_a_wording_counts_as_much_as_a_seed_where_it_changes_as_much_as_one(case, own, base):
    """What came from the second seed, as if another wording had drawn it, is one mean difference away; the first is
    none."""
    measure = case.taken(Paraphrase)
    seconds = [own[i] for i, (_, seed) in enumerate(KEYS) if seed == 2]
    firsts = [own[i] for i, (_, seed) in enumerate(KEYS) if seed == 1]
    assert measure(probed("paraphrase", seconds, firsts, own, base))[:3].mean() == pytest.approx(1)
    assert measure(probed("paraphrase", firsts, firsts, own, base))[:3] == pytest.approx([0, 0, 0], abs=1e-9)
    lost = [pixels(stranger(60 + i), place, 1) for i, place in enumerate(PLACES)]
    assert measure(probed("paraphrase", lost, firsts, own, base))[:3].min() > 2


def test_diversity_is_one_of_the_base_and_nothing_of_one_picture_over_and_over(case, own, base):
    measure = case.taken(Diversity)
    assert measure(Pictures(SHOTS, base, base)).mean() == pytest.approx(1)
    same = [own[KEYS.index((place, 1))] for place, _ in KEYS]
    assert measure(Pictures(SHOTS, same, base)) == pytest.approx([0] * len(KEYS), abs=1e-6)
    assert measure(Pictures(SHOTS, own, base)).mean() > 0.05
    single = [i for i, (_, seed) in enumerate(KEYS) if seed == 1]
    assert np.isnan(
        measure(Pictures([SHOTS[i] for i in single], [own[i] for i in single], [base[i] for i in single]))
    ).all()


def test_obedience_counts_new_styles_and_places_that_are_there(case):
    asks = {"style": "pastel style", "background": "beach"}
    spec = PromptSpec("restyled-1", "half body of zorblax, smiling, pastel style, beach background", asks)
    drawn = [pixels(ZORBLAX, *how) for how in (("beach", 3, "pastel style"), ("room", 3, "pastel style"), ("room", 3))]
    shots = [replace(named("room", 1), prompt=spec, purpose="restyled")] * 3
    assert case.taken(Obedience)(Pictures(shots, drawn, drawn)) == pytest.approx([1, 0.5, 0])
    assert np.isnan(case.taken(Obedience)(Pictures(SHOTS[:1], drawn[:1], drawn[:1]))).all()
    assert Obedience.of(replace(case, looks=eyes.Plain())) is None


def test_beside_a_second_lora_nothing_is_lost_by_the_same_pictures_and_likeness_by_a_stranger(case, own, base):
    measure, alone = case.taken(Companion), Pictures(SHOTS, own, base)
    assert np.isnan(measure(alone)).all()
    same = measure(Pictures(SHOTS, own, base, alone))
    assert same.min() >= 0, "agreement is held to the less of what either has alone"
    elsewhere = measure(Pictures(SHOTS, base, base, alone))
    gone = case.taken(Likeness)(Pictures(SHOTS, base, base)) - case.taken(Likeness)(alone)
    assert elsewhere.mean() == pytest.approx(gone.mean() / 2, abs=0.15)
    assert elsewhere.mean() < -0.3
