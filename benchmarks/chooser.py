"""Is the chosen checkpoint the right one? The choice, and what else people go by, held to the truth of every cell.

python -m benchmarks.chooser [choice] [fresh] [later]

Reads groups of the bank (benchmarks/bank.py); draws and trains nothing. Regret is (best - chosen) / (best - worst), of
the true likeness: the best among the cells that keep to a gate, the range that of all. The gate is of agreement by the
truth's own reading, or that of `choose` itself. A choice that does not keep to it has nothing of what was asked for
and counts as the worst: 1.
"""

import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.record import MAX_DROP, Cell, Record, interval, read
from benchmarks.replay import PROBED, fewer, walked
from portraitist.judge import choosing
from portraitist.judge.measures import score
from portraitist.judge.measures import scores as scored
from portraitist.judge.scorecard import Scorecard

WHOLE = 1.0
DRAWN = 10  # times that pictures are drawn anew
OUT = 1.0  # regret of a cell that does not pass
LEAN = {"screen": 4, "unnamed": 2, "paraphrases": 0}
"""What the preset of the embedded base is cut to by its budget."""


def keeps(run: Record, cell: Cell) -> bool:
    """Whether a cell keeps to the gate by the truth: agreement read by the probe, against the base's or, where that is
    less, against what is read of true drawings of the character; a loss counts where it is evident, as in `choose`."""
    own, base = (np.array([right for _, right in run.truths[one]["each"]]) for one in (cell, (0, 0.0)))
    less = max(0.0, float(base.mean()) - float(run.told["drawings"]))
    lost = score(list(base - own - less))
    return lost.mean <= MAX_DROP or lost.low <= 0


def regret(run: Record, cell: Cell, allowed: Sequence[Cell]) -> float:
    """Of a choice among cells that are allowed, which has 1 where it is none of them; nan where there are none."""
    if not allowed:
        return float("nan")
    true = {one: truth(run, one) for one in run.cells}
    best = max(true[one] for one in allowed)
    return (best - true[cell]) / (max(true.values()) - min(true.values())) if cell in allowed else OUT


def kept(run: Record) -> list[Cell]:
    """Cells that keep to the gate by the truth."""
    return [cell for cell in run.cells if keeps(run, cell)]


def admitted(run: Record) -> list[Cell]:
    """Cells that pass the gates of `choose` itself."""
    base, cards = choosing.latest(run.cards, "grid")
    assert base is not None  # every run of the bank has its base judged
    return [(c.card.step, c.card.strength) for c in choosing.weighed(base, cards, MAX_DROP) if c.passed]


def fair(run: Record, cell: Cell) -> float:
    """Regret without the gate, against cells that are found best by the other seeds of the truth than those they are
    held to: the best of twenty uncertain means is flattered by chance, and this one is not."""
    each = {one: np.array(run.truths[one]["each"])[:, 0].reshape(-1, 12).mean(1) for one in run.cells}
    true = {one: float(seeds.mean()) for one, seeds in each.items()}
    lost = []
    for seed in range(len(each[cell])):
        others = {one: float(np.delete(seeds, seed).mean()) for one, seeds in each.items()}
        best = max(others, key=others.__getitem__)
        lost.append(float(each[best][seed] - each[cell][seed]))
    return float(np.mean(lost)) / (max(true.values()) - min(true.values()))


def nearest(run: Record, step: float) -> int:
    """The checkpoint nearest to a step."""
    return min(run.steps, key=lambda one: (abs(one - step), one))


def held_out(run: Record) -> int:
    """The checkpoint of the lowest held-out loss."""
    found = {one.step: np.mean(one.held_each) for one in run.losses if one.step and one.held_each}
    return min(found, key=lambda step: (found[step], step))


def trained(run: Record) -> int:
    """The checkpoint of the lowest training loss, on the samples that losses are taken on."""
    found = {one.step: np.mean(one.train_each) for one in run.losses if one.step}
    return min(found, key=lambda step: (found[step], step))


