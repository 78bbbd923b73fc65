"""A training is watched by its record and its process alone."""

import os

from portraitist import durable
from portraitist.events import Finished, Started
from portraitist.judge.following import Training
from portraitist.runs import RunFolder


def begun(run, pid=None):
    """Let the record say that a training goes on in a process (this one)."""
    run.log.append(Started(verb="train", total=6, pid=pid or os.getpid()))


def test_a_training_is_over_when_it_ended_was_killed_or_never_began(tmp_path):
    run = RunFolder(tmp_path)
    assert Training(run).over()
    watching = Training(run)
    begun(run)
    assert not watching.over()
    durable.cut(run.log.path, 0)  # taken back by one that goes on after a kill
    assert watching.over()
    begun(run, pid=2**22 + 1)
    assert watching.over()
    begun(run)
    run.log.append(Finished(verb="evaluate", seconds=1.0))
    assert not watching.over()
    run.log.append(Finished(verb="train", seconds=1.0))
    assert watching.over()
