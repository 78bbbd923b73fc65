"""The report: one page that holds what it shows, reads well by ear and by eye, and says what is missing."""

import csv
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from portraitist import durable, provenance
from portraitist.errors import PortraitistError
from portraitist.events import Finished, Started, Warned
from portraitist.judge import aspects, measures, scorecard, templates
from portraitist.judge.measuring.agreement import UNREAD
from portraitist.judge.scorecard import Drawn, Score, Scorecard
from portraitist.runs import RunFolder
from portraitist.verbs.report import report
from tests import reported
from tests.house.source import PACKAGE
from tests.pages import Page, can_be_heard, needs_nothing


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A project with everything, its report, and the page taken apart."""
    project = reported.whole(tmp_path_factory.mktemp("whole") / "zorblax")
    result = report(project)
    return project, result, Page(result.report.read_text())


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A project of five pictures, trained a little, never judged; its page taken apart."""
    project = reported.project(tmp_path_factory.mktemp("bare") / "few", count=5, held=0)
    reported.trained(project, steps=60)
    return project, Page(report(project).report.read_text())


def test_the_page_needs_nothing_else(whole):
    _, result, _ = whole
    needs_nothing(result.report.read_text())


def test_the_page_can_be_read_by_ear(whole, bare):
    can_be_heard(whole[2])
    can_be_heard(bare[1])


def test_the_verdict_comes_first_with_its_reason_and_its_pictures(whole):
    project, _, found = whole
    choice = reported.chosen_of(project)
    text = found.text
    assert f"Use step {choice['step']} at strength {choice['strength']:g}" in text
    assert " ".join(choice["why"].split()) in text
    assert text.index(choice["why"][:40]) < text.index("Key numbers") < text.index("Checkpoints Each row")
    alts = [attributes["alt"] for attributes in found.all("img")]
    for prompt in reported.LATER:
        assert f"Base: {prompt}, seed 1001" in alts
        assert f"Step {choice['step']} at {choice['strength']:g}: {prompt}, seed 1001" in alts


def test_every_checkpoint_and_every_picture_is_shown(whole):
    project, _, found = whole
    alts = [attributes["alt"] for attributes in found.all("img")]
    for step in RunFolder(next(project.runs.iterdir())).steps():
        assert sum(alt.startswith(f"Step {step} at 1: ") for alt in alts) >= len(reported.PROMPTS)
    for picture in project.read_manifest():
        assert f"{picture.name}: {picture.caption}" in alts
    assert found.text.count("held out") >= 2


def test_what_a_gate_put_out_is_marked_with_its_reason(whole):
    """By hand: agreement is compared picture by picture, and may fall by 0.05."""
    project, _, found = whole
    cards = [card for card in scorecard.read(RunFolder(next(project.runs.iterdir()))) if card.stage == "grid"]
    base = next(card for card in cards if card.step == 0)
    pairs = {card.key: zip(base.pictures, card.pictures, strict=True) for card in cards}
    falls = [np.mean([a.scores["agreement"] - b.scores["agreement"] for a, b in pairs[card.key]]) for card in cards]
    outs = [attributes for attributes in found.all("td") if attributes.get("class", "").startswith("gates")]
    assert [("out" in cell["class"]) for cell in outs[: len(cards)]] == [fall > 0.05 for fall in falls]
    text = found.text
    assert "out: prompt agreement falls by" in text
    assert text.count("chosen") >= 4
    assert "runner-up" in text
    assert "the zero line" in text


def test_findings_stand_with_remedy_and_waiver(whole):
    text = whole[2].text
    assert "Replace it by a larger original, or remove it" in text
    assert "The only picture from behind." in text
    assert text.index("Blocks (1)") < text.index("Warns (1)") < text.index("Notes (1)")


def test_blind_spots_and_digests_are_told(whole):
    text = whole[2].text
    assert "6f" * 32 in text
    assert "c4" * 32 in text
    assert "A good alarm and a bad chooser" in text
    assert "90% bootstrap intervals" in text


def test_where_values_come_from_is_told(whole):
    text = " ".join(whole[2].text.split())
    assert "Custom training.rate (by hand)" in text
    assert "Measured stages.steps (benchmarks/demo.md)" in text
    left = re.search(r"Not measured on any checkpoint: ([^.]*)", text)
    assert "likeness" not in (left[1] if left else "").split(", ")


