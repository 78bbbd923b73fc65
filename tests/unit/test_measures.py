"""What each measure sees: known colours, true copies, a scale with the base at 0 and the character at 1."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from portraitist.family import PromptSpec
from portraitist.judge.colour import chroma, lab
from portraitist.judge.measuring.agreement import Reader
from portraitist.judge.measuring.copying import Layouts
from portraitist.judge.measuring.definition import Case, Pictures
from portraitist.judge.measuring.identity import Scale, closeness
from portraitist.judge.measuring.portrayal import Portrayal
from portraitist.judge.measuring.references import References
from portraitist.judge.measuring.saturation import Chroma
from portraitist.judge.measuring.signature import Colours
from portraitist.judge.prompts import specified
from portraitist.judge.shot import Shot
from portraitist.sight.dual import Dual, DualEyes
from portraitist.sight.eyes import Eyes, Looks, Plain
from tests.pictures import scenery


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [((255, 255, 255), (100, 0, 0)), ((255, 0, 0), (53.24, 80.09, 67.20)), ((0, 0, 255), (32.30, 79.19, -107.86)),
     ((0, 128, 0), (46.23, -51.70, 49.90)), ((1, 1, 1), (0.27, 0, 0))],
)  # fmt: skip
def test_lab_of_known_colours(rgb, expected):
    """As published for sRGB under D65 (Lindbloom's calculator)."""
    assert lab(np.array([rgb], np.uint8))[0] == pytest.approx(expected, abs=0.05)


def unit(*rows):
    """Rows of length one."""
    found = np.asarray(rows, np.float64)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_likeness_is_zero_for_the_base_and_one_for_the_character_itself():
    draw = np.random.default_rng(0)
    references = unit(*(np.eye(8)[0] + 0.2 * draw.standard_normal((12, 8))))
    base = unit(*draw.standard_normal((20, 8)))
    scale = Scale.of(references, base)
    fresh = unit(*(np.eye(8)[0] + 0.2 * draw.standard_normal((40, 8))))
    assert scale(base).mean() == pytest.approx(0, abs=1e-9)
    assert scale(fresh).mean() == pytest.approx(1, abs=0.1)
    assert 0.2 < scale(unit(*(np.eye(8)[0] + 0.5 * draw.standard_normal((40, 8))))).mean() < 0.9


def test_no_reference_counts_as_its_own_neighbour():
    rows = unit((1, 0, 0), (0, 1, 0), (0, 0, 1))
    assert closeness(rows, rows, themselves=True) == pytest.approx([0, 0, 0])
    assert closeness(rows[:1], rows[:1], themselves=True) == pytest.approx([1])


def test_a_training_picture_is_a_copy_also_mirrored_and_toned_and_a_new_one_is_none():
    train = [scenery(i) for i in range(8)]
    measure = Layouts.of(train, [scenery(100 + i) for i in range(4)])
    toned = np.clip(train[1].astype(float) * 0.8 + 20, 0, 255).astype(np.uint8)
    assert measure([train[0], train[2][:, ::-1]]) == pytest.approx([1, 1], abs=1e-5)
    assert measure([toned])[0] > 0.95
    faded = (train[4] * 0.4 + 150).astype(np.uint8)
    assert measure([faded])[0] > 0.9
    assert abs(measure([scenery(200 + i) for i in range(12)]).mean()) < 0.2


def test_without_held_out_pictures_copying_is_held_against_the_training_pictures_themselves():
    train = [scenery(i) for i in range(8)]
    measure = Layouts.of(train, [])
    assert abs(measure([scenery(300 + i) for i in range(12)]).mean()) < 0.25
    assert measure([train[3]])[0] == pytest.approx(1, abs=1e-5)


def plain(colour, side=64):
    """A picture of one colour."""
    return np.broadcast_to(np.asarray(colour, np.uint8), (side, side, 3)).copy()


def test_saturation_is_nothing_inside_the_references_range_and_grows_outside_on_both_sides():
    references = [plain((128, 128 - d, 128 - d)) for d in range(20, 60, 2)]
    measure = Chroma.of(references)
    assert measure(references[5:-5]).max() == 0
    grey, mild, burnt = measure([plain((128, 128, 128)), plain((128, 40, 40)), plain((255, 0, 0))])
    assert grey > 0
    assert burnt > mild > 0
    assert burnt == pytest.approx(chroma(plain((255, 0, 0))) - measure.high, abs=1e-3)


def test_portrayal_is_the_share_of_the_way_from_the_base_to_the_known_picture_where_they_differ():
    grey, red = plain((119, 119, 119)), plain((119, 119, 119))
    red[:32] = (200, 40, 40)  # only the upper half is the character's
    halfway = grey.copy()
    halfway[:32] = between(grey[0, 0], red[0, 0])
    portrayal = Portrayal.of(case(("waving", red), ("standing", grey)))
    found = portrayal(asked("waving", [red, halfway, grey], [grey] * 3))
    assert found == pytest.approx([1, 0.5, 0], abs=0.02)  # in Lab, to the nearest of 256 tones


def test_portrayal_says_nothing_of_prompts_that_no_picture_or_too_many_stand_by():
    red, grey = plain((200, 40, 40)), plain((119, 119, 119))
    portrayal = Portrayal.of(case(("waving", red), *[("", red)] * 3))
    assert np.isnan(portrayal(asked("", [red], [grey]))).all()
    assert Portrayal.of(case(*[("waving", red)] * 3)) is None


def case(*captioned):
    captions, pictures = zip(*captioned, strict=True)
    references = References((), (), pictures, captions)
    return Case(references, asked("waving", [pictures[0]], [pictures[0]]), Plain(), {}, "zorblax", "a character")


def asked(text, pictures, base):
    return Pictures([Shot(PromptSpec("x", text, {}), 1)] * len(pictures), pictures, base)


def between(one, other):
    """The sRGB colour nearest to the middle of two in Lab, by search."""
    middle = (lab(one[None, None])[0, 0] + lab(other[None, None])[0, 0]) / 2
    axis = np.arange(0, 256, 3, dtype=np.uint8)
    every = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3)
    return every[0, np.linalg.norm(lab(every)[0] - middle, axis=-1).argmin()]


