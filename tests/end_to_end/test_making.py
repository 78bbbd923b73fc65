"""Sheets, repairs and pictures from a reference by the command line."""

from PIL import Image

from tests.end_to_end.command import answer, portraitist, project


def test_pictures_are_repaired_sheets_made_and_generating_is_planned_by_the_command_line(tmp_path):
    made, empty = project(tmp_path), tmp_path / "sheet.png"
    assert portraitist("sheet", "template", "--size", "300x200", "--out", empty).stdout.strip() == str(empty)
    assert Image.open(empty).size == (300, 200)
    done = portraitist("sheet", "cut", empty, made)
    assert (done.returncode, "is empty" in done.stderr) == (2, True)
    prepared = answer("repair", made, "harmonise", "0.png", "--like", "1.png")
    assert prepared["prepared"] == ["0.png"]
    assert answer("repair", made, "harmonise", "--apply")["applied"] == ["0.png"]
    assert answer("repair", made, "harmonise", "--undo")["undone"] == ["0.png"]
    done = portraitist("repair", made, "upscale")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 2)
    plan = answer("generate", made, "--reference", made / "pictures" / "0.png", "--count", 3, "--dry-run")
    assert len(plan["planned"]) == 3
    told = portraitist("generate", made, "--reference", made / "pictures" / "0.png", "--count", 2, "--dry-run")
    assert told.stdout.splitlines()[-1].split() == ["cost", "0.00"]
