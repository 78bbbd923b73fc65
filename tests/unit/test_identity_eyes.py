"""Several eyes on one character: each only where it can be shown to tell it."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from portraitist.audit.content import Sights
from portraitist.family import PromptSpec
from portraitist.judge.measuring.definition import Case, Pictures, embedded
from portraitist.judge.measuring.identity import Identity, Scale, skill
from portraitist.judge.measuring.likeness import Likeness
from portraitist.judge.measuring.references import References
from portraitist.judge.measuring.seeing import GREY, alone, eyes, recognised, subjects
from portraitist.judge.shot import Shot
from portraitist.sight.eyes import Plain
from tests.pictures import scenery
from tests.sight import colours, yunet

RED, BLUE, GREEN = (200, 40, 40), (40, 60, 200), (50, 180, 60)


def shown(colour, seed, ground=(128, 128, 128), side=64):
    """A figure of a colour, with a photograph's grain, on a plain ground."""
    pixels = np.full((side, side, 3), ground, float)
    pixels[12:, 18:46] = colour
    return np.clip(pixels + (scenery(seed, side, side).astype(float) - 128) / 8, 0, 255).astype(np.uint8)


def pictures(texts, drawn):
    return Pictures([Shot(PromptSpec(f"p{i}", text), i) for i, text in enumerate(texts)], drawn, drawn)


def case(references, base, framings=(), **sights):
    kept = References(tuple(references), (), tuple(references), framings=tuple(framings))
    return Case(kept, base, Plain(), {}, "zorblax", "robot", sights=Sights(**sights))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model of whole pictures that sees their mean colour."""
    return str(colours(tmp_path_factory.mktemp("whole") / "dino.onnx", 32))


def test_skill_is_the_share_of_pairs_told_apart():
    angles = np.radians([0, 10, 20])
    mine = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    far = np.array([[0.0, 1.0]])
    assert skill(mine, far) == 1
    near = np.array([[np.cos(np.radians(10)), np.sin(np.radians(10))]])
    assert skill(mine, near) == 0, "nearer to all three than any of them is to the two others"
    assert skill(mine, mine[:0]) == skill(mine[:1], far) == 0


def test_one_eye_and_no_framing_known_give_the_plain_scale():
    references, base = [shown(RED, i) for i in range(6)], [shown(BLUE, 20 + i) for i in range(4)]
    drawn = pictures(["zorblax"] * 3, [shown(RED, 40), shown(BLUE, 41), shown(GREEN, 42)])
    taken = Identity.of(case(references, pictures(["zorblax"] * 4, base)))
    eye = Plain().pictures
    scale = Scale.of(embedded(eye, references), embedded(eye, base))
    assert taken(drawn) == pytest.approx(scale(embedded(eye, drawn.pictures)), abs=1e-6)
    assert [sight.eye.name for sight in taken.sights] == ["The plain eye"]


def test_a_model_of_whole_pictures_takes_the_plain_eyes_place_and_sees_the_subject_alone(whole):
    """Its ground changes from blue to green; without its ground a figure's colour is all that is left."""
    references = [shown(RED, i, BLUE) for i in range(5)]
    base = pictures(["zorblax"] * 3, [shown(GREEN, 20 + i, BLUE) for i in range(3)])
    made = case(references, base, embedding=whole)
    assert [eye.name for eye in eyes(made)] == ["dino.onnx"]
    assert np.mean([inside[30:, 22:42].mean() - inside[:, :8].mean() for inside in subjects(made)]) > 0.9
    assert (alone(made)[0][:, :6] == GREY).all()
    same, other = Identity.of(made)(pictures(["zorblax"] * 2, [shown(RED, 40, GREEN), shown(GREEN, 41, RED)]))
    assert same > 0.8
    assert other < 0.2


