"""The model card: what a LoRA is, whose likeness, how to use it, what was measured, what it does not do, where from.

Every number is one that the report shows, with its interval; every sentence of what is not known is the report's own.
Nothing of where it was made, of captions, of people, of a person's reasons.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist import __version__, provenance
from portraitist.errors import PortraitistError
from portraitist.judge import doubts, evidence, settings
from portraitist.judge.dossier import Dossier
from portraitist.judge.measures import CONFIDENCE, MEASURES
from portraitist.judge.scorecard import Drawn
from portraitist.judge.strips import firsts
from portraitist.runs import Choice

MOST_EXAMPLES = 6
"""Pictures that are shown: the first seed of each of the first prompts, not picked by hand."""

CAPTIONS = ("seen-", "unseen-")
"""How the names of prompts begin that are captions: see judge/grid.py."""

STAGES = {
    "report": "drawn from prompts and seeds that nobody chose by",
    "grid": "drawn from the prompts that chose, which flatters what was chosen",
    "screen": "drawn from the few prompts of the first look, which flatters what was chosen",
}
"""Where the pictures that were measured come from, by stage."""

STRUCTURE = re.compile(r"[\\`*_\[\]<>&|#~!{}]")
"""Signs that Markdown or HTML would take for more than themselves."""


@dataclass(frozen=True, slots=True)
class Example:
    """A drawn picture that is shown.

    name  of its file, by which it can be asked for; path: where it lies
    text  the prompt as the encoder got it
    """

    name: str
    path: Path
    text: str
    seed: int


def drawn(dossier: Dossier) -> list[Example]:
    """The pictures of the chosen cell, of the best stage that has some; of other cells and the base none."""
    judged = dossier.chosen()
    return [example(dossier, one) for one in judged[0].pictures] if judged else []


def examples(dossier: Dossier, names: Sequence[str] = ()) -> list[Example]:
    """The pictures to be shown: those named, else the first of each prompt; of a real person none but those named.

    What was drawn by a caption is not shown unasked: its words are of the training set, and would be published.
    Raises PortraitistError for a name that no picture of the chosen cell has.
    """
    known = {one.name: one for one in drawn(dossier)}
    if lacking := [name for name in names if name not in known]:
        there = ", ".join(list(known)[:12]) or "none yet: portraitist evaluate draws them"
        raise PortraitistError(f"The choice has no drawn picture {lacking[0]!r}", f"It has: {there}.")
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    judged = dossier.chosen()
    if judged is None or dossier.project.facts.subject == "real":
        return []
    own = [one for one in firsts(judged[0]) if not one.prompt.startswith(CAPTIONS)]
    return [example(dossier, one) for one in own[:MOST_EXAMPLES]]


def example(dossier: Dossier, one: Drawn) -> Example:
    """A picture of a card."""
    path = dossier.run.path / one.path
    return Example(path.name, path, one.text, one.seed)


def text(dossier: Dossier, choice: Choice, base: str = "", loading: str = "", shown: str = "") -> str:
    """The card in Markdown.

    base     what it was trained on, as others call it; "" names the family alone, and the base's digest
    loading  how a program loads it, in Markdown
    shown    how the pictures beside it were picked, in a sentence; "" where there are none
    """
    facts, recipe = dossier.project.facts, dossier.recipe
    whole = recipe.adapter.kind == "full"
    what = "model" if whole else "LoRA"
    of = f"[{escaped(base)}](https://huggingface.co/{base})" if "/" in base else escaped(base or recipe.model.family)
    how = f"write {code(facts.trigger)} into the prompt" + ("" if whole else f", at strength {choice.strength:g}")
    parts = [
        f"# {escaped(facts.name)}",
        f"A character {what} for {of}: {how}.",
        *(["<Gallery />"] if shown else []),
        *section("Whose likeness it is", [likeness(dossier)]),
        *section("Use", [*use(dossier, choice, base), loading]),
        *section("What was measured", measured(dossier, choice)),
        *section("What it does not do, and what is not known", bullets(limits(dossier, choice))),
        *section("Training", [table(("what", "value"), training(dossier, choice, base))]),
        *section("Where it is from", bullets([*origins(dossier), *([shown] if shown else [])])),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def section(title: str, parts: Sequence[str]) -> list[str]:
    """A headline and what stands below it; nothing where nothing does."""
    there = [part for part in parts if part]
    return [f"## {title}", *there] if there else []


def likeness(dossier: Dossier) -> str:
    """Whose likeness it is: an invented character's, or that of a person who consented, who is not named."""
    facts = dossier.project.facts
    if facts.subject == "fictional":
        return "An invented character. It was recorded as fictional: it is no real person's likeness."
    given = facts.consent
    words = ", ".join(given.covers) if given else ""
    ends = f", until {given.valid_until}" if given and given.valid_until else ""
    return (
        f"A real adult, who consented in writing to {words}{ends}. The signed document is on record with whoever made"
        " this, and its digest in their ledger; this card names nobody. Consent can be taken back. Do not use it to"
        " deceive, to harass, or for anything sexual."
    )


