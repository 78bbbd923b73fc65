"""evaluate --render comfyui: a run judged by what a server draws, with nothing of the base on this machine."""

import itertools
import json
import shutil
from dataclasses import replace

import pytest
from safetensors import safe_open

from portraitist import durable
from portraitist.adapters import files
from portraitist.cli import obey
from portraitist.deploy import server as servers
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Rendered, Warned
from portraitist.judge import render
from portraitist.judge.render import seeded
from portraitist.stopping import never
from portraitist.verbs.choose import choose
from portraitist.verbs.evaluate import evaluate, seated
from tests.comfy_scripted import WORKFLOW, comfy
from tests.judged import SETTINGS, Trained, trained_in

ITS_WORKFLOW = {
    "workflow": "workflow.json", "prompt": "3.text", "seed": "4.seed", "lora": "Character.lora_name",
    "guidance": "4.cfg", "steps": "4.steps", "width": "9.size",
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(servers, "POLL", 0.002)
    monkeypatch.delenv("COMFY_URL", raising=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run whose base is gone."""
    folder = tmp_path_factory.mktemp("elsewhere")
    made = trained_in(folder)
    shutil.rmtree(folder / "base")
    durable.remove(made.project.cache)
    (made.project.folder / "workflow.json").write_text(json.dumps(WORKFLOW))
    return made


def by_comfy(made, url="", **changes):
    """The same to be judged there."""
    comfyui = made.recipe.judging.comfyui.model_copy(update={**ITS_WORKFLOW, "url": url, **changes.pop("comfyui", {})})
    judging = {"render": "comfyui", "comfyui": comfyui, "guidances": (2.0, 3.0), **changes}
    recipe = made.recipe.model_copy(update={"judging": made.recipe.judging.model_copy(update=judging)})
    return Trained(made.project, recipe)


def test_a_run_is_judged_chosen_and_reported_by_what_the_server_draws_however_often_it_was_stopped(trained, tmp_path):
    made, told = trained.at(tmp_path / "p"), []
    with comfy() as server:
        there = by_comfy(made, server.url)

        def stop():
            return sum(isinstance(event, Rendered) for event in told) == 3

        with pytest.raises(Interrupted):
            evaluate(there.project, there.recipe, emit=told.append, stop=stop)
        assert (server.pending, server.running, len(made.pictures())) == ([], None, 3)
        result = evaluate(there.project, there.recipe, emit=told.append)
        choose(there.project)
        reported = evaluate(there.project, there.recipe)
        assert result.checkpoints == (2, 4, 6)
        assert reported.reported
        assert 3 + result.pictures + reported.pictures == len(server.graphs) == len(made.pictures())
        assert len(server.uploads) >= len(set(server.uploads)) == 3
        for data in server.loras.values():
            (tmp_path / "sent.safetensors").write_bytes(data)
            with safe_open(tmp_path / "sent.safetensors", "pt") as sent:
                assert all(key.startswith("lora_unet_") for key in sent.keys())  # noqa: SIM118 - not a mapping
        before = len(server.asked)
        assert evaluate(there.project, there.recipe).pictures == 0
        assert len(server.asked) == before, "where all is judged nobody is asked"
    cards = made.cards()
    assert {card.stage for card in cards} == {"screen", "grid", "probe", "report"}
    assert all("identity" in card.scores for card in cards if card.stage != "probe")
    assert not any("held_out" in card.scores for card in cards)
    assert next(event.says for event in told if isinstance(event, Warned)).startswith(
        "ComfyUI draws: losses on held-out"
    )


def test_jobs_are_ordered_for_the_servers_caches_and_probes_have_the_noise_of_what_they_probe(trained, tmp_path):
    made = trained.at(tmp_path / "p")
    with comfy() as server:
        there = by_comfy(made, server.url, seeds=2)
        sitting = seated(there.project, there.recipe, there.run, lambda event: None, never)
        sitting.judge(6, 1.0, "grid")
        sitting.judge(6, 0.5, "grid")
        graphs = [graph for graph in server.graphs if "2" in graph]
    told = [
        (g["2"]["inputs"]["lora_name"], g["2"]["inputs"]["strength_model"], g["3"]["inputs"]["text"]) for g in graphs
    ]
    changes = sum(a[:2] != b[:2] for a, b in itertools.pairwise(told))
    assert changes == 1, "a strength is drawn to its end"
    whole = [text for _, strength, text in told if strength == 0.5]
    assert len(whole) > len(set(whole)), "from several seeds"
    assert sum(a != b for a, b in itertools.pairwise(whole)) == len(set(whole)) - 1, "a prompt is read once"
    probe = next(shot for shot in sitting.grid.probing if shot.purpose == "unnamed")
    twin = next(s for s in sitting.grid.choosing if (s.prompt.text, s.seed) == (probe.twin, probe.seed))
    assert seeded(probe) == seeded(twin)
    assert len({seeded(shot) for shot in sitting.grid.choosing}) == len(sitting.grid.choosing)


def test_pictures_of_two_workflows_and_of_the_base_here_are_never_mixed(trained, tmp_path):
    made = trained.at(tmp_path / "p")
    other = {**WORKFLOW, "4": {**WORKFLOW["4"], "inputs": {**WORKFLOW["4"]["inputs"], "sampler_name": "dpmpp_2m"}}}
    (made.project.folder / "other.json").write_text(json.dumps(other))
    with comfy() as server:
        grids, marks = [], []
        for name in ("workflow.json", "other.json"):
            there = by_comfy(made, server.url, comfyui={"workflow": name})
            sitting = seated(there.project, there.recipe, there.run, lambda event: None, never)
            sitting.judge(0, 0.0, "screen")
            grids.append(sitting.grid)
            marks.append({render.marked(path) for path in sorted(made.run.evaluation.rglob("*.png"))})
        assert len(server.graphs) == 2 * len(grids[0].choosing)
    assert len({grids[0].digest, grids[1].digest, replace(grids[0], drawn_by="").digest}) == 3
    assert not marks[0] & marks[1]
    assert "" not in marks[0] | marks[1]


def test_a_lora_that_the_server_does_not_load_ends_the_judging(trained, tmp_path):
    made = trained.at(tmp_path / "p")
    with comfy(fits=lambda key: False) as server:
        there = by_comfy(made, server.url)
        with pytest.raises(PortraitistError, match="did not load the LoRA") as told:
            evaluate(there.project, there.recipe)
    keys = len(files.read(made.run.adapter(2))[0])
    assert f"of {keys} keys, such as lora_unet_" in told.value.problem
    assert all("step-000000" in name for name in made.pictures())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"comfyui": {"url": ""}}, "nothing says where that is"),
        ({"comfyui": {"url": "ftp://x"}}, "is no address"),
        ({"comfyui": {"prompt": ""}}, "not where things go in it"),
        ({"comfyui": {**dict.fromkeys(ITS_WORKFLOW, ""), "files": {"vea": "x"}}}, "has no file for 'vea'"),
        ({"comfyui": {"workflow": ""}}, r"judging\.comfyui\.prompt is a place in a workflow, and none is named"),
        ({"comfyui": {"files": {"vae": "x"}}}, "about the family's own workflow"),
        ({"comfyui": {"guidance": ""}}, r"judging.guidances tries 2, and the workflow"),
        ({"comfyui": {"references": ("3.text",)}}, "has 0 for a picture, and .* places for 1"),
        ({"comfyui": {"lora": "3.text"}}, "has no strength"),
        ({"comfyui": {"loras": "/nowhere/loras"}}, "there is no folder"),
        ({"companion": "workflow.json"}, "is not drawn by ComfyUI"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_asked(changes, word, trained):
    changes = {"guidance": 3.0, **changes}
    there = by_comfy(trained, **{**changes, "comfyui": {"url": "http://127.0.0.1:9", **changes.get("comfyui", {})}})
    with pytest.raises(PortraitistError, match=word):
        seated(there.project, there.recipe, there.run, lambda event: None, never)


def test_the_command_takes_who_draws_and_where_and_the_environment_says_it_too(trained, capfd, monkeypatch):
    its = [f'judging.comfyui.{name}="{value}"' for name, value in ITS_WORKFLOW.items()]
    settings = [one for one in SETTINGS if "guidances" not in one]
    said = [word for change in ('preset="sdxl"', 'model.base="gone"', *settings, *its) for word in ("--set", change)]
    asked = ["evaluate", str(trained.project.folder), *said]
    with comfy(lacks=("KSampler",)) as server:
        lacking = f"at {server.url} lacks the nodes KSampler"
        for words, where, says in (
            (["--render", "comfyui"], "", "nothing says where that is"),
            (
                ["--render", "comfyui", "--url", server.url],
                "http://127.0.0.1:9",
                f"at {server.url} lacks the nodes KSampler",
            ),
            (["--set", "judging.render=comfyui"], server.url, lacking),
            (["--url", server.url], "", "the base here draws"),
            (["--set", "judging.render=comfyui", "--render", "own"], "", "gone"),
        ):
            monkeypatch.setenv("COMFY_URL", where)
            assert obey([*asked, *words]) == 2
            assert says in capfd.readouterr().err
