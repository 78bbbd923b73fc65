"""What people's votes say: held to a published fit, to closed forms, and to what nobody compared."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.judge import preference, ratings, votes
from portraitist.judge.measures import scores
from portraitist.judge.ratings import Rating, comparisons
from portraitist.judge.scorecard import Drawn, Scorecard
from portraitist.judge.votes import Seen, Vote, Votes
from portraitist.runs import RunFolder

BASEBALL = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]
"""American League, 1987: Milwaukee, Detroit, Toronto, New York, Boston, Cleveland, Baltimore (Agresti 2002, 10.6)."""

EARLY, LATE, LAST = (150, 1.0, 0.0), (300, 1.0, 0.0), (300, 0.7, 0.0)


def vote(a, b, answer, n=0, by="Ann"):
    """A vote on the pictures of the n-th prompt."""
    return Vote(a, b, f"text {n}", 1, answer, by, "2026-01-14T09:30:00", "ballot", f"pair-{n}")


def many(a, b, wins, losses, equal=0):
    """Votes on different prompts, for `a` and against it."""
    return tuple(vote(a, b, answer, n) for n, answer in enumerate("a" * wins + "b" * losses + "=" * equal))


def shares(found):
    """A preference's numbers, as near as floats are."""
    return pytest.approx((found.share, found.low, found.high))


def told(found):
    """The same, to hold against."""
    return found.share, found.low, found.high


def test_the_strengths_are_those_of_a_published_fit():
    found = preference.rank(np.asarray(BASEBALL, float), prior=0)
    published = [1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0.0]
    assert found.strengths - found.strengths[-1] == pytest.approx(published, abs=5e-4)
    apart = found.covariance[0, 0] + found.covariance[6, 6] - 2 * found.covariance[0, 6]
    assert apart**0.5 == pytest.approx(0.343, abs=5e-4), "the published standard error"


@given(wins=st.integers(0, 60), losses=st.integers(0, 60))
def test_between_two_it_is_the_closed_form(wins, losses):
    found = preference.of_counts(wins, losses)
    if not wins + losses:
        assert found is None
        return
    odds = (wins + 0.5) / (losses + 0.5)
    reach = 1.644854 * math.sqrt(1 / (wins + 0.5) + 1 / (losses + 0.5))
    assert found.share == pytest.approx(odds / (1 + odds), abs=1e-6)
    assert found.low == pytest.approx(1 / (1 + math.exp(reach) / odds), abs=1e-6)
    assert found.high == pytest.approx(1 / (1 + math.exp(-reach) / odds), abs=1e-6)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 9), min_size=12, max_size=12))
def test_strengths_leave_no_slope_and_do_not_care_for_the_order(counts):
    wins = np.zeros((4, 4))
    wins[~np.eye(4, dtype=bool)] = counts
    found, turned = preference.rank(wins), preference.rank(wins[::-1, ::-1])
    won = wins + 0.5 * (wins + wins.T > 0)
    expected = (won + won.T) * preference.logistic(found.strengths[:, None] - found.strengths)
    assert won.sum(1) == pytest.approx(expected.sum(1), abs=1e-6), "each wins as often as it should"
    assert found.strengths == pytest.approx(turned.strengths[::-1], abs=1e-6)


def test_variances_add_up_along_a_chain():
    """Conductances in a row: what separates the ends is as uncertain as both links together."""
    wins = np.zeros((3, 3))
    wins[0, 1], wins[1, 0], wins[1, 2] = 3, 1, 2
    found = preference.rank(wins)
    assert found.strengths[0] - found.strengths[2] == pytest.approx(math.log(3.5 / 1.5) + math.log(2.5 / 0.5))
    apart = found.covariance[0, 0] + found.covariance[2, 2] - 2 * found.covariance[0, 2]
    assert apart == pytest.approx(1 / 3.5 + 1 / 1.5 + 1 / 2.5 + 1 / 0.5)


def test_nothing_is_said_of_what_nobody_compared():
    found = Votes(many(EARLY, LATE, 3, 1) + many(LAST, (50, 1.0, 0.0), 2, 2))
    assert found.preference(EARLY, LATE) is not None
    assert found.preference(EARLY, LAST) is None, "no votes lead from one to the other"
    assert found.preference(EARLY, (999, 1.0, 0.0)) is None
    assert Votes().preference(EARLY, LATE) is None


def test_votes_that_are_certain_move_the_choice_and_others_do_not():
    sure = Votes(many(LATE, EARLY, 10, 2))
    assert sure.moved(EARLY, [EARLY, LATE]) == LATE
    assert sure.moved(EARLY, [EARLY, LAST]) == EARLY, "what may not be chosen is not, however many want it"
    assert sure.moved(LATE, [EARLY, LATE]) == LATE
    words = sure.words(EARLY, [EARLY, LATE])
    assert words.startswith("Of 12 blind pairs with step 150 at strength 1, 10 went to step 300 at strength 1")
    assert "81% of the time (57% to 93%)" in words

    unsure = Votes(many(LATE, EARLY, 9, 3))
    assert unsure.moved(EARLY, [EARLY, LATE]) == EARLY
    assert "decides nothing" in unsure.words(EARLY, [EARLY, LATE])
    assert "prefer it to all" in sure.words(LATE, [EARLY, LATE])
    assert sure.words(LAST, [LAST]) == ""

    some = Votes(many(LATE, EARLY, 40, 20) + many(LATE, LAST, 1, 0))
    assert "prefer it to all" not in some.words(LATE, [EARLY, LATE, LAST]), "one vote on the other is not certain"
    assert "not certain" in some.words(LATE, [EARLY, LATE, LAST])


