"""Charts are well-formed, stay inside their frame, and lose no spike."""

import itertools
import random
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.judge import charts
from portraitist.judge.charts import Line, Scale, Spot

finite = st.floats(-1e6, 1e6, allow_nan=False)


def numbers(svg: str, tag: str, *names: str) -> list[float]:
    """Attributes of every element of a kind."""
    found = ElementTree.fromstring(svg).iter(tag)
    return [float(element.get(name)) for element in found for name in names if element.get(name) is not None]


def corners(svg: str) -> list[tuple[float, float]]:
    """The points of all lines."""
    lines = [element.get("points") for element in ElementTree.fromstring(svg).iter("polyline")]
    return [tuple(map(float, pair.split(","))) for line in lines for pair in line.split()]


@given(low=finite, width=st.floats(1e-6, 1e6), count=st.integers(3, 8))
def test_ticks_are_round_inside_the_range_and_about_as_many_as_asked(low, width, count):
    found = charts.ticks(low, low + width, count)
    slack = 1e-6 * (abs(low) + width)
    assert all(low - slack <= tick <= low + width + slack for tick in found)
    assert count / 2 - 1 <= len(found) <= 2 * count + 1
    if width > 1e-3 * abs(low):
        steps = {round((b - a) / width, 4) for a, b in itertools.pairwise(found)}
        assert len(steps) <= 1


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 400, [0, 100, 200, 300, 400])]
)
def test_usual_ranges_get_the_ticks_a_person_would_choose(low, high, expected):
    assert charts.ticks(low, high) == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
def test_thinning_keeps_the_least_the_most_and_the_order(seed, count):
    draw = random.Random(seed)
    values = [draw.gauss(0, 1) for _ in range(count)]
    points = [(float(i), value) for i, value in enumerate(values)]
    kept = charts.thinned(points, 50)
    assert len(kept) <= 100
    assert min(y for _, y in kept) == min(values)
    assert max(y for _, y in kept) == max(values)
    assert kept == sorted(kept, key=lambda point: point[0])


@given(st.floats(-100, 100), st.integers(1, 60), st.integers(1, 100))
def test_the_mean_of_a_constant_is_that_constant_from_the_first_point_on(value, count, span):
    """The correction for the start is exact: without it the line would come up from 0."""
    points = [(float(i), value) for i in range(count)]
    assert [y for _, y in charts.smoothed(points, span)] == pytest.approx([value] * count, abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 1e4), finite), min_size=1, max_size=40), st.none() | finite)
def test_everything_stays_inside_the_frame(points, rule):
    points.sort()
    svg = charts.chart([Line("a", points, dots=True)], says="it", rule=rule, rule_name="base", mark=points[0][0])
    for x, y in corners(svg):
        assert charts.LEFT <= x <= charts.WIDTH - charts.RIGHT
        assert charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM
    assert all(0 <= y <= charts.HEIGHT for y in numbers(svg, "text", "y"))


def test_higher_values_are_drawn_higher():
    low, high = (y for _, y in corners(charts.chart([Line("a", [(0, 1.0), (1, 2.0)])], says="it")))
    assert high < low


def test_the_name_of_a_rule_stands_at_the_left_where_no_mark_of_a_late_step_crosses_it():
    svg = charts.chart(
        [Line("a", [(0, 1.0), (300, 1.1)])], says="it", rule=1.0, rule_name="base", mark=300.0, mark_name="chosen"
    )
    words = {element.text: element for element in ElementTree.fromstring(svg).iter("text")}
    assert "text-anchor" not in words["base"].attrib, "it begins there"
    assert float(words["base"].attrib["x"]) + 4 * charts.LETTER < charts.WIDTH / 2
    assert float(words["chosen"].attrib["x"]) > charts.WIDTH / 2


def test_words_are_text_and_never_markup():
    svg = charts.chart(
        [Line("a", [(0, 1.0), (9, 2.0)], style='"><script>')],
        says='<script>"', x_name="<b>", rule=1.5, rule_name="<i>", mark=3.0, mark_name="<script>alert(1)</script>",
    )  # fmt: skip
    assert not re.search(r"<(script|b|i)\b", svg)
    words = [element.text for element in ElementTree.fromstring(svg).iter("text")]
    assert "<script>alert(1)</script>" in words


def test_a_line_that_is_not_finite_leaves_the_rest_drawn():
    svg = charts.chart([Line("a", [(0, 1.0), (1, float("nan")), (2, 2.0)])], says="it")
    assert len(corners(svg)) == 2


