"""Rounds: what is kept, what comes next, when it ends, and that a stop in between loses nothing."""

import re
from dataclasses import replace

import pytest
import tomli_w

from portraitist import durable, families, recipe, rounds, runs, show
from portraitist.errors import PortraitistError
from portraitist.forecast import judging as costs
from portraitist.judge import alike, grid, measures, scorecard, settings
from portraitist.judge.advising import gain
from portraitist.judge.advising.advice import Action, Advice, Expected
from portraitist.judge.advising.changes import Change
from portraitist.judge.advising.evidence import Seen, Symptom
from portraitist.judge.scorecard import Drawn, Score, Scorecard
from portraitist.rounds import Plan, Round, Story
from portraitist.runs import Choice
from tests import reported

WOBBLE = (0.02, -0.02, 0.01, -0.01)


def card(likeness=0.6, grid="g", stage="grid", wobble=1.0, **means):
    """The card of step 300 at full strength: eight pictures around these means."""
    facts = {"likeness": likeness, "saturation": 1.0} | means
    pictures = [
        Drawn(f"p{i}", f"text {i}", 1, "", {n: v + wobble * WOBBLE[i % 4] for n, v in facts.items()}) for i in range(8)
    ]
    return Scorecard(300, 1.0, stage, measures.scores([d.scores for d in pictures]), grid, "e", pictures)


def judged(*cards, broken=(), **seen):
    """What is known of a run, and its choice, which is out at these gates."""
    gates = {name: {"passed": name not in broken} for name in ("agreement", "copying")}
    return Seen(cards=cards, **seen), Choice(300, 1.0, "so", {"passed": not broken, "gate": gates})


def advice(settings=None, dataset=(), says="It ails", expects=("likeness", "up")):
    """One advice."""
    return Advice(
        Symptom("ailing", says, 0.5, True, ()), ("so",), (Expected(*expects),), "judged",
        tuple(Change(key, None, value) for key, value in (settings or {}).items()), dataset,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("new", "best", "kept", "says"),
    [
        (judged(card(0.7)), judged(card(0.6)), True, r"likeness \+0.10"),
        (judged(card(0.6, wobble=-1)), judged(card(0.61)), False, "nothing gained"),
        (judged(card(0.62, wobble=-9.0)), judged(card(0.6)), False, "it may be worse"),
        (judged(card(0.4)), judged(card(0.6)), False, "it may be worse"),
        (judged(card(0.7), broken=["copying"]), judged(card(0.6)), False, "no longer keeps to the limit of copying"),
        (judged(card(0.7), broken=["copying"]), judged(card(0.6), broken=["copying"]), True, "likeness"),
        (judged(card(0.7), broken=["copying"]), judged(card(0.6), broken=["agreement"]), False, "limit of copying"),
        (judged(card(0.7, grid="h")), judged(card(0.6)), False, "do not compare"),
        (judged(), judged(card(0.6)), False, "not judged"),
        (judged(card(0.7, stage="screen")), judged(card(0.6)), True, "likeness"),
    ],
)
def test_a_round_is_kept_when_it_is_surely_not_worse_and_brought_something(new, best, kept, says):
    found = gain.held(new, best, [Expected("likeness", "up")])
    assert found.kept == kept
    assert re.search(says, found.says)


def probe(leak):
    """A card of what the character does unasked."""
    return Scorecard(300, 1.0, "probe", {"leak": Score(leak, leak - 0.1, leak + 0.1, 4)}, "g", "e")


def test_an_equal_likeness_is_kept_where_what_was_advised_has_moved():
    expects = [Expected("leak", "down")]
    cured, still = judged(card(0.59), probe(0.1)), judged(card(0.59), probe(0.9))
    before = judged(card(0.6), probe(0.9))
    assert gain.held(cured, before, expects).kept
    assert not gain.held(still, before, expects).kept
    burnt, calm = judged(card(0.6, saturation=12.0)), judged(card(0.6, saturation=2.0))
    assert gain.held(calm, burnt, [Expected("saturation", "down")]).kept
    assert not gain.held(burnt, calm, [Expected("saturation", "down")]).kept


