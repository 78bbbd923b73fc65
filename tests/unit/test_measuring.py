"""Measures on drawn examples: outlines known by ruler, pictures spoilt on purpose, pairs that differ in one thing."""

import random

import numpy as np
import pytest
from onnx import TensorProto, helper

from portraitist.audit.content import Sights
from portraitist.errors import PortraitistError
from portraitist.judge import measures
from portraitist.judge.measuring.agreement import Reader
from portraitist.judge.measuring.anatomy import Anatomy
from portraitist.judge.measuring.bleed import Bleed
from portraitist.judge.measuring.contrast import Contrast
from portraitist.judge.measuring.definition import Case, Pictures
from portraitist.judge.measuring.light import Light
from portraitist.judge.measuring.proportions import Proportions, ratios
from portraitist.judge.measuring.references import References, framing
from portraitist.judge.measuring.skin import Skin
from portraitist.judge.prompts import specified
from portraitist.judge.shot import Shot
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import BACKGROUNDS, Character, Context, Scene
from portraitist.sight import pose
from portraitist.sight.eyes import Plain
from tests.pictures import scenery
from tests.sight import colours, written

KINDS = {"background": tuple(f"{place} background" for place in BACKGROUNDS), "light": ("warm light", "cool light")}


def drawn(texts, pictures, base=None):
    """Pictures of prompts with what these ask for; the base's are the same unless there are others."""
    shots = [Shot(specified(f"p{i}", text, KINDS), i) for i, text in enumerate(texts)]
    return Pictures(shots, pictures, pictures if base is None else base)


def case(shown, base=None, captions=(), sights=None, **more):
    """A character by its pictures, all of them trained on."""
    shown = tuple(shown)
    references = References(shown, (), shown, tuple(captions), tuple(captions), **more)
    base = drawn(["zorblax"], [shown[0]]) if base is None else base
    return Case(references, base, Plain(), KINDS, "zorblax", "robot", sights=sights or Sights())


def even(seed, low=60, high=200):
    """A scene whose tones are spread from low to high."""
    found = scenery(seed, 64, 64).astype(float)
    return (low + (found - found.min()) / (found.max() - found.min()) * (high - low)).astype(np.uint8)


def test_contrast_is_nothing_inside_and_counts_clipping_by_its_share():
    taken = Contrast.of(case(even(i) for i in range(12)))
    whole = even(20)
    burnt = whole.copy()
    burnt[:16] = 255  # a quarter, all of it clipped: 25 percent, in spreads of at least one percent
    inside, quarter = taken(drawn(["a", "b"], [even(3), burnt]))
    assert inside < 0.5
    assert quarter == pytest.approx(25, abs=0.6)


@pytest.mark.parametrize("spoil", [
    lambda p: np.clip(128 + (p.astype(float) - 128) * 0.2, 0, 255),
    lambda p: p + np.random.default_rng(0).normal(0, 12, p.shape),
    lambda p: np.repeat(np.repeat(p[::8, ::8], 8, 0), 8, 1),
], ids=["faded", "noisy", "blocks"])  # fmt: skip
def test_contrast_sees_what_overcooked_pictures_have(spoil):
    taken = Contrast.of(case(even(i) for i in range(12)))
    fresh = [even(100 + i) for i in range(6)]
    spoilt = [np.clip(spoil(p), 0, 255).astype(np.uint8) for p in fresh]
    sound, worse = (taken(drawn(["a"] * 6, some)) for some in (fresh, spoilt))
    assert worse.mean() > sound.mean() + 2
    assert (worse > 0.5).all()


WHO = Character("blue", "bob", "green", "tan", "hoodie", "red")
OTHER = Character("black", "short", "brown", "pale", "suit", "teal")


def standing(who, place, seed):
    """A half body in front view before a place."""
    return draw(Scene(who, Context("half body", "front view", "neutral", "standing", place, "soft light"), seed)).pixels


@pytest.fixture(scope="module")
def bled():
    """A character trained before forests and rooms, and the base before beaches and by night."""
    train = [standing(WHO, ("forest", "room")[i % 2], i) for i in range(8)]
    captions = [f"zorblax, {('forest', 'room')[i % 2]} background" for i in range(8)]
    asked = ["zorblax, beach background", "zorblax, night sky background", "zorblax, forest background"]
    base = [standing(OTHER, place, 50 + i) for i, place in enumerate(("beach", "night sky", "forest"))]
    return train, captions, asked, base


def test_a_training_background_where_another_was_asked_for_is_bleed(bled):
    train, captions, asked, base = bled
    taken = Bleed.of(case(train, drawn(asked, base), captions))
    sound = [standing(WHO, place, 70 + i) for i, place in enumerate(("beach", "night sky", "forest"))]
    spoilt = [standing(WHO, place, 80 + i) for i, place in enumerate(("forest", "room", "room"))]
    assert taken(drawn(asked, base)) == pytest.approx([0, 0, 0])
    assert np.abs(taken(drawn(asked, sound, base))).max() < 0.1
    assert taken(drawn(asked, spoilt, base)).min() > 0.2, "the third: a room where the forest was asked for"