def test_a_chart_of_nothing_is_nothing():
    assert charts.chart([Line("a", [])], says="it") == ""


def test_a_gauge_widens_its_range_to_hold_what_lies_beyond():
    svg = charts.gauge(-0.4, -0.3, -0.2, 1.7, (0, 1), "it")
    dot, base = numbers(svg, "circle", "cx")[0], numbers(svg, "line", "x1")[1]
    assert 5 < dot < 60
    assert base == 235


def test_a_scale_ends_where_it_is_told():
    scale = Scale(2.0, 4.0, 10.0, 0.0)
    assert [scale(v) for v in (2.0, 3.0, 4.0, 9.0)] == [10.0, 5.0, 0.0, 0.0]


shares = st.floats(0, 1)


@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=30))
def test_every_point_of_a_scatter_and_every_label_is_inside_the_frame(points):
    spots = [Spot(x, y, "it", label=f"{i} at 0.85", kind="" if i else "chosen") for i, (x, y) in enumerate(points)]
    svg = charts.scatter(spots, points[:2], x_name="x", y_name="y", says="it")
    for x, y in zip(numbers(svg, "circle", "cx"), numbers(svg, "circle", "cy"), strict=True):
        assert charts.LEFT <= x <= charts.WIDTH - charts.RIGHT
        assert charts.ROOM <= y <= charts.TALL - charts.BOTTOM
    assert len(numbers(svg, "circle", "cx")) == len(points)
    words = [element for element in ElementTree.fromstring(svg).iter("text") if " at 0.85" in (element.text or "")]
    assert words[0].text == "0 at 0.85"
    for word in words:
        assert charts.LEFT <= float(word.get("x")) <= charts.WIDTH - charts.LETTER * len(word.text)


def test_labels_keep_clear_of_points_and_of_each_other():
    """Nine points on one spot have room for some labels around them, none over another; far apart each has its own."""
    spots = [Spot(0.5, 0.5, "it", label="the same") for _ in range(9)]
    close = charts.scatter([*spots, Spot(0, 0, "it"), Spot(1, 1, "it")], (), x_name="x", y_name="y", says="it")
    places = [
        (float(e.get("x")), float(e.get("y")))
        for e in ElementTree.fromstring(close).iter("text")
        if e.text == "the same"
    ]
    wide = len("the same") * charts.LETTER
    assert 4 <= len(places) < 9
    assert all(
        abs(a[0] - b[0]) >= wide - 0.1 or abs(a[1] - b[1]) >= charts.LINE for a, b in itertools.combinations(places, 2)
    )
    apart = [Spot(i / 8, i / 8, "it", label="the same") for i in range(9)]
    assert charts.scatter(apart, (), x_name="x", y_name="y", says="it").count("the same") == 9


def test_more_is_further_up_and_further_right():
    svg = charts.scatter([Spot(0.1, 0.2, "a"), Spot(0.3, 0.9, "b")], (), x_name="x", y_name="y", says="it")
    (left, right), (low, high) = numbers(svg, "circle", "cx"), numbers(svg, "circle", "cy")
    assert left < right
    assert high < low
    assert [title.text for title in ElementTree.fromstring(svg).iter("title")] == ["a", "b"]


def test_a_label_is_not_struck_through_by_an_interval_or_by_the_front():
    """Two points side by side with upright strokes, and a level front between two far apart: labels keep clear of both,
    and all four find a place."""
    near = [Spot(x, 0.5, "it", label="one", upright=(0.1, 0.9)) for x in (0.0, 0.05)] + [Spot(1, 1, "it")]
    far = [Spot(x, 0.5, "it", label="one", kind=kind, upright=(0.1, 0.9)) for x, kind in ((0, "front"), (1, "chosen"))]
    for spots, front in ((near, ()), (far, [(0, 0.5), (1, 0.5)])):
        svg = charts.scatter(spots, front, x_name="x", y_name="y", says="it")
        words = [e for e in ElementTree.fromstring(svg).iter("text") if e.text == "one"]
        strokes = [float(e.get("x1")) for e in ElementTree.fromstring(svg).iter("line") if e.get("class") == "whisker"]
        assert len(words) == len(strokes) == 2
        for word in words:
            left, bottom = float(word.get("x")), float(word.get("y"))
            right = left + 3 * charts.LETTER
            assert not any(left < stroke < right for stroke in strokes)
            if front and right > min(strokes) and left < max(strokes):
                assert not bottom - charts.LINE + 3 < numbers(svg, "circle", "cy")[0] < bottom + 3