FIRST = Round("one", {"training.batch": 4}, "", 300, 1.0, {}, True, "the first")
OWN = recipe.Recipe()


def test_strain_counts_as_it_does_in_the_choice_with_what_probes_took_of_it():
    """Two pictures of it in the grid are too few, with three more among the probes they are enough."""

    def strained(likeness, strain):
        """A run's cards."""
        whole = card(likeness)
        seen = [
            replace(d, scores={**d.scores, "strain": strain} if i < 2 else d.scores)
            for i, d in enumerate(whole.pictures)
        ]
        asked = tuple(Drawn(f"r{i}", f"other {i}", 1, "", {"strain": strain}) for i in range(3))
        parts = [("grid", tuple(seen)), ("probe", asked)]
        return judged(*(
            replace(whole, stage=stage, pictures=some, scores=measures.scores([d.scores for d in some]))
            for stage, some in parts
        ))  # fmt: skip

    broken = gain.held(strained(0.7, 0.9), strained(0.6, 0.0), [Expected("likeness", "up")])
    assert broken.likeness.mean == pytest.approx(0.1 - alike.PRICE * 0.9)
    assert not broken.kept
    assert "likeness less strain -0.08" in broken.says
    assert gain.held(strained(0.7, 0.1), strained(0.6, 0.0), [Expected("likeness", "up")]).kept


def story(*done, **more):
    """A story with rounds."""
    return Story("s", "p", done or (FIRST,), None, **more)


def test_the_first_advice_that_a_recipe_can_follow_comes_next_on_top_of_the_best():
    wants = [
        advice(dataset=(Action("add", "Add 9."),)),
        advice({"judging.guidance": 1.5}),
        advice({"training.rate": 1e-3}, says="It burns", expects=("saturation", "down")),
        advice({"adapter.rank": 8}),
    ]
    found = rounds.planned(OWN, story(), wants)
    assert found.next == Plan(
        {"training.batch": 4, "training.rate": 1e-3}, "It burns", (Expected("saturation", "down"),)
    )
    assert (found.ended, found.todo) == ("", ("Add 9.",))


@pytest.mark.parametrize(
    ("wants", "ended", "todo"),
    [
        ([], "nothing measured calls for a change", ()),
        ([advice(dataset=(Action("add", "Add 9."),))], "what is advised is not of the recipe", ("Add 9.",)),
        (
            [advice(dataset=(Action("add", "Add 9.", along=(Change("stages.0.steps", 300, 400),)),))],
            "what is advised is not of the recipe",
            ("Add 9. With them change stages.0.steps: 300 -> 400.",),
        ),
        ([advice({"training.batch": 4})], "the same recipe is advised again", ()),
    ],
)
def test_it_ends_where_no_recipe_helps(wants, ended, todo):
    found = rounds.planned(OWN, story(), wants)
    assert (found.next, found.ended, found.todo) == (None, ended, todo)


@pytest.fixture
def project(tmp_path):
    """A project with an audit and two runs, chosen and judged on the grid, the second a little better."""
    made = reported.project(tmp_path / "zorblax", count=4, held=0)
    for name, likeness in (("one", 0.6), ("two", 0.7), ("three", 0.5)):
        run = runs.RunFolder(made.runs / name)
        durable.write_text(run.lock, OWN.to_toml() + "\n[lock]\nformat = 1\n")
        scorecard.append(run, card(likeness))
        durable.write_text(run.choice, tomli_w.dumps({"step": 300, "strength": 1.0, "why": "so", "passed": True}))
    return made


def test_rounds_are_told_apart_kept_and_ended(project):
    begun = Story("s", next=Plan({}))
    one = rounds.follow(project, OWN, begun, "one", [advice({"training.rate": 1e-3}, says="It burns")])
    assert one.next == Plan({"training.rate": 1e-3}, "It burns", (Expected("likeness", "up"),))
    two = rounds.follow(project, OWN, one, "two", [advice({"adapter.rank": 8})])
    assert (two.best.name, two.best.why) == ("two", "It burns")
    assert two.best.against["mean"] == pytest.approx(0.1)
    assert two.next.settings == {"training.rate": 1e-3, "adapter.rank": 8}
    three = rounds.follow(project, OWN, two, "three", [advice({"adapter.rank": 4})])
    assert three.best.name == "two"
    assert three.next is None
    assert three.ended.startswith("round 3 brought nothing: likeness -0.20")


