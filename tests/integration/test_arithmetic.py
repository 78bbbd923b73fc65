"""`model.precision = "auto"`: bfloat16, and float32 on a CPU that would imitate it."""

import subprocess
import sys

import pytest
import torch

from portraitist import arithmetic, families, recipe, runs
from portraitist.arithmetic import native, settled
from portraitist.errors import PortraitistError
from portraitist.events import Started, Warned
from portraitist.interop import TOOLS, tool
from portraitist.project import Facts
from portraitist.sections import Model
from portraitist.verbs.audit import audit
from portraitist.verbs.encode import encode
from portraitist.verbs.train import train

COMPUTED = {True: "bfloat16", False: "float32"}


def retrained(made, word, emit=lambda event: None):
    """The run of a recipe in another precision."""
    chosen = made.recipe.model_copy(update={"model": made.recipe.model.model_copy(update={"precision": word})})
    audit(made.project, chosen)
    encode(made.project, chosen)
    return runs.find(made.project, train(made.project, chosen, emit=emit).run)


def processor(monkeypatch, able):
    """A CPU that computes in bfloat16 itself, or one that does not."""
    monkeypatch.setattr(arithmetic, "native", lambda: able)


def test_a_processor_computes_in_bfloat16_only_where_onednn_says_so_too():
    assert torch.ops.mkldnn._is_mkldnn_bf16_supported() or not native()


@pytest.mark.parametrize("able", [True, False])
def test_auto_is_bfloat16_but_on_a_cpu_without_it(monkeypatch, able):
    processor(monkeypatch, able)
    assert settled("auto", "cpu") == families.resolve(Model(precision="auto", device="cpu")).dtype == COMPUTED[able]
    assert settled("auto", "cuda:1") == settled("auto", "mps") == "bfloat16"
    assert [settled(word, "cpu") for word in ("float32", "bfloat16", "float16")] == ["float32", "bfloat16", "float16"]
    away = families.resolve(Model(precision="auto", offload=0.5))
    assert away.dtype == "bfloat16", "blocks that wait in main memory are computed on a card"


def test_no_torch_is_loaded_for_a_card():
    code = "import sys, portraitist.arithmetic as a; a.settled('auto', 'cuda'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("able", [True, False])
def test_training_by_auto_is_training_by_what_it_comes_to(trained, tmp_path, monkeypatch, able):
    """To the byte, and the record says in which precision."""
    processor(monkeypatch, able)
    made, files = trained.at(tmp_path / "p"), []
    for word in ("auto", COMPUTED[able]):
        run = retrained(made, word)
        told = {event.facts["precision"] for event in run.log.events() if isinstance(event, Started)}
        assert told == {COMPUTED[able]}
        files.append(run.adapter(6).read_bytes())
    assert files[0] == files[1]


CASES = [(False, "bfloat16", 1), (False, "auto", 0), (True, "bfloat16", 0)]


@pytest.mark.parametrize(("able", "word", "warned"), CASES)
def test_bfloat16_by_name_is_warned_of_where_it_is_imitated(trained, tmp_path, monkeypatch, able, word, warned):
    processor(monkeypatch, able)
    made, heard = trained.at(tmp_path / "p"), []
    retrained(made, word, heard.append)
    said = [event for event in heard if isinstance(event, Warned) and "imitates" in event.says]
    assert len(said) == warned
    assert all("model.precision=auto" in event.remedy for event in said)


def test_other_trainers_are_told_what_a_card_computes_in():
    facts = Facts(name="Maya", trigger="maya_char", subject="fictional", noun="robot")
    told = 0
    for name in TOOLS:
        texts = []
        for word in ("auto", "bfloat16"):
            made = recipe.made({"preset": "flux", "model": {"base": "f", "precision": word}}, "test")
            try:
                texts.append(tool(name).written(made, facts, "/nowhere/pictures"))
            except PortraitistError as error:
                texts.append(error.problem)
        assert texts[0] == texts[1], name
        told += isinstance(texts[0], dict)
    assert told >= 4
