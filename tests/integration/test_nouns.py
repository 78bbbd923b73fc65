"""Captions told by the noun, and pictures of others: what encode and caption make of them."""

import pytest

from portraitist import families
from portraitist.dataset.cache import load_index, load_samples
from portraitist.errors import PortraitistError
from portraitist.project import Project
from portraitist.sections import Data, Set
from portraitist.verbs.audit import audit
from portraitist.verbs.caption import caption
from portraitist.verbs.encode import encode
from tests.encoding import BASE
from tests.pictures import saved, scenery


def tree(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_preserving_encodes_words_alone_and_leaves_the_samples_as_they_are(project, recipe, family):
    folder = encode(project, recipe).folder
    before = tree(folder)
    preserving = changed(recipe, preserve=1.0)
    with pytest.raises(PortraitistError, match="has no samples for tiny"):
        load_samples(project, families.get("tiny"), BASE, preserving, "train")
    result = encode(project, preserving)
    assert (result.encoded, result.cached) == (9, 1), "only what is trained on"
    assert {name: data for name, data in tree(folder).items() if name in before} == before
    samples = load_samples(project, families.get("tiny"), BASE, preserving, "train")
    for sample in samples:
        number = sample.picture.removesuffix(".png")
        texts = [f"character, scene {number}"] + (["character again 1"] if number == "1" else [])
        told = [bytes(each["tokens"][:, 0].int().tolist()).decode() for each in sample.nouns]
        assert told == texts
        assert all(each["sizes"].tolist() == sample.captions[0]["sizes"].tolist() for each in sample.nouns)
    assert all(not sample.nouns for sample in load_samples(project, families.get("tiny"), BASE, recipe, "train"))
    assert encode(project, preserving).encoded == 0
    (folder / f"{next(e for e in load_index(project, preserving, BASE) if e.nouns).nouns[0]}.safetensors").unlink()
    assert encode(project, preserving).encoded == 1


def test_another_noun_is_encoded_anew_and_one_that_says_nothing_is_refused(project, recipe):
    preserving = changed(recipe, preserve=1.0)
    encode(project, preserving)
    robot = Project(project.folder, project.facts.model_copy(update={"noun": "robot"}))
    with pytest.raises(PortraitistError, match="has no samples for tiny"):
        load_index(robot, preserving, BASE)
    assert encode(robot, preserving).encoded == 9
    for noun in ("", "the zorblax"):
        none = Project(project.folder, project.facts.model_copy(update={"noun": noun}))
        with pytest.raises(PortraitistError, match="needs a noun that does not name the character"):
            encode(none, preserving)
    other = Project(project.folder, project.facts.model_copy(update={"trigger": "mira"}))
    with pytest.raises(PortraitistError, match="no caption has the trigger 'mira'"):
        encode(other, preserving)


def changed(recipe, **training):
    """The recipe with other settings of training."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=training)})


def test_beside_pictures_of_others_the_noun_alone_is_written(project, recipe):
    others = project.pictures / "2_others"
    others.mkdir()
    saved(others / "a.png", scenery(90, 48, 48))
    prior = recipe.model_copy(update={"data": Data(resolution=32, sets=(Set(name="others", role="prior"),))})
    assert caption(project, prior).without_trigger == ()
    assert (others / "a.txt").read_text() == "character\n"
    assert not [f for f in audit(project, prior).findings if "trigger" in f.check]
