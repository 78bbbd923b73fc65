"""An exported LoRA for ComfyUI: its workflows for a server and for the editor, and a picture that brings one along."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.bases import places
from portraitist.bases.headers import WEIGHTS
from portraitist.deploy.graphs import facts, picture
from portraitist.deploy.graphs.browser import editable
from portraitist.deploy.graphs.drawing import drawing
from portraitist.deploy.graphs.setting import FILES, Setting, require_able
from portraitist.deploy.graphs.setting import require as require_setting
from portraitist.deploy.graphs.sweep import Row, sheet, strengths_of
from portraitist.deploy.handed import Handed
from portraitist.deploy.server import Graph, Server
from portraitist.errors import PortraitistError
from portraitist.events import Warned
from portraitist.recipe import Recipe
from portraitist.runs import RunFolder
from portraitist.sections import Model

Made = tuple[Graph, dict[str, Any]]
"""A workflow in API format, and in the editor's."""

KINDS = ("", "-style", "-sweep")
"""What comes between the LoRA's name and `-workflow.json` or `-api.json`."""

OTHERS = "sheet"
"""The folder beside the LoRA where other checkpoints lie: what lies beside it there is the one that was chosen."""

PREVIEW = "-workflow.png"
"""What comes after the LoRA's name in that of the picture that brings the workflow along."""

EXAMPLE = "example.png"
"""A picture that ComfyUI brings along in its folder `input`: stands where a reference goes until a person puts one."""

ORDER = (
    "**Two LoRAs.** Which of the two nodes comes first changes nothing: ComfyUI adds both to the same weights. What"
    " counts is their strengths. Where the style covers the character, lower the style's before you raise the"
    " character's."
)
ZOOM = (
    "**References.** Load yours in *Reference 1* and on. The first is cut to the size of the picture and encoded beside"
    " the text encoder, so that nothing is drawn larger or moved: the encoder's own way scales it to another size. If"
    " you change the size, change it in both places."
)


