"""A character's folder: what it must state, and what is refused."""

import hashlib

import pytest

from portraitist.errors import PortraitistError
from portraitist.pictures import Picture
from portraitist.project import Project
from portraitist.verbs.new import new

FICTIONAL = 'name = "zorblax"\ntrigger = "zorblax"\nsubject = "fictional"\n'


def project(folder, text=FICTIONAL):
    folder.mkdir(exist_ok=True)
    (folder / "project.toml").write_text(text)
    return Project.open(folder)


def refused(folder, text):
    with pytest.raises(PortraitistError) as caught:
        project(folder, text)
    return str(caught.value)


def test_a_new_project_opens_as_it_was_made(tmp_path):
    made = new(tmp_path / "maya", name="Maya", trigger="maya_char", subject="fictional", noun="robot", preset="mini")
    again = Project.open(tmp_path / "maya")
    assert again == made
    assert again.facts.noun == "robot"
    assert again.pictures.is_dir()
    assert "mini" in again.recipe.read_text()


def test_a_folder_of_another_trainer_becomes_a_project_without_a_change_to_it(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.txt").write_text("x")
    new(tmp_path, trigger="zorblax", subject="fictional")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures", "project.toml", "recipe.toml"]
    with pytest.raises(PortraitistError, match="already holds a project"):
        new(tmp_path, trigger="zorblax", subject="fictional")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"trigger": ""}, "needs a trigger"),
        ({"subject": ""}, "needs a subject"),
        ({"subject": "imaginary"}, "subject"),
        ({"trigger": "two words"}, "one word"),
        ({"trigger": "a,b"}, "one word"),
        ({"preset": "huge"}, "no preset 'huge'"),
        ({"name": "n" * 101}, "name"),
    ],
)
def test_what_new_cannot_use_is_refused_and_nothing_is_made(given, says, tmp_path):
    with pytest.raises(PortraitistError, match=says):
        new(tmp_path / "x", **({"trigger": "zorblax", "subject": "fictional"} | given))
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_no_project_says_how_to_make_one(tmp_path):
    with pytest.raises(PortraitistError, match="portraitist new"):
        Project.open(tmp_path)


def test_unknown_and_missing_keys_are_named(tmp_path):
    assert "Did you mean trigger" in refused(tmp_path, FICTIONAL + 'triger = "x"\n')
    assert "subject is missing" in refused(tmp_path, 'name = "a"\ntrigger = "a"\n')
    assert "not TOML" in refused(tmp_path, "name = zorblax")
    assert "newer" in refused(tmp_path, "format = 2\n" + FICTIONAL)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "project.toml").write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(PortraitistError, match="not UTF-8"):
        Project.open(tmp_path)


CONSENT = """
name = "Ana"
trigger = "ana_char"
subject = "real"
[consent]
file = "consent.pdf"
sha256 = "{sha}"
by = "Ana Example"
date = "2026-01-14"
covers = {covers}
rights = "Ana Example"
adult = true
"""
ALL = '["images", "training", "generation"]'


def test_a_real_person_needs_a_record_that_covers_everything_and_is_the_one_recorded(tmp_path):
    sha = hashlib.sha256(b"signed").hexdigest()
    with pytest.raises(PortraitistError, match="no consent"):
        project(tmp_path, FICTIONAL.replace("fictional", "real")).require_consent()
    with pytest.raises(PortraitistError, match="does not cover generation"):
        project(tmp_path, CONSENT.format(sha=sha, covers='["images", "training"]')).require_consent()
    whole = project(tmp_path, CONSENT.format(sha=sha, covers=ALL))
    with pytest.raises(PortraitistError, match="missing"):
        whole.require_consent()
    (tmp_path / "consent.pdf").write_bytes(b"another")
    with pytest.raises(PortraitistError, match="differs"):
        whole.require_consent()
    (tmp_path / "consent.pdf").write_bytes(b"signed")
    whole.require_consent()


def test_a_fictional_character_needs_none(tmp_path):
    project(tmp_path).require_consent()


def test_the_manifest_comes_back_as_it_was_written(tmp_path):
    here = project(tmp_path)
    with pytest.raises(PortraitistError, match="portraitist audit"):
        here.read_manifest()
    pictures = [
        Picture("a.png", "0" * 64, 3, 4, "zorblax, é", ("two", "three"), measures={"short": 3, "list": [0.5]}),
        Picture("40_maya/b.png", "1" * 64, 5, 6, set="40_maya", repeats=40, role="outfit", split="held-out"),
    ]
    here.write_manifest(pictures)
    assert here.read_manifest() == pictures
    here.manifest.write_text(here.manifest.read_text()[:-20])
    with pytest.raises(PortraitistError, match="damaged"):
        here.read_manifest()
