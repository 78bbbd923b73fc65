"""Words that are refused, and ordinary words beside them that are not."""

import pytest

from portraitist.dataset.minors import noun_texts, refuse, underage, unfit
from portraitist.errors import PortraitistError


@pytest.mark.parametrize(
    "text",
    [
        "a 16yo girl, nude", "16-year-old girl in lingerie", "schoolgirl, topless", "naked child",
        "teenager, sexy pose", "nude, 15 years of age",
        "loli, nsfw", "shota, nude", "lolicon", "children, erotic", "little girl, seductive", "school uniform, nude",
        "aged 15, lingerie", "underage, sex", "a toddler, naked", "8 months old, nude",
    ],
)  # fmt: skip
def test_a_minor_in_anything_sexual_is_refused_of_any_subject(text):
    assert unfit(text)
    for real in (True, False):
        with pytest.raises(PortraitistError, match="sexualises a minor"):
            refuse({"a.png": text}, real=real)


@pytest.mark.parametrize(
    "text",
    [
        "maya_char, 12 years old, smiling", "maya_char, a teenager, smiling", "maya_char, a child", "aged 17",
        "maya_char is a schoolgirl.", "maya_char, a little girl, running", "portrait, 15-year-old boy", "11yo",
        "maya_char, schoolgirl, running", "maya_char, child", "maya_char, teenage girl", "maya_char is a child actor",
        "maya_char, sixteen years old", "maya_char, a twelve-year-old girl", "aged fifteen", "at 9 years of age",
    ],
)  # fmt: skip
def test_a_real_person_who_is_a_minor_is_refused_and_an_invented_one_is_not(text):
    assert underage(text)
    refuse({"a.png": text}, real=False)
    with pytest.raises(PortraitistError, match="real person is a minor"):
        refuse({"a.png": text}, real=True)


@pytest.mark.parametrize(
    "text",
    [
        "maya_char holding a child", "a 5-year-old dog beside her", "whisky aged 12 years, bar", "18 years old, nude",
        "woman, lingerie", "1girl, solo, smile", "classroom, school uniform", "baby blue dress, seductive", "age 45",
        "in her twenties, aged 30s", "a minor key", "Shota Aizawa, sitting", "children in the background",
        "rapeseed field with children", "16 balloons", "f/2.8, 12 mm lens", "kidskin gloves, sexy",
        "the 80s, 17th street", "a ten-year-old whisky", "eighteen years old, nude", "twenty-one years old",
        "a twenty-five-year-old woman, nude", "stone age",
        "a girl in a red coat",
        "maya_char, beach, child", "maya_char, teacher, high school",
        "young woman, nude", "page 12", "image 7, 10 %",
    ],
)  # fmt: skip
def test_ordinary_words_stay_ordinary(text):
    refuse({"a.png": text}, real=True)
    refuse({"a.png": text}, real=False)


@pytest.mark.parametrize(
    "noun", ["child", "a child", "teenage girl", "toddler", "12 year old girl", "sixteen year old girl"]
)
def test_a_noun_may_not_make_a_minor_of_a_real_person(noun):
    refuse(noun_texts(noun, []), real=False)
    with pytest.raises(PortraitistError, match="noun"):
        refuse(noun_texts(noun, []), real=True)


@pytest.mark.parametrize("noun", ["character", "woman", "girl", "a cartoon character", "boy", "man", "actor"])
def test_nouns_of_adults_pass(noun):
    refuse(noun_texts(noun, [("a.png", f"maya_char, sitting, {noun}")]), real=True)