def test_pictures_are_held_against_their_own_framing_and_an_eye_is_left_out_where_it_is_blind(whole):
    """Full bodies are red and the base's blue; close-ups are of every colour, the base's too."""
    some = [RED, GREEN, BLUE, (180, 180, 40), (40, 180, 180)]
    references = [shown(RED, i) for i in range(4)] + [shown(colour, 10 + i) for i, colour in enumerate(some)]
    framings = ["full"] * 4 + ["close-up"] * 5
    texts = ["full body of zorblax"] * 3 + ["close-up of zorblax"] * 5
    drawn = [shown(BLUE, 20 + i) for i in range(3)] + [shown(colour, 30 + i) for i, colour in enumerate(some)]
    base = pictures(texts, drawn)
    made = case(references, base, framings, embedding=whole)
    taken = Identity.of(made)
    assert taken.sights[0].skills["full"] == 1
    assert taken.sights[0].skills["close-up"] < 0.7
    assert any("dino.onnx cannot tell this character in close-ups" in note for note in made.notes)
    found = taken(base)
    assert np.isnan(found[3:]).all()
    assert found[:3].mean() == pytest.approx(0, abs=1e-5), "the base is the zero line, framing by framing"
    assert taken(pictures(texts[:1], [shown(RED, 50)]))[0] == pytest.approx(1, abs=0.1)


def test_the_base_is_zero_on_the_mean_whatever_its_prompts_framings():
    references = [shown(RED, i) for i in range(8)]
    texts = ["full body of zorblax", "close-up of zorblax", "zorblax", "half body of zorblax", "zorblax, back view"]
    base = pictures(texts, [shown(colour, 20 + i) for i, colour in enumerate((BLUE, GREEN, BLUE, GREEN, BLUE))])
    taken = Identity.of(case(references, base, ["full"] * 4 + ["close-up"] * 3 + ["back"]))
    assert set(taken.sights[0].skills) == {"", "full", "close-up"}
    assert taken(base).mean() == pytest.approx(0, abs=1e-5)


def test_where_nothing_tells_the_character_that_is_said(whole):
    colour = [RED, GREEN, BLUE, (180, 180, 40)]
    base = pictures(["zorblax"] * 4, [shown(c, 20 + i) for i, c in enumerate(colour)])
    made = case([shown(c, i) for i, c in enumerate(colour)], base, embedding=whole)
    taken = Identity.of(made)
    assert [sight.eye.name for sight in taken.sights] == ["The plain eye"]
    assert "No eye can be shown to tell this character" in made.notes[0]
    assert np.isfinite(taken(base)).all()


def faced(green, *, there=True):
    """160 x 160 pixels with what the finder of faces takes for one, turned by so much green."""
    pixels = np.full((160, 160, 3), (0, 90, 90), np.uint8)
    pixels[:, :] = (0, 40 + green, 120)
    if there:
        pixels[80:88, 72:80] = (255, 0, 0)
    return pixels


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A finder of faces, and a model of faces that sees their mean colour."""
    folder = tmp_path_factory.mktemp("faces")
    return {"faces": str(yunet(folder / "yunet.onnx")), "recognition": str(colours(folder / "face.onnx", 112))}


def test_only_found_faces_count(models):
    rows = recognised([faced(0), faced(0, there=False), faced(100)], models["faces"], Path(models["recognition"]))
    assert np.isfinite(rows).all(1).tolist() == [True, False, True]
    assert recognised([faced(0, there=False)], models["faces"], Path(models["recognition"])).shape == (1, 1)


def test_a_picture_without_a_face_is_not_judged_by_faces(models):
    references = [faced(4 * i) for i in range(5)] + [faced(0, there=False)]
    base = pictures(["zorblax"] * 4, [faced(120 + i) for i in range(3)] + [faced(0, there=False)])
    taken = Identity.of(case(references, base, **models))
    drawn = pictures(["zorblax"] * 3, [faced(6), faced(150), faced(6, there=False)])
    found = taken(drawn)
    assert found[0] > 0.8
    assert found[1] < 0.3
    assert np.isnan(found[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(Likeness((taken,))(drawn), found, equal_nan=True)
