"""Taking pictures in: nothing altered, nothing lost, nothing written elsewhere."""

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.dataset import intake, naming, taking
from portraitist.errors import PortraitistError
from tests.pictures import png_header, saved, scenery


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def take(folder, *sources):
    return [(one.name, one.outcome) for one in taking.take(folder / "pictures", [folder / s for s in sources])]


@pytest.fixture
def place(tmp_path):
    (tmp_path / "pictures").mkdir()
    return tmp_path


def test_a_folder_comes_in_with_captions_and_sets_and_the_originals_stay_as_they_are(place):
    saved(place / "from" / "a.png", scenery(1))
    (place / "from" / "a.txt").write_text("zorblax, sitting")
    saved(place / "from" / "40_face" / "b.JPG", scenery(2))
    (place / "from" / "40_face" / "b.caption").write_text("zorblax, close-up")
    (place / "from" / "notes.md").write_text("not ours")
    before = files(place / "from")
    assert take(place, "from") == [("40_face/b.jpg", "added"), ("a.png", "added")]
    assert files(place / "from") == before
    assert files(place / "pictures") == {
        "a.png": before["a.png"], "a.txt": before["a.txt"],
        "40_face/b.jpg": before["40_face/b.JPG"], "40_face/b.txt": before["40_face/b.caption"],
    }  # fmt: skip


def test_adding_again_changes_nothing(place):
    saved(place / "from" / "a.png", scenery(1))
    take(place, "from")
    before = files(place / "pictures")
    assert take(place, "from", "from/a.png") == [("a.png", "already there"), ("a.png", "already there")]
    assert files(place / "pictures") == before


def test_a_copy_cut_short_before_its_caption_is_mended_by_adding_again(place):
    saved(place / "from" / "a.png", scenery(1))
    take(place, "from")
    (place / "from" / "a.txt").write_text("zorblax")
    assert take(place, "from") == [("a.png", "already there")]
    assert files(place / "pictures")["a.txt"] == b"zorblax"


def test_another_picture_of_the_same_name_gets_a_number_and_its_own_caption(place):
    for i, folder in enumerate(("one", "two", "three")):
        saved(place / folder / "A.png" if i else place / folder / "a.png", scenery(i))
        (place / folder / ("A.txt" if i else "a.txt")).write_text(f"caption {i}")
    take(place, "one", "two", "three")
    found = files(place / "pictures")
    assert [n for n in found if n.endswith(".png")] == ["A-2.png", "A-3.png", "a.png"]
    assert [found[n] for n in ("a.txt", "A-2.txt", "A-3.txt")] == [b"caption 0", b"caption 1", b"caption 2"]


def test_two_formats_of_one_stem_do_not_share_a_caption(place):
    saved(place / "from" / "a.png", scenery(1))
    saved(place / "from" / "a.jpg", scenery(2))
    (place / "from" / "a.txt").write_text("zorblax")
    assert [name for name, _ in take(place, "from")] == ["a.jpg", "a-2.png"]
    assert set(files(place / "pictures")) == {"a.jpg", "a.txt", "a-2.png", "a-2.txt"}


def test_a_folder_named_as_kohyas_trainers_do_is_a_set(place):
    saved(place / "40_maya" / "a.png", scenery(1))
    assert take(place, "40_maya") == [("40_maya/a.png", "added")]
    (source,) = intake.listed(place / "pictures").pictures
    assert (source.set, intake.repeats(source.set), intake.bare(source.set)) == ("40_maya", 40, "maya")


@pytest.mark.parametrize("name", ["maya", "_maya", "0_maya", "40", "40_", "x40_maya", "123456_maya"])
def test_other_folder_names_repeat_nothing(name):
    assert intake.repeats(name) == 1
    assert intake.bare(name) == name


