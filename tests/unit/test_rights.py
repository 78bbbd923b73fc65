"""Where pictures are from, from the command to the audit, the ledger's check and the card."""

import json
import os
import sys

import pytest
import tomli_w

from portraitist import provenance
from portraitist.audit.survey import cleared
from portraitist.dataset.taking import Stated
from portraitist.errors import PortraitistError
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.export import origins
from portraitist.verbs.new import new
from portraitist.verbs.verify import verify
from tests.credentials import TRAINED, signed
from tests.pictures import saved, scenery

RECIPE = Recipe.model_validate({"stages": [{"steps": 4}]})


@pytest.fixture
def maya(tmp_path):
    for i in range(4):
        saved(tmp_path / "from" / f"{i}.png", scenery(i, 64, 64))
        (tmp_path / "from" / f"{i}.txt").write_text(f"zorblax, scene {i}")
    return new(tmp_path / "maya", trigger="zorblax", subject="fictional", preset="mini")


def checks(result):
    return {(finding.check, finding.severity) for finding in result.findings}


def by_hand(project, name, data):
    project.pictures.joinpath(name).write_bytes(data)
    project.pictures.joinpath(name).with_suffix(".txt").write_text("zorblax, standing")


def waiving(project, **reasons):
    values = {**project.facts.model_dump(mode="json", exclude_none=True), "waived": reasons}
    (project.folder / "project.toml").write_text(tomli_w.dumps(values))
    return Project.open(project.folder)


def refusing():
    return signed(scenery(9, 64, 64), cawg__ai_generative_training="notAllowed")


@pytest.mark.parametrize("way", ["added", "put there by hand"])
def test_a_picture_that_is_not_to_be_trained_on_comes_in_and_blocks_until_it_is_waived_by_name(way, maya, tmp_path):
    add(maya, [tmp_path / "from"])
    if way == "added":
        (tmp_path / "no.jpg").write_bytes(refusing())
        (tmp_path / "no.txt").write_text("zorblax, standing")
        assert add(maya, [tmp_path / "no.jpg"]).opted_out == ("no.jpg",)
    else:
        by_hand(maya, "no.jpg", refusing())
    result = audit(maya, RECIPE)
    assert ("opted_out", "block") in checks(result)
    assert result.blocked
    with pytest.raises(PortraitistError, match=r"no\.jpg says that it is not to be trained on"):
        cleared(maya, RECIPE, 128)
    waived = waiving(maya, opted_out="the photographer's letter")
    assert not audit(waived, RECIPE).blocked
    assert len(cleared(waived, RECIPE, 128)) == 5


def test_it_blocks_under_another_name_too(maya, tmp_path):
    add(maya, [tmp_path / "from"])
    (tmp_path / "no.jpg").write_bytes(refusing())
    add(maya, [tmp_path / "no.jpg"])
    (maya.pictures / "no.jpg").rename(maya.pictures / "yes.jpg")
    found = [finding.about for finding in audit(maya, RECIPE).findings if finding.check == "opted_out"]
    assert found == ["yes.jpg"]


def test_a_renamed_picture_keeps_what_was_said_of_it(maya, tmp_path):
    add(maya, [tmp_path / "from"], Stated(licence="CC0-1.0"))
    before = maya.ledger.read_bytes()
    (maya.pictures / "0.png").rename(maya.pictures / "x.png")
    assert "rights_unknown" not in {check for check, _ in checks(audit(maya, RECIPE))}
    assert maya.ledger.read_bytes() == before


def test_conditions_and_models_are_told_and_do_not_block(maya, tmp_path):
    add(maya, [tmp_path / "from"])
    by_hand(maya, "a.jpg", signed(scenery(7, 64, 64), cawg__ai_training="constrained"))
    by_hand(maya, "b.jpg", signed(scenery(8, 64, 64), source=TRAINED))
    result = audit(maya, RECIPE)
    assert {("opted_out", "warn"), ("generated", "note")} <= checks(result)
    assert not result.blocked


def test_a_folder_that_says_nothing_of_rights_is_left_in_peace(maya, tmp_path):
    ours = {"opted_out", "rights_unknown", "generated", "credentials_unread", "ledger_broken", "trigger_known"}
    add(maya, [tmp_path / "from"])
    assert not {check for check, _ in checks(audit(maya, RECIPE))} & ours


def test_pictures_without_a_licence_are_noted_where_others_have_one(maya, tmp_path):
    add(maya, [tmp_path / "from" / "0.png", tmp_path / "from" / "1.png"])
    add(maya, [tmp_path / "from" / "2.png"], Stated(licence="CC0-1.0", source="a book"))
    found = [finding for finding in audit(maya, RECIPE).findings if finding.check == "rights_unknown"]
    assert {(finding.about, finding.severity, finding.pictures) for finding in found} == {
        ("source", "note", ("0.png", "1.png")),
        ("licence", "note", ("0.png", "1.png")),
    }
    add(maya, [maya.pictures], Stated(licence="CC0-1.0", source="a book"))
    assert "rights_unknown" not in {check for check, _ in checks(audit(maya, RECIPE))}


