"""The verb caption on whole projects: what is written, what never is, and the way back."""

import hashlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portraitist.dataset import captions_written
from portraitist.dataset.captions_written import Change, Own, undo, write
from portraitist.dataset.taxonomy import Part
from portraitist.errors import PortraitistError
from portraitist.project import Facts, Project
from portraitist.recipe import load
from portraitist.verbs.audit import audit
from portraitist.verbs.caption import caption, undone
from tests.endpoints import Reply, chat, serving
from tests.pictures import saved, scenery
from tests.taggers import tagger

SEEN = {"framing": "close-up", "expression": "smiling", "clothing": ["red dress"], "face": ["blue eyes"],
        "background": "forest", "age": "adult"}  # fmt: skip
SAYS = chat(json.dumps(SEEN))


@pytest.fixture
def project(tmp_path):
    """Four pictures; the first has a person's caption, the last lies in a set of others."""
    made = Project.create(tmp_path / "maya", Facts(name="Maya", trigger="zorblax", subject="fictional", noun="a woman"))
    for i in range(3):
        saved(made.pictures / f"{i}.png", scenery(i, 20, 20))
    saved(made.pictures / "others" / "3.png", scenery(3, 20, 20))
    (made.pictures / "0.txt").write_text("zorblax, by hand, blue eyes\n")
    made.recipe.write_text('[[data.sets]]\nname = "others"\nrole = "prior"\n')
    return made


def recipe(project, *changes):
    return load(project.recipe, changes)


def described(project, *changes, replies=(SAYS,), source="endpoint", **how):
    """Captions by a server that gives these replies, and the server."""
    with serving(*replies) as server:
        where = (f'captioning.endpoint.url="{server.url}"', 'captioning.endpoint.model="looker"')
        fast = ("captioning.endpoint.tries=1", "captioning.endpoint.timeout=5.0", "captioning.endpoint.at_once=1")
        chosen = recipe(project, f'captioning.source="{source}"', *where, *fast, *changes)
        return caption(project, chosen, **how), server


def text(project, name):
    path = project.pictures / f"{name}.txt"
    return path.read_text() if path.exists() else None


def everything(project):
    """Bytes of every caption file."""
    return {path.name: path.read_bytes() for path in sorted(project.pictures.rglob("*.txt"))}


def test_a_model_is_asked_about_what_has_no_caption_and_its_answer_becomes_one(project):
    result, server = described(project, 'captioning.style="tags"')
    assert len(server.asked) == 3
    assert text(project, "0") == "zorblax, by hand, blue eyes\n"
    assert text(project, "1") == "zorblax, close-up, smiling, red dress, forest\n"
    assert text(project, "others/3") == "a woman, close-up, smiling, red dress, blue eyes, forest\n", (
        "others have looks"
    )
    assert result.written == ("1.png", "2.png", "others/3.png")
    assert "blue eyes" in result.identity
    assert "part of zorblax" in result.identity
    assert "3,000 tokens asked, 300 answered" in result.cost


def test_the_style_is_the_familys_and_a_set_has_its_tag_and_its_template(project):
    project.recipe.write_text(
        'preset = "flux"\n[[data.sets]]\nname = "others"\n'
        'tag = "realistic_body"\ntemplate = "{trigger}, {tag}, {clothing}"\n'
    )
    described(project)
    assert text(project, "1") == "A close-up of zorblax, a woman, smiling, wearing a red dress, forest.\n"
    assert text(project, "others/3") == "zorblax, realistic_body, red dress\n"


def test_features_of_the_character_are_said_where_they_are_to_be_named(project):
    result, _ = described(project, 'captioning.identity="name"', 'captioning.style="tags"')
    assert text(project, "1") == "zorblax, close-up, smiling, red dress, blue eyes, forest\n"
    assert result.identity.startswith("named (blue eyes)")


def test_answers_are_kept_and_nobody_is_asked_twice(project):
    described(project)
    again, server = described(project, 'captioning.identity="name"')
    assert server.asked == []
    assert "blue eyes" in text(project, "1")
    assert again.cost.startswith("0 tokens")


