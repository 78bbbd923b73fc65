"""What a person sees while it works."""

import pytest

from portraitist import events, progress, show
from portraitist.progress import Course, Progress, clock


def test_without_a_terminal_there_are_plain_lines_and_few_of_them(capsys):
    with Progress() as shown:
        shown(events.Started(verb="train", total=400, done=50, facts={"run": "x"}))
        for step in range(51, 401):
            shown(events.Stepped(step=step, loss=0.1, gradient=1.0, rate=1e-3, seconds=0.1, memory_gb=1.25))
        shown(events.Warned(says="The disk is slow.", remedy="Wait."))
        shown(events.Finished(verb="train", seconds=35.0))
    out, told = capsys.readouterr()
    lines = told.splitlines()
    assert out == ""
    assert len(lines) == 3, told
    assert lines[0] == "training: 50 of 400"
    assert lines[1] == "Warning: The disk is slow. Wait."
    assert lines[2].startswith("training: 400 of 400, loss 0.1000")
    assert "peak 1.2 GB" in lines[2] or "peak 1.3 GB" in lines[2]


def test_words_are_told_beside_the_pictures_and_counted_neither_as_them_nor_against_them(monkeypatch):
    shown, now = Progress(), 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown(events.Started(verb="encode", total=10))
    now = 190.0
    shown(events.Read(name="a.png", done=4, total=4))
    course = shown.courses["encode"]
    assert course.line() == "encoding: 0 of 10, words 4 of 4"
    now = 192.0
    shown(events.Encoded(name="a.png", cached=False, done=5, total=10))
    assert course.line() == "encoding: 5 of 10, 2.5/s, 2 s left"


def test_silence_is_silent(capsys):
    with Progress(silent=True) as shown:
        shown(events.Warned(says="no"))
        shown(events.Measured(picture="a.png", done=1, total=2))
    assert capsys.readouterr() == ("", "")


def test_the_rate_counts_only_what_this_process_did(monkeypatch):
    """A training continued at step 300 that does 10 steps in 5 seconds needs 45 s for the 90 that are left."""
    course = Course("train", total=400, done=310, first=300, began=100.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: 105.0)
    assert course.rate == pytest.approx(2.0)
    assert course.left == pytest.approx(45.0)
    assert "45 s left" in course.line()


def test_times_are_said_as_people_say_them():
    assert [clock(s) for s in (5, 89, 240, 7200)] == ["5 s", "89 s", "4 min", "2.0 h"]


def test_a_result_for_machines_has_no_number_that_json_has_not():
    assert show.plain({"a": float("nan"), "b": (1, float("inf")), "c": 0.5}) == {"a": None, "b": [1, None], "c": 0.5}


def test_a_finding_is_told_with_its_pictures_and_its_remedy():
    finding = {"check": "soft", "severity": "warn", "says": "Two are blurred", "remedy": "Retake them.",
               "pictures": ["a.png", "b.png"]}  # fmt: skip
    assert show.finding_lines(finding) == ["warns: Two are blurred (a.png, b.png) [soft]", "    Retake them."]


def test_a_person_can_be_asked_before_there_is_a_bar(monkeypatch, capsys):
    """What stands on the line of a question must not wait for the end of the line: bars begin when there is one."""
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    with Progress() as shown:
        assert not shown.display.live.is_started
        shown(events.Started(verb="train", total=4))
        assert shown.display.live.is_started