def test_credentials_that_nobody_could_read_are_told_and_read_once_the_library_is_there(maya, tmp_path, monkeypatch):
    (tmp_path / "no.jpg").write_bytes(refusing())
    add(maya, [tmp_path / "from"])
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "c2pa", None)
        assert add(maya, [tmp_path / "no.jpg"]).opted_out == ()
        assert ("credentials_unread", "warn") in checks(audit(maya, RECIPE))
    assert add(maya, [maya.pictures]).opted_out == ("no.jpg",)
    assert ("opted_out", "block") in checks(audit(maya, RECIPE))
    with monkeypatch.context() as without:  # and what was read once is not forgotten
        without.setitem(sys.modules, "c2pa", None)
        add(maya, [maya.pictures])
        assert ("opted_out", "block") in checks(audit(maya, RECIPE))


def test_a_ledger_changed_by_hand_blocks_the_audit_and_is_found_by_verify(maya, tmp_path):
    add(maya, [tmp_path / "from"], Stated(licence="CC-BY-NC"))
    assert not verify(maya).blocked
    maya.ledger.write_text(maya.ledger.read_text().replace("CC-BY-NC", "CC0-1.00", 1))
    assert ("ledger_broken", "block") in checks(audit(maya, RECIPE))
    found = verify(maya)
    assert found.blocked
    assert "line 1 is not what was written" in found.broken[0]


def test_adding_and_auditing_again_writes_nothing_more(maya, tmp_path):
    add(maya, [tmp_path / "from"], Stated(licence="CC0-1.0"))
    by_hand(maya, "x.png", saved(tmp_path / "x.png", scenery(20, 64, 64)).read_bytes())
    audit(maya, RECIPE)
    before = maya.ledger.read_bytes()
    assert len(before.splitlines()) == 5
    saved(tmp_path / "from" / "twice.png", scenery(0, 64, 64))
    add(maya, [tmp_path / "from"], Stated(licence="CC0-1.0"))
    add(maya, [tmp_path / "from"])
    audit(maya, RECIPE)
    assert maya.ledger.read_bytes() == before