@dataclass(frozen=True, slots=True)
class Comfyui:
    """Hands a LoRA to ComfyUI.

    files       of the base's parts as "part=name", where they are called otherwise than Comfy-Org calls them
    style       a second LoRA as "name" or "name:strength"; "" writes no workflow with one
    references  pictures that an edit base is shown; None: as many as the recipe shows with every picture
    sweep       steps of other checkpoints on the sheet: each is written too, into a folder beside the chosen one
    url         of a running ComfyUI, whose own word on its nodes is taken; "" takes the frozen excerpt
    """

    files: tuple[str, ...] = ()
    style: str = ""
    references: int | None = None
    sweep: tuple[int, ...] = ()
    url: str = ""

    def require(self, recipe: Recipe, run: RunFolder) -> None:
        """Refuse what no workflow can be made of. Raises PortraitistError."""
        require_able(recipe.model.family)
        if recipe.adapter.kind == "full":
            raise PortraitistError(
                "Workflows are written for LoRAs, and this run trained the whole denoiser",
                "Take a LoRA out of it: portraitist extract; or load the exported model in a workflow of your own.",
            )
        if self.references is not None and self.references < 0:
            raise PortraitistError(f"{self.references} reference pictures", "Ask for 0 to 3.")
        words = Setting(
            recipe.model.family, "lora", 1.0, "", 1, 1.0, 64, 64, files=self.named(recipe),
            references=self.shown(recipe),
        )  # fmt: skip
        require_setting(words)
        self.styled(recipe)
        for step in self.sweep:
            if problem := run.damage(step, run.adapter(step).name):
                raise PortraitistError(f"Checkpoint {step} of {run.name}: {problem}", "Put another one on the sheet.")

    def shown(self, recipe: Recipe, prefix: str = "") -> tuple[str, ...]:
        """What the reference pictures are called: the recipe's own go along by these names, then stands EXAMPLE."""
        own = [f"{prefix}reference-{i}.png" for i, _ in enumerate(recipe.data.references, 1)]
        count = len(own) if self.references is None else self.references
        return tuple([*own, *([EXAMPLE] * count)][:count])

    def named(self, recipe: Recipe) -> dict[str, str]:
        """What the base's files are called: as the recipe's own files are, where it names such, else as told here."""
        known, told = FILES[recipe.model.family], own_files(recipe.model)
        for text in self.files:
            part, equals, name = text.partition("=")
            if not (equals and part and name):
                raise PortraitistError(
                    f"--file {text!r} names no file", f"Write it as part=name; parts: {', '.join(known)}."
                )
            told[part] = name
        return told

    def styled(self, recipe: Recipe) -> tuple[str, float]:
        """The style LoRA's file and strength: as told here, else the one that judging had beside the character's."""
        judging = recipe.judging
        if not self.style:
            return Path(judging.companion).name, (*judging.companion_strengths, 0.6)[0]
        name, colon, text = self.style.partition(":")
        try:
            strength = float(text) if colon else 0.6
        except ValueError:
            strength = -1.0
        if not name or not 0 < strength <= 2:
            raise PortraitistError(
                f"--style {self.style!r} is no file with a strength",
                "Write its name and a strength up to 2, such as ink.safetensors:0.6",
            )
        return name, strength

    def plan(self, handed: Handed) -> Callable[[], list[Path]]:
        """Make the workflows; returns what writes them, the picture, and what else goes along.

        Raises PortraitistError for what no workflow can be made of, what the nodes do not know, and a server that
        does not answer.
        """
        self.require(handed.recipe, handed.run)
        setting, made = self.setting(handed), {}
        known = facts.of_server(Server.at(self.url)) if self.url else facts.frozen()
        for kind, graph, notes in self.graphs(setting, handed):
            graph, missing = facts.spelt(graph, known, brought(graph)) if self.url else (graph, [])
            made[kind] = (graph, editable(graph, known, notes))
            self.warn([] if kind else missing, handed)
        if not handed.pictures:
            handed.emit(Warned(says="No picture brings the workflow along: none of this choice has been judged"))
        return partial(self.write, handed, made, dict(self.pictures(handed, setting, made[""])))

    def pictures(self, handed: Handed, setting: Setting, workflow: Made) -> Iterator[tuple[str, bytes]]:
        """References, and the judged picture that brings the workflow along, by their files' names."""
        for name, source in zip(setting.references, handed.recipe.data.references, strict=False):
            yield name, picture.plain(handed.project.folder / durable.expanded(source))
        if handed.pictures:
            yield f"{handed.lora.stem}{PREVIEW}", picture.carrying(handed.pictures[0].path, *workflow)

    def write(self, handed: Handed, made: Mapping[str, Made], pictures: Mapping[str, bytes]) -> list[Path]:
        """Write what was made, and take away what an earlier export left and this one does not write."""
        stem, written = handed.lora.with_suffix(""), []
        for kind in KINDS:
            paths = [stem.with_name(f"{stem.name}{kind}-{what}.json") for what in ("api", "workflow")]
            for path, value in zip(paths, made.get(kind, ()), strict=False):
                durable.write_json(path, value)
                written.append(path)
            for path in paths if kind not in made else ():
                durable.remove(path)
        durable.remove(handed.lora.with_name(OTHERS))
        for step in self.others(handed):
            written.append(path := handed.lora.with_name(OTHERS) / row(handed, step).lora)
            handed.another(step, path)
        for path in (stem.with_name(stem.name + PREVIEW), *handed.lora.parent.glob(f"{stem.name}-reference-*.png")):
            durable.remove(path)
        for name, data in pictures.items():
            written.append(path := handed.lora.with_name(name))
            durable.write_bytes(path, data)
        return written

    def setting(self, handed: Handed) -> Setting:
        """The drawing that the workflows are made of: the judged picture's own prompt and seed."""
        shown, facts_ = handed.pictures, handed.project.facts
        return Setting(
            family=handed.recipe.model.family,
            lora=handed.lora.name,
            strength=handed.choice.strength,
            prompt=shown[0].text if shown else f"{handed.trigger}, {facts_.noun}",
            negative=handed.profile.negative,
            seed=shown[0].seed if shown else 1,
            steps=handed.steps,
            guidance=handed.guidance,
            width=handed.side,
            height=handed.side,
            shift=handed.shift,
            files=self.named(handed.recipe),
            references=self.shown(handed.recipe, f"{handed.lora.stem}-"),
            prediction=handed.recipe.model.prediction,
            name=handed.lora.stem,
        )

    def graphs(self, setting: Setting, handed: Handed) -> Iterator[tuple[str, Graph, Sequence[str]]]:
        """Each workflow by its kind, with its notes."""
        notes = [about(setting, handed), *([ZOOM] if setting.references else [])]
        yield "", drawing(setting), notes
        style = self.styled(handed.recipe)
        if style[0]:
            yield "-style", drawing(replace(setting, style=style)), [*notes, ORDER]
        rows = [Row(setting.lora, f"step {handed.choice.step}"), *(row(handed, step) for step in self.others(handed))]
        strengths = strengths_of(handed.recipe.judging.strengths, setting.strength)
        yield "-sweep", sheet(setting, rows, strengths), [*notes[:1], compared(setting)]

    def others(self, handed: Handed) -> list[int]:
        """Steps of the checkpoints on the sheet beside the chosen one, ascending."""
        return sorted({*self.sweep} - {handed.choice.step})

    def warn(self, missing: Sequence[str], handed: Handed) -> None:
        """Tell of base files that the server does not have."""
        if missing:
            handed.emit(
                Warned(
                    says=f"The ComfyUI at {self.url} has no {'; no '.join(missing)}",
                    remedy=f"Name its own: --file {next(iter(FILES[handed.recipe.model.family]))}=NAME",
                )
            )