def test_equal_is_half_for_each():
    assert Votes(many(LATE, EARLY, 0, 0, equal=12)).preference(LATE, EARLY).share == pytest.approx(0.5)
    halves = Votes(many(LATE, EARLY, 6, 0, equal=6)).preference(LATE, EARLY)
    assert told(halves) == shares(preference.of_counts(9, 3))


def test_sides_do_not_matter():
    one = Votes(many(LATE, EARLY, 4, 1) + tuple(vote(EARLY, LATE, "b", n) for n in range(5, 8)))
    assert told(one.preference(LATE, EARLY)) == shares(preference.of_counts(7, 1))
    tally = one.tally(EARLY, LATE)
    assert (tally.for_a, tally.for_b, tally.equal, tally.all) == (1, 7, 0, 8)


def rating(cell, mean, by="Bo", text="t", seed=1):
    """A rating of a cell's picture."""
    return Rating(cell, f"{cell}-{text}", text, seed, {"realism": mean}, by, "2026-01-14")


def test_ratings_count_by_what_one_rater_put_higher():
    rated = (rating(LATE, 4), rating(EARLY, 3), rating(LATE, 1, by="Cy"), rating(EARLY, 1, by="Cy"))
    assert {(c.share, c.weight) for c in comparisons(rated)} == {(1.0, 1.0), (0.5, 1.0)}
    strict = (rating(LATE, 2, by="strict"), rating(EARLY, 5, by="mild"))
    assert not list(comparisons(strict)), "two raters' scales do not compare"
    assert not list(comparisons((rating(LATE, 2), rating(EARLY, 5, text="other")))), "nor do two prompts"
    other = Rating(EARLY, "e", "t", 1, {"prompt": 90.0}, "Bo", "2026-01-14")
    assert not list(comparisons((rating(LATE, 2), other))), "nor do two questions"
    both = Rating(EARLY, "e", "t", 1, {"prompt": 90.0, "realism": 1.0}, "Bo", "2026-01-14")
    assert [one.share for one in comparisons((rating(LATE, 2), both))] == [1.0], "by what both were asked"
    three = list(comparisons((rating(LATE, 3), rating(EARLY, 2), rating(LAST, 1))))
    assert sum(one.weight for one in three) == pytest.approx(2), "three ratings say two things"
    found = Votes(ratings=rated)
    assert told(found.preference(LATE, EARLY)) == shares(preference.of_counts(1.5, 0.5))
    assert not any(one.blind for one in found.comparisons)
    assert "2 comparisons by others' ratings count as well" in found.words(EARLY, [EARLY, LATE])
    assert "1 comparison by others' ratings counts" in Votes(ratings=rated[:2]).words(EARLY, [EARLY, LATE])


def test_whether_a_measure_predicts_votes_is_told_with_its_chance():
    def card(cell, likeness, burnt):
        drawn = [Drawn(f"p{n}", f"text {n}", 1, "", {"likeness": likeness, "saturation": burnt}) for n in range(12)]
        return Scorecard(cell[0], cell[1], "grid", scores([d.scores for d in drawn]), "g", "e", drawn)

    cards = [card(EARLY, 0.4, 1.0), card(LATE, 0.6, 5.0)]
    found = Votes(many(LATE, EARLY, 10, 2)).agreement(cards)
    assert found["likeness"] == (preference.of_counts(10, 2), 12)
    assert found["saturation"] == (preference.of_counts(2, 10), 12), "low is the good end of it"
    assert "agreement" not in found, "it was not measured"
    assert Votes(many(LATE, EARLY, 0, 0, equal=3)).agreement(cards) == {}


def test_what_people_say_comes_back_from_the_disk_and_the_latest_counts(tmp_path):
    run = RunFolder(tmp_path / "runs" / "r")
    assert votes.read(run) == Votes()
    look = Seen(LATE, "x.png", "text 0", 1, "skin", "yes", "Ann", "2026-01-14", "ballot", "picture-1")
    again = Seen(LATE, "x.png", "text 0", 1, "skin", "no", "Ann", "2026-01-15", "ballot", "picture-1")
    votes.append(run, [vote(EARLY, LATE, "a"), look, vote(LATE, EARLY, "a"), again])
    ratings.append(run, [rating(LATE, 1), rating(LATE, 2)])
    found = votes.read(run)
    assert found.votes == (vote(LATE, EARLY, "a"),), "the same pictures, sides turned"
    assert found.seen == (again,)
    assert found.sights(LATE) == {"skin": (0, 1)}
    assert found.ratings == (rating(LATE, 2),)
    sound = votes.path(run).read_text()
    for line in ('{"format": 1, "kind": "vote", "a": [1]}', "5"):
        durable.write_text(votes.path(run), f"{sound}{line}\n")
        with pytest.raises(PortraitistError, match="damaged"):
            votes.read(run)
