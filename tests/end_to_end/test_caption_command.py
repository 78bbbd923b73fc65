"""The caption command as a person calls it, against a server on this machine."""

import json

from tests.end_to_end.command import portraitist, project
from tests.endpoints import chat, serving

SEEN = {"framing": "close-up", "clothing": ["red dress"], "face": ["blue eyes"], "background": "forest"}


def test_captions_are_previewed_written_and_undone_by_command(tmp_path):
    folder = project(tmp_path)
    for name in ("1", "2"):
        (folder / "pictures" / f"{name}.txt").unlink()
    with serving(chat(json.dumps(SEEN))) as server:
        where = ["--set", f"captioning.endpoint.url={json.dumps(server.url)}",
                 "--set", 'captioning.endpoint.model="looker"', "--set", 'captioning.style="tags"']  # fmt: skip
        shown = portraitist("caption", folder, "--with", "endpoint", "--preview", *where)
        assert shown.returncode == 0, shown.stderr
        assert "+ maya_char, close-up, red dress, forest" in shown.stdout
        assert "blue eyes: the character itself" in shown.stdout
        assert not (folder / "pictures" / "1.txt").exists()

        done = portraitist("caption", folder, "--with", "endpoint", *where, "--json")
        said = json.loads(done.stdout)
        assert said["written"] == ["1.png", "2.png"]
        assert (folder / "pictures" / "2.txt").read_text() == "maya_char, close-up, red dress, forest\n"
    back = portraitist("caption", folder, "--undo")
    assert "taken away, as there was none  2" in back.stdout
    assert not (folder / "pictures" / "1.txt").exists()
    assert (folder / "pictures" / "0.txt").read_text() == "maya_char, close-up, number 0"


def test_words_that_do_not_go_together_are_refused_in_two_lines(tmp_path):
    folder = project(tmp_path)
    for words in (["--undo", "--preview"], ["--rules", "--with", "tagger"], ["--undo"]):
        done = portraitist("caption", folder, *words)
        assert done.returncode == 2, words
        assert done.stderr.splitlines()[-2].startswith("Problem: "), done.stderr
        assert done.stderr.splitlines()[-1].startswith("Remedy: ")
