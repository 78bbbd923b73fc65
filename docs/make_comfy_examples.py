"""Makes the node pack's example workflows, comfy_nodes/example_workflows/, by a running ComfyUI that has the pack.

COMFY_URL=http://127.0.0.1:8188 python docs/make_comfy_examples.py
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.deploy.graphs import browser, drawing, facts
from portraitist.deploy.graphs.drawing import Builder
from portraitist.deploy.graphs.setting import Setting
from portraitist.deploy.server import Graph, Server

PLACE = Path(__file__).resolve().parent.parent / "comfy_nodes"
OURS = "Portraitist_"

SHEET = (
    "Fill the three white boxes of the first picture with the character of the second picture, standing, seen whole"
    " from head to toe: from the front in the left box, from the side in the middle box, from the back in the right"
    " box. Plain white background. The black lines between the boxes stay."
)

GENERATE = """## From one picture to a LoRA

1. Choose a picture of the character in *Reference 2*; the models are Comfy-Org's files of Qwen-Image-Edit-2509.
2. In *Dataset* give name, trigger and subject. A real person needs a signed consent: see the fields `consent_...`.
3. Queue. The sheet is drawn and cut into nine pictures, which train a Qwen-Image LoRA; that base is downloaded when
   it is not there. Pictures of your own make it better: name their folder in *Dataset*.
4. Interrupt when you like: what is trained is saved, and the next queueing goes on from there."""

INFERENCE = """## With the LoRA, and without

Put the LoRA's name, its strength and the trigger of *Judge & Choose* in. Same seed, same words: what differs is what
was learnt. Core nodes alone."""


def drawn(family: str, **said: Any) -> Setting:
    """A drawing by a family's usual settings."""
    usual: dict[str, Any] = {"steps": 20, "guidance": 4.0, "shift": 3.1, "strength": 1.0}
    return Setting(family=family, lora="maya_char.safetensors", **{**usual, **said})


def generate_and_train() -> Graph:
    """Reference, sheet by Qwen-Image-Edit, views, captions, training, choice."""
    builder = Builder()
    setting = drawn(
        "qwen-image-edit", prompt=SHEET, width=1248, height=832, shift=3.0, references=("sheet.png", "character.png")
    )
    loaded = drawing.base(builder, setting)
    asked = drawing.edited(builder, setting, loaded)
    model = drawing.scheduled(builder, setting, loaded.model)
    picture = drawing.drawn(builder, setting, model, loaded.vae, asked, title="Sheet")
    empty = next(key for key, node in builder.graph.items() if node["inputs"].get("image") == "sheet.png")
    kind = f"{OURS}SheetTemplate"
    sides = {"width": setting.width, "height": setting.height, "views": 3}
    builder.graph[empty] = {"class_type": kind, "inputs": sides, "_meta": {"title": "Sheet Template"}}
    builder.add("PreviewImage", "The sheet", images=picture)
    who = {"name": "maya", "trigger": "maya_char", "subject": "not said", "noun": "woman"}
    base = {"family": "qwen-image", "base": "Qwen/Qwen-Image", "card": "24", "folder": ""}
    words = {"brief": "expression: smiling, angry, surprised\nscene: forest, city street", "source": "", "licence": ""}
    consent = {f"consent_{key}": "" for key in ("file", "by", "date", "rights")} | {"consent_adult": False}
    made = builder.add(f"{OURS}Dataset", "Dataset", **who, **base, **words, **consent)
    views = {"views": "front view,side view,back view", "heads": 0.0, "mirrored": False}
    cut = builder.add(f"{OURS}CutSheet", "Cut Sheet", character=[made, 0], sheet=picture, **views)
    builder.add("PreviewImage", "The views", images=[cut, 1])
    told = builder.add(f"{OURS}Caption", "Caption", character=[cut, 0], seen_by="recipe")
    how = {"steps": 0, "rank": 0, "resolution": 0, "changes": ""}
    run = builder.add(f"{OURS}TrainCharacter", "Train Character", character=[told, 0], **how)
    choice = builder.add(f"{OURS}JudgeAndChoose", "Judge & Choose", run=[run, 0], prefer="recipe", file_name="")
    builder.add("PreviewImage", "What was learnt", images=[choice, 3])
    return builder.graph


def inference_test() -> Graph:
    """One prompt and one seed, with the LoRA and without."""
    builder = Builder()
    prompt = "maya_char, woman, half body, smiling, in a forest, soft light"
    setting = drawn("qwen-image", prompt=prompt, width=1328, height=1328)
    plain = drawing.base(builder, setting)
    adapted = drawing.adapted(builder, setting, plain, setting.lora, setting.strength, title="Character LoRA")
    asked = drawing.conditions(builder, setting, adapted)
    for title, model in (("With the LoRA", adapted.model), ("Without it", plain.model)):
        model = drawing.scheduled(builder, setting, model)
        picture = drawing.drawn(builder, setting, model, plain.vae, asked, title=title)
        builder.add("SaveImage", f"{title}: picture", images=picture, filename_prefix="portraitist")
    return builder.graph


def main() -> int:
    """Write both; returns the exit code."""
    server = facts.of_server(Server.at(os.environ["COMFY_URL"]))
    for name, graph, note in (
        ("01_generate_and_train", generate_and_train(), GENERATE),
        ("02_inference_test", inference_test(), INFERENCE),
    ):
        made = browser.editable(graph, server, [note])
        for node in made["nodes"]:
            if node["type"].startswith(OURS):
                node["properties"] = {"cnr_id": "portraitist", "Node name for S&R": node["type"]}
        text = json.dumps(made, indent=1, ensure_ascii=False)
        durable.write_text(PLACE / "example_workflows" / f"{name}.json", text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
