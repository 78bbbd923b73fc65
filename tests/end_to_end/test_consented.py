"""By command line: an archive in, its rights recorded, consent given and taken back, all of it checked."""

import json
import os
import pty
import subprocess
import tomllib
import zipfile

import pytest

from portraitist import cli
from portraitist.project import Project
from tests.credentials import signed
from tests.end_to_end.command import COMMAND, ROOT
from tests.pictures import png_bytes, scenery


def obey(capsys, *words, code=0):
    """What one command line says to a machine, in this process."""
    with pytest.raises(SystemExit) as left:
        cli.main([*map(str, words), "--json"])
    said = capsys.readouterr()
    assert left.value.code == code, said
    return json.loads(said.out)


def test_from_an_archive_to_a_withdrawn_consent(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "ana.zip", "w") as archive:
        for i in range(4):
            archive.writestr(f"ana/40_face/{i}.png", png_bytes(scenery(i, 64, 64)))
            archive.writestr(f"ana/40_face/{i}.txt", f"ana_char, number {i}")
        archive.writestr("../../evil.png", b"x")
        archive.writestr("ana/no.jpg", signed(scenery(9, 64, 64), cawg__ai_training="notAllowed"))
    (tmp_path / "signed.pdf").write_bytes(b"signed")
    ana = tmp_path / "ana"
    obey(
        capsys, "new", ana, "--trigger", "ana_char", "--subject", "real", "--noun", "a woman", "--scene", "park, street"
    )
    rights = ("--source", "her own", "--licence", "by consent", "--author", "Ana")
    added = obey(capsys, "add", ana, tmp_path / "ana.zip", *rights)
    assert len(added["added"]) == 5
    assert added["opted_out"] == ["no.jpg"]
    assert "leads out" in added["skipped"][0]["says"]
    assert not (tmp_path / "evil.png").exists()
    assert {"opted_out"} <= {one["check"] for one in obey(capsys, "audit", ana, code=1)["findings"]}
    (ana / "pictures" / "no.jpg").unlink()
    obey(capsys, "audit", ana)
    assert "no consent" in obey(capsys, "encode", ana, code=2)["problem"]
    given = (
        "--file",
        tmp_path / "signed.pdf",
        "--by",
        "Ana Example",
        "--date",
        "2026-01-14",
        "--rights",
        "Ana Example",
    )
    assert "adults alone" in obey(capsys, "consent", ana, *given, code=2)["problem"]
    assert obey(capsys, "consent", ana, *given, "--adult", "--covers", "images, training,generation")["recorded"]
    Project.open(ana).require_consent()
    found = obey(capsys, "verify", ana)
    assert (found["pictures"], found["files"], found["broken"]) == (4, 1, [])
    assert not obey(capsys, "consent", ana, "--withdraw", "--date", "2026-03-01")["recorded"]
    for command in ("encode", "train", "evaluate", "export", "run"):
        assert "withdrawn their consent (2026-03-01)" in obey(capsys, command, ana, code=2)["problem"], command
    ledger = ana / "provenance.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b"her own", b"his own", 1))
    assert "line 1" in obey(capsys, "verify", ana, code=1)["broken"][0]
    assert "goes with --date alone" in obey(capsys, "consent", ana, "--withdraw", "--adult", code=2)["problem"]


def at_a_terminal(answers, *words, cwd):
    """A command whose input is a terminal, where a person types `answers`; what it says on both streams."""
    ours, theirs = pty.openpty()
    os.write(ours, answers.encode())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*COMMAND, *words], stdin=theirs, capture_output=True, text=True, cwd=cwd, env=environment)
    os.close(ours)
    os.close(theirs)
    return done.returncode, done.stdout + done.stderr


def test_new_asks_at_a_terminal_for_what_was_not_said(tmp_path):
    answers = "two words\nwoman\nn\nzorblax\nmaybe\nfictional\nclose-up, full body\n" + "\n" * 8 + "forest\n"
    code, said = at_a_terminal(answers, "new", "maya", cwd=tmp_path)
    assert code == 0, said
    assert "has a meaning already" in said
    made = tomllib.loads((tmp_path / "maya" / "project.toml").read_text())
    assert (made["trigger"], made["subject"]) == ("zorblax", "fictional")
    assert made["brief"] == {"framing": ["close-up", "full body"], "background": ["forest"]}


def test_leaving_the_questions_makes_nothing_and_scripts_are_not_asked(tmp_path, capsys):
    code, said = at_a_terminal("zorblax\n\4", "new", "maya", cwd=tmp_path)
    assert code == 130, said
    assert "Nothing was made" in said
    assert not (tmp_path / "maya").exists()
    assert "needs a trigger" in obey(capsys, "new", tmp_path / "maya", code=2)["problem"]
