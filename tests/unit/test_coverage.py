"""What a set lacks, told with a remedy; and a remedy is a claim, so each is followed and must cure."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.audit import Rules, Seen, coverage, figure, terms
from portraitist.errors import PortraitistError
from portraitist.pictures import Picture
from portraitist.recipe import Recipe
from portraitist.sections import Audit, Data, Set
from tests.unit.test_audit import PLAIN


def made(name: str, caption: str = "zorblax", role: str = "identity", size=(512, 512), **content: object) -> Picture:
    measures = {**PLAIN, "content": content}
    return Picture(name, f"digest of {name}", *size, caption, role=role, measures=measures)


def seen(pictures, **facts) -> Seen:
    return Seen(pictures=pictures, trigger="zorblax", side=512, **facts)


def found(check, pictures, rules=None, **facts):
    return list(check(seen(pictures, **facts), rules or Rules()))


FACE = {"box": [200, 60, 100, 100], "score": 0.9, "head": 0.78, "view": "", "yaw": 0.0}
WORDS = {"close-up": "close-up", "mid": "upper body", "full": "full body"}


@given(st.sampled_from(["G4", "G1"]), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.floats(0.0, 0.3))
def test_the_remedy_of_every_quota_cures(quota, close, mid, full, low):
    own = {"full": (low, min(1.0, low + 0.4))}
    rules = terms.expected(Audit(quota=quota, framing=own))
    counts = {"close-up": close, "mid": mid, "full": full}
    pictures = [made(f"{f}{i}", f"zorblax, {WORDS[f]}") for f, n in counts.items() for i in range(n)]
    for finding in found(coverage.framing_balance, pictures, rules):
        least, most = rules.framing[finding.about]
        share = (counts[finding.about] + finding.change) / (sum(counts.values()) + max(finding.change, 0))
        assert least - rules.slack <= share <= most + rules.slack + 1 / sum(counts.values())


def test_framings_are_counted_by_measures_where_captions_are_silent():
    face = {**FACE, "box": [200, 100, 300, 300]}
    pictures = [made(str(i), faces=[face]) for i in range(12)]
    assert {f.about for f in found(coverage.framing_balance, pictures)} == {"close-up", "mid", "full"}


@given(
    st.dictionaries(st.sampled_from(["beach", "night sky", "city"]), st.integers(0, 4), min_size=1), st.integers(1, 4)
)
def test_following_the_shopping_list_leaves_nothing_on_it(counts, asked):
    rules, brief = replace(Rules(), asked=asked), {"background": tuple(counts)}
    pictures = [made(f"{v}{i}", f"zorblax, {v} background") for v, n in counts.items() for i in range(n)]
    for finding in found(coverage.coverage, pictures, rules, brief=brief):
        if finding.severity == "note":
            assert not any(counts.values())
            continue
        more = [made(f"new {v}{i}", f"zorblax, {v}") for v, n in counts.items() for i in range(max(0, asked - n))]
        assert len(more) == finding.change
        assert found(coverage.coverage, pictures + more, rules, brief=brief) == []


def test_views_that_no_picture_shows_are_told_with_those_that_few_do():
    pictures = [made(f"{i}", faces=[FACE]) for i in range(5)] + [made("side", faces=[{**FACE, "yaw": 75.0}])]
    brief = {"view": ("front view", "profile", "back view")}
    (finding,) = found(coverage.coverage, pictures, brief=brief)
    assert "5 front view, 1 profile, 0 back view" in finding.says
    assert "profile (1), back view (2)" in finding.remedy
    behind = [made(f"b{i}", "zorblax seen from behind") for i in range(2)] + [made("s", "zorblax, side view")]
    assert found(coverage.coverage, pictures + behind, brief=brief) == []


def test_a_kind_that_no_caption_tells_is_asked_about_and_not_called_missing():
    (finding,) = found(coverage.coverage, [made(str(i)) for i in range(9)], brief={"pose": ("sitting", "dancing")})
    assert finding.severity == "note"
    assert "caption" in finding.remedy


@pytest.mark.parametrize(
    ("caption", "value", "there"),
    [("zorblax, Night-Sky background", "night sky", True), ("zorblax in a red dress", "red dress", True),
     ("zorblax, holding a book", "holding book", True), ("zorblax, citylights", "city", False),
     ("zorblax, c++ shirt", "c++", True), ("zorblax", "", False)],
)  # fmt: skip
def test_phrases_are_found_as_words_whatever_their_hyphens(caption, value, there):
    assert coverage.says(caption, value) is there


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_a_realism_sets_missing_parts_are_made_up_by_what_is_asked(legs, torso, full):
    counts, rules = {"legs": legs, "torso": torso, "full": full}, Rules()
    pictures = [
        made(f"{p}{i}", f"woman, {p} body" if p == "full" else p, "realism")
        for p, n in counts.items()
        for i in range(n)
    ]
    for finding in found(coverage.realism_quota, pictures):
        share = (counts[finding.about] + finding.change) / (sum(counts.values()) + finding.change)
        assert rules.part <= share <= 0.5


def test_exposures_are_counted_by_set_and_the_guides_ratio_is_what_it_is():
    """G1 calls 40 x 70 to 20 x 30 four to one."""
    pictures = [replace(made(f"i{i}"), set="face") for i in range(70)]
    pictures += [replace(made(f"r{i}", role="realism"), set="body") for i in range(30)]
    sets = (Set(name="face", weight=40), Set(name="body", role="realism", weight=20))
    recipe = Recipe(data=Data(sets=sets))
    told = coverage.balance_of_sets(seen(pictures, recipe=recipe))
    assert told == "identity 40 x 70 + realism 20 x 30 = 3,400 exposures, 4.67 : 1"
    assert found(coverage.set_balance, pictures, recipe=recipe) == []
    turned = Recipe(data=Data(sets=(Set(name="face"), Set(name="body", role="realism", weight=40))))
    assert [f.severity for f in found(coverage.set_balance, pictures, recipe=turned)] == ["warn"]


def test_a_long_picture_is_told_of_what_its_size_loses_and_a_face_outside_of_it():
    recipe = Recipe(data=Data(aspect=1.0))
    low = {**FACE, "box": [200, 1400, 100, 100]}
    tall = made("tall.png", size=(512, 1536), faces=[low])
    (finding,) = found(coverage.crop_loss, [tall, made("square.png")], recipe=recipe)
    assert finding.pictures == ("tall.png",)
    assert "67%" in finding.says
    (finding,) = found(figure.face_cut, [tall, made("square.png", faces=[FACE])], recipe=recipe)
    assert "100%" in finding.says
    inside = {**FACE, "box": [200, 160, 100, 100]}
    assert found(figure.face_cut, [made("tall.png", size=(512, 1536), faces=[inside])], recipe=recipe) == []
    assert found(coverage.crop_loss, [tall], recipe=Recipe(data=Data(aspect=4.0))) == []


def test_sizes_with_fewer_exposures_than_a_batch_are_told_once_and_only_beside_others():
    wide = [made(f"w{i}", size=(1024, 512)) for i in range(2)]
    square = [made(f"s{i}") for i in range(10)]
    assert found(coverage.lone_sizes, wide) == []
    (finding,) = found(coverage.lone_sizes, wide + square)
    assert finding.pictures == ("w0", "w1")
    assert found(coverage.lone_sizes, [replace(p, repeats=4) for p in wide] + square) == []


def test_a_second_face_of_like_size_is_told_and_a_small_one_is_not():
    other, small = {**FACE, "box": [320, 60, 90, 90]}, {**FACE, "box": [320, 60, 30, 30]}
    (finding,) = found(
        figure.several_faces, [made("two.png", faces=[FACE, other]), made("one.png", faces=[FACE, small])]
    )
    assert (finding.about, finding.severity) == ("two.png", "warn")
    drawn = [{**face, "view": "frontal"} for face in (FACE, other)]
    assert found(figure.several_faces, [made("two.png", faces=drawn)])[0].severity == "note"


def test_no_face_is_unknown_and_explained_where_a_caption_explains_it():
    pictures = [made("a.png", looked=True), made("b.png", "zorblax from behind", looked=True), made("c.png")]
    pictures += [made(f"{i}.png", looked=True, faces=[FACE]) for i in range(3)]
    (finding,) = found(figure.no_face, pictures)
    assert (finding.pictures, finding.severity) == (("a.png",), "note")
    (finding,) = found(figure.no_face, pictures[:1])
    assert "blind" in finding.remedy


def test_a_realism_set_must_have_no_faces_and_a_build_that_is_compared_or_asked_for():
    bodies = [made(f"r{i}", role="realism", faces=[FACE] if i == 0 else []) for i in range(4)]
    (finding,) = found(figure.face_in_realism, [*bodies, made("a.png", faces=[FACE])])
    assert finding.pictures == ("r0",)
    (finding,) = found(figure.realism_build, [*bodies, made("a.png")])
    assert (finding.severity, finding.says.count("?")) == ("note", 1)

    def cut(name, width, role="identity"):
        outline = {"box": [0.2, 0.1, 0.4, 0.8], "widths": [width] * 8, "touches": []}
        return made(name, role=role, figure=outline)

    ours = [cut(f"i{i}", 0.20) for i in range(3)]
    assert found(figure.realism_build, ours + [cut(f"r{i}", 0.21, "realism") for i in range(3)]) == []
    (finding,) = found(figure.realism_build, ours + [cut(f"r{i}", 0.30, "realism") for i in range(3)])
    assert (finding.severity, "broader" in finding.says) == ("warn", True)


def test_a_cut_at_a_joint_is_a_question():
    head = (1000 - 20) / 5.6
    face = {**FACE, "box": [300, 20 + 0.22 * head, 0.78 * head, 0.78 * head]}
    (finding,) = found(figure.cut_at_joint, [made("k.png", size=(800, 1000), faces=[face])])
    assert (finding.about, finding.severity) == ("knee", "note")
    assert "?" in finding.says


def test_no_role_but_the_characters_own_is_asked_to_cover_the_brief():
    others = [made(f"o{i}", "a woman, beach", role="prior") for i in range(3)]
    (finding,) = found(coverage.coverage, [made("a", "zorblax, city"), *others], brief={"place": ("beach", "city")})
    assert "0 beach" in finding.says


def test_thresholds_are_a_persons_to_set_and_wrong_ones_are_refused():
    assert terms.expected(Audit(thresholds={"fewest": 5})).fewest == 5
    assert terms.expected(Audit()) == Rules()
    assert terms.changed(terms.expected(Audit(thresholds={"small": 0.4}))) == {"small": 0.4}
    for said, words in (
        (Audit(thresholds={"sharpnes": 3}), "sharpness"),
        (Audit(thresholds={"small": -1}), "from 0"),
        (Audit(framing={"full": (0.6, 0.3)}), "Swap"),
        (Audit(framing={"full": (0.9, 1.0)}), "lower ends"),
    ):
        with pytest.raises(PortraitistError) as refusal:
            terms.expected(said)
        assert words in refusal.value.remedy


@given(st.sampled_from(["check", "check:a", "check:b", "other"]), st.sets(st.sampled_from("abc")))
def test_a_waiver_lets_pass_its_check_or_the_one_picture_it_names(key, pictures):
    passed = terms.reason({key: "because"}, "check", sorted(pictures))
    if key == "check":
        assert passed == "because"
    else:
        assert bool(passed) == (key.startswith("check:") and pictures == {key[-1]})


def test_every_picture_of_a_finding_must_be_waived_and_a_wrong_name_is_refused():
    both = {"check:a": "one", "check:b": "two"}
    assert terms.reason(both, "check", ["a", "b"])
    assert not terms.reason(both, "check", ["a", "b", "c"])
    terms.refuse_unknown({"small:x.png": "it is the only one"}, {"small"})
    assert terms.stale({"small:x.png": "why", "soft": "why", "soft:gone.png": "why"}, {"x.png"}) == [
        "project.toml waives 'soft:gone.png', and there is no picture 'gone.png'"
    ]
    with pytest.raises(PortraitistError) as refusal:
        terms.refuse_unknown({"smal": "why"}, {"small", "soft"})
    assert refusal.value.remedy == "Did you mean small?"
