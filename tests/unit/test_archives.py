"""Archives of strangers: nothing outside, nothing followed, nothing endless, nothing left behind."""

import bz2
import gzip
import io
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import tarfile
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist import durable
from portraitist.dataset import archives, taking
from portraitist.dataset.archives import Quotas, unpacked
from portraitist.errors import PortraitistError
from tests.house.source import ROOT
from tests.pictures import png_bytes, saved, scenery

KINDS = ("a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz")


def packed(name, members):
    """The bytes of an archive of (name, bytes) pairs, by its suffix."""
    buffer = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members:
                archive.writestr(member, data)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in members:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    squeeze = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}.get(name.rsplit(".", 1)[-1], bytes)
    return squeeze(buffer.getvalue())


def written(folder, name, members):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(packed(name, members))
    return folder / name


def found(path, home, **quotas):
    """Members by the bytes that were unpacked, and what was passed over."""
    with unpacked(path, home, Quotas(**quotas)) as there:
        assert all(file.resolve().is_relative_to(there.folder.resolve()) for file in there.members)
        assert all(file.is_file() and not file.is_symlink() for file in there.members)
        shown = {name: file.read_bytes() for file, name in there.members.items()}
        passed = {one.name: one.why for one in there.passed}
    assert list(home.iterdir()) == []
    return shown, passed


def refused(path, home, **quotas):
    with pytest.raises(PortraitistError) as caught, unpacked(path, home, Quotas(**quotas)):
        pass
    assert list(home.iterdir()) == []
    assert caught.value.remedy
    return caught.value.problem


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_is_taken_as_the_folder_that_was_packed(name, tmp_path):
    plain = tmp_path / "plain"
    for i, place in enumerate(("a.png", "40_face/b.JPG", "body/c d.webp")):
        saved(plain / place, scenery(i, 32, 32))
        (plain / place).with_suffix(".txt").write_text(f"zorblax, {i}")
    members = [(f"data/{p.relative_to(plain)}", p.read_bytes()) for p in sorted(plain.rglob("*")) if p.is_file()]
    members += [("data/notes.md", b"not ours"), ("__MACOSX/data/._a.png", b"x"), ("data/.DS_Store", b"x")]
    path = written(tmp_path, name, members)
    listed = {}
    for pictures, source in ((tmp_path / "one", plain), (tmp_path / "two", path)):
        assert all(one.outcome == "added" for one in taking.take(pictures, [source]))
        there = [p for p in pictures.rglob("*") if p.is_file()]
        listed[source] = {p.relative_to(pictures).as_posix(): p.read_bytes() for p in there}
    assert listed[plain] == listed[path]
    assert len(listed[path]) == 6


@pytest.mark.parametrize("name", ["40_maya.zip", "40_maya.tar.gz"])
def test_an_archive_named_as_a_set_or_holding_one_is_that_set(name, tmp_path):
    flat = written(tmp_path / "1", name, [("a.png", png_bytes(scenery(1, 16, 16)))])
    deep = written(tmp_path / "2", "x.zip", [("img/20_maya/a.png", png_bytes(scenery(1, 16, 16)))])
    taken = [one.name for one in taking.take(tmp_path / "pictures", [flat, deep])]
    assert taken == ["40_maya/a.png", "20_maya/a.png"]


HOSTILE = (
    "../a.png", "../../../../tmp/a.png", "m/../../a.png", "/a.png", "/etc/a.png", "C:\\a.png", "c:/a.png",
    "m\\..\\..\\a.png",
)  # fmt: skip


PLACES = [(kind, one) for kind in ("a.zip", "a.tar") for one in HOSTILE if kind == "a.zip" or "\\" not in one]
"""In a tar a backslash is a sign like any other."""


