"""A training that is killed goes on to the bytes of the one that was not: three kills of a seed, which make proof runs.

In make test, tests/integration/test_resume.py holds the same for a training that is cut anywhere.
"""

import pytest

from tests.end_to_end.command import portraitist
from tests.kills import killed, newest, prepared, same, tell, uncut

SEED = 20


@pytest.mark.proof
def test_killed_three_times_it_ends_in_the_bytes_of_the_uncut_run(tmp_path):
    made = prepared(tmp_path, steps=30)
    whole = uncut(made, tmp_path / "uncut")
    deaths = list(killed(made, ["writing", "stepping", "writing"], SEED))
    tell(f"seed {SEED}: {deaths}")
    assert sum(death.inside for death in deaths) >= 1, deaths
    done = portraitist("train", made)
    assert done.returncode == 0, done.stderr
    same(newest(made), whole)