def later(run: Record, epochs: int) -> int:
    """So many epochs after the lowest held-out loss."""
    setup = run.told["setup"]
    return nearest(run, held_out(run) + epochs * setup["pictures"] / 8)


def knee(run: Record) -> int:
    """The knee of the loss smoothed by 0.999, as the guides watch it: farthest below the line from start to end."""
    steps, losses = (np.array(column, float) for column in zip(*run.told["training"], strict=True))
    smooth, found = losses[0], []
    for loss in losses:
        smooth = 0.999 * smooth + 0.001 * loss
        found.append(smooth)
    line = found[0] + (np.array(found[-1]) - found[0]) * (steps - steps[0]) / (steps[-1] - steps[0])
    return nearest(run, float(steps[int(np.argmax(line - np.array(found)))]))


def ours(run: Record, **how: object) -> Cell:
    """What `choose` takes."""
    card = run.verdict(**how).chosen.card  # type: ignore[arg-type]
    return card.step, card.strength


def halved(run: Record) -> Cell:
    """What `choose` takes by half the pictures of every cell: those of the first seed, and the first of each probe."""
    cards = []
    for card in run.cards:
        if card.stage == "probe":
            cards.append(fewer(card, {name: count // 2 for name, (_, count) in PROBED.items()}))
            continue
        kept = card.pictures[: len(card.pictures) // 2]
        cards.append(replace(card, pictures=kept, scores=scored([d.scores for d in kept])))
    return chosen(cards, run)


WALK = "choose, by the walk, as the preset"
RULES: Mapping[str, Callable[[Record], Cell]] = {
    "choose": ours,
    "choose, strength 1.0": lambda run: ours(run, only=(WHOLE,)),
    "choose, by the walk": lambda run: walked(run)[0],
    WALK: lambda run: walked(run, **LEAN)[0],
    "choose, half the pictures": halved,
    "last checkpoint": lambda run: (run.steps[-1], WHOLE),
    "lowest held-out loss": lambda run: (held_out(run), WHOLE),
    "lowest training loss": lambda run: (trained(run), WHOLE),
    "held-out loss, 2 epochs later": lambda run: (later(run, 2), WHOLE),
    "held-out loss, 4 epochs later": lambda run: (later(run, 4), WHOLE),
    "knee of the smoothed loss": lambda run: (knee(run), WHOLE),
    "6 of 10 epochs": lambda run: (nearest(run, 0.6 * run.steps[-1]), WHOLE),
}


MANNERS: Mapping[str, Callable[[Record, Cell], float]] = {
    "gated": lambda run, cell: regret(run, cell, kept(run)),
    "own gate": lambda run, cell: regret(run, cell, admitted(run)),
    "without the gate": lambda run, cell: regret(run, cell, run.cells),
    "fair": fair,
    "likeness lost": lambda run, cell: max(float(one["truth"]) for one in run.truths.values()) - truth(run, cell),
}


def truth(run: Record, cell: Cell) -> float:
    """True likeness of a cell."""
    return float(run.truths[cell]["truth"])


def figures(runs: Sequence[Record], manner: str) -> dict[str, dict[str, object]]:
    """By rule: mean regret with its interval over characters, its 90th percentile, how much better `choose` is with all
    cells in full before it, and how much better as a person has it: by the walk, as the preset."""
    by, gated = MANNERS[manner], manner in ("gated", "own gate")
    runs = [run for run in runs if manner != "own gate" or admitted(run)]
    groups = [run.who for run in runs]
    values = {name: [by(run, rule(run)) for run in runs] for name, rule in RULES.items()}
    values["random"] = [float(np.mean([by(run, cell) for cell in run.cells])) for run in runs]
    told: dict[str, dict[str, object]] = {}
    for name, found in values.items():
        whole, walk = ([a - b for a, b in zip(found, values[own], strict=True)] for own in ("choose", WALK))
        told[name] = {
            "mean": rounded(interval(found, groups)),
            "90th": round(float(np.quantile(found, 0.9)), 3),
            "outside the gate": sum(value == OUT for value in found) if gated else 0,
            "choose is better by": rounded(interval(whole, groups)),
            "the walk is better by": rounded(interval(walk, groups)),
        }
    return told


def verdicts(runs: Sequence[Record]) -> dict[str, object]:
    """The verdict by the walk, as the preset, beside that by the full grid, and the full grid's own by pictures that
    are drawn anew: in what share of runs it is the same cell, and by how much it is likelier in truth; and where the
    walk's surely is not, prompt by prompt and seed by seed (95 %)."""
    walks = {run.name: RULES[WALK](run) for run in runs}
    anew = {run.name: [chosen(redrawn(run, seed), run) for seed in range(DRAWN)] for run in runs}
    worse = []
    for run in runs:
        apart = np.subtract(*(np.array(run.truths[cell]["each"])[:, 0] for cell in (walks[run.name], ours(run))))
        worse += [run.name] if interval(apart, range(len(apart)))[2] < 0 else []
    found = {"runs": len(runs), "surely less like": worse}
    for name, cells in (("walk", {name: [cell] for name, cell in walks.items()}), ("drawn anew", anew)):
        gains = [float(np.mean([truth(run, c) for c in cells[run.name]])) - truth(run, ours(run)) for run in runs]
        same = float(np.mean([np.mean([c == ours(run) for c in cells[run.name]]) for run in runs]))
        found[name] = {"same cell": round(same, 3), "likeness": rounded(interval(gains, [run.who for run in runs]))}
    return found


def redrawn(run: Record, seed: int) -> list[Scorecard]:
    """The cards of a run's full grid by pictures drawn with replacement, the same of every cell, each from among those
    that are measured alike."""
    draw, picked = np.random.default_rng([seed, run.who]), dict[str, list[int]]()
    for stage in ("grid", "probe"):
        cards = [card for card in run.cards if card.stage == stage]
        kinds = [{name for card in cards for name in card.pictures[i].scores} for i in range(len(cards[0].pictures))]
        blocks = [name for name, (_, count) in PROBED.items() for _ in range(count)] if stage == "probe" else []
        alike = [(block, kind) for block, kind in itertools.zip_longest(blocks[: len(kinds)], kinds)]
        picked[stage] = [int(draw.choice([j for j, kind in enumerate(alike) if kind == own])) for own in alike]
    found = []
    for card in run.cards:
        shown = tuple(replace(card.pictures[i], text=f"{i} {k}", seed=k) for k, i in enumerate(picked[card.stage]))
        scores = scored([drawn.scores for drawn in shown])
        found.append(replace(card, pictures=shown, scores={n: got for n, got in scores.items() if n in card.scores}))
    return found


def chosen(cards: Sequence[Scorecard], run: Record) -> Cell:
    """What `choose` takes of cards of a run."""
    base, some = choosing.latest(cards, "grid")
    assert base is not None  # every run of the bank has its base judged
    card = choosing.choose(base, some, run.losses, "likeness", MAX_DROP).chosen.card
    return card.step, card.strength


def rounded(values: Sequence[float]) -> list[float]:
    """To three places."""
    return [round(value, 3) for value in values]


def main() -> None:
    """Write the figures, as JSON: each run in a line, then the rules."""
    runs = [run for group in sys.argv[1:] or ["choice"] for run in read(group)]
    for run in runs:
        cell, best = ours(run), max(run.cells, key=lambda one: run.truths[one]["truth"])
        line = {
            "run": run.name,
            "chosen": [*cell, run.truths[cell]["truth"]],
            "best": [*best, run.truths[best]["truth"]],
            "regret": round(regret(run, cell, kept(run)), 3),
            "own gate": round(regret(run, cell, admitted(run)), 3),
            "kept": f"{len(kept(run))} of {len(run.cells)}",
            "walked": [*walked(run)[0], walked(run)[1]],
            "as the preset": [*walked(run, **LEAN)[0], walked(run, **LEAN)[1]],
        }
        sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.write(json.dumps({"by": "the walk beside the full grid", **verdicts(runs)}) + "\n")
    for manner in MANNERS:
        sys.stdout.write(json.dumps({"by": manner, "rules": figures(runs, manner)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
