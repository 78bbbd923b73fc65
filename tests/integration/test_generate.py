"""Pictures from one reference: by the project's own base, by a ComfyUI, by hosted services; spread, recorded."""

import hashlib
import json

import numpy as np
import pytest
import torch

from portraitist import durable
from portraitist.dataset import generated
from portraitist.deploy import server as servers
from portraitist.errors import Interrupted, PortraitistError
from portraitist.mini.characters import ZORBLAX
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import Context, Scene
from portraitist.pictures import open_upright
from portraitist.recipe import load
from portraitist.verbs.generate import Service, generate
from portraitist.verbs.new import new
from portraitist.verbs.verify import verify
from tests.drawing_servers import WORKFLOW, serving
from tests.pictures import saved, scenery
from tests.tiny import tiny


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No waiting between looks at a job, and between tries."""
    monkeypatch.setattr(servers, "POLL", 0.01)
    monkeypatch.setattr("portraitist.deploy.exchange.LONGEST_PAUSE", 0.01)
    monkeypatch.setenv("DRAWING_KEY", "secret")


@pytest.fixture
def place(tmp_path):
    """A project, its recipe, and a reference picture."""
    project = new(tmp_path / "maya", trigger="maya_char", subject="fictional", noun="a cartoon character")
    return project, load(project.recipe), saved(tmp_path / "ref.png", scenery(1, 64, 64))


def by_comfy(folder, url, **changes):
    path = folder / "workflow.json"
    path.write_text(json.dumps(WORKFLOW))
    facts = {"prompt_at": "6.text", "seed_at": "Draw.seed", "reference_at": "10.image", "timeout": 20.0}
    return Service("comfy", url, workflow=str(path), **{**facts, **changes})


def hosted(url, kind="edits", **changes):
    facts = {"key": "DRAWING_KEY", "model": "painter-1", "price": 0.04, "budget": 10.0, "timeout": 20.0}
    return Service(kind, url, **{**facts, **changes})


def lines(project):
    return [json.loads(line) for line in (project.folder / "generated.jsonl").read_text().splitlines()]


def test_a_comfyui_draws_by_the_workflow_with_its_inputs_filled_in(place, tmp_path):
    project, recipe, reference = place
    with serving() as server:
        made = generate(project, recipe, reference, 3, service=by_comfy(tmp_path, server.url))
        assert len(made.made) == len(server.graphs) == 3
        assert server.uploads[0]["type"] == b"input"
        got = saved(tmp_path / "got.png", scenery(0))
        got.write_bytes(server.uploads[0]["image"])
        assert np.array_equal(open_upright(got).pixels, open_upright(reference).pixels)
    for graph, line in zip(server.graphs, lines(project), strict=True):
        assert graph["6"]["inputs"]["text"] == line["prompt"]
        assert graph["3"]["inputs"]["seed"] == line["seed"]
        assert graph["10"]["inputs"]["image"] == "up.png"
        assert graph["6"]["inputs"]["clip"] == ["4", 1]
        assert "a cartoon character" in line["prompt"]
        path = project.folder / line["picture"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == line["sha256"]
        assert "maya_char" in path.with_suffix(".txt").read_text()
        assert (line["outcome"], line["service"]) == ("kept", f"comfyui {server.url}")
    assert len({(line["prompt"]) for line in lines(project)}) == 3


def test_what_is_there_is_not_drawn_again_and_what_was_taken_away_is_with_another_seed(place, tmp_path):
    project, recipe, reference = place
    with serving() as server:
        service = by_comfy(tmp_path, server.url)
        first = generate(project, recipe, reference, 2, service=service)
        (project.folder / first.made[0]).with_suffix(".txt").write_text("mine")
        again = generate(project, recipe, reference, 2, service=service)
        assert (again.made, len(again.already), len(server.graphs)) == ((), 2, 2)
        (project.folder / first.made[1]).unlink()
        third = generate(project, recipe, reference, 3, service=service)
    assert (len(third.made), len(third.already)) == (2, 1)
    assert (project.folder / first.made[0]).with_suffix(".txt").read_text() == "mine"
    redrawn = [line for line in lines(project) if line["key"] == lines(project)[1]["key"]]
    assert [line["attempt"] for line in redrawn] == [0, 1]
    assert redrawn[0]["seed"] != redrawn[1]["seed"]


def test_a_picture_that_a_kill_left_without_a_record_is_not_paid_for_again(place, tmp_path):
    project, recipe, reference = place
    with serving() as server:
        service = by_comfy(tmp_path, server.url)
        first = generate(project, recipe, reference, 2, service=service)
        record = project.folder / "generated.jsonl"
        record.write_text(record.read_text().splitlines()[0] + '\n{"torn')
        (project.folder / first.made[1]).with_suffix(".txt").unlink()
        durable.cut(project.ledger, len(project.ledger.read_bytes().splitlines(keepends=True)[0]))
        assert "put there by hand: 1" in "".join(verify(project).notes)
        again = generate(project, recipe, reference, 2, service=service)
        found = verify(project)
        assert (found.broken, found.notes, found.pictures) == ((), (), 2)
        assert len(server.graphs) == 2
        assert len(generated.read(project)) == 2
        assert not generate(project, recipe, reference, 2, service=service).made
    assert again.made == first.made[1:]
    assert "maya_char" in (project.folder / first.made[1]).with_suffix(".txt").read_text()


@pytest.mark.parametrize(
    ("mode", "lacks", "word"),
    [
        ("broken", "", "no space left"),
        ("cut", "", "broke off"),
        ("refuses", "", "Value not in list"),
        ("fails", "", "out of memory"),
        ("saves nothing", "", "saves no picture"),
        ("forgotten", "", "no longer knows"),
        ("", "KSampler", "lacks the nodes KSampler"),
    ],
    ids=lambda value: value,
)
def test_what_goes_wrong_in_a_comfyui_ends_in_one_line(mode, lacks, word, place, tmp_path):
    project, recipe, reference = place
    with serving(mode, lacks) as server, pytest.raises(PortraitistError, match=word):
        generate(project, recipe, reference, 5, service=by_comfy(tmp_path, server.url), redraws=3)
    assert not list(project.pictures.rglob("*.png"))


def test_a_server_that_is_not_there_is_told_at_once(place, tmp_path):
    project, recipe, reference = place
    with serving() as server:
        url = server.url
    with pytest.raises(PortraitistError, match="Nothing answers"):
        generate(project, recipe, reference, 1, service=by_comfy(tmp_path, url))


def test_a_server_that_is_lost_midway_leaves_what_was_drawn_and_the_same_command_goes_on(place, tmp_path):
    project, recipe, reference = place
    with serving() as server:
        service = by_comfy(tmp_path, server.url)
        generate(project, recipe, reference, 1, service=service)
        server.mode = "broken"
        with pytest.raises(PortraitistError, match="500"):
            generate(project, recipe, reference, 3, service=service)
        server.mode = ""
        made = generate(project, recipe, reference, 3, service=service)
    assert (len(made.made), len(made.already)) == (2, 1)


def test_nonsense_in_place_of_a_picture_is_drawn_again_and_then_kept_out(place, tmp_path):
    project, recipe, reference = place
    with serving("nonsense") as server:
        made = generate(project, recipe, reference, 1, service=by_comfy(tmp_path, server.url), redraws=2)
        assert len(server.graphs) == 3
    assert (made.made, list(made.kept_out.values())) == ((), ["what came is no picture"])
    assert [line["outcome"] for line in lines(project)] == ["unusable"] * 3
    assert not list(project.pictures.rglob("*.png"))


@pytest.mark.parametrize(
    ("change", "places", "word"),
    [
        ("{", {}, "no JSON"),
        ('{"nodes": [], "links": []}', {}, "as the browser saves it"),
        ("[]", {}, "no workflow in API format"),
        ('{"6": {"class_type": ["x"], "inputs": {}}}', {}, "no workflow in API format"),
        ('{"6": {"class_type": "x", "inputs": []}}', {}, "no workflow in API format"),
        ('{"6": {"class_type": "x", "inputs": {}, "_meta": null}}', {}, "no input 'text'"),
        (None, {"prompt_at": "77.text"}, "no node '77'"),
        (None, {"seed_at": "3.sead"}, "no input 'sead'"),
        (None, {"prompt_at": "3.positive"}, "linked to another node"),
        (None, {"prompt_at": ""}, "draws by a workflow"),
    ],
)
def test_a_workflow_that_cannot_be_filled_in_is_refused_before_anything_is_asked(change, places, word, place, tmp_path):
    project, recipe, reference = place
    service = by_comfy(tmp_path, "http://127.0.0.1:9", **places)
    if change is not None:
        (tmp_path / "workflow.json").write_text(change)
    with pytest.raises(PortraitistError, match=word):
        generate(project, recipe, reference, 1, service=service)


@pytest.mark.parametrize("kind", ["edits", "generations", "gemini"])
@pytest.mark.parametrize("mode", ["", "by address"])
def test_a_hosted_service_draws(kind, mode, place):
    project, recipe, reference = place
    with serving(mode) as server:
        made = generate(project, recipe, reference, 2, service=hosted(f"{server.url}/v1", kind))
        asked = server.asked
    assert len(made.made) == 2
    assert made.cost == pytest.approx(0.08)
    words = [line["prompt"] for line in lines(project)]
    if kind == "edits":
        assert [one["prompt"].decode() for one in asked] == words
        assert asked[0]["model"] == b"painter-1"
        assert asked[0]["image"].startswith(b"\x89PNG")
    elif kind == "generations":
        assert [one["prompt"] for one in asked] == words
        assert asked[0]["n"] == 1
    else:
        assert [one["contents"][0]["parts"][0]["text"] for one in asked] == words
        assert asked[0]["contents"][0]["parts"][1]["inline_data"]["mime_type"] == "image/png"
    assert all("secret" not in json.dumps(line) for line in lines(project))


@pytest.mark.parametrize(
    ("mode", "kind", "word"),
    [
        ("broken", "edits", "no space left"),
        ("cut", "edits", "broke off"),
        ("refuses", "edits", "safety system"),
        ("empty", "edits", "without a picture"),
        ("elsewhere", "edits", "names a picture at 192"),
        ("empty", "gemini", "I will not"),
    ],
)
def test_what_goes_wrong_in_a_service_ends_in_one_line_and_is_not_paid_for_over_and_over(mode, kind, word, place):
    project, recipe, reference = place
    with serving(mode) as server, pytest.raises(PortraitistError, match=word):
        generate(project, recipe, reference, 9, service=hosted(f"{server.url}/v1", kind))
    assert len(server.asked) <= 3
    assert not list(project.pictures.rglob("*.png"))


def test_a_wrong_key_is_told_without_the_key(place, monkeypatch):
    project, recipe, reference = place
    monkeypatch.setenv("DRAWING_KEY", "wrong")
    with serving() as server, pytest.raises(PortraitistError, match="answered 401") as told:
        generate(project, recipe, reference, 1, service=hosted(f"{server.url}/v1"))
    assert "wrong" not in str(told.value)
    monkeypatch.delenv("DRAWING_KEY")
    with pytest.raises(PortraitistError, match="is not set"):
        generate(project, recipe, reference, 1, service=hosted("http://127.0.0.1:9/v1"))


def test_the_cost_comes_first_and_the_budget_is_never_passed(place):
    project, recipe, reference = place
    with serving("nonsense") as server:
        service = hosted(f"{server.url}/v1", budget=0.1)
        plan = generate(project, recipe, reference, 4, service=service, dry_run=True)
        assert (len(plan.planned), plan.cost) == (4, pytest.approx(0.16))
        with pytest.raises(PortraitistError, match=r"4 pictures at 0.04 cost 0.16, and 0.10 may be spent"):
            generate(project, recipe, reference, 4, service=service)
        assert not server.asked
        made = generate(project, recipe, reference, 2, service=service)
        assert len(server.asked) == 2  # a third one would cost 0.12
    assert made.made == ()
    assert made.cost <= 0.1


class Looks:
    """Eyes that see brightness alone: who is brighter than grey is somebody else."""

    digest = "brightness"

    def pictures(self, pixels):
        mean = pixels.mean(dim=(1, 2, 3))
        return torch.stack([torch.cos(mean), torch.sin(mean)], dim=1)


def test_outliers_are_drawn_again_and_then_kept_out_and_told(place, tmp_path):
    project, recipe, reference = place
    warned = []
    with serving() as server:
        service = by_comfy(tmp_path, server.url)
        plain = generate(project, recipe, reference, 4, service=service, looks=Looks(), least=-1.0)
        scores = [line["likeness"] for line in lines(project)]
        made = generate(
            project,
            recipe,
            reference,
            4,
            service=service,
            looks=Looks(),
            least=1.1,
            redraws=2,
            seed=1,
            emit=warned.append,
        )
        assert len(server.graphs) == 4 + 12
    assert len(plain.made) == 4
    assert all(-1 <= score <= 1 for score in scores)
    assert made.made == ()
    assert len(made.kept_out) == 4
    rejected = [line for line in lines(project) if line["outcome"] == "rejected"]
    assert len(rejected) == 12
    assert all((project.folder / line["picture"]).is_file() for line in rejected)
    assert not any(line["picture"].startswith("pictures/") for line in rejected)
    assert sum("Kept out" in getattr(event, "says", "") for event in warned) == 4


def test_a_real_person_is_drawn_only_with_consent(tmp_path):
    project = new(tmp_path / "maya", trigger="maya_char", subject="real")
    reference = saved(tmp_path / "ref.png", scenery(1, 64, 64))
    with pytest.raises(PortraitistError, match="no consent is recorded"):
        generate(project, load(project.recipe), reference, 1, dry_run=True)


def test_a_base_that_takes_no_reference_is_refused(place):
    project, recipe, reference = place
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"family": "sdxl"})})
    with pytest.raises(PortraitistError, match="sdxl takes no reference"):
        generate(project, recipe, reference, 1, dry_run=True)


@pytest.mark.parametrize(
    ("how", "word"),
    [({"count": 0}, "0 pictures"), ({"prompt": "nothing"}, "no {words}"), ({"count": 9999}, "There are 2592")],
)
def test_what_cannot_be_planned_is_refused(how, word, place):
    project, recipe, reference = place
    count = how.pop("count", 1)
    with pytest.raises(PortraitistError, match=word):
        generate(project, recipe, reference, count, dry_run=True, **how)


def test_a_base_that_is_stopped_between_two_pictures_goes_on_to_the_same_bytes(tmp_path):
    base = tiny("mini", tmp_path / "base")
    reference, drawn = saved(tmp_path / "ref.png", scenery(1, 90, 70)), []
    changes = [f'model.base="{base.folder}"', "model.threads=1", "judging.sampling_steps=2", "data.resolution=64"]
    for name in ("whole", "stopped"):
        project = new(tmp_path / name, trigger="zorblax", subject="fictional", noun="a cartoon character")
        recipe, asked = load(project.recipe, changes), iter(range(9))
        if name == "stopped":
            with pytest.raises(Interrupted):
                generate(project, recipe, reference, 3, least=-1.0, stop=lambda asked=asked: next(asked) >= 1)
        made = generate(project, recipe, reference, 3, least=-1.0)
        assert (len(made.made), len(made.already)) == ((3, 0) if name == "whole" else (2, 1))
        drawn.append({p.name: p.read_bytes() for p in sorted((project.pictures / "generated").glob("*.png"))})
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0].values())) == 3


def test_the_embedded_base_draws_the_character_of_one_reference(place, tmp_path):
    """Its own eyes, which were not taught on its pictures, find them like a drawing of a character it never saw."""
    project, recipe, _ = place
    how = Context("half body", "front view", "neutral", "standing", "plain gray", "soft light")
    reference = saved(tmp_path / "zorblax.png", draw(Scene(ZORBLAX, how, 5), side=128).pixels)
    recipe = load(project.recipe, ["model.threads=1", "judging.sampling_steps=8"])
    made = generate(project, recipe, reference, 2)
    assert len(made.made) == 2
    assert min(line["likeness"] for line in lines(project)) >= 0.8
    assert all((project.folder / name).with_suffix(".txt").read_text().count(" of maya_char, ") for name in made.made)
