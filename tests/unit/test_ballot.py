"""Voting: nobody can tell which is which, everybody can leave and go on, and nothing but what was asked comes back."""

import json
import re
import shutil
import subprocess
from collections import Counter

import pytest
import tomli_w

from portraitist import durable
from portraitist.audit.survey import Survey, write_record
from portraitist.errors import Interrupted, PortraitistError
from portraitist.judge import ballot as ballots
from portraitist.judge import booth, choosing, scorecard, votes
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.runs import RunFolder
from portraitist.verbs.feedback import feedback
from portraitist.verbs.vote import vote
from tests import reported
from tests.pages import Page

CELLS = [(200, 1.0), (250, 1.0), (300, 0.7)]
TEXTS = reported.PROMPTS[:3]


@pytest.fixture
def made(tmp_path):
    """A project with a run of three candidates, judged on six pictures each."""
    project = Project.create(tmp_path / "zor", Facts(name="Zorblax", trigger="zorblax", subject="fictional"))
    write_record(project, Recipe(), 128, Survey(tuple(reported.dataset(project, 4, 1)), (), (), ()), [])
    run = RunFolder(project.runs / "r")
    durable.write_text(run.lock, Recipe().to_toml() + "\n" + tomli_w.dumps({"lock": {"format": 1}}))
    reported.card(run, 0, 0.0, "grid", TEXTS, 2)
    for step, strength in CELLS:
        durable.write_json(run.checkpoint(step) / "manifest.json", {"step": step, "files": {}})
        reported.card(run, step, strength, "grid", TEXTS, 2)
    return project


def run_of(project):
    """Its only run."""
    return RunFolder(project.runs / "r")


def drawn_up(project, count=24):
    """The ballot over all three."""
    run = run_of(project)
    _, cards = choosing.latest(scorecard.read(run), "grid")
    return ballots.made(run, ballots.candidates({}, cards), cards, count)


class Person:
    """Answers what it is asked, in turn; leaves when it has no more to say."""

    def __init__(self, *answers):
        self.answers, self.heard = list(answers), []

    def __call__(self, question):
        self.heard.append(question)
        if not self.answers:
            raise Interrupted
        return self.answers.pop(0)


def test_pairs_are_fair(made):
    ballot = drawn_up(made)
    assert ballot == drawn_up(made), "the same question makes the same ballot"
    assert len(ballot.pairs) == 18, "three pairings of six pictures"
    assert set(Counter(frozenset((p.a, p.b)) for p in ballot.pairs).values()) == {6}
    for one, other in {tuple(sorted((p.a, p.b))) for p in ballot.pairs}:
        left = sum(p.a == one for p in ballot.pairs if {p.a, p.b} == {one, other})
        assert left == 3, "as often on the left as on the right"
    for pair in ballot.pairs:
        a, b = (run_of(made).path / path for path in (pair.a_path, pair.b_path))
        assert a.name == b.name, "one prompt, one seed"
        assert a != b
    few = Counter(frozenset((p.a, p.b)) for p in drawn_up(made, 7).pairs)
    assert sorted(few.values()) == [2, 2, 3]
    assert {c: sum(s.cell == c for s in ballot.singles) for c in {p.a for p in ballot.pairs}} == {
        (step, strength, 0.0): 2 for step, strength in CELLS
    }


def test_a_ballot_that_was_changed_is_none(made):
    run, ballot = run_of(made), drawn_up(made)
    ballots.write(run, ballot)
    assert ballots.read(run, ballot.digest) == ballot
    assert ballots.read(run, "../../recipe") is None
    path = ballots.folder(run) / f"{ballot.digest}.json"
    values = durable.read_json(path)
    values["pairs"][0]["a"], values["pairs"][0]["b"] = values["pairs"][0]["b"], values["pairs"][0]["a"]
    durable.write_json(path, values)
    with pytest.raises(PortraitistError, match="was changed"):
        ballots.read(run, ballot.digest)