def test_the_machine_readable_report_holds_the_figures(whole):
    _, result, _ = whole
    values = json.loads(result.facts.read_text())
    assert result.facts.name == "report.json"
    figures = values["figures"]
    for name, value in reported.FIGURES.items():
        assert figures[name] == value
    assert (figures["checkpoint"], figures["strength"]) == (values["checkpoint"], values["strength"])
    assert values["stage"] == "report"
    assert values["scores"]["identity"]["low"] <= values["scores"]["identity"]["chosen"]
    assert values["scores"]["held_out"]["base"] == 1, "as the page has it"


def test_every_card_is_a_row_of_the_table_and_of_the_facts(whole):
    project, result, _ = whole
    cards = {card.key[:4]: card for card in scorecard.read(RunFolder(next(project.runs.iterdir())))}
    assert result.table.name == "scorecards.csv"
    rows = list(csv.DictReader(result.table.read_text().splitlines()))
    keys = [(int(row["step"]), float(row["strength"]), float(row["guidance"]), row["stage"]) for row in rows]
    assert sorted(keys) == sorted(cards)
    for key, row in zip(keys, rows, strict=True):
        score = cards[key].scores["likeness"]
        told = [float(row[f"likeness_{number}"]) for number in ("mean", "low", "high", "count")]
        assert told == [score.mean, score.low, score.high, score.count]
    assert {row["mark"] for row in rows} == {"base", "chosen", "runner-up", ""}
    facts = json.loads(result.facts.read_text())["cards"]
    values = json.loads(result.facts.read_text())
    assert values["guidance"] == 0.0
    assert {word for row in values["words"].values() for word in row} == {aspect.name for aspect in aspects.ASPECTS}
    assert all(sentence in whole[2].text for sentence in values["open"])
    assert [fact["scores"]["likeness"]["mean"] for fact in facts] == [float(row["likeness_mean"]) for row in rows]


def test_the_front_is_drawn_with_what_is_out_hollow(whole):
    project, _, found = whole
    spots = [attributes["class"] for attributes in found.all("circle") if attributes["class"].startswith("spot")]
    cards = [c for c in scorecard.read(RunFolder(next(project.runs.iterdir()))) if c.stage == "grid" and c.step]
    assert len(spots) == len(cards)
    assert spots.count("spot chosen") == 1
    rows = [attributes for attributes in found.all("td") if attributes.get("class", "").startswith("gates")]
    assert spots.count("spot out") == sum("out" in cell["class"] for cell in rows[: len(cards) + 1])


def test_what_is_left_open_and_asked_of_a_person_is_said(whole):
    text = whole[2].text
    assert "Not distinguishable from the choice in likeness, by these pictures: step" in text
    assert "Are hands, fingers, limbs and eyes right in number, shape and place? not asked yet" in text
    assert "portraitist vote zorblax --run" in text


def test_what_ails_a_run_what_was_not_looked_at_and_no_table_of_the_demos_own_are_told(tmp_path):
    project = reported.whole(tmp_path / "zorblax")
    run = RunFolder(next(path for path in project.runs.iterdir()))
    cards = scorecard.read(run)
    for own in (0.0, 0.9):  # unnamed pictures that are the character
        of_base = [card for card in cards if card.step == 0 and card.stage == "grid"][-1]
        last = [card for card in cards if card.stage == "grid"][-1]
        drawn = [Drawn(f"u{i}", f"unnamed {i}", 1, "", {"leak": own + i / 100}, "unnamed") for i in range(6)]
        step, strength = (last.step, last.strength) if own else (0, 0.0)
        scores = measures.scores([one.scores for one in drawn])
        scorecard.append(run, Scorecard(step, strength, "probe", scores, of_base.grid, of_base.eyes, drawn))
    for _ in range(2):
        run.log.append(Warned(says=f"{UNREAD} pose: the eyes cannot tell it on these pictures"))
    figures = {**reported.FIGURES, "placed": {"base": {"hat": 0.1}, "chosen": {"hat": 0.9}}}
    durable.write_json(project.folder / "figures.json", figures)
    text = Page(report(project).report.read_text()).text
    assert text.index("What ails it") < text.index("What the pictures leave open")
    assert "Prompts without the trigger draw the character, 92% of the way from the base" in text
    assert f"portraitist advise zorblax --run {run.name}" in text
    assert text.count(f"{UNREAD} pose") == 2, "once among what is open, once among warnings, however often it was said"
    assert "{'hat'" not in text