def badge(seed, colour=None):
    """A grey scene, with a patch of a colour if there is one."""
    found = np.repeat(scenery(seed, 64, 64).mean(2, keepdims=True), 3, axis=2).astype(np.uint8)
    if colour is not None:
        found[20:36, 24 + seed % 8 : 40 + seed % 8] = colour
    return found


def test_the_signature_is_the_colour_that_only_the_character_has():
    teal = (0, 150, 150)
    measure = Colours.of([badge(i, teal) for i in range(10)], [badge(50 + i) for i in range(10)])
    assert len(measure.colours) == 1
    assert np.linalg.norm(measure.colours[0] - lab(np.array(teal, np.uint8))) < 3
    whole, none, wrong = measure([badge(90, teal), badge(91), badge(92, (150, 0, 0))])
    assert whole > 0.9
    assert none == wrong == 0


def test_what_the_base_shows_just_as_well_is_no_signature():
    teal = (0, 150, 150)
    assert len(Colours.of([badge(i, teal) for i in range(10)], [badge(50 + i, teal) for i in range(10)]).colours) == 0


@pytest.fixture(scope="module")
def eyes():
    """Real eyes that have learned nothing: random weights, a vocabulary of a few words."""
    words = ["[UNK]", "forest", "city", "beach", "background", "smiling", "angry", "a", "robot", "close-up", "of", ","]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    torch.manual_seed(0)
    return DualEyes(Dual(len(words)).eval(), tokenizer, "d1")


