"""SIGKILL at twenty moments of the real command, at least five inside a checkpoint's writing; run by make proof."""

import os
import random

import pytest

from tests.end_to_end.command import portraitist
from tests.kills import killed, newest, prepared, same, tell, uncut

AIMS = ["writing"] * 10 + ["stepping"] * 7 + ["starting"] * 3


@pytest.mark.proof
def test_killed_at_twenty_moments_it_ends_in_the_bytes_of_the_uncut_run(tmp_path):
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(10**6)))
    tell(f"\nseed {seed} (SEED={seed} make proof repeats these moments)")
    made = prepared(tmp_path, steps=135)
    whole = uncut(made, tmp_path / "uncut")
    aims = random.Random(seed).sample(AIMS, len(AIMS))
    deaths = []
    for death in killed(made, aims, seed):
        deaths.append(death)
        where = ", inside a checkpoint's writing" if death.inside else ""
        tell(f"kill {len(deaths):2}: aimed at {death.aim}, {death.step} steps on record{where}")
    inside = sum(death.inside for death in deaths)
    assert len(deaths) == 20
    assert inside >= 5
    done = portraitist("train", made)
    assert done.returncode == 0, done.stderr
    same(newest(made), whole)
    tell(f"{len(deaths)} kills, {inside} inside a checkpoint's writing: adapters equal those of the uncut run")
