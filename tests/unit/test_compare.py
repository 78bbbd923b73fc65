"""Comparing runs: by how much they differ is held to a sum by hand, and what does not compare is not compared."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.judge import comparison, dossier, scorecard, telling
from portraitist.judge.scorecard import Drawn, Scorecard
from portraitist.verbs.compare import compare
from tests import reported
from tests.pages import can_be_heard, needs_nothing

TEXTS = ["close-up of zorblax, smiling", "full body of zorblax, angry"]
OF_CELL = {"step": 50, "strength": 1.0, "why": "It is. The rest is words."}


def judged(project, name, likeness, *, grid="grid", eyes="eyes", base="6f" * 32, rate="0.003"):
    """A run of 60 steps whose choice, step 50 at 1, has these likenesses by (text, seed), text by text."""
    run = reported.trained(project, name, steps=60)
    lock = run.lock.read_text().replace("6f" * 32, base).replace("rate = 0.003", f"rate = {rate}")
    durable.write_text(run.lock, lock)
    pairs = [(text, seed) for text in TEXTS for seed in range(1, 1 + len(likeness) // 2)]
    for step, own in ((0, [0.0] * len(likeness)), (50, likeness)):
        drawn = []
        for (text, seed), value in zip(pairs, own, strict=True):
            path = scorecard.renders(run, step, float(step > 0)) / f"{len(text)}-{seed}.png"
            reported.saved(path, reported.character(text, value, seed, 32))
            drawn.append(Drawn("brief-1", text, seed, str(path.relative_to(run.path)), {"likeness": value}))
        scores = {"likeness": scorecard.Score(float(np.mean(own)), min(own), max(own), len(own))}
        scorecard.append(run, Scorecard(step, float(step > 0), "grid", scores, grid, eyes, drawn))
    durable.write_text(run.choice, "\n".join(f"{key} = {json.dumps(value)}" for key, value in OF_CELL.items()))
    return run


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Run two is better than run one on each picture, by 0.1 to 0.3; the third has another grid."""
    project = reported.project(tmp_path_factory.mktemp("pair") / "zorblax", count=3, held=0)
    judged(project, "one", [0.2, 0.4, 0.3, 0.5])
    judged(project, "two", [0.3, 0.7, 0.4, 0.8], rate="0.001")
    return project


def of(project, *names):
    """The comparison of runs of a project."""
    return comparison.compare([dossier.gather(project, name) for name in names])


def test_a_difference_is_taken_picture_by_picture(pair):
    """By hand: +0.1, +0.3, +0.1, +0.3 are +0.2 on the mean; Student's interval of them is 0.2 +- 2.353 * 0.1155 / 2."""
    found = of(pair, "one", "two")
    change = found.differences["likeness"]["B"]
    assert (change.mean, change.count) == (pytest.approx(0.2), 4)
    assert (change.low, change.high) == pytest.approx((0.2 - 0.1359, 0.2 + 0.1359), abs=0.04)
    assert change.low > 0
    assert comparison.verdict(found) == "B is more like the character than A"
    assert comparison.verdict(of(pair, "two", "one")) == "A is more like the character than B"


def test_what_chance_could_explain_is_said_to_be_not_distinguishable(pair):
    judged(pair, "level", [0.25, 0.37, 0.35, 0.47])
    found = of(pair, "one", "level")
    assert comparison.verdict(found) == "A and B are not distinguishable in likeness"
    assert comparison.sentences(found) == {"Not distinguishable": "likeness"}
    found = of(pair, "one", "two", "level")
    assert comparison.verdict(found) == "B is more like the character than A, and not distinguishable from C"


def test_one_picture_makes_nothing_sure():
    assert comparison.surely(scorecard.Score(0.1, 0.05, 0.15, 2))
    assert not comparison.surely(scorecard.Score(0.1, 0.1, 0.1, 1))


def test_what_tells_others_apart_is_said_where_the_likest_is_not_distinguishable(pair):
    judged(pair, "wild", [1.0, 0.3, 0.1, 1.0])
    found = of(pair, "one", "two", "wild")
    assert comparison.verdict(found) == (
        "C has the highest likeness, but is not distinguishable from A and B; B is surely ahead of A"
    )