def use(dossier: Dossier, choice: Choice, base: str) -> list[str]:
    """What a person does with the file."""
    recipe, trigger = dossier.recipe, code(dossier.project.facts.trigger)
    guided = choice.guidance or settings.read(dossier.run).guidance
    rows = [("trigger", trigger), ("base", escaped(base) if base else f"{recipe.model.family}, see Training")]
    if recipe.adapter.kind != "full":
        rows.append(("strength", f"{choice.strength:g}{tried(dossier, choice)}"))
    if guided:
        rows.append(("guidance", f"{guided:g}"))
    return [table(("what", "value"), rows)]


def tried(dossier: Dossier, choice: Choice) -> str:
    """At which other strengths the checkpoint was judged, and which of these are not distinguishable."""
    others = {c.strength for c in dossier.stage("grid") if c.step == choice.step} - {choice.strength}
    if not others:
        return ""
    cells = choice.table.get("unsure", [])
    level = {float(cell["strength"]) for cell in cells if cell["step"] == choice.step} & others
    said = f"; judged at {', '.join(f'{one:g}' for one in sorted(others))} too"
    same = ", ".join(f"{one:g}" for one in sorted(level))
    return said + (f", and not distinguishable in likeness at {same}" if level else "")


def measured(dossier: Dossier, choice: Choice) -> list[str]:
    """The evidence: by which pictures, each measure with its interval and the base beside it, and who chose."""
    judged = dossier.chosen()
    if judged is None:
        return ["Nothing was measured of this checkpoint at this strength."]
    count, tiles = len(judged[0].pictures), evidence.tiles(dossier)
    rows = [(tile.name, tile.value, tile.interval, tile.base or "-", tile.against or "-") for tile in tiles]
    says = {measure.title: evidence.in_two(measure.says)[0] for measure in MEASURES.values()}
    head = ("measure", "this", f"interval ({CONFIDENCE:.0%})", "the base", "against the base, picture by picture")
    by = {"measures": "by measures", "votes": "by people's blind votes", "person": "by a person"}
    return [
        f"{count} pictures, {STAGES[judged[0].stage]}. Checkpoint and strength were chosen"
        f" {by.get(choice.by, 'by measures')} among what was judged. Intervals hold the chance of prompts and seeds.",
        table(head, rows),
        *doubts.doubts(dossier),
        *bullets([f"*{tile.name}* ({tile.better}): {says[tile.name]}" for tile in tiles if tile.name in says]),
    ]


def limits(dossier: Dossier, choice: Choice) -> list[str]:
    """What is known against it, and what nobody looked at."""
    found = []
    if choice.table.get("passed") is False:
        found.append("It does not keep to every limit that a choice is held to: it is of what failed least.")
    against = [tile for tile in evidence.tiles(dossier) if "worse than" in tile.against]
    found += [f"{tile.name}: {tile.against}." for tile in against]
    found += list(evidence.unmeasured(dossier))
    judging = settings.read(dossier.run)
    side = judging.side or dossier.recipe.data.resolution
    steps = f" in {judging.sampling_steps} steps" if judging.sampling_steps else ""
    if side and dossier.chosen():
        found.append(f"It was judged at {side} pixels{steps}: other sizes and samplers were not looked at.")
    if dossier.recipe.adapter.kind != "full":
        found.append("It fits the base that it was trained on; on others of the family nothing was measured.")
    return found