def test_a_preview_writes_no_caption_and_shows_them_all(project):
    before = everything(project)
    result, _ = described(project, preview=True)
    assert everything(project) == before
    assert not captions_written.record(project).exists()
    assert [one.picture for one in result.rewordings] == ["1.png", "2.png", "others/3.png"]
    assert sum("+ " in value for _, value in result.table()) == 3


def test_one_picture_that_fails_stops_no_other_and_gets_no_empty_caption(project):
    result, _ = described(project, replies=(chat("I'm sorry, I can't."), chat("I'm sorry, I can't."), SAYS))
    (failure,) = result.failed
    assert failure.picture == "1.png"
    assert "refused" in failure.why
    assert text(project, "1") is None
    assert text(project, "2")


def test_a_broken_picture_is_told_and_the_others_are_captioned(project):
    (project.pictures / "1.png").write_bytes(b"no picture")
    result, server = described(project)
    assert [one.picture for one in result.failed] == ["1.png"]
    assert len(server.asked) == 2


def test_an_endpoint_that_knows_not_the_key_is_asked_once(project):
    with pytest.raises(PortraitistError, match=r"No picture was captioned: .* 401"):
        described(project, replies=(Reply(b"{}", 401),))
    assert text(project, "1") is None


def test_an_endpoint_that_dies_half_way_leaves_what_it_said(project):
    result, server = described(project, replies=(SAYS, Reply(b"{}", 404)))
    assert result.written == ("1.png",)
    assert [one.picture for one in result.failed] == ["2.png", "others/3.png"]
    assert "not asked" in result.failed[1].why
    assert len(server.asked) == 2


def test_an_endpoint_that_never_answers_is_given_up(project):
    for i in range(4, 16):
        saved(project.pictures / f"{i}.png", scenery(i, 20, 20))
    with serving(Reply(status=500)) as server:
        where = (f'captioning.endpoint.url="{server.url}"', 'captioning.endpoint.model="looker"')
        few = ("captioning.endpoint.tries=1", "captioning.endpoint.at_once=1", 'captioning.source="endpoint"')
        with pytest.raises(PortraitistError, match="No picture"):
            caption(project, recipe(project, *few, *where))
    assert len(server.asked) == 5


def test_several_at_once_come_to_the_same(project, tmp_path):
    described(project)
    one = everything(project)
    undone(project)
    for path in (project.cache / "words").iterdir():
        path.unlink()
    described(project, "captioning.endpoint.at_once=4")
    assert everything(project) == one


def test_words_in_a_picture_are_told_and_never_captioned(project):
    events = []
    described(project, replies=(chat(json.dumps({**SEEN, "text": "(c) Studio"})),), emit=events.append)
    assert any("(c) Studio" in getattr(event, "says", "") for event in events)
    assert "Studio" not in text(project, "1")


def test_a_tag_that_comes_later_is_put_into_captions_of_a_model(project):
    described(project, 'captioning.style="tags"')
    tagged = (
        'captioning.style="tags"',
        'data.sets=[{name = "", tag = "red_outfit"}, {name = "others", role = "prior"}]',
    )
    assert caption(project, recipe(project, *tagged)).written == ("1.png", "2.png")
    assert text(project, "1").startswith("zorblax, red_outfit, close-up")
    assert caption(project, recipe(project, *tagged)).written == ()


def test_what_costs_is_told_before(project):
    events = []
    described(project, "captioning.endpoint.price_in=2.0", emit=events.append)
    assert any("costs about" in getattr(event, "says", "") for event in events)


def test_nobody_to_ask_is_refused_in_a_line(project):
    for source, missing in (("endpoint", "captioning.endpoint.url"), ("tagger", "captioning.tagger.folder")):
        with pytest.raises(PortraitistError, match=missing):
            caption(project, recipe(project, f'captioning.source="{source}"'))


def test_a_tagger_captions_and_other_thresholds_need_no_other_look(project, tmp_path):
    folder = tagger(tmp_path / "tagger")
    where = ('captioning.source="tagger"', f'captioning.tagger.folder="{folder}"', 'captioning.style="tags"')
    white = scenery(0, 20, 20)
    white[:] = 255
    saved(project.pictures / "1.png", white)
    caption(project, recipe(project, *where))
    assert text(project, "1") == "zorblax, upper body, green dress, red hat, ^_^, blue background\n"
    caption(project, recipe(project, *where, "captioning.tagger.thresholds={green_dress = 1.0, red_hat = 1.0}"))
    assert len(list((project.cache / "words").iterdir())) == 3
    last = json.loads(captions_written.record(project).read_text().splitlines()[-1])
    assert last["by"] == f"tagger {hashlib.sha256((folder / 'model.onnx').read_bytes()).hexdigest()}"


