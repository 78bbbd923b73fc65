"""The archive of rounds: one row a round, one column a prompt and seed, and what was changed in words."""

import re

from portraitist.judge import archive
from portraitist.judge.archive import Round
from portraitist.judge.scorecard import Score
from tests import reported
from tests.pages import can_be_heard, needs_nothing

FIRST, SECOND = ("close-up of zorblax", 1001), ("full body of zorblax", 1001)


def drawn(folder, *shots):
    """Pictures of shots on disk."""
    found = {}
    for text, seed in shots:
        found[text, seed] = folder / f"{len(text)}-{seed}.png"
        reported.saved(found[text, seed], reported.character(text, 0.5, seed, 32))
    return found


def test_rounds_stand_below_each_other_with_what_changed(tmp_path):
    pictures = drawn(tmp_path, FIRST, SECOND)
    likeness = {"likeness": Score(0.6, 0.5, 0.7, 8)}
    rounds = [
        Round("one", "", pictures, likeness, "Step 50 at 1"),
        Round(
            "two",
            "Colours drift.",
            {FIRST: pictures[FIRST]},
            {},
            "Step 80 at 1",
            {"training.rate": 0.001, "training.stratified": True, "model.quantised": "int8"},
            "lost",
            kept=False,
        ),
    ]
    page = needs_nothing(archive.page(rounds, "Zorblax"))
    can_be_heard(page)
    alts = [attributes["alt"] for attributes in page.all("img") if attributes["src"] != "data:,"]
    assert alts == [f"Round {i}: {text}, seed 1001" for i, (text, _) in ((1, FIRST), (1, SECOND), (2, FIRST))]
    assert "Round 1 of 2 is kept" in page.text
    assert "training.rate = 0.001" in page.text
    assert "training.stratified = true" in page.text, "as a recipe has it"
    assert 'model.quantised = "int8"' in page.text
    assert "0.60 0.50 to 0.70" in page.text
    assert re.search(r"Round 2 .*dropped.* not drawn", page.text)


def test_no_round_yet_is_a_page_too():
    page = needs_nothing(archive.page([]))
    assert "No round yet" in page.text


def test_a_round_is_what_its_run_has_on_disk(tmp_path):
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    run = reported.trained(project, steps=100)
    assert archive.of_run(project, run.name, "").pictures == {}
    reported.card(run, 100, 1.0, "screen", reported.PROMPTS, 2)
    run.choice.write_text("step = 100\nstrength = 1.0\n")
    found = archive.of_run(project, run.name, "It begins.", {"training.rate": 1})
    assert list(found.pictures) == [(text, 1) for text in reported.PROMPTS]
    assert all(path.is_file() for path in found.pictures.values())
    assert (found.cell, found.kept) == ("Step 100 at 1", True)
    assert found.scores["likeness"].count == 8
