"""The ledger: whatever is changed, taken out or put in after it was written is noticed."""

import json
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist import provenance
from portraitist.errors import PortraitistError
from portraitist.provenance import FIRST, append, line, read, records, sha
from tests.house.source import ROOT

WORDS = st.dictionaries(
    st.sampled_from(["picture", "source", "licence", "author", "sha256", "file"]), st.text(max_size=12), max_size=4
)


def chain(facts):
    """The bytes of a ledger of those events."""
    lines, before = [], FIRST
    for one in facts:
        lines.append(line("added", one, before, "2026-01-14T00:00:00Z"))
        before = sha(lines[-1])
    return b"".join(one + b"\n" for one in lines)


@pytest.fixture
def ledger(tmp_path):
    path = tmp_path / "provenance.jsonl"
    for i in range(4):
        append(path, "added", {"picture": f"{i}.png", "sha256": str(i) * 64, "source": "drawn by é"})
    return path


def test_each_line_carries_the_digest_of_the_line_before_it(ledger):
    lines = ledger.read_bytes().splitlines()
    befores = [json.loads(one)["before"] for one in lines]
    assert befores == [FIRST, *map(sha, lines[:-1])]
    found = read(ledger)
    assert found.broken == ""
    assert found.digests == tuple(map(sha, lines))
    assert [entry.facts["picture"] for entry in found.entries] == ["0.png", "1.png", "2.png", "3.png"]


@settings(max_examples=60, deadline=None)
@given(facts=st.lists(WORDS, min_size=1, max_size=4), data=st.data())
def test_a_byte_changed_anywhere_is_noticed(facts, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("ledger") / "provenance.jsonl"
    whole = chain(facts)
    path.write_bytes(whole)
    assert read(path).broken == ""
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
    path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
    assert read(path).broken != ""


def test_every_single_byte_of_a_short_ledger_counts(ledger):
    whole = ledger.read_bytes()[: ledger.read_bytes().index(b"\n") + 1]
    for place in range(len(whole)):
        ledger.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read(ledger).broken, place


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_line_taken_out_or_put_in_or_moved_is_noticed(taken, ledger):
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(one for i, one in enumerate(lines) if i != taken))
    assert f"line {taken + 1} does not follow" in read(ledger).broken
    ledger.write_bytes(b"".join([*lines[:taken], lines[3], *lines[taken:]]))
    assert "does not follow" in read(ledger).broken
    forged = line("added", {"picture": "x"}, FIRST, "2026-01-14T00:00:00Z")
    ledger.write_bytes(forged + b"\n" + b"".join(lines))
    assert "line 2 does not follow" in read(ledger).broken


def test_a_spelling_that_means_the_same_is_not_what_was_written(ledger):
    ledger.write_bytes(ledger.read_bytes().replace(b'"format":1', b'"format": 1', 1))
    assert "line 1 is not what was written" in read(ledger).broken


def test_what_a_power_cut_left_of_a_line_is_taken_off_and_a_whole_one_kept(ledger):
    whole = ledger.read_bytes()
    for kept in (len(whole) - 1, len(whole) - 2, len(whole) - 40):
        ledger.write_bytes(whole[:kept])
        assert read(ledger).broken
        append(ledger, "added", {"picture": "new.png", "sha256": "f" * 64})
        found = read(ledger)
        assert found.broken == ""
        names = [entry.facts["picture"] for entry in found.entries]
        assert names == ["0.png", "1.png", "2.png", *(["3.png"] if kept == len(whole) - 1 else []), "new.png"]


def test_an_end_cut_off_is_known_by_what_was_quoted_of_it(ledger):
    head = read(ledger).digests[-1]
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-1]))
    assert read(ledger).broken == ""
    assert head not in read(ledger).digests


def test_a_disk_that_refuses_leaves_the_ledger_as_it_was(ledger):
    """The write is cut off by a limit on the file's size, as by a full disk."""
    before = ledger.read_bytes()
    script = (
        "import resource, signal, sys; from pathlib import Path; from portraitist import provenance\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 30},) * 2)\n"
        "provenance.append(Path(sys.argv[1]), 'added', {'picture': 'x' * 500})"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script, ledger], capture_output=True, text=True, env=environment)
    assert "PortraitistError" in done.stderr
    assert ledger.read_bytes() == before


def test_many_lines_at_once_are_the_lines_one_by_one(ledger, tmp_path):
    facts = [{"picture": f"{i}.png", "sha256": str(i) * 64, "source": "drawn by é"} for i in range(4)]
    append(tmp_path / "other", "added")
    assert not (tmp_path / "other").exists()
    append(tmp_path / "other", "added", *facts)
    append(tmp_path / "other", "added")
    found = read(tmp_path / "other")
    assert found.broken == ""
    assert [entry.facts for entry in found.entries] == [entry.facts for entry in read(ledger).entries]


def test_long_lines_follow_each_other_too(tmp_path):
    for size in (10, 20_000, 300_000, 5):
        append(tmp_path / "l", "described", {"picture": "x" * size})
    assert read(tmp_path / "l").broken == ""
    assert len(read(tmp_path / "l").entries) == 4


def test_the_newest_word_on_a_picture_counts(ledger):
    append(ledger, "described", {"picture": "1.png", "licence": "CC0-1.0"})
    append(ledger, "added", {"picture": "2.png", "sha256": "a" * 64})
    append(ledger, "described", {"picture": "nobody.png", "licence": "CC0-1.0"})
    known = records(read(ledger))
    assert set(known) == {"0.png", "1.png", "2.png", "3.png"}
    assert (known["1.png"].source, known["1.png"].licence) == ("drawn by é", "CC0-1.0")
    assert (known["2.png"].source, known["2.png"].sha256) == ("", "a" * 64)


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path):
    append(tmp_path / "l", "added", {"picture": "caf\udce9.png"})
    assert read(tmp_path / "l").entries[0].facts["picture"] == "caf?.png"
    assert read(tmp_path / "l").broken == ""


def test_a_ledger_of_another_format_or_of_rubbish_is_told_and_read_as_far_as_it_goes(ledger, tmp_path):
    draw = random.Random(1)
    for i in range(100):
        other = tmp_path / "other"
        other.write_bytes(draw.randbytes(draw.randrange(1, 400)) if i else b'{"format":2}\n')
        assert read(other).broken
    with pytest.raises(PortraitistError, match="changed after it was written"):
        provenance.require_whole(read(other), other)
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"\xff\n" + b"".join(lines[1:]))
    assert len(read(ledger).entries) == 3


def test_a_card_quotes_where_pictures_are_from_the_most_first(ledger):
    append(ledger, "described", {"picture": "1.png", "source": "a book"})
    quoted = provenance.quoted(read(ledger), ["0.png", "1.png", "2.png", "by hand.png"])
    assert quoted == {"sources": "drawn by é 2, a book 1, not said 1", "ledger": read(ledger).digests[-1]}
    assert provenance.quoted(provenance.Ledger(), ["0.png"]) == {}
