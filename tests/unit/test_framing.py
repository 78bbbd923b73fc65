"""Framings and views from a face's place: held to the geometry of a standing figure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.audit.framing import BUCKETS, JOINTS, SHOTS, heads_visible, joint, measured_in, shot, shown
from portraitist.pictures import Picture

HEAD = 0.78


def picture(caption: str = "", width: int = 800, height: int = 1000, **content: object) -> Picture:
    return Picture("a.png", "a", width, height, caption, measures={"content": content})


def face(top: float, head: float, **facts: object) -> dict[str, object]:
    """A face whose head is so many pixels tall, its crown at `top`."""
    box = HEAD * head
    return {"box": [300, top + head - box, box, box], "score": 1.0, "head": HEAD, "view": "", "yaw": 0.0, **facts}


@given(crown=st.floats(-50, 400), head=st.floats(20, 900), more=st.floats(1, 500), times=st.floats(0.1, 10))
def test_heads_grow_with_what_is_shown_and_do_not_depend_on_size(crown, head, more, times):
    box = HEAD * head
    top, height = crown + head - box, crown + 1.01 * head
    heads, share = heads_visible(top, box, HEAD, height)
    assert heads == pytest.approx((height - crown) / head, rel=1e-6)
    assert heads_visible(top, box, HEAD, height + more)[0] > heads
    scaled = heads_visible(top * times, box * times, HEAD, height * times)
    assert scaled == pytest.approx((heads, share), rel=1e-6)


@given(crown=st.floats(0, 300), head=st.floats(100, 300), moved=st.floats(0, 300))
def test_headroom_changes_nothing(crown, head, moved):
    box, below = HEAD * head, 3.0
    first = heads_visible(crown + head - box, box, HEAD, crown + below * head)
    second = heads_visible(crown + moved + head - box, box, HEAD, crown + moved + below * head)
    assert first[0] == pytest.approx(second[0], rel=1e-6)


@given(a=st.floats(0.1, 12), b=st.floats(0.1, 12))
def test_more_of_the_figure_is_never_a_nearer_shot(a, b):
    order = [name for _, name in SHOTS]
    low, high = sorted((a, b))
    assert order.index(shot(low, 0.2)) <= order.index(shot(high, 0.2))
    assert shot(high, 0.05) == "wide shot"


def test_every_shot_has_a_bucket_and_every_joint_lies_within_one():
    assert {name for _, name in SHOTS} | {"wide shot"} == set(BUCKETS)
    assert [joint(place) for place in JOINTS.values()] == list(JOINTS)
    assert joint(3.0) == ""


@pytest.mark.parametrize(
    ("heads", "word", "bucket"),
    [(1.2, "close-up", "close-up"), (2, "portrait", "close-up"), (3, "upper body", "mid"), (4.7, "cowboy shot", "mid"),
     (6.5, "knee-up", "full"), (8, "full body", "full")],
)  # fmt: skip
def test_a_picture_of_a_standing_person_is_called_by_where_it_ends(heads, word, bucket):
    found = measured_in(picture(faces=[face(20, (1000 - 20) / heads)]))
    assert (found.shot, found.framing, found.by) == (word, bucket, "face")
    assert found.sure
    assert found.heads == pytest.approx(heads)


def test_what_a_caption_says_goes_before_what_was_measured():
    near = {"faces": [face(20, 700)], "framing": {"close-up": 0.1, "mid": 0.6, "full": 0.2}}
    assert shown(picture("zorblax, full body, back view", **near)).framing == "full"
    assert shown(picture("zorblax, full body, back view", **near)).view == "back"
    assert shown(picture("zorblax, facing left", faces=near["faces"])).framing == "close-up"


@pytest.mark.parametrize(
    ("words", "view"),
    [("from behind", "back"), ("back left", "back"), ("side view", "profile"), ("facing right", "profile"),
     ("three-quarter left", "three-quarter"), ("Front View", "frontal"), ("in front of a house", "")],
)  # fmt: skip
def test_captions_tell_views(words, view):
    assert shown(picture(f"zorblax, {words}, city")).view == view


@pytest.mark.parametrize(("yaw", "view"), [(0, "frontal"), (-35, "three-quarter"), (80, "profile"), (-90, "profile")])
def test_the_turn_of_a_head_tells_the_view(yaw, view):
    assert measured_in(picture(faces=[face(20, 300, yaw=yaw)])).view == view


def test_what_cannot_be_relied_on_says_so():
    whole = face(20, 300)
    assert measured_in(picture(faces=[whole])).sure
    assert not measured_in(picture(faces=[face(-150, 300)])).sure, "the crown is cut off"
    assert not measured_in(picture(faces=[whole, face(30, 280)])).sure, "whose figure is it?"
    assert not measured_in(picture(faces=[{**whole, "yaw": None, "view": "profile"}])).sure, (
        "a profile's box is another"
    )
    assert measured_in(picture(faces=[whole, face(30, 80)])).sure, "somebody small behind"


def test_eyes_that_hesitate_tell_no_framing():
    assert shown(picture(framing={"close-up": 0.50, "mid": 0.52, "full": 0.2})).framing == ""
    assert shown(picture(framing={"close-up": 0.40, "mid": 0.52, "full": 0.2})).framing == "mid"
    assert shown(picture()).framing == ""