def test_later_rounds_are_judged_by_the_first_ones_grid_however_long_they_train(project):
    """A budget cuts the judging of twenty steps and not that of four hundred: their pictures would not compare."""
    mini = recipe.Recipe.model_validate({"stages": [{"steps": 20}], "judging": {"budget": 1.0}})
    profile = families.get("mini").profile
    pictures = project.read_manifest()

    def judging(wanted):
        return costs.fitted(wanted, project.facts, profile, 16, pictures, 2).recipe

    begun = Story("s", next=Plan({}))
    first = judging(rounds.coming(project, mini, begun))
    settings.write(runs.RunFolder(project.runs / "one"), first.judging)
    later = replace(begun, rounds=(FIRST,), next=Plan({"stages.0.steps": 400}))
    second = judging(rounds.coming(project, mini, later))
    assert second.steps == 400
    assert second.judging.unnamed == first.judging.unnamed < mini.judging.unnamed
    drawn = [grid.grid(project.facts, one, profile, 16, pictures).digest for one in (first, second)]
    assert drawn[0] == drawn[1]


def test_a_story_goes_on_from_its_file_unless_recipe_or_pictures_changed(project):
    begun = rounds.read(project, OWN)
    assert (begun.rounds, begun.next) == ((), Plan({}))
    found = rounds.follow(project, OWN, begun, "one", [advice({"training.rate": 1e-3, "data.sets": [{"name": "a"}]})])
    rounds.write(project, found)
    assert rounds.read(project, OWN) == found
    assert rounds.read(project, recipe.Recipe.model_validate({"why": "words decide nothing"})) == found
    assert rounds.read(project, recipe.Recipe.model_validate({"training": {"seed": 1}})).rounds == ()
    (project.pictures / "new.txt").write_text("zorblax")
    assert rounds.read(project, OWN).rounds == ()


def test_what_is_done_is_told_without_running_anything(project):
    """No base is at hand here: a run would refuse."""
    begun = rounds.read(project, OWN)
    rounds.write(project, rounds.follow(project, OWN, begun, "one", []))
    found = rounds.rounds(project, OWN, 5)
    assert (found.run, found.checkpoint, found.ended) == ("one", 300, "nothing measured calls for a change")
    assert reported.Path(found.page).read_text().count("<html") == 1
    assert "ended    nothing measured calls for a change" in show.told(found)


def test_a_story_that_stops_short_tells_how_to_go_on(project):
    found = rounds.follow(project, OWN, rounds.read(project, OWN), "one", [advice({"training.rate": 1e-3})])
    rounds.write(project, rounds.follow(project, OWN, found, "two", [advice({"adapter.rank": 8})]))
    assert rounds.rounds(project, OWN, 1).ended == "2 of 2 rounds are done; --rounds 3 goes on"


@pytest.mark.parametrize("count", [0, -1])
def test_no_rounds_at_all_are_refused(project, count):
    with pytest.raises(PortraitistError, match="at least one"):
        rounds.rounds(project, OWN, count)


def test_a_damaged_story_is_refused_with_a_remedy(project):
    durable.write_json(project.folder / "rounds.json", {"format": 2})
    with pytest.raises(PortraitistError, match=r"rounds\.json is damaged or of another version"):
        rounds.read(project, OWN)
    rounds.write(project, Story(rounds.fingerprint(OWN.digest()), next=Plan({})))
    values = durable.read_json(project.folder / "rounds.json")
    del values["rounds"]
    durable.write_json(project.folder / "rounds.json", values)
    with pytest.raises(PortraitistError, match=r"rounds\.json is damaged: 'rounds'"):
        rounds.read(project, OWN)
