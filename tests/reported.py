"""A project with a run as the verbs would leave it, for tests of the report: drawn pictures, real writers."""

import random
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w
from PIL import Image, ImageDraw

from portraitist import durable
from portraitist.audit import Finding
from portraitist.audit.survey import Survey, write_record
from portraitist.events import Finished, Saved, Scored, Started, Stepped, Warned
from portraitist.judge import choosing, measures, scorecard
from portraitist.judge.scorecard import Drawn, Losses, Scorecard
from portraitist.pictures import Picture, open_upright
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.runs import RunFolder

GROUNDS = {"beach": (244, 222, 170), "forest": (86, 128, 92), "city": (128, 134, 150), "pink": (243, 190, 205)}
FRAMINGS = {"close-up": 1.5, "half body": 1.0, "full body": 0.62}
PROMPTS = [
    "close-up of zorblax, smiling, beach background",
    "half body of zorblax, angry, forest background",
    "full body of zorblax, surprised, city background",
    "close-up of zorblax, surprised, plain pink background",
]
LATER = [text.replace("zorblax,", "zorblax, side view,") for text in PROMPTS]
STEPS, EVERY = 400, 50
STRENGTHS = (0.7, 0.85, 1.0)


def character(text: str, likeness: float, seed: int, side: int = 128) -> Image.Image:
    """A round-faced creature with an emblem, the more itself the higher `likeness` is in [0, 1]."""
    draw = random.Random(f"{text} {seed}")
    ground = next((colour for name, colour in GROUNDS.items() if name in text), (200, 200, 200))
    size = next((size for name, size in FRAMINGS.items() if name in text), 1.0) * side * 0.3
    image = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(image)
    for _ in range(14):
        x, y, r = draw.random() * side, draw.random() * side, draw.random() * side * 0.12
        pen.ellipse((x - r, y - r, x + r, y + r), fill=tuple(max(0, c - draw.randrange(28)) for c in ground))
    other = [draw.randrange(60, 230) for _ in range(3)]
    skin = tuple(round(likeness * a + (1 - likeness) * b) for a, b in zip((88, 92, 214), other, strict=True))
    x, y = side * (0.46 + draw.random() * 0.08), side * 0.48
    pen.rounded_rectangle((x - size * 0.6, y + size * 0.6, x + size * 0.6, side + 9), size * 0.3, fill=(60, 62, 84))
    pen.ellipse((x - size, y - size, x + size, y + size), fill=skin)
    for sign in (-1, 1):
        pen.polygon([(x + sign * size * 0.9, y - size * 0.4), (x + sign * size * 1.25, y - size * 1.3),
                     (x + sign * size * 0.3, y - size * 0.9)], fill=skin)  # fmt: skip
        pen.ellipse((x + sign * size * 0.4 - size * 0.2, y - size * 0.3,
                     x + sign * size * 0.4 + size * 0.2, y + size * 0.15), fill="white")  # fmt: skip
        pen.ellipse(
            (x + sign * size * 0.4 - size * 0.08, y - size * 0.15, x + sign * size * 0.4 + size * 0.08, y + 3),
            fill="black",
        )
    if "surprised" in text:
        pen.ellipse((x - size * 0.18, y + size * 0.35, x + size * 0.18, y + size * 0.75), fill=(50, 20, 30))
    else:
        start = (0, 180) if "smiling" in text else (180, 360)
        pen.arc((x - size * 0.4, y + size * 0.2, x + size * 0.4, y + size * 0.7), *start, fill=(50, 20, 30), width=3)
    if likeness > 0.45:
        pen.regular_polygon((x, y - size * 0.55, size * 0.22), 6, fill=(255, 200, 60))
    return image


def saved(path: Path, image: Image.Image) -> None:
    """A picture as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def dataset(project: Project, count: int, held: int) -> list[Picture]:
    """Pictures with captions, and the manifest's rows of them."""
    found = []
    for i in range(count):
        framing, ground = list(FRAMINGS)[i % 3], list(GROUNDS)[i % 4]
        text = f"{framing} of {project.facts.trigger}, {'smiling' if i % 2 else 'surprised'}, {ground} background"
        path = project.pictures / f"{i + 1:03d}.png"
        saved(path, character(text, 1.0, i, 192))
        opened = open_upright(path)
        split = "held-out" if i < held else "train"
        found.append(Picture(path.name, opened.digest, opened.width, opened.height, caption=text, split=split))
    return found


