"""Pictures in rows and columns, as a page shows them: strengths, guidances, checkpoints, each beside the base."""

from collections.abc import Sequence
from dataclasses import dataclass

from portraitist.judge.album import Album, Shown
from portraitist.judge.dossier import Dossier, near
from portraitist.judge.scorecard import BASE, OWN, Drawn, Scorecard, Stage
from portraitist.judge.telling import BRIEFLY, brief, called, in_short

MEDIUM, SMALL = 256, 176
"""Longer sides of pictures, in pixels: in a strip, in the grid of checkpoints."""

MOST_STRIP, MOST_COLUMNS, MOST_ROWS = 3, 8, 14


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture, None where its file cannot be read, with what it shows in words and a few numbers below it."""

    shown: Shown | None
    alt: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of pictures with its heading; `mark` is what it is (chosen, runner-up, base)."""

    head: str
    note: str
    mark: str
    cells: Sequence[Frame | None]


@dataclass(frozen=True, slots=True)
class Pictures:
    """A table of pictures: column headings with a note and a mark each, and rows."""

    columns: Sequence[tuple[str, str, str]]
    rows: Sequence[Row]
    says: str


def firsts(card: Scorecard) -> list[Drawn]:
    """The first picture of each prompt."""
    found: dict[str, Drawn] = {}
    for drawn in card.pictures:
        found.setdefault(drawn.text, drawn)
    return list(found.values())


def matching(card: Scorecard | None, drawn: Drawn) -> Drawn | None:
    """The picture of a card with the same prompt and seed."""
    pictures = card.pictures if card else ()
    return next((d for d in pictures if d.text == drawn.text and d.seed == drawn.seed), None)


def frame(dossier: Dossier, album: Album, card: Scorecard | None, drawn: Drawn | None, size: int) -> Frame | None:
    """One drawn picture with its identity and agreement below."""
    if card is None or drawn is None:
        return None
    note = in_short({name: drawn.scores[name] for name in BRIEFLY if name in drawn.scores})
    alt = f"{called(card)}: {drawn.text}, seed {drawn.seed}"
    return Frame(album.show(dossier.run.path / drawn.path, size), alt, note)


def strengths(dossier: Dossier, album: Album) -> Pictures | None:
    """The chosen checkpoint (the newest before a choice) at every strength of the full grid, base first: under the
    chosen guidance where it was tried at several strengths, else under the grid's own."""
    cards = [card for card in dossier.stage("grid") if card.step != BASE]
    if not cards:
        return None
    step = shown_step(dossier, cards)
    of_step = [card for card in cards if card.step == step]
    chosen = [card for card in of_step if dossier.cell and near(card.guidance, dossier.cell[2])]
    columns = chosen if len(chosen) > 1 else [card for card in of_step if card.guidance == OWN] or of_step
    heads = [f"{card.strength:g}" for card in columns]
    says = f"Step {step:,} at each strength that was tried, same prompt and seed in a row."
    return strip(dossier, album, columns, heads, says)


def guidances(dossier: Dossier, album: Album) -> Pictures | None:
    """The chosen checkpoint and strength at every guidance that was tried; None where only one was."""
    cards = [card for card in dossier.stage("grid") if card.step != BASE]
    if all(card.guidance == OWN for card in cards):
        return None
    step = shown_step(dossier, [card for card in cards if card.guidance != OWN])
    tried = [card for card in cards if card.step == step and card.guidance != OWN]
    wanted = dossier.cell[1] if dossier.cell else tried[-1].strength
    at = wanted if any(near(card.strength, wanted) for card in tried) else tried[-1].strength
    columns = [card for card in cards if card.step == step and near(card.strength, at)]
    heads = ["As usual" if card.guidance == OWN else f"{card.guidance:g}" for card in columns]
    says = f"Step {step:,} at strength {at:g} under each guidance that was tried, same prompt and seed in a row."
    return strip(dossier, album, columns, heads, says)


def shown_step(dossier: Dossier, cards: Sequence[Scorecard]) -> int:
    """The chosen step if cards are of it, else the newest of them."""
    steps = {card.step for card in cards}
    return dossier.choice.step if dossier.choice and dossier.choice.step in steps else max(steps)


def strip(dossier: Dossier, album: Album, cards: Sequence[Scorecard], heads: Sequence[str], says: str) -> Pictures:
    """Cards as columns under their heads, with the base before them; the first prompts as rows."""
    base = dossier.base(cards[-1])
    shown = [*([base] if base else []), *cards]
    columns = [
        (head, brief(card), dossier.mark(card) if card.step != BASE else "")
        for head, card in zip([*(["Base"] if base else []), *heads], shown, strict=True)
    ]
    rows = []
    for drawn in firsts(cards[-1])[:MOST_STRIP]:
        cells = [frame(dossier, album, card, matching(card, drawn), MEDIUM) for card in shown]
        rows.append(Row(drawn.text, f"seed {drawn.seed}", "", cells))
    return Pictures(columns, rows, says)


def checkpoints(dossier: Dossier, album: Album) -> Pictures | None:
    """Every checkpoint against every prompt of the screen, base first, in the order they were trained."""
    stage: Stage = "screen" if dossier.stage("screen") else "grid"
    cards = one_a_step(dossier, stage)
    if not cards:
        return None
    wanted = firsts(max(cards, key=lambda card: len(card.pictures)))[:MOST_COLUMNS]
    columns = [(drawn.text, f"seed {drawn.seed}", "") for drawn in wanted]
    choice, rows = dossier.choice, []
    for card in spaced(cards, choice.step if choice else BASE):
        head = "Base" if card.step == BASE else f"{card.step:,}"
        mark = "chosen" if choice and card.step == choice.step else ""
        cells = [frame(dossier, album, card, matching(card, drawn), SMALL) for drawn in wanted]
        rows.append(Row(head, brief(card), mark, cells))
    strengths = sorted({card.strength for card in cards if card.step != BASE})
    at = f" at strength {strengths[0]:g}" if len(strengths) == 1 else ""
    left = f" {len(cards) - len(rows)} checkpoints between these are left out." if len(cards) > len(rows) else ""
    return Pictures(columns, rows, f"Each row is a checkpoint{at}; down a column only training differs.{left}")


def one_a_step(dossier: Dossier, stage: Stage) -> list[Scorecard]:
    """One card a step at the grid's own guidance: at the strength that most steps have, the highest of equals."""
    cards = [card for card in dossier.stage(stage) if card.guidance == OWN]
    strengths = [card.strength for card in cards if card.step != BASE]
    usual = max(strengths, key=lambda s: (strengths.count(s), s), default=0.0)
    found: dict[int, Scorecard] = {}
    for card in cards:
        if card.step not in found or card.strength == usual:
            found[card.step] = card
    return [found[step] for step in sorted(found)]


def spaced(cards: Sequence[Scorecard], keep: int) -> list[Scorecard]:
    """At most MOST_ROWS of the cards, evenly spaced, with the first, the last and that of step `keep` among them."""
    if len(cards) <= MOST_ROWS:
        return list(cards)
    places = {round(i * (len(cards) - 1) / (MOST_ROWS - 2)) for i in range(MOST_ROWS - 1)}
    return [card for i, card in enumerate(cards) if i in places or card.step == keep]