def test_only_what_differs_of_the_recipes_is_told(pair):
    found = of(pair, "one", "two")
    assert found.recipe == [("training.rate", ["0.003", "0.001"])]
    assert found.made_of == []


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"grid": "other"}, "drawn by different grids"),
        ({"eyes": "other"}, "seen by different eyes"),
        ({"base": "7a" * 32}, "trained on different bases"),
    ],
)
def test_other_yardsticks_are_not_compared_and_why_is_said(pair, tmp_path, other, says):
    judged(pair, "apart", [0.9, 0.9, 0.9, 0.9], **other)
    found = of(pair, "one", "apart")
    assert says in found.sides[1].obstacle
    assert found.differences == {}
    assert comparison.verdict(found) == "These runs cannot be compared"
    page = needs_nothing(compare(pair, ["one", "apart"], out=tmp_path).page.read_text())
    assert says in page.text
    assert "There are no scores that compare." in page.text


def test_settings_of_the_judging_that_differ_are_named(pair):
    run = judged(pair, "reseeded", [0.9, 0.9, 0.9, 0.9], grid="other")
    values = run.recipe().judging.model_copy(update={"seeds": 5}).model_dump(mode="json")
    durable.write_json(run.evaluation / "judging.json", values)
    assert "judging.seeds: 2 and 5" in of(pair, "one", "reseeded").sides[1].obstacle


def test_a_run_that_is_not_chosen_or_not_judged_names_the_command(pair):
    run = reported.trained(pair, "fresh", steps=60)
    assert f"portraitist evaluate {pair.folder} --run fresh" in of(pair, "one", "fresh").sides[1].obstacle
    reported.card(run, 50, 1.0, "screen", TEXTS, 1)
    assert f"portraitist choose {pair.folder} --run fresh" in of(pair, "one", "fresh").sides[1].obstacle


def test_one_that_does_not_compare_leaves_the_others_compared(pair):
    judged(pair, "odd", [0.9, 0.9, 0.9, 0.9], grid="other")
    found = of(pair, "one", "odd", "two")
    assert [side.letter for side in found.comparing] == ["A", "C"]
    assert comparison.verdict(found) == "C is more like the character than A"


def test_page_json_and_csv_tell_the_same(pair, tmp_path):
    result = compare(pair, ["one", "two"], out=tmp_path)
    page = needs_nothing(result.page.read_text())
    can_be_heard(page)
    alts = [attributes["alt"] for attributes in page.all("img")]
    for text in TEXTS:
        assert alts.count(f"Base: {text}, seed 1") == 1
        assert alts.count(f"Step 50 at 1: {text}, seed 1") == 2
    values = json.loads(result.facts.read_text())
    change = values["differences"]["likeness"]["B"]
    assert change["says"] in page.text
    assert values["verdict"] == result.verdict == "B is more like the character than A"
    rows = list(csv.DictReader(result.table.read_text().splitlines()))
    assert [(row["run"], row["measure"]) for row in rows] == [("one", "likeness"), ("two", "likeness")]
    assert (rows[0]["difference_mean"], float(rows[1]["difference_mean"])) == ("", change["mean"])
    assert "It is." in page.text
    assert "the rest is words" not in page.text


def test_a_terminal_is_told_first_which_run_each_letter_is(pair, tmp_path):
    result = compare(pair, ["one", "two"], out=tmp_path)
    assert result.told().splitlines() == [
        "A: one, step 50 at strength 1",
        "B: two, step 50 at strength 1",
        "B is more like the character than A.",
        *(f"    {measure}: {words}" for measure, words in result.says.items()),
        f"See {tmp_path / 'compare.html'}; as numbers: compare.json and compare.csv beside it",
    ]
    reported.trained(pair, "bare", steps=0)
    lines = compare(pair, ["one", "bare"], out=tmp_path).told().splitlines()
    assert lines[1] == "B: bare, nothing chosen yet"
    assert lines[3].startswith("B does not compare. bare has not been judged.")


def test_a_page_says_which_run_a_letter_is_before_it_says_what_tells_them_apart(pair, tmp_path):
    result = compare(pair, ["one", "two"], out=tmp_path)
    text = needs_nothing(result.page.read_text()).text
    assert text.index("A one") < text.index("B two") < text.index(next(iter(result.says.values())))


def test_names_keep_their_capitals_inside_a_sentence():
    assert telling.within("companion") == "beside a second LoRA"


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (-0.1, -0.02, "−0.05 (−0.10 to −0.02), worse than the base"),
        (-0.1, -0.004, "−0.050 (−0.100 to −0.004), worse than the base"),
        (-0.1, 0.004, "−0.05 (−0.10 to 0.00), not distinguishable from the base"),
        (-0.1, -1e-6, "−0.05000 (−0.10000 to 0.00000), worse than the base"),
    ],
)
def test_an_interval_that_leaves_zero_out_is_not_rounded_onto_it(low, high, says):
    change = scorecard.Score(-0.05, low, high, 8)
    assert telling.difference_words("agreement", change, "the base") == says