def project(folder: Path, count: int = 16, held: int = 2, trigger: str = "zorblax", **facts: object) -> Project:
    """A project with an audit."""
    made = Project.create(folder, Facts(name="Zorblax", trigger=trigger, subject="fictional", **facts))
    pictures = dataset(made, count, held)
    findings = [
        Finding("small", "003.png", "block", "003.png: 60 px on the short side; expected 64 or more for 128",
                "Replace it by a larger original, or remove it; enlarging it adds no detail.", 0, ("003.png",)),
        Finding("framing_balance", "full", "warn", "full: 5 of 16 pictures, 31%; expected 20% to 30%",
                "Swap 1 of these for other framings.", -1, ("003.png", "006.png", "009.png")),
        Finding("other_files", "", "note", "1 entries of pictures/ are neither pictures nor captions: notes.odt",
                "Nothing to do, unless one is a picture: save it as PNG."),
    ]  # fmt: skip
    write_record(made, Recipe(), 128, Survey(tuple(pictures), (), (), ()), findings if held else findings[1:])
    return made


def trained(made: Project, name: str = "mini-lora16-5b1e77a0", steps: int = STEPS) -> RunFolder:
    """A run with its lock, its record and its checkpoints' manifests."""
    run, draw = RunFolder(made.runs / name), random.Random(1)
    recipe = Recipe.model_validate(
        {
            "data": {"resolution": 128},
            "stages": [{"steps": STEPS}],
            "training": {"rate": 3e-3},
            "standing": {"training.rate": "custom: by hand", "stages.steps": "measured: benchmarks/demo.md"},
        }
    )
    lock = {
        "format": 1,
        "horizon": STEPS,
        "base": "6f" * 32,
        "data": "c4" * 32,
        "portraitist": "0.1.0",
        "torch": "2.13.0",
    }
    durable.write_text(
        run.lock, recipe.to_toml() + "\n" + tomli_w.dumps({"lock": {**lock, "threads": 2, "device": "cpu AVX2"}})
    )
    at = 1_790_000_000.0
    facts = {"run": name, "trained": 1_179_648}
    run.log.append(Started(verb="train", total=STEPS, facts=facts, at=at, pid=1))
    for step in range(1, steps + 1):
        loss = 0.24 + 0.12 * 0.985**step + draw.gauss(0, 0.04)
        run.log.append(
            Stepped(step=step, loss=loss, gradient=0.4, rate=3e-3, seconds=0.41, memory_gb=1.3, at=at + step)
        )
        if step % EVERY == 0:
            durable.write_json(run.checkpoint(step) / "manifest.json", {"step": step, "files": {}})
            run.log.append(Saved(step=step, path=f"checkpoints/step-{step:06d}", at=at + step))
    run.log.append(
        Warned(says="The learning rate is high for this rank.", remedy="Look at the saturation.", at=at + 500)
    )
    run.log.append(Finished(verb="train", seconds=0.41 * steps, at=at + 501))
    return run