def test_the_candidates_are_what_the_choice_could_not_tell_apart(made):
    _, cards = choosing.latest(scorecard.read(run_of(made)), "grid")
    choice = {"step": 300, "strength": 0.7, "runner_up": {"step": 200, "strength": 1.0}}
    assert ballots.candidates(choice, cards) == [(300, 0.7, 0.0), (200, 1.0, 0.0)]
    moved = choice | {"measured": {"step": 250, "strength": 1.0}, "ties": [{"step": 999, "strength": 1.0}]}
    assert ballots.candidates(moved, cards) == [(250, 1.0, 0.0), (300, 0.7, 0.0), (200, 1.0, 0.0)], "999 is not judged"
    assert len(ballots.candidates({}, cards)) == 3
    many = [scorecard.Scorecard(step, 1.0, "grid", {}, "g", "e") for step in range(100, 700, 100)]
    last = [{"step": step, "strength": 1.0} for step in (200, 300, 400, 500)]
    voted = {"step": 600, "strength": 1.0, "measured": {"step": 100, "strength": 1.0}, "ties": last}
    assert (600, 1.0, 0.0) in ballots.candidates(voted, many), "what votes chose can still be voted on"


def test_the_terminal_hides_who_drew_what_and_goes_on_where_it_was_left(made):
    ann = Person("a", "what?", "B ", "=")
    told = vote(made, ask=ann, by="Ann", pairs=4)
    assert (told.pairs, told.voted, told.candidates) == (4, 3, 3)
    assert told.told().splitlines() == [
        "3 of 4 pairs of 3 candidates are voted on; 0 of 6 pictures shown alone are answered.",
        "The same command goes on from here; or let it be, and choose by these.",
    ]
    assert not re.search(r"step|strength|0\.7|\b(200|250|300)\b", "".join(ann.heard).replace(str(made.folder), ""))
    ballot = drawn_up(made, 4)
    assert [(v.a, v.b, v.answer) for v in votes.read(run_of(made)).votes] == [
        (pair.a, pair.b, answer) for pair, answer in zip(ballot.pairs, "ab=", strict=False)
    ]
    again = Person("a", *"yynu")
    told = vote(made, ask=again, by="Ann", pairs=4)
    assert (told.voted, told.seen) == (4, 1)
    assert again.heard[0].startswith("\n4 of 4")
    seen = votes.read(run_of(made)).seen
    assert [(s.asked, s.answer) for s in seen] == [
        ("anatomy", "yes"), ("skin", "yes"), ("proportions", "no"), ("light", "unsure")
    ]  # fmt: skip
    assert {s.cell for s in seen} == {ballot.singles[0].cell}
    assert vote(made, ask=Person(), by="Bo", pairs=4).voted == 0, "another person begins anew"


def test_a_picture_that_cannot_be_read_is_left_out(made):
    run, ballot, told = run_of(made), drawn_up(made, 4), []
    durable.write_bytes(run.path / ballot.pairs[0].a_path, b"torn")
    touching = [p for p in ballot.pairs if ballot.pairs[0].a_path in (p.a_path, p.b_path)]
    vote(made, ask=Person(*"aaaa"), pairs=4, emit=told.append)
    assert "pair-01 is left out" in told[0].says
    assert len(votes.read(run).votes) == 4 - len(touching)


def test_the_page_tells_nothing_and_needs_nothing(made):
    told = vote(made, page=True)
    text = (run_of(made).path / "vote.html").read_text()
    assert told.page == str(run_of(made).path / "vote.html")
    assert told.told().splitlines() == [
        f"{told.page} asks about 18 pairs of 3 candidates, and about 6 pictures alone.",
        f"Open it, vote, save; then: portraitist feedback {made.folder} votes.json",
    ]
    ballot = json.loads(re.search(r'id="ballot">(.*?)</script>', text, re.DOTALL)[1])
    assert len(ballot["pairs"]) == 18
    assert len(ballot["pictures"]) == 6
    without = re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]*", "", text)
    assert not re.search(r"step|strength|renders|\b(200|250|300)\b(?!px|%)", without.partition("</style>")[2])
    assert not re.search(r"https?:|src=\"(?!data:)", without.replace('src="" ', "")), "nothing is fetched"
    assert "default-src 'none'" in text
    assert "event.repeat" in text, "a key that is held down votes once"


