"""What the pictures of a run leave open, and what people said of them."""

from collections.abc import Iterator, Mapping

from portraitist.events import Warned
from portraitist.judge import standing, tradeoff, votes
from portraitist.judge.advising import seeing, signs
from portraitist.judge.dossier import Dossier, cell, same
from portraitist.judge.measures import ASKED, MEASURES, difference
from portraitist.judge.measuring.agreement import UNREAD
from portraitist.judge.telling import named, title, within

FEWEST = 5
"""Decisions of people that are worth holding a measure to on the page; choice.toml has all."""

MOST_LEVEL = 8
"""Cells that are named as not distinguishable from the choice; of more the number is told."""


def doubts(dossier: Dossier) -> Iterator[str]:
    """What the pictures of the chosen cell leave open: what is not distinguishable from it, and it from the base."""
    by, ties = tradeoff.level(dossier)
    if ties:
        more = f" and {len(ties) - MOST_LEVEL} more" if len(ties) > MOST_LEVEL else ""
        cells = ", ".join(word.lower() for word in ties[:MOST_LEVEL])
        yield f"Not distinguishable from the choice in {by}, by these pictures: {cells}{more}."
    judged = dossier.chosen()
    if judged is None:
        return
    level = []
    for name, (card, base) in dossier.scored(judged[0]).items():
        change = difference(card, base, name) if base else None
        if change and change.count and change.low <= 0 <= change.high and name in MEASURES:
            level.append(within(name))
    if level:
        yield f"Not distinguishable from the base: {', '.join(level)}."
    yield from dict.fromkeys(f"{event.says}." for event in dossier.of(Warned) if event.says.startswith(UNREAD))
    held = next((c.gates for c in standing.chosen_from(dossier) if same(c.place, dossier.cell)), ())
    if unsure := [within(gate.name) for gate in held if not gate.certain]:
        yield f"So few pictures leave it open whether it keeps to the limit of: {', '.join(unsure)}."


def ailing(dossier: Dossier) -> list[str]:
    """What ails the run by the rules of advice, the worst first: a sentence each, with how sure it is."""
    if not dossier.cards:
        return []
    found = signs.look(seeing.seen(dossier.project, dossier.run))
    return [f"{symptom.says}{'' if symptom.certain else ' (likely, not sure)'}." for symptom in found]


def asked(dossier: Dossier) -> list[tuple[str, str]]:
    """What no eye sees, as questions to a person, and what people answered about the chosen cell's pictures."""
    if dossier.cell is None:
        return []
    answers = votes.read(dossier.run).sights(dossier.cell)
    return [
        (question, "yes for {} of {} pictures".format(*answers[name]) if name in answers else "not asked yet")
        for name, question in ASKED.items()
    ]


def people(dossier: Dossier) -> Iterator[str]:
    """How people's votes bore on the choice, and which measures they side with, as choice.toml has it."""
    table = dossier.choice.table if dossier.choice else {}
    measured, said = table.get("measured"), table.get("people")
    if isinstance(measured, Mapping):
        whose = "A person's" if table.get("by") == "person" else "By people's votes, not the measures'"
        named_cell = named(*cell(measured))
        yield f"{whose} choice: by measures alone it would be {named_cell[0].lower()}{named_cell[1:]}."
    if not isinstance(said, Mapping) or not said.get("comparisons"):
        return
    yield f"{said['comparisons']} comparisons by people count, {said.get('votes', 0)} of them blind votes."
    for name, found in said.get("agreement", {}).items():
        if found["count"] >= FEWEST:
            yield (
                f"{title(name)} sides with people {found['share']:.0%} of the time"
                f" ({found['low']:.0%} to {found['high']:.0%}, {found['count']} decisions; 50% is chance)."
            )
