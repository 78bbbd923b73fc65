"""Places, times, lenses and strangers: held to sets in which they were planted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.audit import Rules, variety
from portraitist.audit.content import backdrop, figure
from portraitist.dataset.split import written
from portraitist.pictures import Opened
from portraitist.sight import embed
from portraitist.sight.faces import Face
from tests.pictures import scenery
from tests.unit.test_coverage import found, made


def before(colour: tuple[int, int, int], seed: int) -> str:
    """The backdrop of a noisy subject before one colour."""
    draw = np.random.default_rng(seed)
    pixels = np.clip(np.array(colour) + draw.normal(0, 6, (120, 120, 3)), 0, 255).astype(np.uint8)
    pixels[30:, 30:90] = draw.integers(0, 255, 3)
    return backdrop(Opened(pixels, None), [])


COLOURS = [(200, 30, 30), (30, 160, 60), (40, 60, 200), (230, 210, 60), (20, 20, 20), (240, 240, 240), (200, 60, 190)]


def among(names: list[str]) -> list:
    """Pictures of backdrops, no two each other's twins."""
    looks = np.eye(176)
    return [
        replace(
            made(f"{i:02}.png", backdrop=value),
            measures={**made("x", backdrop=value).measures, "phash": f"{i * 0x1111111111111:016x}",
                      "descriptor": written(looks[i])},
        )
        for i, value in enumerate(names)
    ]  # fmt: skip


@settings(max_examples=25)
@given(st.integers(4, 9), st.integers(1, 5))
def test_one_backdrop_behind_too_many_is_told_and_its_remedy_cures(same, others):
    shades = [before(COLOURS[0], i) for i in range(same)] + [before(COLOURS[1 + i], 90 + i) for i in range(others)]
    pictures = among(shades)
    findings = found(variety.background_variety, pictures)
    if same + others < variety.LEAST or same <= 0.4 * (same + others):
        assert findings == []
        return
    (finding,) = findings
    assert finding.pictures == tuple(f"{i:02}.png" for i in range(same))
    more = [before(COLOURS[2 + i % 5] if i < 5 else (255 - 20 * i, 9 * i, 120), 200 + i) for i in range(finding.change)]
    rest = [f for f in found(variety.background_variety, among(shades + more)) if "00.png" in f.pictures]
    assert rest == []


def test_what_is_called_around_leaves_the_subject_out():
    pixels = np.full((200, 200, 3), (30, 160, 60), np.uint8)
    pixels[40:110, 70:130], pixels[110:, 40:160] = (220, 180, 150), (200, 30, 30)
    face = Face((75, 60, 50, 50), 1.0, 0.78)
    assert backdrop(Opened(pixels, None), [face]) == backdrop(Opened(np.full_like(pixels, (30, 160, 60)), None), [])
    assert backdrop(Opened(pixels, np.full((200, 200), 90, np.uint8)), []) == ""
    mask = np.zeros((200, 200), np.uint8)
    mask[35:, 35:165] = 255
    assert backdrop(Opened(pixels, mask), []) == backdrop(Opened(np.full_like(pixels, (30, 160, 60)), None), [])
    cut_out = np.where(mask[..., None] > 0, pixels, np.uint8(255))
    assert backdrop(Opened(cut_out, mask), []) == ""
    filled = Face((-200, -200, 900, 900), 1.0, 0.78)
    assert backdrop(Opened(pixels, None), [filled]) == ""


@given(st.integers(0, 30), st.integers(0, 20), st.integers(8, 60), st.integers(8, 60), st.integers(1, 3))
def test_an_outline_does_not_depend_on_the_size_of_its_picture(left, top, width, height, times):
    alpha = np.zeros((100, 100), np.uint8)
    alpha[top : top + height, left : left + width] = 255
    small, large = figure(alpha), figure(np.kron(alpha, np.ones((times, times), np.uint8)))
    assert small == large
    assert small["widths"] == [pytest.approx(width / height, abs=1e-4)] * 8
    assert ("top" in small["touches"]) == (top == 0)
    assert figure(np.zeros((5, 5), np.uint8)) == {}