def test_captions_of_a_model_are_not_replaced_by_plain_ones(project):
    described(project)
    before = everything(project)
    assert caption(project, recipe(project)).written == ()
    assert everything(project) == before


def test_another_trigger_renews_what_a_model_said(project):
    described(project, 'captioning.style="tags"')
    renamed = Project(project.folder, project.facts.model_copy(update={"trigger": "mira"}))
    result = caption(renamed, recipe(project, 'captioning.style="tags"'))
    assert text(project, "1") == "mira, close-up, smiling, red dress, forest\n"
    assert result.without_trigger == ("0.png",)


def test_rules_go_over_ours_and_over_a_persons_only_when_asked(project):
    described(project, 'captioning.style="tags"')
    changes = ('captioning.style="tags"', 'captioning.replace={"red dress" = "gown"}', 'captioning.drop=["forest"]')
    result = caption(project, recipe(project, *changes), rules=True)
    assert text(project, "1") == "zorblax, close-up, smiling, gown\n"
    assert text(project, "0") == "zorblax, by hand, blue eyes\n"
    assert caption(project, recipe(project, *changes), rules=True).written == ()

    result = caption(project, recipe(project, *changes), rules=True, everyone=True, preview=True)
    assert text(project, "0") == "zorblax, by hand, blue eyes\n"
    assert result.rewordings[0].changes == ("blue eyes: the character itself",)
    caption(project, recipe(project, *changes), rules=True, everyone=True)
    assert text(project, "0") == "zorblax, by hand\n"
    assert caption(project, recipe(project)).written == (), "it is still a person's"
    undone(project)
    assert text(project, "0") == "zorblax, by hand, blue eyes\n"


def test_undo_goes_back_a_step_at_a_time_and_leaves_what_somebody_changed(project):
    start = everything(project)
    caption(project, recipe(project))
    plain = everything(project)
    described(project)
    assert everything(project) != plain
    undone(project)
    assert everything(project) == plain
    (project.pictures / "2.txt").write_text("zorblax, a person's now")
    result = undone(project)
    assert result.changed_since == ("2.txt",)
    assert everything(project) == {**start, "2.txt": b"zorblax, a person's now"}
    with pytest.raises(PortraitistError, match="no captioning to undo"):
        undone(project)


bodies = st.none() | st.binary(max_size=40)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(bodies, min_size=1, max_size=4), after=st.text(min_size=1, max_size=30), cut=st.integers(0, 4))
def test_undo_restores_bytes_exactly_also_of_a_captioning_that_was_cut_short(tmp_path_factory, before, after, cut):
    folder = tmp_path_factory.mktemp("undo") / "maya"
    project = Project.create(folder, Facts(name="m", trigger="zorblax", subject="fictional"))
    paths = [project.pictures / f"{i}.txt" for i in range(len(before))]
    for path, body in zip(paths, before, strict=True):
        if body is not None:
            path.write_bytes(body)
    changes = [Change(path, body, after, Own((Part("pose", "x"),))) for path, body in zip(paths, before, strict=True)]
    write(project, changes)
    for path, body in list(zip(paths, before, strict=True))[cut:]:  # as if it had been killed before these
        path.unlink()
        if body is not None:
            path.write_bytes(body)
    undo(project)
    assert [path.read_bytes() if path.exists() else None for path in paths] == before


def test_two_pictures_that_share_a_caption_file_get_one_caption_and_give_it_back(project):
    saved(project.pictures / "1.jpg", scenery(9, 20, 20))
    described(project)
    assert caption(project, recipe(project)).written == ()
    assert undone(project).changed_since == ()
    assert text(project, "1") is None


def test_a_file_that_changes_between_looking_and_writing_is_not_written(project):
    path = project.pictures / "0.txt"
    change = Change(path, b"something else", "ours", None)
    assert write(project, [change]) == []
    assert text(project, "0") == "zorblax, by hand, blue eyes\n"


