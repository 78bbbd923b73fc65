"""Others' ratings: all of a form or nothing, by whatever names its columns have, and each complaint names its line."""

import json
import re
from dataclasses import replace

import pytest
import tomli_w

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.judge import measures, ratings, scorecard, votes
from portraitist.judge.scorecard import Drawn, Scorecard
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.runs import RunFolder
from portraitist.verbs.feedback import feedback


@pytest.fixture
def made(tmp_path):
    """A project with a run of two judged checkpoints and a third."""
    project = Project.create(tmp_path / "zor", Facts(name="Zorblax", trigger="zorblax", subject="fictional"))
    run = RunFolder(project.runs / "r")
    durable.write_text(run.lock, Recipe().to_toml() + "\n" + tomli_w.dumps({"lock": {"format": 1}}))
    for step in (100, 200, 300):
        durable.write_json(run.checkpoint(step) / "manifest.json", {"step": step, "files": {}})
    for step in (100, 200):
        place = scorecard.renders(run, step, 1.0).relative_to(run.path)
        drawn = [Drawn(f"p{i}", f"text {i}", 1, f"{place}/grid-p{i}-1.png", {"likeness": 0.5}) for i in range(2)]
        card = Scorecard(step, 1.0, "grid", measures.scores([d.scores for d in drawn]), "g", "e", drawn)
        scorecard.append(run, card)
    return project


def take(project, text, name="form.csv", **options):
    """Import a form of these words."""
    path = project.folder.parent / name
    durable.write_text(path, text)
    return feedback(project, path, **options)


def kept(project):
    """The ratings on disk."""
    return ratings.read(RunFolder(project.runs / "r"))


def test_a_form_of_checkpoints_is_taken_in_once(made):
    text = "\ufeffCheckpoint,Strength,Prompt score,realism,Usability,Rater,Time,Comments\n" \
           '200,1.0,4,5,4,Bo,2026-01-14,"fine, really"\n\n100,1,3,,2,Bo,2026-01-14,\n'  # fmt: skip
    told = take(made, text)
    assert (told.kind, told.taken, told.known, told.raters, told.run) == ("ratings", 2, 0, ("Bo",), "r")
    then = f"Next: portraitist choose {made.folder} --run r"
    assert told.told().splitlines() == ["2 new or changed ratings of Bo for r.", then]
    again = take(made, text)
    assert again.known == 2
    assert again.told().splitlines() == ["No new or changed ratings of Bo for r; 2 were known already.", then]
    first, second = kept(made)
    assert (first.cell, first.scores, first.note) == (
        (200, 1.0, 0.0), {"prompt": 4, "realism": 5, "usability": 4}, "fine, really",
    )  # fmt: skip
    assert second.scores == {"prompt": 3, "usability": 2}
    found = votes.read(RunFolder(made.runs / "r"))
    assert found.preference((200, 1.0, 0.0), (100, 1.0, 0.0)).share == pytest.approx(0.75), "one comparison: 1.5 of 2"
    assert take(made, text.replace("200,1.0,4", "200,1.0,2")).taken == 1, "a changed mind"
    assert len(kept(made)) == 2


def test_a_form_of_pictures_names_them_as_it_can(made):
    rows = [
        {"image": "step-000100-at-1/grid-p0-1.png", "realism": 3},
        {"file": "C:\\evaluation\\renders\\step-000200-at-1\\grid-p0-1.png", "realism": "4", "step": "step-000200"},
    ]
    rows[1]["strength"] = 1
    take(made, json.dumps({"ratings": rows}), "form.json", by="Cy")
    assert [(r.cell[0], r.text, r.seed, r.by) for r in kept(made)] == [
        (100, "text 0", 1, "Cy"),
        (200, "text 0", 1, "Cy"),
    ]
    share = votes.read(RunFolder(made.runs / "r")).preference((200, 1.0, 0.0), (100, 1.0, 0.0)).share
    assert share == pytest.approx(0.75)


