"""How cells stand on a report: by the reckoning of the choice itself, which is held to what choice.toml says."""

from dataclasses import replace

import pytest

from portraitist.judge import dossier, evidence, measures, page, scorecard, standing, tradeoff
from portraitist.judge.dossier import cell
from portraitist.judge.scorecard import Drawn, Scorecard
from portraitist.verbs.choose import choose
from tests import reported
from tests.pages import Page

TEXTS = [f"zorblax, {i}" for i in range(8)]
WOBBLE = [0.04, -0.04, 0.02, -0.02] * 2


def card(step, strength, portrayal, wobble=1.0, **more):
    """A card of eight pictures; likeness rises with strength, as it does in truth, and portrayal need not."""
    means = {"agreement": 0.8 - 0.01 * step / 50, "identity": 0.5 * (step > 0), "copying": 0.1} | more
    means |= {"likeness": strength, "portrayal": portrayal}
    drawn = tuple(
        Drawn("p", text, 1, "", {name: mean + wobble * spread for name, mean in means.items()})
        for text, spread in zip(TEXTS, WOBBLE, strict=True)
    )
    return Scorecard(step, strength, "grid", measures.scores([d.scores for d in drawn]), "g", "e", drawn)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A run of checkpoints 50 and 100 at 0.8, 1 and 1.2, the last not surely better than 1; and one that is gone."""
    project = reported.project(tmp_path_factory.mktemp("standing") / "zorblax", count=3, held=0)
    run = reported.trained(project, steps=100)
    for made in (
        card(0, 0.0, 0.0),
        card(50, 0.8, 0.3),
        card(50, 1.0, 0.5),
        card(50, 1.2, 0.5, wobble=2.0),
        card(100, 0.8, 0.4),
        card(100, 1.0, 0.6),
        card(100, 1.2, 0.6, wobble=2.0, agreement=0.9),
        card(150, 1.0, 0.9, agreement=0.9),
    ):
        scorecard.append(run, made)
    judging = run.recipe().judging.model_copy(update={"strengths": (0.8, 1.0, 1.2)})
    reported.durable.write_json(run.evaluation / "judging.json", judging.model_dump(mode="json"))
    choose(project)
    return dossier.gather(project)


def places(table, name):
    """The cells of a list in choice.toml."""
    return {cell(entry) for entry in table.get(name, [])}


def test_a_checkpoint_that_is_gone_is_not_chosen_from(found):
    assert {candidate.card.step for candidate in standing.chosen_from(found)} == {50, 100}
    assert (150, 1.0, 0.0) in standing.gates(found, "grid"), "its gates are told all the same"


def test_what_is_not_told_from_the_choice_is_what_the_choice_says(found):
    by, names = tradeoff.level(found)
    assert by == found.choice.table["decides"] == "portrayal"
    assert {name.removeprefix("Step ") for name in names} == {
        f"{step} at {strength:g}" for step, strength, _ in places(found.choice.table, "unsure")
    }
    assert not any("1.2" in name for name in names), "a strength that is not borne out cannot be chosen"


def test_the_front_is_the_choices_own_and_its_strokes_are_of_what_decides(found):
    plot = tradeoff.plot(found)
    front = places(found.choice.table, "front")
    assert front
    told = Page(f"<html><body>{plot.chart}</body></html>")
    kinds = [attributes["class"] for attributes in told.all("circle")]
    assert sum(kind in ("spot front", "spot chosen") for kind in kinds) == len(front | {found.cell})
    candidates = {candidate.place: candidate for candidate in standing.chosen_from(found)}
    spot = tradeoff.spot(found, candidates[found.cell], ahead=True)
    score = candidates[found.cell].card.scores["portrayal"]
    assert spot.upright == (score.low, score.high)
    assert "portrayal" in spot.says
    assert "portrayal" in str(plot.chart)


def test_what_decided_is_among_the_key_numbers_though_fresh_pictures_cannot_tell_it(found):
    """Fresh prompts are no captions, so that portrayal is taken on the pictures that chose alone."""
    by_name = {tile.name: tile for tile in evidence.tiles(found)}
    assert "on the pictures that chose" not in by_name["Portrayal"].against
    fresh = [card for card in found.cards if card.step in (0, found.cell[0])]
    fresh = [replace(card, stage="report", scores={"likeness": card.scores["likeness"]}) for card in fresh]
    drawn = replace(found, cards=[*found.cards, *fresh])
    by_name = {tile.name: tile for tile in evidence.tiles(drawn)}
    assert page.summary(drawn)["scores"]["portrayal"]["chosen"] == pytest.approx(0.6)
    assert set(by_name) == {"Likeness", "Portrayal"}
    assert by_name["Portrayal"].value == "0.60"
    assert by_name["Portrayal"].against.endswith("better than the base, on the pictures that chose")