@pytest.mark.parametrize(("name", "member"), PLACES)
def test_a_name_that_leads_out_is_passed_over_and_the_rest_is_taken(name, member, tmp_path, home):
    shown, passed = found(written(tmp_path, name, [(member, b"1"), ("b.png", b"2")]), home)
    assert shown == {"b.png": b"2"}
    assert all("leads out" in why for why in passed.values())
    assert len(passed) == 1


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_of_a_tar_are_not_made(kind, tmp_path, home):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, target in (("a.png", "/etc/passwd"), ("b.png", "a.png")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    shown, passed = found(tmp_path / "a.tar", home)
    assert shown == {}
    assert len(passed) == 2
    assert all("is a link" in why or "is a device" in why for why in passed.values())


def test_a_link_in_a_zip_is_not_followed(tmp_path, home):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("a.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert found(tmp_path / "a.zip", home) == ({}, {"a.png": "a.zip: a.png is a link"})


def test_an_encrypted_zip_is_refused_clearly(tmp_path, home):
    data = bytearray(packed("a.zip", [("a.png", b"1")]))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert "is encrypted" in refused(tmp_path / "a.zip", home)


@pytest.mark.parametrize("name", KINDS)
def test_each_quota_refuses_with_its_number(name, tmp_path, home):
    path = written(tmp_path, name, [(f"{i}.png", random.Random(i).randbytes(3000)) for i in range(5)])
    assert len(found(path, home, members=5, member=3000, total=15_000)[0]) == 5
    assert "more than 4 members" in refused(path, home, members=4)
    assert "at most 2,999" in refused(path, home, member=2999)
    assert "more than 14,999 bytes" in refused(path, home, total=14_999)
    blown = written(tmp_path / "b", name, [("a.png", bytes(2_000_000))])
    if name != "a.tar":
        assert "more than 100 times its own" in refused(blown, home, spare=1_000_000)
    assert len(found(blown, home, spare=3_000_000)[0]) == 1


def test_a_zip_that_lies_about_its_sizes_is_cut_off_where_it_said(tmp_path, home):
    data = bytearray(packed("a.zip", [("a.png", bytes(5_000_000))]))
    place = data.index(b"PK\1\2")
    data[place + 24 : place + 28] = (10).to_bytes(4, "little")
    data[22:26] = (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data)
    shown, passed = found(tmp_path / "a.zip", home)
    assert len(b"".join(shown.values())) <= 10
    assert list(passed) in (["a.png"], [])


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_whose_header_claims_a_name_without_end_is_refused_unread(kind, tmp_path, home):
    """Pax headers and long names are read whole by Python's own reader: 16 MB of them here, packed into 16 kB."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 16 << 20
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(20 << 20)))
    assert "a header claims 16,777,216 bytes" in refused(tmp_path / "a.tar.gz", home)


def test_a_tar_that_python_takes_for_whole_is_refused_where_it_breaks_off(tmp_path, home):
    """A damaged header in the middle, and a file cut off between two members, end Python's reading without a word."""
    whole = packed("a.tar", [(f"{i}.png", b"1" * 600) for i in range(3)])
    start = whole.index(b"1.png")
    assert len(tarfile.open(fileobj=io.BytesIO(whole[:start])).getmembers()) == 1  # noqa: SIM115
    for data in (whole[:start], whole[:start] + b"\xff" * 20 + whole[start + 20 :]):
        (tmp_path / "a.tar").write_bytes(data)
        assert "breaks off" in refused(tmp_path / "a.tar", home)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, home):
    """10 GB of zeros as one member of a tar, compressed: refused by what its header says, nothing written."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    info = tarfile.TarInfo("a.bin")
    info.size = 10 << 30
    (tmp_path / "a.tar.gz").write_bytes(pack.compress(info.tobuf() + bytes(1 << 20)) + pack.flush())
    assert "at most 536,870,912" in refused(tmp_path / "a.tar.gz", home)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_colliding_names_stay_apart_with_their_captions(name, tmp_path):
    """Equal but for case or composition: one file on many disks, two pictures here; twice the same is one."""
    stems = ("A", "a", "\u00e9", "e\u0301", "x" * 300, "x" * 300 + "y", "n\0ul", "t\x07b", "sl:as?h")
    members = []
    for i, stem in enumerate(stems):
        members += [(f"{stem}.png", png_bytes(scenery(i, 16, 16))), (f"{stem}.txt", f"zorblax, {i}".encode())]
    path = written(tmp_path, name, members)
    taken = list(taking.take(tmp_path / "pictures", [path]))
    added = [one.name for one in taken if one.outcome == "added"]
    there = {file.name: file for file in (tmp_path / "pictures").iterdir()}
    assert len({file.casefold() for file in there}) == len(there) == 2 * len(added)
    pictures = {png_bytes(scenery(i, 16, 16)): i for i in range(len(stems))}
    for file in added:
        number = pictures[there[file].read_bytes()]
        assert there[file].with_suffix(".txt").read_text() == f"zorblax, {number}"
    assert len(added) >= len(stems) - 1  # zipfile ends a name at NUL: "n" has no suffix and is no picture then


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_folders_named_as_files_and_files_named_as_folders_go_together(name, tmp_path, home):
    names = ["a.png", "a.png/b.png", "A.PNG/c.png", "metadata.jsonl/d.png", "metadata.jsonl", "a/e.png"]
    names.append("/".join("x" * 40) + ".png")
    shown, passed = found(written(tmp_path, name, [(one, one.encode()) for one in names]), home)
    assert shown == {one: one.encode() for one in names[:-1]}
    assert "folders deep" in passed[names[-1]]


def test_a_member_that_comes_twice_is_taken_once_and_told(tmp_path, home):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = written(tmp_path, "a.zip", [("a.png", b"1"), ("a.png", b"2")])
    shown, passed = found(path, home)
    assert shown == {"a.png": b"1"}
    assert "twice" in passed["a.png"]


NAMES = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(["..", ".", "a", "A", "/", "é", "x" * 90, "\ud800", "\n", "con", "-", "m.png"])).map(
        "/".join
    ),
)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=150, deadline=None)
@given(names=st.lists(NAMES, max_size=6), kind=st.sampled_from(["a.zip", "a.tar"]))
def test_no_name_whatever_leads_out_or_is_lost_unseen(names, kind, tmp_path_factory):
    """Every member with a picture's suffix is unpacked under a name of its own, or told of."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "home").mkdir()
    members = [(f"{name}.png", str(i).encode()) for i, name in enumerate(names)]
    try:
        path = written(folder, kind, members)
    except (ValueError, UnicodeError, UserWarning):
        return  # not even the packing library takes this name
    with unpacked(path, folder / "home") as there:
        count = len(there.members) + len(there.passed)
        hidden = sum(
            any(p.startswith(".") for p in n.replace("\\", "/").split("/") if p not in (".", "..")) for n, _ in members
        )
        assert count <= len(members)
        assert count >= len(members) - hidden - sum("\0" in name for name, _ in members)
        assert all(file.resolve().is_relative_to(there.folder.resolve()) for file in there.members)
    assert {p.name for p in folder.iterdir()} == {"home", kind}


@pytest.mark.parametrize("name", KINDS)
def test_mutated_archives_end_in_a_reason_or_in_pictures(name, tmp_path, home):
    draw = random.Random(name)
    whole = packed(name, [(f"m/{i}.png", draw.randbytes(400)) for i in range(4)] + [("m/0.txt", b"zorblax")])
    reasons, same = set(), 0
    for _ in range(250):
        data = bytearray(whole)
        for _ in range(draw.randrange(1, 6)):
            place = draw.randrange(len(data) or 1)
            change = draw.randrange(4)
            if change == 0 and data:
                data[place] = draw.randrange(256)
            elif change == 1:
                del data[place : place + draw.randrange(1, 60)]
            elif change == 2:
                data[place:place] = draw.randbytes(draw.randrange(1, 60))
            else:
                del data[max(place, 8) :]
        (tmp_path / name).write_bytes(data)
        try:
            with unpacked(tmp_path / name, home) as there:
                same += len(there.members) == 5
        except PortraitistError as error:
            reasons.add((error.problem, error.remedy))
        assert list(home.iterdir()) == []
    assert len(reasons) >= 3
    assert all(remedy and "\n" not in problem for problem, remedy in reasons)
    assert same < 250


def test_a_damaged_archive_gives_nothing_rather_than_half(tmp_path):
    members = [(f"{i}.png", png_bytes(scenery(i, 16, 16))) for i in range(4)]
    data = packed("a.tar.gz", members)
    (tmp_path / "a.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(PortraitistError, match="cannot be read as an archive"):
        list(taking.take(tmp_path / "pictures", [tmp_path / "a.tar.gz"]))
    assert not any((tmp_path / "pictures").rglob("*.png"))


def test_what_a_killed_process_had_unpacked_is_gone_after_the_next_sweep(tmp_path, home):
    path = written(tmp_path, "a.zip", [("a.png", b"1")])
    script = (
        "import os, signal, sys; from pathlib import Path; from portraitist.dataset.archives import unpacked\n"
        "with unpacked(Path(sys.argv[1]), Path(sys.argv[2])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path, home], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -signal.SIGKILL
    assert len(list(home.rglob("*.png"))) == 1
    durable.sweep(home)
    assert list(home.iterdir()) == []


def test_other_archives_and_archives_in_folders_are_told_of(tmp_path):
    (tmp_path / "a.7z").write_bytes(b"7z")
    with pytest.raises(PortraitistError, match="not read"):
        list(taking.take(tmp_path / "pictures", [tmp_path / "a.7z"]))
    saved(tmp_path / "from" / "a.png", scenery(1, 16, 16))
    saved(tmp_path / "from" / "one" / "two" / "b.png", scenery(2, 16, 16))
    written(tmp_path / "from", "b.zip", [("b.png", b"x")])
    taken = {one.name: one for one in taking.take(tmp_path / "pictures", [tmp_path / "from"])}
    assert taken["a.png"].outcome == "added"
    assert "is an archive" in taken["b.zip"].says
    assert "one/two/b.png" in taken["deeper folders"].says
    assert not archives.is_archive(tmp_path / "from")


@pytest.mark.parametrize("where", ["", "data/"])
def test_a_list_in_an_archive_goes_by_the_names_it_was_packed_with(where, tmp_path):
    rows = [
        {"file_name": "a:b.png", "text": "zorblax, one"},
        {"file_name": "40_face/x.png", "text": "farther", "url": "u"},
    ]
    inner = {"file_name": "x.png", "text": "zorblax, two", "author": "Ana"}
    members = [
        (f"{where}metadata.jsonl", "\n".join(map(json.dumps, rows)).encode()),
        (f"{where}a:b.png", png_bytes(scenery(1, 16, 16))),
        (f"{where}40_face/metadata.jsonl", json.dumps(inner).encode()),
        (f"{where}40_face/x.png", png_bytes(scenery(2, 16, 16))),
    ]
    taken = list(taking.take(tmp_path / "pictures", [written(tmp_path, "a.zip", members)]))
    assert {one.name: one.outcome for one in taken} == {"a_b.png": "added", "40_face/x.png": "added"}
    assert (tmp_path / "pictures" / "a_b.txt").read_text() == "zorblax, one"
    assert (tmp_path / "pictures" / "40_face" / "x.txt").read_text() == "zorblax, two"
    face = next(one.facts for one in taken if one.name == "40_face/x.png")
    assert (face["source"], face["author"]) == ("u", "Ana")
    assert {one.facts["file"] for one in taken} == {f"{where}a:b.png", f"{where}40_face/x.png"}