def test_bleed_is_asked_only_where_another_background_is(bled):
    train, captions, asked, base = bled
    taken = Bleed.of(case(train[::2], drawn(asked, base), captions[::2]))
    none = taken(drawn([*asked[1:], "zorblax"], base, base))
    assert np.isnan(none).tolist() == [False, True, True], "the forest is all there was; the last asks for nothing"
    assert Bleed.of(case(train, drawn(["zorblax"], base[:1]), captions)) is None
    assert Bleed.of(case(train, drawn(asked, base))) is None, "no captions"


def test_light_without_reading_eyes_is_one_as_the_base_lights_and_nothing_as_it_lights_other_prompts():
    warm, cool = (np.full((48, 48, 3), colour, np.uint8) for colour in ((250, 190, 120), (120, 160, 250)))
    texts = ["zorblax, warm light", "zorblax, cool light", "zorblax"]
    base = [warm, cool, warm]
    taken = Light.of(case([warm], drawn(texts[:2], base[:2])))
    same, swapped = taken(drawn(texts, base)), taken(drawn(texts, [cool, warm, cool], base))
    assert same[:2] == pytest.approx([1, 1])
    assert swapped[:2] == pytest.approx([0, 0])
    assert np.isnan(same[2])
    assert Light.of(case([warm], drawn(["zorblax"], [warm]))) is None, "nobody asks"
    assert Light.of(case([warm], drawn(texts[:2], [warm, warm]))) is None, "this base lights all alike"


def test_light_is_read_where_eyes_can_read_it():
    """Captions known as axes, and pictures that lie where the caption of what they show does."""
    known = {"a robot, warm light": np.array([1.0, 0]), "a robot, cool light": np.array([0, 1.0])}
    taken = Light(Reader(None, KINDS, "zorblax", "robot", known, {"light": 1.0}))
    shown = drawn(["zorblax, warm light", "zorblax, warm light", "zorblax"], [scenery(0)] * 3)
    shown.once("content", lambda: np.array([[1.0, 0], [0, 1.0], [1.0, 0]]))
    found = taken(shown)
    assert found[:2].tolist() == [1, 0]
    assert np.isnan(found[2])


def figure(head=20, body=40, tall=60, side=100):
    """An outline by ruler: a head as high as wide, upon a body."""
    inside = np.zeros((side, side), bool)
    inside[10 : 10 + head, 50 - head // 2 : 50 + head // 2] = True
    inside[10 + head : 10 + head + tall, 50 - body // 2 : 50 + body // 2] = True
    return inside


def test_ratios_of_an_outline_are_those_of_the_ruler():
    assert ratios(figure()) == pytest.approx(np.log([40 / 80, 20 / 80, 20 / 40]))
    assert ratios(np.roll(figure(), 7, 1)) == pytest.approx(ratios(figure()))
    assert np.isnan(ratios(np.zeros((9, 9), bool))).all()


def painted(inside, colour=(200, 60, 60)):
    """An outline in a colour on a plain ground, with a photograph's grain."""
    ground = np.where(inside[..., None], np.array(colour), np.array((60, 110, 170)))
    return np.clip(ground + (scenery(0, 100, 100).astype(float) - 128) / 20, 0, 255).astype(np.uint8)


def test_proportions_are_one_as_far_as_references_differ_and_more_for_another_build():
    draws = random.Random(0)
    shown = [painted(figure(draws.choice((18, 20, 22)), draws.choice((36, 40, 44)), 60)) for _ in range(9)]
    taken = Proportions.of(case(shown, framings=("full",) * 9))
    texts = ["full body of zorblax"] * 2 + ["close-up of zorblax"]
    usual, broad, close = taken(drawn(texts, [painted(figure()), painted(figure(20, 72, 46)), painted(figure())]))
    assert usual < 1.5
    assert broad > 3
    assert np.isnan(close)
    assert taken(drawn(["full body of zorblax"] * 9, shown)).mean() == pytest.approx(1, abs=0.05)
    assert Proportions.of(case(shown)) is None, "framings are not known"


def test_skin_without_texture_is_plastic_and_green_skin_is_not_judged():
    skin, plain = (205, 150, 125), painted(figure(40, 50, 40), (205, 150, 125))

    def grained(seed, much):
        noise = np.random.default_rng(seed).normal(0, much, (100, 100, 1))
        return np.clip(painted(figure(40, 50, 40), skin) + noise, 0, 255).astype(np.uint8)

    taken = Skin.of(case([plain], realism=tuple(grained(i, 5 + i / 4) for i in range(6))))
    texts = ["zorblax"] * 3
    real, plastic, green = taken(drawn(texts, [grained(20, 6), plain, painted(figure(40, 50, 40), (60, 180, 70))]))
    assert real < 0.5
    assert plastic > 5
    assert np.isnan(green)
    assert Skin.of(case([plain])) is None
    poor = case([plain], realism=(painted(figure(), (60, 180, 70)),))
    assert Skin.of(poor) is None
    assert "too little skin" in poor.notes[0]


@pytest.fixture(scope="module")
def joints(tmp_path_factory):
    """A model of poses on 64 x 48 pixels, in the manner of ViTPose: a red spot is all joints but the ankles, a blue
    one the ankles."""
    weight = np.zeros((17, 3, 4, 4), np.float32)
    weight[:15, 0], weight[15:, 2] = 1 / 32, 1 / 32
    weight[:15, 1:], weight[15:, :2] = -1 / 32, -1 / 32
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 48])
    told = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, 17, 16, 12])
    nodes = [helper.make_node("Conv", ["image", "w", "b"], ["heatmaps"], strides=[4, 4])]
    weights = {"w": weight, "b": np.full(17, -1, np.float32)}  # so that the black around a picture is nothing
    return written(tmp_path_factory.mktemp("pose") / "pose.onnx", nodes, [given], [told], weights)


