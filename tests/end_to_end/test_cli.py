"""The command line keeps its manners whatever it is given."""

import json
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
import zlib

import pytest

from portraitist import __version__, replies
from tests.end_to_end.command import COMMAND, answer, noise, portraitist, project
from tests.house.source import ROOT


def state(folder):
    """Every file below a folder and its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def refused(done, *words):
    """Two lines on standard error, nothing on standard output, exit code 2."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Problem", "Remedy"], done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_it_says_its_version():
    assert portraitist("--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (["trian", "x"], 'Did you mean "train"?'),
        (["train", "x", "--sett", "a=1"], "Did you mean --set?"),
        (["train"], "requires an argument"),
        (["new", "x", "--trigger", "t", "--subject", "imaginary"], '"fictional", "real"'),
        (["audit", "x", "y"], "Unused"),
        (["export", "x", "--set", "training.rate=1"], "--set"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_wrong_word_gets_one_line(line, word):
    done = portraitist(*line)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert word in done.stderr


def test_a_folder_that_is_no_project_says_how_to_make_one(tmp_path):
    refused(portraitist("audit", tmp_path), "is not a project", "portraitist new")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_recipe_key_gets_the_key_that_was_meant(tmp_path):
    made = project(tmp_path)
    before = state(made)
    refused(portraitist("train", made, "--set", "training.raet=1e-4"), "training.raet", "Did you mean training.rate?")
    (made / "recipe.toml").write_text("[adaptor]\nrank = 8\n")
    refused(portraitist("train", made), "unknown key adaptor", "Did you mean adapter?")
    (made / "recipe.toml").write_text("[adapter]\nrank = 0\n")
    refused(portraitist("train", made), "adapter.rank = 0", "greater than or equal to 1")
    (made / "recipe.toml").write_bytes(before["recipe.toml"])
    assert state(made) == before


def test_an_empty_folder_is_told_where_pictures_go(tmp_path):
    made = tmp_path / "maya"
    portraitist("new", made, "--trigger", "maya_char", "--subject", "fictional")
    before = state(made)
    refused(portraitist("audit", made), "no readable picture", "portraitist add")
    refused(portraitist("add", made, tmp_path / "maya" / "pictures"))
    assert state(made) == before


def test_a_caption_that_is_not_utf8_is_named_with_the_byte(tmp_path):
    made = project(tmp_path)
    (made / "pictures" / "1.txt").write_bytes(b"maya_char, caf\xe9")
    done = portraitist("audit", made, "--json")
    said = json.loads(done.stdout)
    told = json.dumps(said)
    assert done.returncode in (1, 2)
    assert "1.txt" in told
    assert "UTF-8" in told


def bomb(path, side=30_000):
    """A PNG of some hundred bytes whose header claims 900 megapixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 100)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def test_a_named_picture_that_is_empty_or_a_bomb_is_refused(tmp_path):
    made = project(tmp_path)
    before = state(made)
    empty = tmp_path / "empty.png"
    empty.touch()
    refused(portraitist("add", made, empty), "empty.png", "0 bytes")
    refused(portraitist("add", made, bomb(tmp_path / "bomb.png")), "bomb.png", "megapixels")
    refused(portraitist("add", made, tmp_path / "nowhere.png"), "nowhere.png")
    assert state(made) == before


def test_a_machine_gets_the_problem_as_one_value(tmp_path):
    assert set(answer("audit", tmp_path, code=2)) == {"problem", "remedy"}
    assert set(answer("trian", code=2)) == {"problem", "remedy"}


def test_what_blocks_leaves_with_one_and_says_how_to_mend_it(tmp_path):
    """Pictures of 8 pixels cannot teach anything."""
    made = project(tmp_path)
    for path in (made / "pictures").glob("*.png"):
        noise(path, 1, side=8)
    done = portraitist("audit", made, "--page", "--set", "audit.thresholds.few=2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BLOCKS" in done.stdout
    assert "<img" in (made / "audit.html").read_text()
    assert answer("audit", made, code=1)["blocked"] is True


def test_a_bug_of_ours_is_one_line_and_a_log(tmp_path, capsys):
    made = project(tmp_path)
    with pytest.raises(KeyError) as bug:
        {}["seed"]
    assert replies.confess(bug.value, made, as_json=False) == 70
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert str(made / "errors.log") in said
    assert "Traceback" in (made / "errors.log").read_text()


def test_a_full_disk_is_not_called_a_bug(tmp_path, capsys):
    assert replies.confess(OSError(28, "No space left on device", "/x/y"), tmp_path, as_json=False) == 2
    assert "Free some space" in capsys.readouterr().err


def test_a_library_that_is_not_installed_is_named_and_is_no_bug(tmp_path):
    """As where the doctor was installed alone: torch is not to be had."""
    without = "import sys; sys.modules['torch'] = None; from portraitist.cli import main; main(sys.argv[1:])"
    words = ["rescale", str(tmp_path / "a.safetensors"), "--strength", "0.5", "--out", str(tmp_path / "b.safetensors")]
    done = subprocess.run([sys.executable, "-c", without, *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "Problem: This command needs torch, which is not installed here\n"
        "Remedy: Install portraitist with all that it needs, as its README says.\n"
    )
    part = ModuleNotFoundError(name="transformers.models.gone")
    assert replies.lacking(part, tmp_path, as_json=False) == 70, "a part of a library that is there"


def test_nobody_listening_is_no_drama(tmp_path):
    made = project(tmp_path)
    with subprocess.Popen(
        [*COMMAND, "audit", str(made), "--json"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() in (0, 1, 141)


WORK = """
import sys, time
from portraitist.errors import Interrupted
from portraitist.stopping import stopping
try:
    with stopping(patient={patient}) as stop:
        sys.stdout.write("ready\\n"); sys.stdout.flush()
        while not ({deaf} and True) and not stop():
            time.sleep(0.01)
        while {deaf}:
            time.sleep(0.01)
        sys.stdout.write("saved\\n")
except Interrupted:
    sys.stdout.write("interrupted\\n")
"""


@pytest.fixture
def at_work():
    """Starts processes that work until they are stopped, and leaves none behind."""
    started = []

    def start(patient=True, deaf=False, **environment):
        code = textwrap.dedent(WORK.format(patient=patient, deaf=deaf))
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_patient_work_saves_when_asked_to_stop(number, at_work):
    process = at_work()
    process.send_signal(number)
    said, told = process.communicate(timeout=10)
    assert said == "saved\n"
    assert "saving first" in told


def test_other_work_is_interrupted_where_it_stands(at_work):
    process = at_work(patient=False)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10)[0] == "interrupted\n"


def test_a_second_interrupt_ends_at_once(at_work):
    process = at_work(deaf=True)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130


def test_an_orphan_stops_by_itself(at_work):
    """The `run` that started it is gone: nothing goes on unseen."""
    process = at_work(PORTRAITIST_PARENT="1" if os.getpid() != 1 else "2")
    # not communicate(): what came along with the first line lies in the reader's buffer, where it would be passed over
    assert process.stdout.read() == "saved\n"
    assert process.wait(timeout=10) == 0
