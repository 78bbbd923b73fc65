"""Nodes that make a character's dataset: an empty sheet, the character itself, a sheet cut up, captions."""

import hashlib
from pathlib import Path
from typing import Any

from comfy_api.v0_0_2 import io

from . import asking, folders, pictures
from .comfy_side import CATEGORY, Character, base, inputs, output, scratch, work


class SheetTemplate(io.ComfyNode):
    """An empty sheet of hard-edged boxes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="Portraitist_SheetTemplate",
            display_name="Sheet Template",
            category=CATEGORY,
            description="An empty character sheet: white boxes between black lines, for an edit model to draw into.",
            inputs=[
                io.Int.Input("width", default=1536, min=64, max=8192, step=8),
                io.Int.Input("height", default=1024, min=64, max=8192, step=8),
                io.Int.Input("views", default=3, min=1, max=12, tooltip="Boxes side by side."),
            ],
            outputs=[io.Image.Output(display_name="sheet")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, width: int, height: int, views: int) -> io.NodeOutput:
        """Ask `portraitist sheet template`."""
        with scratch() as folder:
            file = Path(folder) / "sheet.png"
            words = ["sheet", "template", f"--out={file}", f"--size={width}x{height}", f"--views={views}"]
            work(cls.hidden.unique_id, words)
            return io.NodeOutput(pictures.loaded(file))


def named() -> list[Any]:
    """The inputs that say who the character is."""
    return [
        io.String.Input("name", default="maya", tooltip="Of its folder, below output/portraitist."),
        io.String.Input("trigger", default="", tooltip="A rare word that will stand for it, such as maya_char."),
        io.Combo.Input(
            "subject",
            options=list(asking.SUBJECTS),
            default=asking.SUBJECTS[0],
            tooltip="A real person needs a signed consent before anything is trained.",
        ),
        io.String.Input("noun", default="character", tooltip="What it is in plain words: woman, robot."),
        io.Combo.Input(
            "family",
            options=list(asking.FAMILIES),
            default=asking.FAMILIES[0],
            tooltip="Of the base to train on. mini is portraitist's own small one, which ComfyUI cannot draw with.",
        ),
        io.String.Input(
            "base",
            default="",
            tooltip="A checkpoint or diffusion model that ComfyUI lists, `models` for ComfyUI's whole models folder,"
            " a folder, or a name on the Hugging Face Hub, which is downloaded. Empty with mini.",
        ),
        io.String.Input("card", default="", tooltip="Its memory in GB, such as 24, or its name: chooses the preset."),
        io.Combo.Input(
            "folder",
            options=["", *folders.subfolders(inputs())],
            default="",
            tooltip="A folder below ComfyUI's input: pictures with captions beside them, taken as they are.",
        ),
        io.String.Input(
            "brief",
            default="",
            multiline=True,
            tooltip="What it must be able to do, a kind a line: expression: smiling, angry",
        ),
        io.String.Input("source", default="", advanced=True, tooltip="Where the pictures are from."),
        io.String.Input("licence", default="", advanced=True, tooltip="What they may be used by, such as CC0-1.0."),
    ]


def consented() -> list[Any]:
    """The inputs that record a real person's consent, once."""
    return [
        io.String.Input(
            "consent_file", default="", advanced=True, tooltip="The signed document, below ComfyUI's input."
        ),
        io.String.Input("consent_by", default="", advanced=True, tooltip="Who signed it."),
        io.String.Input("consent_date", default="", advanced=True, tooltip="When, as 2026-01-14."),
        io.String.Input("consent_rights", default="", advanced=True, tooltip="Who holds the rights to the model."),
        io.Boolean.Input("consent_adult", default=False, advanced=True, tooltip="The person is of age."),
    ]