def test_spreadsheets_may_put_semicolons_and_decimal_commas(made):
    take(made, "step;strength;realism;rater;;\n200;1,0;4,5;Bo;;\n")
    assert (kept(made)[0].cell, kept(made)[0].scores) == ((200, 1.0, 0.0), {"realism": 4.5})


HEAD = "step,strength,realism,rater\n200,1,4,Bo\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("step,strength,realsim,rater\n200,1,4,Bo\n", "'realsim', which is unknown; did you mean realism?"),
        ("step,checkpoint,strength,realism\n1,1,1,1\n", "two columns for step"),
        (HEAD + "200,1,good,Bo\n", "line 3: realism is 'good', not a number"),
        (HEAD + "200,1,nan,Bo\n", "line 3: realism is 'nan'"),
        (HEAD + "200,1,101,Bo\n", "from 0 to 100"),
        (HEAD + "250,1,4,Bo\n", "line 3: run r has no checkpoint at step 250"),
        (HEAD + "200,,4,Bo\n", "line 3: step and strength go together"),
        (HEAD + ",,4,Bo\n", "line 3: it names nothing"),
        (HEAD + "200,1,,Bo\n", "line 3: no score"),
        (HEAD + "200,1,4,\n", "line 3: it does not say whose"),
        (HEAD + "200,1,4\n", "line 3: 3 values for 4 columns"),
        (HEAD + '200,1,4,"Bo\n', "line 3"),
        (HEAD.replace("rater", "time") .replace("Bo", "noon"), "line 2: it does not say whose"),
        ("picture,realism,rater\ngrid-p0-1.png,4,Bo\n", "2 pictures end so"),
        ("picture,realism,rater\nx.png,4,Bo\n", "no picture of this run"),
        ("picture,step,strength,realism,rater\nstep-000100-at-1/grid-p0-1.png,200,1,4,Bo\n", "the row says step 200"),
        ("step,strength,realism,rater,time\n200,1,4,Bo,noon\n", "'noon' is no time"),
        ("step,strength,realism,rater\n", "holds no ratings"),
        ("", "holds no ratings"),
        ("step,strength,realism,realism,rater\n200,1,3,9,Bo\n", "two columns 'realism'"),
        (HEAD.replace("rater", "") + "200,1,4,Bo\n", "a column ''"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_line_and_nothing_is_taken(made, text, says):
    with pytest.raises(PortraitistError, match=re.escape(says)):
        take(made, text)
    assert kept(made) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no JSON"),
        ("3", "neither votes nor ratings"),
        ('[{"realism": true, "step": 200, "strength": 1}]', "True"),
        ('[{"realism": 1e999, "step": 200, "strength": 1}]', "inf"),
        ('{"kind": "portraitist votes"}', "names run ''"),
        ('{"kind": "portraitist votes", "format": 1, "run": "r", "ballot": "' + 5000 * "a" + '"}', "never made"),
        ("[" * 99999, "is no JSON"),
        ('[{"realism": 1, "step": 200, "strength": 1, "rater": "\\ud800"}]', "no character of UTF-8"),
    ],
)
def test_json_that_is_no_form_is_refused(made, text, says):
    with pytest.raises(PortraitistError, match=re.escape(says)):
        take(made, text, "form.json", by="Bo")
    assert kept(made) == []


def test_a_file_that_is_not_there_is_said_to_be_so(made, tmp_path):
    with pytest.raises(PortraitistError, match="no file"):
        feedback(made, tmp_path / "votes.json")


def test_a_cell_that_was_not_judged_is_refused_and_the_grids_own_guidance_is_known_by_its_number(made):
    with pytest.raises(PortraitistError, match=r"step 200 at strength 0\.85 has not been judged") as refused:
        take(made, "step,strength,realism,rater\n200,0.85,4,Bo\n")
    assert refused.value.remedy == "Those of its step that have: step 200 at strength 1."
    run = RunFolder(made.runs / "r")
    for one in scorecard.read(run):
        scorecard.append(run, replace(one, usual=3.5))
    take(made, "step,strength,cfg,realism,rater\n200,1,3.5,4,Bo\n")
    assert kept(made)[-1].cell == (200, 1.0, 0.0)
