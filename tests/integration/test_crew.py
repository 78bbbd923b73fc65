"""Work handed to processes comes to the same as work done here, in its order, also when processes are killed."""

import pytest

from portraitist.crew import Crew, each
from portraitist.errors import PortraitistError
from tests.pieces import dies_always, dies_once, square

SIZE = 70


def read(results):
    """Results, with errors as their words."""
    return [found.problem if isinstance(found, PortraitistError) else found for found in results]


def test_processes_come_to_what_one_comes_to():
    here = read(each(square, range(SIZE)))
    assert here == [i * i if i != 5 else "five cannot be squared" for i in range(SIZE)]
    assert read(each(square, range(SIZE), Crew(processes=2))) == here


def test_what_a_killed_process_was_at_is_done_again(tmp_path):
    items = [(number, str(tmp_path / "mark")) for number in range(SIZE)]
    assert list(each(dies_once, items, Crew(processes=2))) == list(range(SIZE))
    assert (tmp_path / "mark").exists()


def test_what_kills_every_process_is_an_error_of_its_own():
    found = read(each(dies_always, range(SIZE), Crew(processes=2)))
    assert "7 was killed" in found.pop(7)
    assert found == [i for i in range(SIZE) if i != 7]


def test_items_are_taken_as_results_are(tmp_path):
    """However many there are, few are held."""
    taken = []

    def items():
        for number in range(300):
            taken.append(number)
            yield number

    results = each(square, items(), Crew(processes=2))
    for _ in range(10):
        next(results)
    assert len(taken) <= 10 + 2 * 4 + 64
    results.close()


@pytest.mark.proof
def test_a_cluster_comes_to_the_same_and_outlives_a_killed_worker(tmp_path):
    pytest.importorskip("ray")
    here = read(each(square, range(SIZE)))
    assert read(each(square, range(SIZE), Crew(ray="local"))) == here
    items = [(number, str(tmp_path / "mark")) for number in range(SIZE)]
    assert list(each(dies_once, items, Crew(ray="local"))) == list(range(SIZE))


def test_a_cluster_that_is_not_there_is_told():
    pytest.importorskip("ray")
    with pytest.raises(PortraitistError, match="no Ray cluster"):
        list(each(square, range(3), Crew(ray="127.0.0.1:1")))