DRIVEN = """<script>
const said = [], boxes = () => [...document.querySelectorAll("#asked > div")];
function told() {
  const held = document.activeElement;
  const framed = boxes().findIndex(box => box.classList.contains("answering"));
  const pressed = [...document.querySelectorAll("#asked [aria-pressed=true]")].map(button => button.name).join(" ");
  said.push([document.getElementById("count").textContent, boxes().findIndex(box => box.contains(held)),
    held.name || held.id || held.tagName, framed, pressed]);
}
function press_key(key) {
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true})); told();
}
%s
document.body.dataset.said = JSON.stringify(said);
</script></body>"""


@pytest.fixture
def driven(made, tmp_path):
    """What the page says after each key: where it is, the row and name that has the focus, the framed row, answers."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no chromium")
    vote(made, page=True, out=tmp_path / "vote.html", pairs=2)

    def press(keys, more=""):
        script = "".join(f"press_key({json.dumps(key)});" for key in keys) + more
        page = tmp_path / "driven.html"
        durable.write_text(page, (tmp_path / "vote.html").read_text().replace("</body>", DRIVEN % script))
        asked = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}"]
        asked += ["--virtual-time-budget=3000", "--dump-dom", page.as_uri()]
        shown = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False).stdout
        if 'id="ballot"' not in shown:
            pytest.skip("this chromium opens no files here")
        return [tuple(step) for step in json.loads(Page(shown).all("body")[0]["data-said"])]

    return press


def test_the_focus_goes_on_with_the_questions_and_keys_answer_what_is_framed(driven):
    keys = ["a", "b", "y", "n", "ArrowUp", "u", "y", "y", "ArrowLeft", "ArrowDown", "n"]
    assert driven(keys, 'document.getElementById("leave").click(); told();') == [
        ("2 of 8", -1, "question", -1, ""),
        ("3 of 8", -1, "question", 0, ""),
        ("3 of 8", 1, "yes", 1, "yes"),
        ("3 of 8", 2, "yes", 2, "yes no"),
        ("3 of 8", 1, "no", 1, "yes no"),
        ("3 of 8", 2, "yes", 2, "yes unsure"),
        ("3 of 8", 3, "yes", 3, "yes unsure yes"),
        ("4 of 8", -1, "question", 0, ""),
        ("3 of 8", -1, "question", 0, "yes unsure yes yes"),
        ("3 of 8", 1, "unsure", 1, "yes unsure yes yes"),
        ("3 of 8", 1, "no", 1, "yes no yes yes"),
        ("3 of 8 answered", -1, "thanks", 1, "yes no yes yes"),
    ]


def test_a_new_prompt_is_heard(made, tmp_path):
    vote(made, page=True, out=tmp_path / "vote.html", pairs=2)
    page = Page((tmp_path / "vote.html").read_text())
    assert [text["aria-live"] for text in page.all("p") if text.get("id") == "text"] == ["polite"]


def test_votes_of_a_page_come_back_once_and_only_from_its_own_ballot(made, tmp_path):
    vote(made, page=True)
    run, ballot = run_of(made), drawn_up(made)
    given = {"answer": "a", "at": "2026-01-14T09:30:00.000Z"}
    values = {
        "kind": "portraitist votes", "format": 1, "run": "r", "ballot": ballot.digest, "by": "Bo",
        "pairs": {"pair-01": given, "pair-02": given | {"answer": "="}},
        "pictures": {"picture-01": {"skin": given | {"answer": "yes"}}},
    }  # fmt: skip
    file = tmp_path / "votes.json"

    def take(**changed):
        durable.write_json(file, values | changed)
        return feedback(made, file)

    told = take()
    assert (told.kind, told.taken, told.known, told.raters) == ("votes", 3, 0, ("Bo",))
    assert (take().taken, take().known) == (0, 3)
    found = votes.read(run)
    assert [(v.a, v.answer) for v in found.votes] == [(ballot.pairs[0].a, "a"), (ballot.pairs[1].a, "=")]
    assert found.seen[0].cell == ballot.singles[0].cell
    assert take(pairs={"pair-01": given | {"answer": "b", "at": "2026-01-14T11:00:00+01:00"}}).taken == 1, "a new mind"
    assert take().taken == 0, "the file from before is no newer mind"

    pair = ballot.pairs[4]
    votes.append(run, [votes.Vote(pair.b, pair.a, pair.text, pair.seed, "a", "Bo", "2026-01-13", "older", "pair-09")])
    assert take(pairs={"pair-05": given}).taken == 1, "the same letter, of the other picture"
    before = votes.path(run).read_bytes()
    for changed, says in [
        ({"run": "q"}, "no run named 'q'"),
        ({"ballot": "f" * 16}, "never made"),
        ({"format": 2}, "format 2"),
        ({"by": " "}, "whose votes"),
        ({"pairs": {"pair-03": given, "pair-99": given}}, "did you mean pair-"),
        ({"pairs": {"pair-03": given | {"answer": "c"}}}, "pair-03: 'c' is none of a, b, ="),
        ({"pairs": {"pair-03": "a"}}, "is none of"),
        ({"pictures": {"picture-01": {"skln": given}}}, "did you mean skin"),
        ({"pairs": {"pair-03": given | {"at": "noon"}}}, "no time"),
        ({"pairs": [1]}, "no table"),
    ]:
        with pytest.raises(PortraitistError, match=re.escape(says)):
            take(**changed)
    assert votes.path(run).read_bytes() == before, "nothing is half taken in"


def test_who_imports_says_whose_votes_are_where_the_page_was_not_told(made, tmp_path):
    vote(made, page=True)
    given = {"pair-01": {"answer": "a", "at": "2026-01-14T09:30:00.000Z"}}
    values = {"kind": "portraitist votes", "format": 1, "run": "r", "ballot": drawn_up(made).digest, "pairs": given}
    durable.write_json(tmp_path / "votes.json", values | {"by": "page-1a2b3c"})
    assert feedback(made, tmp_path / "votes.json", by="Anna").raters == ("Anna",)
    durable.write_json(tmp_path / "votes.json", values | {"by": "Bo"})
    with pytest.raises(PortraitistError, match="holds the votes of Bo, not of Anna"):
        feedback(made, tmp_path / "votes.json", by="Anna")
    durable.write_json(tmp_path / "votes.json", values | {"by": "page-1a2b3c"})
    assert feedback(made, tmp_path / "votes.json", by=" Anna ").taken == 0
    for again in ("", "Bo"):
        with pytest.raises(PortraitistError, match="taken in before, as the votes of Anna"):
            feedback(made, tmp_path / "votes.json", by=again)
    assert len(votes.read(run_of(made)).votes) == 1


def test_there_must_be_two_to_compare(made):
    run = run_of(made)
    durable.write_text(run.choice, "step = 300\nstrength = 0.7\n")
    with pytest.raises(PortraitistError, match="only step 300 at strength"):
        vote(made, ask=Person())
    damaged = ("ties = 3", "names no"), ("measured = 3", "names no"), ("front = [{step = 200}]", "only step 300")
    for line, says in damaged:
        durable.write_text(run.choice, f"step = 300\nstrength = 0.7\n{line}\n")
        with pytest.raises(PortraitistError, match=says):
            vote(made, ask=Person())
    durable.remove(run.choice)
    durable.remove(run.scorecards)
    with pytest.raises(PortraitistError, match="nothing has been judged"):
        vote(made, ask=Person())
    with pytest.raises(PortraitistError, match="nobody to ask"):
        vote(made)


def test_references_are_of_different_framings_and_rather_not_trained_on(made):
    assert [path.name for path in booth.references(made)] == ["001.png", "002.png", "003.png"]