def test_the_ledger_says_where_each_picture_is_from(maya, tmp_path):
    saved(tmp_path / "hf" / "40_face" / "a.png", scenery(5, 64, 64))
    saved(tmp_path / "hf" / "b.png", scenery(6, 64, 64))
    rows = [
        {
            "file_name": "40_face/a.png",
            "text": "zorblax,\n close-up",
            "license": "CC-BY-4.0",
            "artist": "Ana",
            "url": "example.com/a",
        },
        {"file_name": "gone.png", "text": "x"},
    ]
    (tmp_path / "hf" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\nnot json\n")
    result = add(maya, [tmp_path / "hf"], Stated(source="a set", licence="mine"))
    assert {one.name for one in result.skipped} == {"metadata.jsonl", "metadata"}
    assert (maya.pictures / "40_face" / "a.txt").read_text() == "zorblax, close-up"
    known = provenance.records(provenance.read(maya.ledger))
    face, other = known["40_face/a.png"], known["b.png"]
    assert (face.source, face.licence, face.author) == ("example.com/a", "CC-BY-4.0", "Ana")
    assert (other.source, other.licence, other.author) == ("a set", "mine", "")
    assert provenance.read(maya.ledger).entries[0].facts["file"] == "a.png"


def test_a_table_beside_pictures_is_read_likewise_and_a_caption_file_goes_before(maya, tmp_path):
    for i in range(2):
        saved(tmp_path / "hf" / f"{i}.png", scenery(i, 64, 64))
    (tmp_path / "hf" / "1.txt").write_text("zorblax, by hand")
    (tmp_path / "hf" / "metadata.csv").write_text(
        'file_name,caption,url\n0.png,"zorblax, red",a\n1.png,"zorblax, blue",b\n'
    )
    add(maya, [tmp_path / "hf"])
    assert [(maya.pictures / f"{i}.txt").read_text() for i in range(2)] == ["zorblax, red", "zorblax, by hand"]
    known = provenance.records(provenance.read(maya.ledger))
    assert [known[f"{i}.png"].source for i in range(2)] == ["a", "b"]


def test_pictures_go_into_the_set_that_is_named(maya, tmp_path):
    assert add(maya, [tmp_path / "from"], Stated(set="20_real")).added[0] == "20_real/0.png"
    with pytest.raises(PortraitistError, match="cannot be a set's name"):
        add(maya, [tmp_path / "from"], Stated(set="../out"))


def test_verify_tells_what_was_changed_moved_removed_and_put_there(maya, tmp_path):
    add(maya, [tmp_path / "from"])
    assert verify(maya).pictures == 4
    (maya.pictures / "0.png").unlink()
    (maya.pictures / "1.png").rename(maya.pictures / "moved.png")
    saved(maya.pictures / "new.png", scenery(30, 64, 64))
    found = verify(maya)
    assert not found.blocked
    told = "\n".join(found.notes)
    assert all(
        word in told for word in ("other names", "by hand: 1, such as new.png", "no longer there: 1, such as 0.png")
    )
    data = (maya.pictures / "2.png").read_bytes()
    (maya.pictures / "2.png").write_bytes(data + b"\0")
    found = verify(maya)
    assert found.blocked
    assert "pictures/2.png is not the file that was recorded" in found.broken[0]
    add(maya, [maya.pictures])
    assert not verify(maya).blocked


def test_what_was_removed_by_hand_hinders_nothing(maya, tmp_path):
    add(maya, [tmp_path / "from"], Stated(licence="CC0-1.0"))
    for name in ("0.png", "0.txt"):
        (maya.pictures / name).unlink()
    assert audit(maya, RECIPE).pictures == 3
    add(maya, [tmp_path / "from"])
    assert verify(maya).pictures == 4
    maya.ledger.unlink()
    assert not verify(maya).blocked
    audit(maya, RECIPE)


def test_a_consent_that_was_exchanged_or_is_not_the_recorded_one_is_found(maya, tmp_path):
    (tmp_path / "s.pdf").write_bytes(b"signed")
    values = maya.facts.model_dump(mode="json", exclude_none=True) | {"subject": "real"}
    (maya.folder / "project.toml").write_text(tomli_w.dumps(values))
    assert "No consent" in "\n".join(verify(Project.open(maya.folder)).notes)
    from portraitist.verbs.consent import consent

    given = {"by": "Ana", "date": "2026-01-14", "rights": "Ana", "adult": True}
    consent(Project.open(maya.folder), file=tmp_path / "s.pdf", **given)
    real = Project.open(maya.folder)
    assert not verify(real).blocked
    (maya.folder / "consent" / "s.pdf").write_bytes(b"another")
    assert "not the signed consent" in verify(real).broken[0]
    path = maya.folder / "project.toml"
    path.write_text(path.read_text().replace(real.facts.consent.sha256, provenance.sha(b"another")))
    assert "another consent than the ledger" in verify(Project.open(maya.folder)).broken[0]


def test_the_card_quotes_sources_and_licences_and_no_name_of_a_person(maya, tmp_path):
    add(maya, [tmp_path / "from" / "0.png"], Stated(source="a book", licence="CC0-1.0"))
    add(maya, [tmp_path / "from" / "1.png"])
    found = origins(maya, ["0.png", "1.png"])
    assert found["portraitist.subject"] == "fictional"
    assert found["portraitist.sources"] == "a book 1, not said 1"
    assert found["portraitist.licences"] == "CC0-1.0 1, not said 1"
    assert found["portraitist.ledger"] == provenance.read(maya.ledger).digests[-1]


def test_a_caption_that_is_refused_stops_the_audit_whatever_is_waived(maya, tmp_path):
    add(maya, [tmp_path / "from"])
    (maya.pictures / "0.txt").write_text("zorblax, standing\nzorblax, schoolgirl, nude")
    maya = Project.create(maya.folder.parent / "again", maya.facts.model_copy(update={"waived": {"unfit": "no"}}))
    add(maya, [tmp_path / "from"])
    (maya.pictures / "0.txt").write_text("zorblax, standing\nzorblax, schoolgirl, nude")
    result = audit(maya, RECIPE)
    assert result.blocked
    assert [f.pictures for f in result.findings if f.check == "unfit"] == [("0.png",)]


def test_the_same_picture_twice_in_one_folder_is_recorded_once(maya, tmp_path):
    saved(tmp_path / "from" / "twice.png", scenery(0, 64, 64))
    add(maya, [tmp_path / "from", tmp_path / "from"])
    assert len(provenance.read(maya.ledger).entries) == 4


def test_what_is_told_of_names_that_are_no_text_can_be_printed(maya, tmp_path):
    add(maya, [tmp_path / "from"])
    bad = os.fsencode(maya.pictures) + b"/caf\xe9.png"
    os.rename(saved(maya.pictures / "x.png", scenery(40, 64, 64)), bad)
    (tmp_path / "from" / os.fsdecode(b"w\xe9.png")).write_text("no picture")
    result = add(maya, [tmp_path / "from"])
    for said in (*verify(maya).notes, *(one.says for one in result.skipped), *(one.name for one in result.skipped)):
        said.encode()
    assert len(result.skipped) == 1
