"""A write is whole or absent, and a refusal of the system is one line and a remedy."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist import durable
from portraitist.errors import PortraitistError


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fails_with(number):
    """A system call that the system refuses."""

    def call(*_args, **_how):
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_refused_write_leaves_the_old_file_and_nothing_half_written(number, call, tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    durable.write_text(path, "old")
    monkeypatch.setattr(os, call, fails_with(number))
    with pytest.raises(PortraitistError) as caught:
        durable.write_text(path, "new")
    monkeypatch.undo()
    assert str(path) in caught.value.problem
    assert os.strerror(number) in caught.value.problem
    assert caught.value.remedy == durable.REMEDIES[number]
    assert path.read_text() == "old"
    assert left(tmp_path) == ["a.json"]


def test_a_disk_that_fills_while_writing_leaves_the_old_file(tmp_path):
    """The real thing: the kernel stops the write at a size limit, here with EFBIG in place of ENOSPC."""
    path = tmp_path / "a.bin"
    durable.write_bytes(path, b"old")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(PortraitistError, match="File too large"):
            durable.write_bytes(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert left(tmp_path) == ["a.bin"]


def test_no_space_while_appending_is_told(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    with pytest.raises(PortraitistError, match="No space left"):
        durable.append_line(tmp_path / "events.jsonl", "x")


def test_a_file_where_a_folder_should_be_is_told(tmp_path):
    (tmp_path / "a").write_text("")
    for write in (lambda p: durable.write_text(p, "x"), lambda p: durable.append_line(p, "x"), durable.make_folder):
        with pytest.raises(PortraitistError):
            write(tmp_path / "a" / "b")


def test_a_writer_killed_in_the_middle_leaves_the_old_file_and_sweep_removes_the_rest(tmp_path):
    path = tmp_path / "a.bin"
    durable.write_bytes(path, b"old")
    program = (
        "import os, signal, sys; from pathlib import Path; from portraitist import durable\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "durable.write_bytes(Path(sys.argv[1]), b'new')"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(left(tmp_path)) == 2
    assert durable.sweep(tmp_path) == 1
    assert left(tmp_path) == ["a.bin"]


@given(data=st.binary(max_size=2000))
def test_what_was_written_is_read_and_digested_alike(data, tmp_path_factory):
    import hashlib

    path = tmp_path_factory.mktemp("x") / "deep" / "er" / "a"
    durable.write_bytes(path, data)
    assert path.read_bytes() == data
    assert durable.digest(path) == hashlib.sha256(data).hexdigest()


def test_a_second_writer_is_refused_while_the_first_one_lives_and_not_after(tmp_path):
    with durable.lock(tmp_path), pytest.raises(PortraitistError, match="Another process"), durable.lock(tmp_path):
        pass
    with durable.lock(tmp_path):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path; from portraitist import durable\n"
        "with durable.lock(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    with durable.lock(tmp_path):
        pass


def test_text_that_is_not_utf_8_is_named_with_its_byte(tmp_path):
    (tmp_path / "a.txt").write_bytes("zorblax, fa\xe7ade".encode("latin-1"))
    with pytest.raises(PortraitistError, match=r"a\.txt is not UTF-8 \(byte 11: 0xe7\)"):
        durable.read_text(tmp_path / "a.txt")


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfzorblax")
    assert durable.read_text(tmp_path / "a.txt") == "zorblax"


def test_a_persons_home_is_found_and_nobodys_is_told(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert durable.expanded("~/a b") == Path("/somewhere/a b")
    assert durable.expanded("a/~b") == Path("a/~b")
    with pytest.raises(PortraitistError, match="no such user's home"):
        durable.expanded("~nobody-at-all/a")


def test_numbers_that_are_none_never_reach_a_file(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        durable.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert left(tmp_path) == []


def test_damaged_json_is_told_with_its_line(tmp_path):
    (tmp_path / "a.json").write_text('{\n"a": 1,\n')
    with pytest.raises(PortraitistError, match="line"):
        durable.read_json(tmp_path / "a.json")


def test_lines_appended_by_many_processes_are_never_torn(tmp_path):
    program = (
        "import sys; from pathlib import Path; from portraitist import durable\n"
        "for i in range(200): durable.append_line(Path(sys.argv[1]), sys.argv[2] * 300)"
    )
    path = tmp_path / "log"
    runs = [subprocess.Popen([sys.executable, "-c", program, str(path), letter]) for letter in "ab"]
    assert all(run.wait() == 0 for run in runs)
    lines = path.read_text().splitlines()
    assert len(lines) == 400
    assert set(lines) == {"a" * 300, "b" * 300}


def test_a_cut_file_ends_where_it_was_told(tmp_path):
    durable.append_line(tmp_path / "log", json.dumps({"step": 1}))
    size = (tmp_path / "log").stat().st_size
    durable.append_line(tmp_path / "log", json.dumps({"step": 2}))
    durable.cut(tmp_path / "log", size)
    assert (tmp_path / "log").read_text() == '{"step": 1}\n'


def test_remove_takes_files_folders_and_what_is_not_there(tmp_path):
    (tmp_path / "folder" / "in").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    for name in ("folder", "link", "none"):
        durable.remove(tmp_path / name)
    assert left(tmp_path) == ["outside"]


def test_equal_tensors_make_equal_files_whatever_order_the_library_writes_metadata_in():
    import safetensors.torch
    import torch

    tensors = {"b": torch.arange(5), "a": torch.randn(3, 2)}
    metadata = {key: f"é{key}" for key in "zyxwvut"}
    files = {durable.sorted_header(safetensors.torch.save(tensors, metadata=metadata)) for _ in range(20)}
    assert len(files) == 1
    (data,) = files
    found = safetensors.torch.load(data)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"] == metadata


def test_a_folder_that_a_kill_left_aside_comes_back_when_the_new_one_cannot_be_put_there(tmp_path):
    aside = tmp_path / f".pack.old{durable.PARTIAL}"
    aside.mkdir()
    (aside / "a").write_text("before")
    with pytest.raises(PortraitistError):
        durable.replace_folder(tmp_path / "nothing", tmp_path / "pack")
    assert (tmp_path / "pack" / "a").read_text() == "before"