def test_what_probes_and_losses_tell_is_compared_too(tmp_path):
    """By hand: leaks of 0.4 and 0.6 less 0.1 and 0.3 are 0.3 on the mean; losses of 0.18 over 0.2 are 0.9."""
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    for name, leaks in (("one", (0.1, 0.3)), ("two", (0.4, 0.6))):
        run = judged(project, name, [0.3, 0.3, 0.3, 0.3])
        drawn = [Drawn("u", text, 1, "", {"leak": leak}, "unnamed") for text, leak in zip(TEXTS, leaks, strict=True)]
        leak = scorecard.Score(sum(leaks) / 2, *leaks, 2)
        scorecard.append(run, Scorecard(50, 1.0, "probe", {"leak": leak}, "grid", "eyes", drawn))
        for step, loss in ((0, 0.2), (50, 0.18)):
            scorecard.append_losses(run, scorecard.Losses(step, [0.5], [loss], [loss], [loss], [loss], "same"))
    result = compare(project, ["one", "two"], out=tmp_path)
    values = json.loads(result.facts.read_text())
    assert values["differences"]["leak"]["B"]["mean"] == pytest.approx(0.3)
    assert values["runs"][0]["scores"]["held_out"]["mean"] == pytest.approx(0.9)
    rows = list(csv.DictReader(result.table.read_text().splitlines()))
    assert [row["measure"] for row in rows if row["run"] == "two"] == ["likeness", "leak", "held_out"]
    page = needs_nothing(result.page.read_text())
    assert "+0.30 (0.30 to 0.30), worse than A" in page.text


@pytest.mark.parametrize(
    ("strains", "says"),
    [
        (None, "B is more like the character than A"),
        ((0.0, 1.0), "B is more like the character than A"),
        ((0.0, 3.0), "A is more like the character than B"),
        ((0.0, 2.0), "A and B are not distinguishable in portrayal less strain"),
    ],
)
def test_the_likest_is_told_by_what_decides_a_choice(tmp_path, strains, says):
    """Two is liker by what sees an overdriven LoRA, and less like by what rises with every strength; and it is liker by
    0.4, of which strain takes a fifth of its own."""
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    for i, (name, likeness, portrayal) in enumerate((("one", 0.8, 0.2), ("two", 0.5, 0.6))):
        run = judged(project, name, [likeness] * 4)
        made = scorecard.read(run)[-1]
        more = {"portrayal": portrayal} | ({"strain": strains[i]} if strains else {})
        drawn = [replace(d, scores={**d.scores, **more}) for d in made.pictures]
        scores = {**made.scores, **{key: scorecard.Score(value, value, value, 4) for key, value in more.items()}}
        scorecard.append(run, replace(made, scores=scores, pictures=drawn))
    assert comparison.verdict(of(project, "one", "two")) == says


def test_runs_of_other_projects_go_by_their_folder(pair, tmp_path):
    other = reported.project(tmp_path / "other", count=3, held=0)
    run = judged(other, "one", [0.3, 0.7, 0.4, 0.8])
    result = compare(pair, ["one", str(run.path)])
    assert result.verdict == "B is more like the character than A"
    assert result.page == pair.folder / "compare.html"
    assert result.runs == {"A": "one, step 50 at strength 1", "B": f"{run.path}, step 50 at strength 1"}


def test_without_names_the_two_newest_are_compared(tmp_path):
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    for name in ("first", "second", "third"):
        reported.trained(project, name, steps=0)
    result = compare(project, out=tmp_path / "my page.html")
    assert [run["run"] for run in json.loads(result.facts.read_text())["runs"]] == ["second", "third"]
    assert result.facts == tmp_path / "my page.json"


@pytest.mark.parametrize("names", [["one"], ["one", "one"], ["one", "nowhere"], ["one", "two", "a", "b", "c"]])
def test_what_is_no_comparison_is_refused_with_a_remedy(pair, names):
    for extra in {"a", "b", "c"} & set(names):
        reported.trained(pair, extra, steps=0)
    with pytest.raises(PortraitistError) as caught:
        compare(pair, names)
    assert caught.value.remedy


def test_leaves_of_a_recipe_are_its_dotted_keys():
    values = {"a": {"b": 1, "list": [1.5, 2.0]}, "stages": [{"steps": 4}, {"steps": 5}], "on": True, "text": ""}
    assert dict(comparison.leaves(values)) == {
        "a.b": "1", "a.list": "[1.5, 2]", "stages.0.steps": "4", "stages.1.steps": "5", "on": "true", "text": '""',
    }  # fmt: skip
