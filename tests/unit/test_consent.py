"""A real person's consent: recorded whole, noticed when it changes, and over when it is taken back."""

import datetime
import hashlib
import tomllib

import pytest

from portraitist import provenance
from portraitist.errors import PortraitistError
from portraitist.project import Project
from portraitist.verbs.consent import consent, withdraw

FACTS = """# Ana asked for this file to be kept tidy
name = "Ana"      # not her full name
trigger = "ana_char"
subject = "real"
"""
GIVEN = {"by": "Ana Example", "date": "2026-01-14", "rights": "Ana Example", "adult": True}


@pytest.fixture
def ana(tmp_path):
    (tmp_path / "ana").mkdir()
    (tmp_path / "ana" / "project.toml").write_text(FACTS)
    (tmp_path / "signed.PDF").write_bytes(b"signed by Ana")
    return Project.open(tmp_path / "ana")


def again(project):
    return Project.open(project.folder)


def refusal(call, *words, **how):
    with pytest.raises(PortraitistError) as caught:
        call(*words, **how)
    return str(caught.value)


def test_a_consent_is_copied_hashed_and_written_without_losing_a_comment(ana):
    made = consent(ana, file=ana.folder.parent / "signed.PDF", **GIVEN)
    assert (made.file, made.lacks) == ("consent/signed.pdf", ())
    text = (ana.folder / "project.toml").read_text()
    assert text.startswith(FACTS)
    table = tomllib.loads(text)["consent"]
    assert table["sha256"] == hashlib.sha256(b"signed by Ana").hexdigest()
    assert (ana.folder / table["file"]).read_bytes() == b"signed by Ana"
    again(ana).require_consent()
    (entry,) = provenance.read(ana.ledger).entries
    assert entry.event == "consented"
    assert {name: entry.facts[name] for name in table} == table


def test_consent_that_lacks_a_purpose_is_kept_and_does_not_do(ana):
    made = consent(ana, file=ana.folder.parent / "signed.PDF", **GIVEN, covers=["images", "publication"])
    assert made.lacks == ("training", "generation")
    assert "does not cover generation, training" in refusal(again(ana).require_consent)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"adult": False}, "adults alone"),
        ({"by": ""}, "--by"),
        ({"rights": ""}, "--rights"),
        ({"date": ""}, "--date"),
        ({"covers": []}, "--covers"),
        ({"covers": ["images", "everything"]}, "covers"),
        ({"date": "14.1.2026"}, "date"),
        ({"date": "2026-02-31"}, "must be a day"),
        ({"date": "2999-01-01"}, "a day to come"),
        ({"until": "2026-01-13"}, "ended on"),
        ({"until": "tomorrow"}, "valid_until"),
        ({"by": "the parents of a 12 year old girl"}, "minor"),
    ],
)
def test_what_is_no_consent_is_refused_and_nothing_is_written(change, says, ana):
    assert says in refusal(consent, ana, **{"file": ana.folder.parent / "signed.PDF", **GIVEN, **change})
    assert [path.name for path in ana.folder.iterdir() if path.name != ".lock"] == ["project.toml"]
    assert (ana.folder / "project.toml").read_text() == FACTS


def test_a_file_that_is_absent_or_empty_is_no_consent(ana, tmp_path):
    (tmp_path / "empty.pdf").touch()
    assert "There is no file" in refusal(consent, ana, file=tmp_path / "gone.pdf", **GIVEN)
    assert "0 bytes" in refusal(consent, ana, file=tmp_path / "empty.pdf", **GIVEN)


def test_a_fictional_character_has_nobody_to_consent(ana, tmp_path):
    (ana.folder / "project.toml").write_text(FACTS.replace("real", "fictional"))
    assert "is fictional" in refusal(consent, again(ana), file=tmp_path / "signed.PDF", **GIVEN)


def test_a_recorded_consent_is_not_overwritten_and_a_file_keeps_its_bytes(ana, tmp_path):
    consent(ana, file=tmp_path / "signed.PDF", **GIVEN)
    (tmp_path / "signed.PDF").write_bytes(b"another")
    assert "already" in refusal(consent, again(ana), file=tmp_path / "signed.PDF", **GIVEN)
    (ana.folder / "project.toml").write_text(FACTS)
    assert consent(again(ana), file=tmp_path / "signed.PDF", **GIVEN).file == "consent/signed-2.pdf"
    assert (ana.folder / "consent" / "signed.pdf").read_bytes() == b"signed by Ana"


def test_what_was_taken_back_stays_so_until_a_new_one_is_signed(ana, tmp_path):
    assert "none can be withdrawn" in refusal(withdraw, ana)
    consent(ana, file=tmp_path / "signed.PDF", **GIVEN)
    withdraw(again(ana), "2026-03-01")
    assert "has withdrawn their consent (2026-03-01)" in refusal(again(ana).require_consent)
    assert "before" in refusal(withdraw, again(ana))
    (ana.folder / "project.toml").write_text(FACTS)
    assert "was withdrawn" in refusal(consent, again(ana), file=tmp_path / "signed.PDF", **GIVEN)
    (tmp_path / "new.pdf").write_bytes(b"signed once more")
    consent(again(ana), file=tmp_path / "new.pdf", **GIVEN)
    again(ana).require_consent()


def test_a_ledger_from_which_the_withdrawal_was_edited_away_is_refused(ana, tmp_path):
    consent(ana, file=tmp_path / "signed.PDF", **GIVEN)
    withdraw(again(ana))
    ana.ledger.write_text(ana.ledger.read_text().replace('"withdrawn"', '"described"'))
    assert "was changed after it was written" in refusal(again(ana).require_consent)


def test_a_consent_ends_on_its_last_day(ana, tmp_path):
    today = datetime.date.today()
    consent(ana, file=tmp_path / "signed.PDF", **GIVEN, until=today.isoformat())
    again(ana).require_consent()
    path, yesterday = ana.folder / "project.toml", (today - datetime.timedelta(days=1)).isoformat()
    path.write_text(path.read_text().replace(f'valid_until = "{today}"', f'valid_until = "{yesterday}"'))
    assert f"ended on {yesterday}" in refusal(again(ana).require_consent)


@pytest.mark.parametrize(
    ("line", "instead", "says"),
    [
        ("adult = true", "", "does not say adult = true"),
        ("adult = true", "adult = false", "minors are never a subject"),
        ('rights = "Ana Example"', "", "does not say rights"),
    ],
)
def test_a_record_of_before_is_read_and_what_it_lacks_is_asked_for(line, instead, says, ana, tmp_path):
    consent(ana, file=tmp_path / "signed.PDF", **GIVEN)
    path = ana.folder / "project.toml"
    path.write_text(path.read_text().replace(line, instead))
    assert says in refusal(again(ana).require_consent)
