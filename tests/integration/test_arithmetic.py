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
from tests.judged import Trained, sat

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


@pytest.mark.parametrize(
    ("able", "kernels", "found"),
    [({"avx512_bf16": True}, True, True), ({"amx_bf16": True}, True, True), ({"bf16": True}, True, True),
     ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, True, False), ({"avx512_bf16": True}, False, False)],
)  # fmt: skip
def test_a_processor_is_known_by_its_instructions_and_torchs_kernels(monkeypatch, able, kernels, found):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: kernels)
    assert native.__wrapped__() is found


def test_names_of_instructions_are_torchs_own():
    """Of this machine's kind, that is: a misspelt one would never be there."""
    known = torch.cpu.get_capabilities()
    assert {"avx512_bf16", "amx_bf16"} <= set(known) or "bf16" in known


def test_a_processor_computes_in_bfloat16_only_where_onednn_says_so_too():
    assert torch.ops.mkldnn._is_mkldnn_bf16_supported() or not native()


@pytest.mark.parametrize("able", [True, False])
def test_auto_is_bfloat16_but_on_a_cpu_without_it(monkeypatch, able):
    processor(monkeypatch, able)
    base = families.resolve(Model(precision="auto", device="cpu"))
    assert {settled("auto", "cpu"), settled("auto", "cpu:0"), base.dtype} == {COMPUTED[able]}
    assert settled("auto", "cuda:1") == settled("auto", "mps") == "bfloat16"
    assert [settled(word, "cpu") for word in ("float32", "bfloat16", "float16")] == ["float32", "bfloat16", "float16"]
    away = families.resolve(Model(precision="auto", offload=0.5))
    assert away.dtype == "bfloat16", "blocks that wait in main memory are computed on a card"
    assert away.precision == "auto", "what samples are kept by, wherever blocks lie"


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


def test_a_run_that_goes_on_elsewhere_in_another_precision_says_so(trained, tmp_path, monkeypatch):
    """The samples are the same, and the run too; that it is no longer exact is told."""
    made, heard = trained.at(tmp_path / "p"), []
    processor(monkeypatch, True)
    run = retrained(made, "auto")
    processor(monkeypatch, False)
    longer = made.recipe.model_copy(update={"stages": (made.recipe.stages[0].model_copy(update={"steps": 8}),)})
    again = retrained(Trained(made.project, longer), "auto", heard.append)
    assert again.name == run.name
    assert max(again.steps()) == 8
    (said,) = [event.says for event in heard if isinstance(event, Warned)]
    assert said == "From here the run is no longer bit-exact: precision: bfloat16 then, float32 now"


def test_pictures_are_marked_by_what_they_were_computed_in(trained, tmp_path, monkeypatch):
    made, shot, marks = trained.at(tmp_path / "p"), None, []
    chosen = made.recipe.model_copy(update={"model": made.recipe.model.model_copy(update={"precision": "auto"})})
    for able in (True, False):
        processor(monkeypatch, able)
        sitting = sat(Trained(made.project, chosen))
        shot = shot or sitting.grid.choosing[0]
        marks.append(sitting.artist().mark(shot, "x", 1.0, sitting.grid.manner(0.0)))
    assert marks[0] != marks[1]


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