def training(dossier: Dossier, choice: Choice, base: str) -> list[tuple[str, str]]:
    """What decided the training, as the run was locked."""
    recipe, lock, stages = dossier.recipe, dossier.lock, dossier.recipe.training
    kind = recipe.adapter.kind
    size = (
        "" if kind == "full" else f", rank {recipe.adapter.rank}, alpha {recipe.adapter.alpha or recipe.adapter.rank:g}"
    )
    pictures = [picture for picture in dossier.pictures if picture.split == "train"]
    held = sum(picture.split == "held-out" for picture in dossier.pictures)
    rows = [
        ("base", " ".join(part for part in (escaped(base), digest(lock.get("base"))) if part)),
        ("kind", ("all weights" if kind == "full" else f"{kind}{size}")),
        ("pictures", f"{len(pictures)}, and {held} kept apart"),
        ("steps", f"{choice.step} of {recipe.steps}, {recipe.pictures_per_step} pictures each"),
        ("resolution", str(recipe.data.resolution or "the base's own")),
        ("optimiser", f"{stages.optimiser}, rate {stages.rate:g}, {stages.schedule}"),
        ("seed", str(stages.seed)),
        (
            "made with",
            f"portraitist {lock.get('portraitist', __version__)}, torch {lock.get('torch', '')}".rstrip(", "),
        ),
        ("recipe", digest(recipe.digest())),
        ("run", escaped(dossier.run.name)),
    ]
    return [(name, value) for name, value in rows if value]


def digest(value: Any) -> str:
    """A digest as it is told: its first signs."""
    return f"`{str(value)[:16]}`" if value else ""


def origins(dossier: Dossier) -> list[str]:
    """Where the training pictures are from, as the ledger has it."""
    names = [picture.name for picture in dossier.pictures if picture.split == "train"]
    quoted = provenance.quoted(provenance.read(dossier.project.ledger), names)
    told = {"sources": "Sources of the training pictures", "licences": "Their licences"}
    found = [f"{told[name]}: {escaped(words)}." for name, words in quoted.items() if name in told]
    found += [f"The ledger of where each came from ends in `{quoted['ledger'][:16]}`."] if "ledger" in quoted else []
    found.append("Its training pictures and references are not handed out with it.")
    return found


def picked(names: Sequence[str]) -> str:
    """How pictures were picked, in a sentence."""
    how = (
        "picked by hand among those that were judged" if names else "the first seed of each prompt, not picked by hand"
    )
    return f"The pictures shown were drawn by it, {how}; their metadata say that a model made them."


def bullets(lines: Sequence[str]) -> list[str]:
    """Sentences as a list."""
    return ["\n".join(f"- {line}" for line in lines)] if lines else []


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; "" without rows."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def code(word: str) -> str:
    """A word as it has to be written."""
    return f"`{word}`" if re.fullmatch(r"[\w.:-]+", word) else f"<code>{escaped(word)}</code>"


def escaped(words: str) -> str:
    """People's words in one line, with every sign meaning itself."""
    return STRUCTURE.sub(lambda sign: f"&#{ord(sign[0])};", " ".join(words.split()))


def loading(base: str, file: str, prompt: str, strength: float, place: str, *, edits: bool = False) -> str:
    """How diffusers loads the file, as a block of Python.

    place  the repository, or the folder, that it lies in
    edits  whether the base is shown a picture beside the prompt
    """
    words = json.dumps(prompt, ensure_ascii=False)
    asked = f'prompt={words}, image=load_image("REFERENCE.png")' if edits else words
    named = f'weight_name={json.dumps(file)}, adapter_name="character"'
    return "\n".join(
        [
            "```python",
            "import torch",
            "from diffusers import DiffusionPipeline",
            *(["from diffusers.utils import load_image"] if edits else []),
            "",
            f'pipeline = DiffusionPipeline.from_pretrained({json.dumps(base)}, torch_dtype=torch.bfloat16).to("cuda")',
            f"pipeline.load_lora_weights({json.dumps(place)}, {named})",
            f'pipeline.set_adapters("character", {strength:g})',
            f"image = pipeline({asked}).images[0]",
            "```",
        ]
    )
