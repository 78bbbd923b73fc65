"""What was trained and handed out is still what was recorded, and the file says where its pictures are from."""

import pytest
import safetensors

from portraitist import provenance
from portraitist.verbs.export import export
from portraitist.verbs.verify import verify
from tests.projects import made


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project trained on a tiny base, and what was exported of it."""
    there = made(tmp_path_factory.mktemp("verify"), "flux")
    return there.project, there.run, there.folder, export(there.project).lora


def flipped(path, place):
    """The bytes of a file, and the same with one bit of it turned."""
    whole = path.read_bytes()
    place %= len(whole)
    return whole, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


def test_all_is_as_it_was_recorded_until_a_bit_is_turned(trained):
    project, run, folder, lora = trained
    found = verify(project)
    assert (found.broken, found.pictures, found.files) == ((), 3, 3)  # two checkpoints and the exported file
    for path, says in (
        (run.adapter(2), "step 2: adapter.safetensors differs"),
        (folder / "maya" / lora, "does not hold the tensors"),
        (project.pictures / "1.png", "pictures/1.png is not the file"),
    ):
        whole, changed = flipped(path, -1)
        path.write_bytes(changed)
        (broken,) = verify(project).broken
        assert says in broken
        path.write_bytes(whole)
    assert not verify(project).blocked


def test_a_ledger_whose_end_was_cut_off_is_missed_by_what_was_exported(trained):
    project, _, folder, lora = trained
    with safetensors.safe_open(folder / "maya" / lora, "pt") as file:
        words = file.metadata()
    assert words["portraitist.subject"] == "fictional"
    assert words["portraitist.ledger"] == provenance.read(project.ledger).digests[-1]
    whole = project.ledger.read_bytes()
    project.ledger.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert "quotes a line that the ledger does not have" in "".join(verify(project).broken)
    project.ledger.write_bytes(whole)