class Dataset(io.ComfyNode):
    """The character's folder, with pictures in it, looked at."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="Portraitist_Dataset",
            display_name="Dataset",
            category=CATEGORY,
            description="Makes a character's folder, takes pictures in, and says what is wrong with them.",
            is_input_list=True,
            inputs=[
                *named(),
                *consented(),
                io.Image.Input("pictures", optional=True),
                io.String.Input("captions", optional=True, force_input=True, tooltip="One for each picture."),
            ],
            outputs=[Character.Output(display_name="character"), io.String.Output(display_name="findings")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **given: Any) -> str:
        """Another word when pictures or captions changed, in the folder taken from or in the character's own."""
        name, source = (str((given.get(key) or [""])[0]) for key in ("name", "folder"))
        taken = folders.fingerprint(folders.inside(inputs(), source)) if source else ""
        return f"{folders.token(folders.character(output(), name))} {taken}"

    @classmethod
    def execute(cls, **given: Any) -> io.NodeOutput:
        """Ask `portraitist new`, `consent`, `add` and `audit`, as far as there is something to ask."""
        images, texts = given.pop("pictures", None) or [], given.pop("captions", None) or []
        said: dict[str, Any] = {key: value[0] for key, value in given.items()}
        node, folder = cls.hidden.unique_id, folders.character(output(), said["name"])
        asked = asking.facts(
            said["trigger"], said["subject"], said["noun"], said["brief"], said["family"], base(said["base"]),
            said["card"], said["name"],
        )  # fmt: skip
        token = folders.token(folder)
        if (folder / "project.toml").exists():
            folders.same(folder, asked)
        else:
            work(node, ["new", str(folder), *asking.options(asked)])
        folders.settle(folder, asked=asked, token=token)
        if said["subject"] == "real" and "consent" not in folders.facts(folder):
            file = str(folders.inside(inputs(), said["consent_file"])) if said["consent_file"] else ""
            signed = (said[f"consent_{key}"] for key in ("by", "date", "rights", "adult"))
            work(node, ["consent", str(folder), *asking.consent(file, *signed)])
        origin = {key: said[key] for key in ("source", "licence") if said[key]}
        if said["folder"]:
            source = str(folders.inside(inputs(), said["folder"]))
            work(node, ["add", str(folder), source, *asking.options(origin)])
        with scratch() as made:
            if pictures.laid_out(Path(made), images, texts):
                work(node, ["add", str(folder), made, *asking.options({"source": "a ComfyUI graph", **origin})])
        findings = ""
        if said["folder"] or images:
            findings = asking.findings(work(node, ["audit", str(folder)])[0])
        folders.settle(folder)
        return io.NodeOutput({"folder": str(folder)}, findings)


class CutSheet(io.ComfyNode):
    """A finished sheet cut into its views."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="Portraitist_CutSheet",
            display_name="Cut Sheet",
            category=CATEGORY,
            description="Cuts finished sheets into views, each as full body, half body and close-up, with captions.",
            inputs=[
                Character.Input("character"),
                io.Image.Input("sheet"),
                io.String.Input("views", default="front view,side view,back view", tooltip="From left to right."),
                io.Float.Input(
                    "heads", default=0.0, min=0.0, max=12.0, step=0.1, tooltip="High. 0: as its face tells."
                ),
                io.Boolean.Input("mirrored", default=False, tooltip="Mirrored too, if project.toml says symmetric."),
            ],
            outputs=[
                Character.Output(display_name="character"),
                io.Image.Output(display_name="pictures", is_output_list=True),
                io.String.Output(display_name="warnings"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, character: dict[str, str], sheet: Any, views: str, heads: float, mirrored: bool) -> io.NodeOutput:
        """Keep the sheet in the character's folder, and ask `portraitist sheet cut`."""
        folder, cut, warnings = Path(character["folder"]), [], []
        for data in pictures.pngs([sheet]):
            file = folder / "sheets" / f"sheet-{hashlib.sha256(data).hexdigest()[:8]}.png"
            folders.write(file, data)
            height, width = sheet.shape[1:3]
            words = ["sheet", "cut", str(file), str(folder), f"--views={views}", f"--size={width}x{height}"]
            words += [f"--heads={heads:g}"] * (heads > 0) + ["--mirrored"] * mirrored
            answer, course = work(cls.hidden.unique_id, words)
            cut += [*answer["added"], *answer["already"]]
            warnings += course.warnings
        folders.settle(folder)
        shown = [pictures.loaded(folder / "pictures" / name) for name in cut]
        return io.NodeOutput(character, shown, "\n".join(warnings))


class Caption(io.ComfyNode):
    """Captions where there are none."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="Portraitist_Caption",
            display_name="Caption",
            category=CATEGORY,
            description="Writes captions where there are none. What a person wrote or changed is never touched.",
            inputs=[
                Character.Input("character"),
                io.Combo.Input(
                    "seen_by",
                    options=["recipe", "none", "tagger", "endpoint"],
                    default="recipe",
                    tooltip="recipe: as recipe.toml says, which also names the tagger or the endpoint.",
                ),
            ],
            outputs=[Character.Output(display_name="character"), io.String.Output(display_name="report")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, character: dict[str, str], seen_by: str) -> io.NodeOutput:
        """Ask `portraitist caption`."""
        folder = Path(character["folder"])
        words = ["caption", str(folder), *([] if seen_by == "recipe" else [f"--with={seen_by}"])]
        answer, course = work(cls.hidden.unique_id, words)
        folders.settle(folder)
        lines = [f"written: {len(answer['written'])}", f"kept: {len(answer['kept'])}"]
        lines += [f"failed: {one['picture']}: {one['why']}" for one in answer.get("failed", [])] + course.warnings
        return io.NodeOutput(character, "\n".join(lines))