def brought(graph: Graph) -> list[str]:
    """The inputs of a graph that name LoRAs: those come to a server with it."""
    return [f"{key}.{name}" for key, one in graph.items() for name in one["inputs"] if name == "lora_name"]


def own_files(model: Model) -> dict[str, str]:
    """The publishers' files of a recipe's base by part of FILES, each as ComfyUI's list for its folder has it.

    Only of a base that is there, and is files or a folder of ComfyUI's; others have none.
    """
    parts = {part: text for part, text in model.parts.model_dump().items() if text.endswith(WEIGHTS)}
    found = {part: Path(text).name for part, text in parts.items()}
    base = durable.expanded(model.base)
    if base.suffix == WEIGHTS:
        found = {"unet" if model.family == "sdxl" else "transformer": base.name, **found}
    root = base / "split_files" if (base / "split_files").is_dir() else base
    if model.base and (root / places.COMFY[0]).is_dir():
        for part, path in places.find(model, base).elsewhere.items():
            if path.is_file() and path.is_relative_to(root):
                found[part] = Path(*path.relative_to(root).parts[1:]).as_posix()
    return {part: name for part, name in found.items() if part in FILES.get(model.family, {})}


def row(handed: Handed, step: int) -> Row:
    """Another checkpoint on the sheet."""
    return Row(f"{handed.lora.stem}-step-{step:06d}.safetensors", f"step {step}")


def about(setting: Setting, handed: Handed) -> str:
    """What a person has to know, on the canvas."""
    parts = FILES[setting.family]
    return "\n\n".join(
        [
            f"**{handed.project.facts.name}.** Write `{handed.trigger}` into the prompt. Put `{setting.lora}` into"
            " `models/loras`.",
            f"Strength {setting.strength:g}, step {handed.choice.step} of {handed.run.name}: chosen by"
            f" {handed.choice.by}. Sampler, schedule and guidance are those of judging.",
            f"Base: {', '.join(f'`{setting.file(part)}`' for part in parts)}.",
        ]
    )


def compared(setting: Setting) -> str:
    """What the sheet is for."""
    return (
        f"**Sheet.** One prompt, one seed ({setting.seed}), every file at every strength; 0 is the base alone. Another"
        " prompt says more than another strength: change it in *Prompt* and run again. Files of other checkpoints lie"
        f" in `{OTHERS}` beside the LoRA; ComfyUI wants them in `models/loras` too."
    )