def test_guidances_that_were_tried_stand_in_a_strip_of_their_own(tmp_path):
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    run = reported.trained(project, steps=60)
    for step, strength in ((0, 0.0), (50, 0.7), (50, 1.0)):
        made = reported.card(run, step, strength, "grid", reported.PROMPTS, 1)
    for guidance in (3.0, 4.0):
        scorecard.append(run, replace(made, guidance=guidance))
    durable.write_text(run.choice, "step = 50\nstrength = 1.0\nguidance = 4.0\nwhy = 'It is.'\n")
    found = Page(report(project).report.read_text())
    assert "Step 50 at strength 1 under each guidance that was tried" in found.text
    assert "Step 50 at 1, guidance 4 chosen" in found.text
    assert "Use step 50 at strength 1, guidance 4" in found.text
    alts = [attributes["alt"] for attributes in found.all("img")]
    assert f"Step 50 at 1, guidance 3: {reported.PROMPTS[0]}, seed 1" in alts
    assert f"Step 50 at 0.7: {reported.PROMPTS[0]}, seed 1" in alts, "strengths, under the guidance they were tried at"


def test_the_same_files_make_the_same_page(whole):
    project, result, _ = whole
    before = result.report.read_bytes()
    assert report(project).report.read_bytes() == before


def test_what_is_not_there_yet_is_a_sentence(bare):
    text = bare[1].text
    for sentence in (
        "Not chosen yet",
        "The checkpoints have not been judged yet.",
        "portraitist evaluate few --run",
        "Nothing has been judged yet.",
        "not exported yet",
        "No checkpoint has been drawn yet.",
    ):
        assert sentence in text, sentence
    assert "Training loss" in text


def test_below_eight_pictures_the_page_says_what_stands_in_for_the_split(bare):
    text = bare[1].text
    assert "No picture was kept from training (5 in all" in text
    assert "What stands in for them: likeness is judged against the training pictures" in text


def test_an_unaudited_project_with_a_run_that_has_just_begun_has_a_page(tmp_path):
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    durable.remove(project.manifest)
    durable.remove(project.findings)
    run = reported.trained(project, steps=0)
    durable.remove(run.log.path)
    text = Page(report(project).report.read_text()).text
    assert "No checkpoint has been saved yet." in text
    assert "The pictures have not been audited." in text
    assert "Training has taken no step yet." in text


def test_sources_and_licences_are_quoted_from_the_ledger(tmp_path):
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    reported.trained(project, steps=0)
    assert "Licences" not in Page(report(project).report.read_text()).text
    name = project.read_manifest()[0].name
    facts = {"picture": name, "sha256": "0" * 64, "source": "drawn by us", "licence": "CC0-1.0"}
    provenance.append(project.ledger, "added", facts)
    text = Page(report(project).report.read_text()).text
    assert "Sources not said 2, drawn by us 1" in text
    assert "Licences not said 2, CC0-1.0 1" in text


def test_judged_but_not_chosen_shows_pictures_without_a_verdict(tmp_path):
    project = reported.project(tmp_path / "zorblax", count=5, held=0)
    reported.judged(reported.trained(project, steps=200), held=False)
    found = Page(report(project).report.read_text())
    assert "none has been chosen yet" in found.text
    assert "Loss on training pictures, relative to the base" in found.text
    assert "Step 150 at each strength that was tried" in found.text


def test_markup_in_names_captions_and_prompts_is_shown_and_not_obeyed(tmp_path):
    evil = "<script>alert(1)</script>"
    project = reported.project(tmp_path / "zorblax", count=3, held=0, trigger=evil, waived={"number": evil})
    run = reported.trained(project)
    reported.card(run, 50, 1.0, "screen", [f'close-up of {evil}" onerror="alert(2)'], 1)
    text = report(project).report.read_text()
    found = Page(text)
    assert len(found.all("script")) == 1
    assert "alert(1)" in found.text
    assert evil not in text
    assert not any("onerror" in attributes for _, attributes in found.elements)


