"""The demo: the whole job on a character that the embedded base never saw, then held to ground truth.

`make demo` runs this. It writes demo/report.html and demo/report.json; the figures in the latter are measured here,
against true drawings of the character that neither the base, nor the eyes, nor the chooser has seen.
"""

import argparse
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portraitist import children, durable
from portraitist.errors import Interrupted, PortraitistError
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe

if TYPE_CHECKING:
    from portraitist.mini.scenes import Character

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "zorblax"
BRIEF = {
    "framing": ("close-up", "half body", "full body"),
    "expression": ("smiling", "angry", "surprised"),
    "background": ("forest", "city", "beach", "plain pink"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="portraitist.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write (replaced)")
    parser.add_argument("--example", type=Path, default=EXAMPLE, help="folder of pictures with captions")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="section.key=value")
    options = parser.parse_args(arguments)
    try:
        demonstrate(options.out, options.example, options.changes)
    except PortraitistError as error:
        sys.stderr.write(f"Problem: {error.problem}\nRemedy: {error.remedy}\n")
        return 2
    except Interrupted:
        return 130
    return 0


def demonstrate(out: Path, example: Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """The whole job, then the truth about it; returns the figures. `out` is replaced."""
    from portraitist import recipe as recipes
    from portraitist.mini.characters import ZORBLAX
    from portraitist.progress import terminal
    from portraitist.run import run
    from portraitist.verbs.add import add
    from portraitist.verbs.report import report

    began = time.monotonic()
    if out.exists() and not (out / "zorblax" / "project.toml").is_file() and any(out.iterdir()):
        raise PortraitistError(f"{out} holds something else than a demo", "Choose another folder with --out.")
    durable.remove(out)
    facts = Facts(name="Zorblax", trigger="zorblax", subject="fictional", noun="a cartoon character", brief=BRIEF)
    project = Project.create(out / "zorblax", facts)
    add(project, [example])
    recipe = recipes.load(project.recipe, changes)
    with terminal() as (emit, stop):
        result = run(project, recipe, emit=emit, stop=stop)
        if result.blocked:
            raise PortraitistError("The audit blocks the demo's pictures", f"See: portraitist audit {project.folder}")
        sys.stderr.write("Holding it to the truth ...\n")
        with children.Peak() as peak:
            figures = truth(project, recipe, result.run, ZORBLAX)
    figures["minutes"] = round((time.monotonic() - began) / 60, 2)
    figures["peak_memory_gb"] = round(max(result.peak_memory_gb, peak.gb), 2)
    durable.write_json(project.folder / "figures.json", figures)
    report(project, out=out)
    sys.stdout.write(closing(out, result.lora, result.why, figures))
    return figures


def truth(project: Project, recipe: Recipe, name: str, who: "Character") -> dict[str, Any]:
    """The figures of a run of a held-out character: base and chosen LoRA against true drawings of it."""
    from portraitist import families, runs
    from portraitist.adapters import files, inject
    from portraitist.learn.memory import set_threads
    from portraitist.mini import probe, truth
    from portraitist.mini.evaluate import WEIGHTS, encoder, sampler
    from portraitist.sight import dual

    set_threads(recipe.model.threads)
    run = runs.find(project, name)
    choice = tomllib.loads(durable.read_text(run.choice))
    folder = families.resolve(recipe.model).folder
    by, encoding = sampler(folder, precision=recipe.model.precision), encoder(folder)
    eyes, reader = dual.load(WEIGHTS / "eyes"), probe.load(WEIGHTS / "probe")
    asked = truth.prompts(who, project.facts.trigger)
    measure = truth.scale(asked, encoding)
    base = truth.verdict(asked, truth.render(by, encoding, asked), measure, eyes, reader)
    tensors, _ = files.read(run.adapter(int(choice["step"])))
    with inject.loaded(by.denoiser, by.family, tensors, float(choice["strength"]), merged=by.family.profile.merged):
        chosen = truth.verdict(asked, truth.render(by, encoding, asked), measure, eyes, reader)
    return {
        "checkpoint": int(choice["step"]),
        "strength": float(choice["strength"]),
        "identity_truth": {"base": base.truth, "chosen": chosen.truth},
        "identity_eyes": {"base": base.eyes, "chosen": chosen.eyes},
        "agreement": {
            "base": base.agreement,
            "chosen": chosen.agreement,
            "drop": round(base.agreement - chosen.agreement, 4),
        },
        "signature": {"base": base.signature, "chosen": chosen.signature, "marks": chosen.marks},
        "placed": {"base": base.placed, "chosen": chosen.placed},
        "background_distance": {"base": base.background, "chosen": chosen.background},
        "scale": {"floor": round(measure.floor, 2), "ceiling": round(measure.ceiling, 2)},
    }


def closing(out: Path, lora: str, why: str, figures: dict[str, Any]) -> str:
    """What the demo says at its end."""
    likeness, agreement = figures["identity_truth"], figures["agreement"]
    return (
        f"\nCheckpoint {figures['checkpoint']} at strength {figures['strength']:g} was chosen,"
        f" in {figures['minutes']:.1f} minutes and {figures['peak_memory_gb']:.1f} GB.\n{why}\n\n"
        f"Likeness, where 0 is a stranger and 1 a true drawing: base {likeness['base']:.2f},"
        f" LoRA {likeness['chosen']:.2f}.\n"
        f"Of what prompts asked, the base drew {agreement['base']:.0%} and the LoRA {agreement['chosen']:.0%}.\n\n"
        f"Report: {out / 'report.html'}\nLoRA:   {lora}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