KINDS = {"background": ("forest", "city", "beach"), "expression": ("smiling", "angry")}
PROMPT = PromptSpec(
    "p", "close-up of zorblax , smiling , forest background", {"background": "forest", "expression": "smiling"}
)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [("smiling , forest", 1.0), ("smiling , city", 0.5), ("angry , forest", 0.5)],
)
def test_agreement_counts_the_attributes_whose_caption_fits_best(eyes, shown, expected):
    """The picture lies where the caption of what it shows lies: what eyes that see perfectly would say."""
    measure = Reader(eyes, KINDS, "zorblax", "robot")
    content = eyes.texts([f"close-up of a robot , {shown} background"]).double().numpy()
    assert measure([PROMPT], content) == pytest.approx([expected])


def test_where_no_alternative_is_known_agreement_is_the_cosine_with_the_caption(eyes):
    measure = Reader(eyes, {}, "zorblax", "robot")
    content = eyes.texts(["close-up of a robot , smiling , forest background", "beach"]).double().numpy()
    found = measure([PROMPT, PROMPT], content)
    assert found[0] == pytest.approx(1, abs=1e-5)
    assert found[1] < 0.999


def test_a_prompt_that_asks_for_nothing_known_is_left_out_among_others_that_do(eyes):
    measure = Reader(eyes, KINDS, "zorblax", "robot")
    content = eyes.texts(["smiling , forest background"] * 2).double().numpy()
    assert np.isnan(measure([PROMPT, PromptSpec("q", "zorblax", {})], content)).tolist() == [False, True]


def test_kinds_that_the_eyes_cannot_read_on_captioned_pictures_are_not_asked_about(eyes):
    """Pictures whose background is as their captions say, and whose mood the eyes always take for the other one."""
    measure = Reader(eyes, KINDS, "zorblax", "robot")
    captions = [f"close-up of zorblax , {m} , {b} background" for m in KINDS["expression"] for b in KINDS["background"]]
    told = [specified("", text, KINDS) for text in captions]
    other = {"smiling": "angry", "angry": "smiling"}
    seen = [c.replace("zorblax", "a robot").replace(p.asks["expression"], other[p.asks["expression"]])
            for c, p in zip(captions, told, strict=True)]  # fmt: skip
    content = eyes.texts(seen).double().numpy()
    skill = measure.skill(told, content)
    assert skill["background"] == 1
    assert skill["expression"] == -1
    kept, poor = measure.trusted(told, content)
    assert poor == ("expression",)
    assert kept([PROMPT], eyes.texts(["close-up of a robot , angry , forest background"]).double().numpy()) == [1.0]
    assert kept.readable([PROMPT]) == [1.0], "the background, which is always read; the mood is not asked"
    assert np.isnan(measure.readable([PROMPT])).all(), "nothing was judged"
    assert measure.skill(told[:4], content[:4]) == {}


def test_plain_eyes_look_and_do_not_read(eyes):
    assert isinstance(eyes, Eyes)
    assert isinstance(Plain(), Looks)
    assert not isinstance(Plain(), Eyes)


def test_plain_eyes_know_the_same_figure_on_other_ground_from_another_figure():
    teal, red = (0, 150, 150), (170, 20, 20)
    pictures = np.stack([badge(1, teal), badge(5, teal), badge(3, red)])
    found = Plain().pictures(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1)
    assert found.norm(dim=1) == pytest.approx(torch.ones(3), abs=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2]


@pytest.mark.parametrize("size", [(32, 48), (128, 128), (200, 64)])
def test_plain_eyes_take_pictures_of_any_size(size):
    draw = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.isfinite(Plain().pictures(draw)).all()


def test_eyes_are_told_the_noun_for_the_name_alone_and_once():
    told = Reader(None, {}, "maya", "robot").told
    assert told("maya, a robot, before a mayan temple") == "a robot, before a mayan temple"
    assert told("a mayan temple") == "a mayan temple"
