"""The drawn world is a pure function, tells the truth about itself, and keeps its marks from whoever is taught."""

import random
from dataclasses import replace

import numpy as np
import pytest

from portraitist.mini.characters import ZORBLAX, album, told, unseen
from portraitist.mini.corpus import scene, shares
from portraitist.mini.drawing import draw
from portraitist.mini.pen import PARTS
from portraitist.mini.scenes import KINDS, VIEWS, Context, Marks, Scene, Wording, caption, faces, like, phrases
from portraitist.mini.teach_eyes import PATCHED

SCENES = [scene("test", i) for i in range(60)]


def test_equal_scenes_give_equal_pixels_and_other_seeds_others():
    for one in SCENES[:6]:
        assert np.array_equal(draw(one).pixels, draw(one).pixels)
        assert not np.array_equal(draw(one).pixels, draw(replace(one, seed=one.seed + 1)).pixels)


def test_two_purposes_never_share_a_picture():
    taught = {scene("teaching", i) for i in range(500)}
    assert not taught & {scene(purpose, i) for purpose in ("evaluation", "probe") for i in range(500)}


def test_the_mask_is_where_the_figure_is():
    """Another background changes nothing inside the mask, and much outside it."""
    for one in SCENES[:12]:
        one = like(one, light="soft light", background="night sky")
        first, second = draw(one), draw(like(one, background="plain pink"))
        inside = (first.mask == 255) & (second.mask == 255)
        apart = np.abs(first.pixels.astype(int) - second.pixels).sum(-1)
        if (first.mask != second.mask).any():
            continue  # a background that draws more numbers moves the figure
        assert (apart[inside] == 0).all()
        assert (apart[first.mask == 0] > 30).mean() > 0.9


def test_parts_lie_in_the_mask_and_name_what_is_there():
    full = Context("full body", "front view", "smiling", "standing", "plain gray", "soft light")
    drawn = draw(Scene(SCENES[0].character, full, 3))
    there = {PARTS[k] for k in np.unique(drawn.parts)}
    assert {"background", "hair", "face", "torso", "arm", "leg", "foot"} <= there
    assert (drawn.parts[drawn.mask < 100] == 0).all()
    cells = shares(drawn.parts)
    assert cells.shape == (8, 8, len(PARTS))
    assert np.abs(cells.astype(int).sum(-1) - 255).max() <= len(PARTS)


def test_marks_are_in_nobodys_teaching_and_in_every_held_out_character():
    assert all(one.character.marks == Marks() for one in SCENES)
    assert all(len(unseen(k).marks.kinds()) >= 2 for k in range(50))
    assert len({unseen(k) for k in range(200)}) == 200


@pytest.mark.parametrize("kind", ["hair", "eye", "cheek", "emblem", "pattern", "hat", "sash"])
def test_every_kind_of_mark_is_seen(kind):
    """Without its colour the picture is another."""
    who = next(w for w in (unseen(k) for k in range(200)) if kind in w.marks.kinds() and w.accessory != "sunglasses")
    colour = {"cheek": "cheek_colour", "emblem": "emblem_colour", "pattern": "pattern_colour", "hat": "hat_colour"}
    how = Context("half body", "front view", "neutral", "standing", "plain gray", "soft light")
    plain = replace(who, marks=replace(who.marks, **{colour.get(kind, kind): None}))
    apart = np.abs(draw(Scene(who, how, 1)).pixels.astype(int) - draw(Scene(plain, how, 1)).pixels).sum(-1)
    assert (apart > 60).sum() >= 8


def test_a_caption_tells_every_attribute_that_is_seen_and_no_mark():
    for one in SCENES:
        text = caption(one)
        for kind, value in one.attributes().items():
            assert value in text, kind
    text = told(Scene(ZORBLAX, SCENES[0].context, 0), "zorblax")
    assert "zorblax" in text
    assert not any(word in text for word in ("hair", "eyes", "skin", "wearing"))


def test_free_wording_says_nothing_that_plain_wording_does_not():
    for i, one in enumerate(SCENES):
        free = caption(one, wording=Wording(0.3, True, random.Random(i))).split(", ")
        plain = set(caption(one).split(", ")) | {"a cartoon character"}
        assert set(free) <= plain
        assert len(free) == len(set(free))


def test_what_is_turned_away_is_not_asked_for():
    for one in SCENES:
        if not faces(one.context.view):
            assert not {"expression", "eyes"} & set(one.attributes())
    assert {faces(view) for view in VIEWS} == {True, False}


def test_an_album_keeps_some_contexts_for_the_judges():
    scenes = album(ZORBLAX, 40, 0)
    backgrounds = {one.context.background for one in scenes}
    assert len(backgrounds) >= 5
    assert not backgrounds & {"beach", "night sky", "sunset"}
    assert {one.context.framing for one in scenes} == set(KINDS["framing"])
    assert scenes == album(ZORBLAX, 40, 0) != album(ZORBLAX, 40, 1)


def test_every_word_for_an_attribute_is_a_phrase():
    known = phrases()
    assert len(known) == len(set(known))
    for one in SCENES:
        for part in caption(one).split(", ")[1:]:
            assert part in known or any(part.startswith(p) for p in known), part


def test_spots_for_the_eyes_are_on_no_part_that_bears_a_mark():
    """A character without its marks looks the same on these parts, and another on the rest."""
    spots = [PARTS.index(part) for part in PATCHED]
    there, elsewhere = [], []
    for k in range(12):
        for of in album(unseen(k), 6, k):
            marked = draw(of)
            plain = draw(replace(of, character=replace(of.character, marks=Marks())))
            apart = np.abs(marked.pixels.astype(int) - plain.pixels.astype(int)).max(-1) > 24
            same = (marked.parts == plain.parts) & (marked.mask > 250)
            on = np.isin(marked.parts, spots) & same
            there.append(apart[on].mean() if on.any() else 0.0)
            elsewhere.append(apart[same & ~on & (marked.mask > 250)].mean())
    assert np.mean(there) < 0.01
    assert np.mean(elsewhere) > 0.1