def test_pictures_years_apart_are_told_by_those_outside_the_years_that_hold_most():
    days = ["2015-03-01", "2021-01-05", "2021-08-01", "2022-06-30"]
    pictures = [made(f"{day}.jpg", camera={"date": day}) for day in days] + [made("undated.png", camera={})]
    (finding,) = found(variety.time_spread, pictures)
    assert finding.pictures == ("2015-03-01.jpg",)
    assert "7.3 years" in finding.says
    assert found(variety.time_spread, pictures, replace(Rules(), years=8.0)) == []
    assert found(variety.time_spread, pictures[1:]) == []


@pytest.mark.parametrize(
    ("camera", "phone"),
    [({"make": "Apple", "model": "iPhone 13 Pro"}, True), ({"make": "samsung", "model": "SM-G991B"}, True),
     ({"make": "Google", "model": "Pixel 7"}, True), ({"make": "Apple", "lens": "iPad back camera 3.3mm"}, True),
     ({"make": "SONY", "model": "ILCE-7M3", "lens": "FE 85mm F1.8"}, False),
     ({"make": "SAMSUNG", "model": "NX500"}, False),
     ({"make": "Canon", "model": "Canon EOS R5"}, False), ({}, False)],
)  # fmt: skip
def test_phones_are_known_by_what_the_header_says(camera, phone):
    assert variety.phone(made("a.jpg", camera=camera)) is phone


def test_lenses_far_apart_are_told():
    pictures = [made(f"{mm}.jpg", camera={"focal": mm}) for mm in (24, 85, 90)]
    assert found(variety.focal_spread, pictures)[0].pictures[0] == "24.jpg"
    assert found(variety.focal_spread, pictures[1:]) == []


@given(st.integers(0, 1000), st.integers(8, 30), st.integers(1, 3), st.sampled_from(["face", "eyes"]))
def test_planted_strangers_are_found_and_the_characters_own_left_alone(seed, own, strangers, by):
    """Own vectors lie within about 20 degrees of one direction, strangers at right angles to it."""
    draw = np.random.default_rng(seed)
    basis = np.linalg.qr(draw.standard_normal((64, 4)))[0].T

    def near(direction):
        vector = direction + draw.standard_normal(64) * 0.04
        return embed.stored((vector / np.linalg.norm(vector)).astype(np.float32))

    names = [f"own {i}" for i in range(own)] + [f"other {i}" for i in range(min(strangers, own // 4))]
    vectors = [near(basis[0] if name.startswith("own") else basis[1 + int(name[-1])]) for name in names]
    pictures = [made(name, who=vector, who_by=by) for name, vector in zip(names, vectors, strict=True)]
    told = {finding.about for finding in found(variety.identity_outliers, pictures)}
    assert told == {name for name in names if name.startswith("other")}


def test_nearness_is_the_cosine_with_all_others():
    vectors = np.eye(3)[[0, 0, 1]]
    assert variety.nearness(vectors) == pytest.approx([1 / np.sqrt(2), 1 / np.sqrt(2), 0])


def test_pictures_that_an_embedding_takes_for_one_are_told_once():
    vectors = np.eye(8, dtype=np.float32)[[0, 0, 1, 2]]
    pictures = [
        replace(p, measures={**p.measures, "content": {"whole": embed.stored(v)}})
        for p, v in zip(among(["", "", "", ""]), vectors, strict=True)
    ]
    (finding,) = found(variety.look_alikes, pictures)
    assert finding.pictures == ("00.png", "01.png")
    twins = [replace(p, digest="same") for p in pictures[:2]]
    assert found(variety.look_alikes, [*twins, *pictures[2:]]) == []


def test_a_photograph_fills_more_than_one_bin_of_its_backdrop():
    value = np.frombuffer(bytes.fromhex(backdrop(Opened(scenery(1), None), [])), np.uint8)
    assert (value > 0).sum() > 8
