"""Nodes that train a character, judge what was learnt, choose, and hand the LoRA to ComfyUI."""

import time
from pathlib import Path
from typing import Any

from comfy_api.v0_0_2 import io, ui

from . import asking, folders, pictures
from .comfy_side import CATEGORY, Character, Run, free, loras, work


class TrainCharacter(io.ComfyNode):
    """A training that shows how it goes, stops when asked to, and goes on when queued again."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="Portraitist_TrainCharacter",
            display_name="Train Character",
            category=CATEGORY,
            description="Trains a LoRA in a process of its own and judges its checkpoints meanwhile. Interrupt it, and"
            " queue again: it goes on from its last checkpoint. ComfyUI's models leave the card first.",
            is_output_node=True,
            inputs=[
                Character.Input("character"),
                io.Int.Input("steps", default=0, min=0, max=1_000_000, tooltip="0: as the preset says."),
                io.Int.Input("rank", default=0, min=0, max=1024, tooltip="Of the LoRA. 0: as the preset says."),
                io.Int.Input("resolution", default=0, min=0, max=4096, tooltip="0: the base's own."),
                io.String.Input(
                    "changes",
                    default="",
                    multiline=True,
                    tooltip="Further keys of the recipe, one a line, such as training.rate=1e-4.",
                ),
            ],
            outputs=[Run.Output(display_name="run"), io.String.Output(display_name="report")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, character: dict[str, str], steps: int, rank: int, resolution: int, changes: str) -> io.NodeOutput:
        """Ask `portraitist run --until train`: audit, missing captions, encoding, training."""
        began, folder = time.monotonic(), Path(character["folder"])
        changed = asking.changes(changes, steps, rank, resolution)
        free()
        words = ["run", str(folder), "--until=train", *asking.settings(changed)]
        answer, course = work(cls.hidden.unique_id, words, folder)
        if answer.get("blocked"):
            raise asking.blocked(answer)
        folders.settle(folder)
        minutes = (time.monotonic() - began) / 60
        lines = [f"Run {answer['run']}: {answer['checkpoint']} steps, {minutes:.1f} minutes of this queueing."]
        lines += [course.judged] * bool(course.judged) + course.warnings
        run = {"folder": str(folder), "run": answer["run"], "changes": changed}
        return io.NodeOutput(run, "\n".join(lines), ui=ui.PreviewText("\n".join(lines)))


class JudgeAndChoose(io.ComfyNode):
    """The checkpoint and strength that were measured to be best, as a LoRA that ComfyUI lists at once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="Portraitist_JudgeAndChoose",
            display_name="Judge & Choose",
            category=CATEGORY,
            description="Draws and measures the checkpoints, chooses one and its strength, and puts the LoRA into"
            " output/loras, where loaders list it.",
            is_output_node=True,
            inputs=[
                Run.Input("run"),
                io.Combo.Input("prefer", options=["recipe", "likeness", "freedom"], default="recipe"),
                io.String.Input("file_name", default="", tooltip="Of the LoRA in output/loras. Empty: the trigger."),
            ],
            outputs=[
                io.AnyType.Output(display_name="lora_name", tooltip="For a LoRA loader's lora_name."),
                io.Float.Output(display_name="strength"),
                io.String.Output(display_name="trigger"),
                io.Image.Output(display_name="pictures", is_output_list=True),
                io.String.Output(display_name="why"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, run: dict[str, Any], prefer: str, file_name: str) -> io.NodeOutput:
        """Ask `portraitist evaluate`, `choose`, `evaluate` of the choice, `export` and `report`."""
        folder, node = Path(run["folder"]), cls.hidden.unique_id
        free()
        named = [str(folder), f"--run={run['run']}"]
        judge = ["evaluate", *named, *asking.settings(run["changes"])]
        work(node, judge, folder)
        preferred = [] if prefer == "recipe" else [f"--prefer={prefer}"]
        choice, _ = work(node, ["choose", *named, *preferred])
        work(node, judge, folder)  # the choice, by prompts and seeds that nobody chose by
        made, _ = work(node, ["export", *named])
        report, _ = work(node, ["report", *named])
        name = folders.hand_out(Path(made["lora"]), loras(), file_name or Path(made["lora"]).name)
        folders.settle(folder, made=[str(folder / "runs" / run["run"]), str(loras() / name)])
        drawn = folder / "runs" / run["run"] / "evaluation" / "renders"
        drawn /= f"step-{choice['step']:06d}-at-{choice['strength']:g}"
        shown = [pictures.loaded(path) for path in sorted(drawn.glob("report-*.png"))]
        why = f"{name} at strength {made['strength']:g}: {choice['why']}\nReport: {report['report']}"
        return io.NodeOutput(name, made["strength"], made["trigger"], shown, why, ui=ui.PreviewText(why))