def test_broken_pictures_in_a_folder_are_skipped_with_a_reason_and_the_rest_comes_in(place):
    saved(place / "from" / "good.png", scenery(1))
    (place / "from" / "bomb.png").write_bytes(png_header(60_000, 60_000))
    (place / "from" / "empty.jpg").touch()
    (place / "from" / "text.webp").write_text("not a picture")
    found = {one.name: one for one in taking.take(place / "pictures", [place / "from"])}
    assert {name for name, one in found.items() if one.outcome == "skipped"} == {"bomb.png", "empty.jpg", "text.webp"}
    assert all(one.says and one.remedy for one in found.values() if one.outcome == "skipped")
    assert set(files(place / "pictures")) == {"good.png"}


@pytest.mark.parametrize("content", [b"", b"not a picture", png_header(60_000, 60_000)])
def test_a_broken_picture_named_by_itself_is_refused(content, place):
    (place / "a.png").write_bytes(content)
    with pytest.raises(PortraitistError, match=r"a\.png"):
        take(place, "a.png")
    assert files(place / "pictures") == {}


def test_a_folder_with_nothing_readable_is_refused_with_the_last_reason(place):
    (place / "from").mkdir()
    with pytest.raises(PortraitistError, match="holds no pictures"):
        take(place, "from")
    (place / "from" / "a.png").touch()
    with pytest.raises(PortraitistError, match="0 bytes"):
        take(place, "from")
    with pytest.raises(PortraitistError, match="There is no"):
        take(place, "nowhere")


def test_links_are_followed_to_pictures_but_not_into_folders(place):
    saved(place / "elsewhere" / "a.png", scenery(1))
    (place / "from").mkdir()
    (place / "from" / "link.png").symlink_to(place / "elsewhere" / "a.png")
    (place / "from" / "folder").symlink_to(place / "elsewhere")
    (place / "from" / "device.png").symlink_to("/dev/zero")
    (place / "from" / "nothing.png").symlink_to(place / "none.png")
    os.mkfifo(place / "from" / "pipe.png")
    assert take(place, "from") == [("link.png", "added")]
    assert not (place / "pictures" / "link.png").is_symlink()


def test_nothing_is_written_through_a_link_that_leads_out(place):
    (place / "outside").mkdir()
    (place / "pictures" / "40_maya").symlink_to(place / "outside")
    saved(place / "40_maya" / "a.png", scenery(1))
    with pytest.raises(PortraitistError, match="leads out"):
        take(place, "40_maya")
    assert files(place / "outside") == {}


def test_a_folder_above_the_project_is_not_swallowed(place):
    saved(place / "pictures" / "a.png", scenery(1))
    with pytest.raises(PortraitistError, match="holds the project itself"):
        list(taking.take(place / "pictures", [place]))


def test_hidden_files_and_what_is_no_picture_are_left_out(place):
    for name in (".a.png", "._b.png", "readme.md", "c.txt"):
        (place / "pictures" / name).write_bytes(b"x")
    listing = intake.listed(place / "pictures")
    assert listing.pictures == ()
    assert listing.others == ("readme.md",)


@given(name=st.text(max_size=200))
def test_every_name_becomes_one_that_every_file_system_takes(name):
    safe = naming.safe_name(name)
    assert safe == unicodedata.normalize("NFC", safe)
    assert 0 < len(safe.encode()) <= 120
    assert not set(safe) & set('<>:"/\\|?*\0\n')
    assert not safe.startswith((".", " "))
    assert naming.safe_name(safe) == safe


def test_the_same_letters_composed_or_not_are_one_name(place):
    for i, form in enumerate(("NFC", "NFD")):
        saved(place / form / f"{unicodedata.normalize(form, 'é')}.png", scenery(i))
    assert [name for name, _ in take(place, "NFC", "NFD")] == ["é.png", "é-2.png"]


def test_a_name_that_is_not_utf_8_gets_one(place):
    saved(place / "from" / "a.png", scenery(1))
    os.rename(place / "from" / "a.png", os.fsencode(place / "from") + b"/caf\xe9.png")
    assert take(place, "from") == [("caf_.png", "added")]