def spots(red=(20, 30), blue=(70, 30)):
    """A grey picture of 100 x 80 with a red and a blue spot, by row and column; None for no spot."""
    pixels = np.full((100, 80, 3), 120, np.uint8)
    for place, colour in ((red, (255, 0, 0)), (blue, (0, 0, 255))):
        if place is not None:
            pixels[place[0] - 7 : place[0] + 7, place[1] - 7 : place[1] + 7] = colour
    return pixels


def test_joints_are_found_where_they_are_in_the_picture(joints):
    found = pose.joints(spots((14, 12), (84, 66)), np.zeros((100, 80), bool), joints)
    assert found[:15, :2] == pytest.approx(np.tile([12, 14], (15, 1)), abs=7)
    assert found[15:, :2] == pytest.approx(np.tile([66, 84], (2, 1)), abs=7)
    assert (found[:, 2] >= pose.SURE).all()
    left = np.zeros((100, 80), bool)
    left[10:90, 15:45] = True
    closer = pose.joints(spots(), left, joints)
    assert np.abs(closer[:15, :2] - [30, 20]).max() < 5, "the figure's box is looked at more closely"


def test_rows_of_places_are_read_as_maps_are():
    across, down = np.zeros((1, 17, 96)), np.zeros((1, 17, 128))
    across[0, :, 24], down[0, :, 96] = 0.8, 0.6
    found = pose.places([across, down], None)
    assert found == pytest.approx(np.tile([24.5 / 96, 96.5 / 128, 0.6], (17, 1)))


def test_what_is_no_pose_is_refused(tmp_path):
    with pytest.raises(PortraitistError, match="no pose"):
        pose.joints(spots(), np.zeros((100, 80), bool), colours(tmp_path / "dino.onnx", 32))
    given, told = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [8]) for name in "ab")
    numbers = written(tmp_path / "numbers.onnx", [helper.make_node("Abs", ["a"], ["b"])], [given], [told], {})
    with pytest.raises(PortraitistError, match=r"takes \[8\]"):
        pose.joints(spots(), np.zeros((100, 80), bool), numbers)


def test_anatomy_counts_the_parts_that_references_of_the_framing_show(joints):
    shown = [spots((20 + i, 30), (70 + i, 30)) for i in range(4)] + [spots(blue=None)] * 3
    framings = ("full",) * 4 + ("close-up",) * 3
    taken = Anatomy.of(case(shown, sights=Sights(pose=str(joints)), framings=framings))
    texts = ["full body of zorblax", "full body of zorblax", "close-up of zorblax", "half body of zorblax"]
    found = taken(drawn(texts, [spots(), spots(blue=None), spots(blue=None), spots()]))
    assert found[:3] == pytest.approx([1, 15 / 17, 1])
    assert np.isnan(found[3])
    assert Anatomy.of(case(shown)) is None
    blind = case([spots(None, None)] * 3, sights=Sights(pose=str(joints)))
    assert Anatomy.of(blind) is None
    assert "left to a person" in blind.notes[0]


@pytest.mark.parametrize(("text", "expected"), [
    ("close-up of zorblax, back view", "back"), ("full body of zorblax, side view", "full"),
    ("zorblax from behind", "back"), ("portrait of zorblax", "close-up"), ("zorblax", ""),
])  # fmt: skip
def test_a_view_from_behind_is_a_framing_of_its_own(text, expected):
    assert framing(text) == expected


def test_what_is_asked_of_a_person_is_a_measure_too():
    assert set(measures.ASKED) <= set(measures.MEASURES)
