"""Sheets: what is laid into the template comes out of it again, whatever the file went through meanwhile."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from portraitist import durable, provenance
from portraitist.dataset import sheets
from portraitist.dataset.sheets import Box
from portraitist.errors import PortraitistError
from portraitist.mini.characters import unseen
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import Context, Scene
from portraitist.recipe import load
from portraitist.verbs.new import new
from portraitist.verbs.sheet import sheet, template, turned
from portraitist.verbs.verify import verify
from tests.pictures import jpeg_bytes, saved

SIZE = 480, 320
TURNS = ("front view", "facing left", "back view")


def views(background="plain gray"):
    """Front, side and back of one drawn character, as large as the boxes of a sheet of SIZE."""
    box = sheets.boxes(*SIZE)[0]
    drawn = []
    for turn in TURNS:
        how = Context("full body", turn, "neutral", "standing", background, "soft light")
        pixels = draw(Scene(unseen(3), how, 4), side=box.height).pixels
        left = (box.height - box.width) // 2
        drawn.append(pixels[:, left : left + box.width])
    return drawn


@pytest.fixture(scope="module")
def drawn():
    return views()


@settings(max_examples=40, deadline=None)
@given(width=st.integers(80, 2000), height=st.integers(80, 2000), count=st.integers(1, 4))
def test_the_boxes_of_any_template_are_equal_apart_and_found_again(width, height, count):
    made = sheets.boxes(width, height, count)
    assert len({(box.width, box.height) for box in made}) == 1
    assert all(Box(0, 0, width, height).holds(box) for box in made)
    assert all(a.left + a.width < b.left for a, b in itertools.pairwise(made))
    empty = sheets.template(width, height, count)
    assert sheets.found(empty, count) == made
    assert (empty == 255).sum() == 3 * sum(box.width * box.height for box in made)


@pytest.mark.parametrize("background", ["plain gray", "forest", "room"])
def test_a_drawn_sheet_comes_apart_into_the_drawings(background):
    laid = views(background)
    whole = sheets.composed(laid, *SIZE)
    for box, view in zip(sheets.found(whole), laid, strict=True):
        assert np.array_equal(box.of(whole), view)


def jpeg(pixels):
    return np.asarray(Image.open(io.BytesIO(jpeg_bytes(pixels, 40))))


def resized(pixels, width, height):
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


@pytest.mark.parametrize(
    ("change", "scale", "slack"),
    [
        (jpeg, 1, 2),
        (lambda p: resized(p, 720, 480), 1.5, 3),
        (lambda p: resized(p, 333, 222), 333 / 480, 3),
        (lambda p: jpeg(resized(p, 1000, 667)), 1000 / 480, 6),
        (lambda p: np.pad(p, ((6, 6), (9, 9), (0, 0))), 1, 10),
        (lambda p: np.roll(p, (2, -2), (0, 1)), 1, 3),
    ],
    ids=["jpeg", "larger", "smaller", "larger jpeg", "bordered", "moved"],
)
def test_a_sheet_that_was_saved_again_or_scaled_still_comes_apart(drawn, change, scale, slack):
    found = sheets.found(np.ascontiguousarray(change(sheets.composed(drawn, *SIZE))))
    for box, true in zip(found, sheets.boxes(*SIZE), strict=True):
        near = [abs(a - b * scale) for a, b in zip((box.left, box.top), (true.left, true.top), strict=True)]
        assert max(near) <= slack, (box, true)
        assert abs(box.width - true.width * scale) <= slack
        assert abs(box.height - true.height * scale) <= slack


def test_where_the_lines_are_painted_over_the_size_of_the_template_tells(drawn):
    whole = sheets.composed(drawn, *SIZE)
    whole[(whole == 0).all(axis=2)] = 200
    with pytest.raises(PortraitistError, match="no 3 boxes"):
        sheets.found(whole)
    for box, true in zip(sheets.found(whole, size=SIZE), sheets.boxes(*SIZE), strict=True):
        assert true.holds(box)
        assert box.width >= true.width - 6
    with pytest.raises(PortraitistError, match="differ in aspect"):
        sheets.found(whole, size=(400, 400))


@settings(max_examples=12, deadline=None)
@given(heads=st.floats(1.5, 9), seed=st.integers(0, 6))
def test_crops_lie_in_their_view_and_within_each_other_from_above(heads, seed):
    how = Context("full body", "front view", "neutral", "standing", "plain pink", "soft light")
    view = draw(Scene(unseen(seed), how, seed), side=96).pixels
    made = sheets.framings(view, heads)
    assert list(made) == ["full body", "half body", "close-up"]
    assert all(Box(0, 0, 96, 96).holds(box) for box in made.values())
    bottoms = [box.top + box.height for box in made.values()]
    assert bottoms == sorted(bottoms, reverse=True)


def test_the_crown_is_in_every_crop_and_the_feet_in_the_whole_body(drawn):
    for view in drawn:
        stands = sheets.figure(view)
        made = sheets.framings(view, 2.4)
        assert all(box.top <= stands.top for box in made.values())
        assert made["full body"].holds(stands)


def test_a_sheet_is_cut_into_a_project_once_with_captions_that_a_person_may_change(drawn, tmp_path):
    project = new(tmp_path / "maya", trigger="maya_char", subject="fictional")
    file = saved(tmp_path / "turn.png", sheets.composed(drawn, *SIZE))
    before, recipe = file.read_bytes(), load(project.recipe)
    first = sheet(project, recipe, file, views=TURNS, heads=2.4)
    assert len(first.added) == 9
    told = project.pictures / "sheet" / "turn-facing-left-half-body.txt"
    assert told.read_text() == "half body of maya_char, facing left\n"
    told.write_text("mine")
    again = sheet(project, recipe, file, views=TURNS, heads=2.4)
    assert (len(again.added), len(again.already)) == (0, 9)
    assert told.read_text() == "mine"
    assert file.read_bytes() == before
    written = [entry.facts for entry in provenance.read(project.ledger).entries]
    facts = next(one for one in written if one["picture"].endswith("front-view-full-body.png"))
    shown = np.asarray(Image.open(project.pictures / facts["picture"]))
    assert np.array_equal(shown, Box(*facts["box"]).of(drawn[0]))
    assert (len(written), facts["source"], facts["mirrored"]) == (9, "sheet turn.png", False)
    found = verify(project)
    assert (found.broken, found.notes, found.pictures) == ((), (), 9)


def test_a_cut_picture_that_a_kill_left_without_its_line_gets_it(drawn, tmp_path):
    project = new(tmp_path / "maya", trigger="maya_char", subject="fictional")
    file, recipe = saved(tmp_path / "turn.png", sheets.composed(drawn, *SIZE)), load(project.recipe)
    sheet(project, recipe, file, views=TURNS, heads=2.4)
    durable.cut(project.ledger, len(b"".join(project.ledger.read_bytes().splitlines(keepends=True)[:4])))
    assert verify(project).notes
    sheet(project, recipe, file, views=TURNS, heads=2.4)
    assert verify(project).notes == ()


def test_only_a_symmetric_character_is_mirrored(drawn, tmp_path):
    project = new(tmp_path / "maya", trigger="maya_char", subject="fictional")
    file, recipe = saved(tmp_path / "turn.png", sheets.composed(drawn, *SIZE)), load(project.recipe)
    with pytest.raises(PortraitistError, match="not declared symmetric"):
        sheet(project, recipe, file, mirrored=True)
    path = project.folder / "project.toml"
    path.write_text(path.read_text().replace("symmetric = false", "symmetric = true"))
    made = sheet(type(project).open(project.folder), recipe, file, views=TURNS, heads=2.4, mirrored=True)
    assert len(made.added) == 18
    folder = project.pictures / "sheet"
    one, other = (np.asarray(Image.open(folder / f"turn-facing-left-full-body{end}.png")) for end in ("", "-mirrored"))
    assert np.array_equal(one, other[:, ::-1])
    assert (folder / "turn-facing-left-full-body-mirrored.txt").read_text() == "full body of maya_char, facing right\n"


def test_turning_words_twice_leaves_them():
    for view in ("facing left", "three-quarter right", "back view"):
        assert turned(turned(view)) == view


@pytest.mark.parametrize(("width", "height"), [(0, 10), (-5, 100), (40, 40), (10**6, 10)])
def test_a_size_without_room_is_refused(width, height, tmp_path):
    with pytest.raises(PortraitistError):
        template(tmp_path / "t.png", width, height)
    assert not list(tmp_path.iterdir())


def test_an_empty_sheet_is_refused(tmp_path):
    project = new(tmp_path / "maya", trigger="maya_char", subject="fictional")
    template(tmp_path / "t.png", 300, 200)
    with pytest.raises(PortraitistError, match="is empty"):
        sheet(project, load(project.recipe), tmp_path / "t.png")
    assert not list(project.pictures.iterdir())
