"""The event file is the only record of a run: nothing in it is lost, torn or read twice."""

import dataclasses
from typing import get_origin

from hypothesis import given
from hypothesis import strategies as st

from portraitist.events import KINDS, Event, Log, Measured, Stepped, Warned, from_line, to_line

EXAMPLES = {str: "a\nb", int: 3, float: 0.25, bool: True, dict: {"x": 0.5}}


def example(kind: type[Event]) -> Event:
    """An event of a kind with every field filled."""
    return kind(**{f.name: EXAMPLES[get_origin(f.type) or f.type] for f in dataclasses.fields(kind)})


def test_there_are_seventeen_kinds_and_each_goes_through_its_line_unchanged():
    assert len(KINDS) == 17
    for name, kind in KINDS.items():
        event = example(kind)
        assert event.kind == name
        assert "\n" not in to_line(event)
        assert from_line(to_line(event)) == event


@given(text=st.text(), offset=st.integers(0, 3))
def test_reading_on_from_an_offset_misses_nothing_and_repeats_nothing(text, offset, tmp_path_factory):
    log = Log(tmp_path_factory.mktemp("run") / "events.jsonl")
    written = [Warned(says=f"{text}{i}", at=float(i)) for i in range(4)]
    for event in written:
        log.append(event)
    ends = [0, *(end for _, end in log.read())]
    assert [event for event, _ in log.read(ends[offset])] == written[offset:]
    assert ends[-1] == log.size()


def test_a_torn_last_line_waits_until_it_is_whole(tmp_path):
    log = Log(tmp_path / "events.jsonl")
    log.append(Measured(picture="a", done=1, total=2))
    line = to_line(Measured(picture="b", done=2, total=2)) + "\n"
    with log.path.open("a") as file:
        file.write(line[:10])
    assert [e.picture for e in log.events()] == ["a"]
    end = [end for _, end in log.read()][-1]
    with log.path.open("a") as file:
        file.write(line[10:])
    assert [event.picture for event, _ in log.read(end)] == ["b"]


def test_kinds_and_fields_of_a_newer_version_are_passed_over(tmp_path):
    assert from_line('{"kind": "dreamt", "at": 1}') is None
    known = from_line('{"kind": "warned", "at": 1.0, "says": "x", "mood": "blue"}')
    assert known == Warned(says="x", at=1.0)


def test_damage_is_passed_over(tmp_path):
    for line in ("", "null", "[]", "{", '{"kind": "stepped"}', '{"kind": ["stepped"]}', "\0\0"):
        assert from_line(line) is None, line


def test_a_log_that_is_not_there_is_empty(tmp_path):
    assert Log(tmp_path / "none").events() == []
    assert Log(tmp_path / "none").size() == 0


def test_numbers_come_back_exactly():
    event = Stepped(step=1, loss=0.1 + 0.2, gradient=1e-30, rate=3e-3, seconds=0.1, at=1.5)
    assert from_line(to_line(event)) == event
