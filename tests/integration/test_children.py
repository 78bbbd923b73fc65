"""Verbs in processes of their own, and what is seen of them."""

import os
import subprocess
import sys

import psutil
import pytest

from portraitist import children
from portraitist.children import Child, Peak
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Finished, Measured
from tests.end_to_end.command import noise, project


def ended(child):
    """Wait for a child and take in all its events."""
    child.process.wait(timeout=60)
    return list(child.events())


def test_a_child_tells_its_events_and_its_result(tmp_path):
    made = project(tmp_path)
    new = noise(tmp_path / "more" / "9.png", 9)
    with Child("add", made, [str(new)]) as child:
        told = ended(child)
        assert child.result()["added"]
        assert child.started is not None
        assert child.started.pid == child.process.pid
        scratch = child.scratch
    assert [type(event) for event in told[1:]] == [Measured, Finished]
    assert not scratch.exists()


def test_a_childs_problem_is_ours_word_for_word(tmp_path):
    with Child("audit", tmp_path) as child, pytest.raises(PortraitistError) as error:
        child.result()
    assert "is not a project" in error.value.problem
    assert "portraitist new" in error.value.remedy
    assert child.failed()


def test_a_child_killed_from_outside_is_told_with_the_likeliest_cause(tmp_path):
    with Child("audit", tmp_path) as child:
        child.process.kill()
        with pytest.raises(PortraitistError, match=r"killed from outside.*memory"):
            child.result()


def test_a_child_asked_to_stop_before_it_listens_counts_as_stopped(tmp_path):
    with Child("audit", project(tmp_path)) as child:
        child.end()
        child.process.wait(timeout=60)
        with pytest.raises(Interrupted):
            child.result()


def test_leaving_a_child_leaves_no_process(tmp_path):
    made = project(tmp_path)
    with Child("add", made, [str(tmp_path / "source")]) as child:
        pid = child.process.pid
    assert not psutil.pid_exists(pid)


def test_the_peak_counts_children():
    """A child that holds 200 MB for a moment is seen, and still counted when it is gone."""
    with Peak(every=0.05) as peak:
        alone = children.held(psutil.Process())
        hold = "import time; held = b'x' * 200_000_000; time.sleep(0.6)"
        subprocess.run([sys.executable, "-c", hold], check=True)
    assert peak.gb > alone + 0.19


def test_cores_are_those_this_process_may_use():
    assert 1 <= children.cores() <= (os.cpu_count() or 1)