def test_pictures_that_cannot_be_read_are_named_and_the_rest_is_shown(tmp_path):
    project = reported.project(tmp_path / "zorblax", count=6, held=0)
    (project.pictures / "002.png").write_bytes(b"")
    reported.trained(project)
    found = Page(report(project).report.read_text())
    assert "002.png cannot be read" in found.text
    assert "Pictures that could not be read and are not shown: 002.png." in found.text
    assert len(found.all("img")) == 5 + 1  # the other pictures, and the empty frame for enlarging


def test_a_page_of_many_large_pictures_keeps_to_its_limit(tmp_path, monkeypatch):
    """Noise packs worst of all pictures; the limit is lowered so that few of them suffice."""
    monkeypatch.setattr(templates, "LIMIT", 200_000)
    project = reported.project(tmp_path / "zorblax", count=24, held=0)
    for path in project.pictures.glob("*.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (160, 160, 3), np.uint8)).save(path)
    reported.trained(project, steps=60)
    result = report(project)
    assert result.megabytes <= 0.2
    assert len(Page(result.report.read_text()).all("img")) == 25


def test_scores_of_another_grid_are_left_out_and_that_is_said(tmp_path):
    project = reported.project(tmp_path / "zorblax")
    run = reported.trained(project)
    old = Scorecard(50, 1.0, "screen", {"identity": Score(0.987, 0.98, 0.99, 4)}, "old", "old", ())
    scorecard.append(run, old)
    reported.card(run, 100, 1.0, "screen", reported.PROMPTS, 1)
    text = Page(report(project).report.read_text()).text
    assert "Step 100 at 1" in text
    assert "Step 50 at" not in text
    assert "Scorecards of another grid or other eyes are left out (1)" in text


def test_where_it_goes(tmp_path):
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    run = reported.trained(project, steps=60)
    told = []
    assert report(project, out=tmp_path / "out", emit=told.append).report == tmp_path / "out" / "report.html"
    assert report(project, out=tmp_path / "my page.html").facts == tmp_path / "my page.json"
    assert report(project).report == run.path / "report.html"
    assert [type(event) for event in told] == [Started, Finished]
    assert os.listdir(run.path / "tensorboard")


WHOLE = "step = 50\nstrength = 1\n"


@pytest.mark.parametrize(
    "text",
    [
        "step = 3",
        "step = 'x'\nstrength = 1",
        "not toml",
        f"{WHOLE}runner_up = 'none'",
        f"{WHOLE}[runner_up]\nstep = 'x'",
        f"{WHOLE}ties = ['it']",
    ],
)
def test_a_damaged_choice_is_a_problem_with_a_remedy(tmp_path, text):
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    run = reported.trained(project, steps=60)
    durable.write_text(run.choice, text)
    with pytest.raises(PortraitistError) as caught:
        report(project)
    assert "choose" in caught.value.remedy


def test_a_project_without_a_run_says_how_to_get_one(tmp_path):
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    with pytest.raises(PortraitistError, match="no run"):
        report(project)


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1 to 21 (WCAG 2.2)."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_has_contrast_aa_and_lines_have_three_to_one_in_light_and_dark():
    style = (PACKAGE / "judge" / "report_style.html").read_text()
    blocks = re.findall(r":root \{(.*?)\n *\}", style, re.DOTALL)
    themes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks]
    assert len(themes) == 2
    for theme in themes:
        for ground in ("paper", "sheet", "wash", "accent-wash"):
            for ink in ("ink", "soft"):
                assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)
        for ground in ("paper", "sheet"):
            for ink in ("accent", "warn", "block"):
                assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)
            for line in "abcd":
                assert contrast(theme[line], theme[ground]) >= 3, (line, ground)
        assert contrast(theme["paper"], theme["accent"]) >= 4.5
        for name in ("accent", "warn", "block"):
            assert contrast(theme[name], theme[f"{name}-wash"]) >= 4.5, name