def card(
    run: RunFolder, step: int, strength: float, stage: str, texts: list[str], seeds: int, talent: float = 1.0
) -> Scorecard:
    """A judged checkpoint: its pictures on disk, its card in the record; `talent` is how like it gets."""
    likeness = 0.0 if step == 0 else talent * min(1.0, (1 - 0.985**step) * (0.45 + 0.55 * strength))
    first, drawn = (1001 if stage == "report" else 1), []
    for seed in range(first, first + seeds):
        for i, text in enumerate(texts):
            chance = random.Random(f"{step} {strength} {text} {seed}" + (f" {talent}" if talent != 1 else ""))
            path = scorecard.renders(run, step, strength) / f"{stage}-brief-{i + 1}-{seed}.png"
            saved(path, character(text, likeness, seed))
            fall = 0.1 * (strength > 0.9) * (step / STEPS) + 0.04 * step / STEPS
            values = {
                "identity": likeness * 0.8 + chance.gauss(0, 0.06),
                "agreement": min(1.0, 0.86 - fall + chance.gauss(0, 0.05)),
                "copying": max(0.0, 0.12 + 0.4 * (step / STEPS) ** 2 + chance.gauss(0, 0.04)),
                "saturation": max(0.0, 1.0 + 3 * likeness * strength + chance.gauss(0, 0.5)),
                "signature": likeness * 0.7 + abs(chance.gauss(0, 0.05)),
            }
            values["likeness"] = (values["identity"] + values["signature"]) / 2
            drawn.append(Drawn(f"brief-{i + 1}", text, seed, str(path.relative_to(run.path)), values))
    made = Scorecard(step, strength, stage, measures.scores([d.scores for d in drawn]), "9c1f" * 4, "e7a2" * 4, drawn)
    scorecard.append(run, made)
    means = {name: score.mean for name, score in made.scores.items()}
    run.log.append(Scored(step=step, strength=strength, stage=stage, scores=means, at=1_790_000_600.0))
    return made


def judged(run: RunFolder, held: bool = True, talent: float = 1.0) -> None:
    """Losses of every checkpoint, the screen of all, the full grid of three."""
    levels = [(k + 0.5) / 8 for k in range(8)]
    for step in (0, *run.steps()):
        train = [0.2 + 0.3 * level - 0.12 * (1 - 0.99**step) for level in levels]
        kept = [0.2 + 0.3 * level - 0.09 * (1 - 0.985**step) + 0.00016 * step * (1 - level) for level in levels]
        each = [sum(kept) / 8 * factor for factor in (0.9, 1.0, 1.15)]
        losses = Losses(step, levels, train, kept if held else [], each, each if held else [], "aa")
        scorecard.append_losses(run, losses)
        card(run, step, 1.0 if step else 0.0, "screen", PROMPTS, 2, talent)
    card(run, 0, 0.0, "grid", PROMPTS, 2)
    for step in run.steps()[-4:-1]:
        for strength in STRENGTHS:
            card(run, step, strength, "grid", PROMPTS, 2, talent)


def chosen(run: RunFolder, talent: float = 1.0) -> choosing.Verdict:
    """The choice, as `choose` writes it, and its report pictures."""
    base, cards = choosing.latest(scorecard.read(run), "grid")
    assert base is not None
    verdict = choosing.choose(base, cards, scorecard.read_losses(run), "likeness", 0.05)
    place, second = verdict.chosen.card, verdict.second
    gate = {
        g.name: {k: v for k, v in asdict(g).items() if k != "says"} | {"passed": g.passed} for g in verdict.chosen.gates
    }
    table = {
        "format": 1,
        "step": place.step,
        "strength": place.strength,
        "why": verdict.why,
        "prefer": "likeness",
        "gate": gate,
    }
    if second:
        table["runner_up"] = {"step": second.card.step, "strength": second.card.strength}
    durable.write_text(run.choice, tomli_w.dumps(table))
    card(run, 0, 0.0, "report", LATER, 2)
    card(run, place.step, place.strength, "report", LATER, 2, talent)
    return verdict


def chosen_of(made: Project) -> dict[str, Any]:
    """The choice of the project's only run."""
    return tomllib.loads((next(made.runs.iterdir()) / "choice.toml").read_text())


FIGURES = {
    "identity_truth": {"base": 0.03, "chosen": 0.71},
    "identity_eyes": {"base": 0.01, "chosen": 0.78},
    "agreement": {"base": 0.91, "chosen": 0.89, "drop": 0.02},
    "minutes": 5.4,
    "peak_memory_gb": 2.9,
}


def whole(folder: Path) -> Project:
    """A project with all that a report can tell."""
    made = project(folder, waived={"small": "The only picture from behind."})
    run = trained(made)
    judged(run)
    chosen(run)
    durable.write_bytes(made.exports / f"zorblax-{run.name}" / "zorblax.safetensors", b"0" * 64)
    durable.write_json(made.folder / "figures.json", FIGURES)
    return made
