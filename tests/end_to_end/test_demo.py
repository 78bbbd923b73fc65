"""The demo goes its whole way, and its figures are of the form that it promises."""

import json

import pytest

from portraitist import demo
from portraitist.errors import PortraitistError
from portraitist.mini import truth
from tests.house.source import ROOT

SHORT = (
    "stages.0.steps=4", "training.save_every=4", "judging.screen=2", "judging.cells=1", "judging.seeds=1",
    "judging.strengths=[1.0]", "judging.sampling_steps=2", "model.threads=1",
)  # fmt: skip


def test_the_demo_ends_with_its_report_and_its_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(truth, "SEEDS", 1)
    monkeypatch.setattr(truth, "STRANGERS", 4)
    out = tmp_path / "demo"
    figures = demo.demonstrate(out, ROOT / "examples" / "zorblax", SHORT)
    told = json.loads((out / "report.json").read_text())["figures"]
    assert {"minutes", "peak_memory_gb", "identity_truth", "identity_eyes", "agreement", "checkpoint"} <= set(told)
    assert {k: told[k] for k in figures} == figures
    for name in ("identity_truth", "identity_eyes", "agreement"):
        assert {"base", "chosen"} <= set(told[name])
    agreement = told["agreement"]
    assert agreement["drop"] == pytest.approx(agreement["base"] - agreement["chosen"], abs=1e-3)
    assert abs(told["identity_truth"]["base"]) < 0.35, "the base does not know this character"
    assert told["checkpoint"] == 4
    page = (out / "report.html").read_text()
    assert "zorblax" in page
    said = capsys.readouterr().out
    assert str(out / "report.html") in said
    assert ".safetensors" in said


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "novel.txt").write_text("Chapter one")
    with pytest.raises(PortraitistError, match="something else"):
        demo.demonstrate(tmp_path, ROOT / "examples" / "zorblax")
    assert (tmp_path / "novel.txt").read_text() == "Chapter one"


def test_the_example_is_what_its_script_draws(tmp_path):
    from examples.draw import main

    main(tmp_path)
    drawn = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix == ".txt"}
    kept = {p.name: p.read_bytes() for p in (ROOT / "examples" / "zorblax").glob("*.txt")}
    assert drawn == kept
    assert len(list(tmp_path.glob("*.png"))) == len(kept) == 36