@pytest.mark.parametrize(
    "damage",
    ['{"format": 1}', '{"format": 1, "changes": [{"file": "../../x.txt", "before": "eA==", "after": "y"}]}', "[]", "{",
     '{"format": 1, "changes": [{"file": "0.txt", "before": "?", "after": "y"}]}', '{"format": 2, "changes": []}'],
)  # fmt: skip
def test_a_damaged_way_back_is_refused_and_touches_nothing(project, damage):
    caption(project, recipe(project))
    before = everything(project)
    captions_written.journals(project)[-1].write_text(damage)
    with pytest.raises(PortraitistError):
        undone(project)
    assert everything(project) == before


def test_a_caption_that_was_renamed_is_known_only_where_its_phrases_are(project):
    """Two pictures may have one caption and different phrases behind it."""
    eyes = chat(json.dumps({**SEEN, "face": ["green eyes"]}))
    described(project, 'captioning.style="tags"', replies=(SAYS, eyes))
    assert text(project, "1") == text(project, "2")
    caption(project, recipe(project, 'captioning.style="tags"', 'captioning.identity="name"'), rules=True)
    assert "blue eyes" in text(project, "1")
    assert "green eyes" in text(project, "2")
    undone(project)
    (project.pictures / "1.png").rename(project.pictures / "9.png")
    (project.pictures / "1.txt").rename(project.pictures / "9.txt")
    caption(project, recipe(project, 'captioning.style="tags"', 'captioning.identity="name"'), rules=True)
    assert "eyes" not in text(project, "9")


def test_what_sexualises_a_minor_is_refused_in_every_way_it_comes(project):
    child = chat(json.dumps({**SEEN, "age": "child", "nudity": "partial"}))
    words = chat(json.dumps({**SEEN, "clothing": ["school uniform", "lingerie"]}))
    result, _ = described(project, replies=(child, words, SAYS))
    assert [one.picture for one in result.failed] == ["1.png", "2.png"]
    assert all("unfit" in one.why for one in result.failed)
    assert text(project, "1") is None
    young = Project(project.folder, project.facts.model_copy(update={"noun": "a little girl"}))
    nude = chat(json.dumps({**SEEN, "clothing": ["nude"]}))
    for path in (project.cache / "words").iterdir():
        path.unlink()
    with pytest.raises(PortraitistError, match="unfit"):
        described(young, replies=(nude,))


def test_nobody_waives_what_sexualises_a_minor(project):
    (project.pictures / "1.txt").write_text("zorblax, schoolgirl, nude\n")
    (project.pictures / "2.txt").write_text("zorblax, forest\n")
    said = {"waived": {"unfit": "it is art", "number": "few", "caption_missing": "later"}}
    waiving = Project(project.folder, project.facts.model_copy(update=said))
    assert audit(waiving, recipe(project)).blocked
    (project.pictures / "1.txt").write_text("zorblax, park\n")
    assert not audit(waiving, recipe(project)).blocked


def test_a_caption_is_never_emptied(project):
    (project.pictures / "0.txt").write_text("blue eyes\n")
    caption(project, recipe(project), rules=True, everyone=True)
    assert text(project, "0") == "blue eyes\n"
    result, _ = described(project, 'captioning.drop=["close-up", "smiling", "red dress", "forest"]')
    assert text(project, "1") == "zorblax, a woman\n"
    assert not result.failed


@pytest.mark.parametrize("words", ["zorblax, full body", "zorblax, full body\r\n", "\nzorblax,  full body \n\n"])
def test_rules_that_change_no_phrase_leave_a_persons_file_as_it_is(project, words):
    (project.pictures / "0.txt").write_bytes(words.encode())
    assert not caption(project, recipe(project), rules=True, everyone=True).rewordings
    assert (project.pictures / "0.txt").read_bytes() == words.encode()


def test_one_caption_that_rules_leave_alone_is_no_failure_of_the_others(project):
    caption(project, recipe(project))
    (project.pictures / "0.txt").write_text("zorblax, " + "hat, " * 400)
    (project.pictures / "1.txt").write_text("zorblax, by hand too")
    (project.pictures / "2.txt").write_text("zorblax, by hand as well")
    found = caption(project, recipe(project), rules=True, everyone=True)
    assert [one.picture for one in found.failed] == ["0.png"]
