"""Commands that make pictures: sheets, repairs, and pictures from a reference."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from portraitist.cli.words import Changes, Folder, Json, Work, app, opened, project_of
from portraitist.errors import PortraitistError


@app.command(sort_key=4)
def repair(
    folder: Folder,
    action: Annotated[
        Literal["harmonise", "crop", "background", "mask", "upscale"], Parameter(help="What is done to the pictures.")
    ],
    /,
    *names: Annotated[str, Parameter(help="Pictures or sets by name; without any, all.")],
    strength: Annotated[float, Parameter(help="harmonise: how far, above 0 to 1.")] = 0.5,
    method: Annotated[Literal["mkl", "reinhard"], Parameter(help="harmonise: how.")] = "mkl",
    like: Annotated[
        tuple[str, ...],
        Parameter(show_default=False, help="harmonise: a picture with the colours wanted. May be given again."),
    ] = (),
    to: Annotated[
        Literal["trim", "close-up", "mid", "full", "headless"],
        Parameter(help="crop: without bars at the edges, to a framing, or without the head."),
    ] = "trim",
    colour: Annotated[
        str, Parameter(show_default=False, help="background: its new colour; without it transparent.")
    ] = "",
    model: Annotated[str, Parameter(show_default=False, help="background, mask: a matting model's .onnx file.")] = "",
    kind: Annotated[
        Literal["", "birefnet", "rmbg", "isnet", "u2net"], Parameter(show_default=False, help="Of that model.")
    ] = "",
    masks: Annotated[str, Parameter(show_default=False, help="mask: a folder of masks with the pictures' names.")] = "",
    apply: Annotated[
        bool, Parameter(show_default=False, help="Put what was prepared in the originals' place.")
    ] = False,
    undo: Annotated[bool, Parameter(show_default=False, help="Put the originals back.")] = False,
    as_json: Json = False,
) -> Work:
    """Prepare better copies of pictures and show them; with --apply originals are set aside, never altered."""
    from portraitist.verbs.repair import Settings
    from portraitist.verbs.repair import repair as verb

    project = project_of(folder)
    settings = Settings(strength, method, like, to, colour, model, kind, masks)
    return Work(folder, lambda emit, stop: verb(project, action, names, settings, apply=apply, undo=undo, emit=emit))


@app.command(sort_key=6)
def generate(
    folder: Folder,
    /,
    *,
    reference: Annotated[Path, Parameter(help="A picture of the character.")],
    count: Annotated[int, Parameter(help="Pictures, in as many combinations.")] = 20,
    comfy: Annotated[str, Parameter(show_default=False, help="A running ComfyUI draws: its address.")] = "",
    workflow: Annotated[str, Parameter(show_default=False, help="Of --comfy: a workflow in API format.")] = "",
    prompt_at: Annotated[str, Parameter(show_default=False, help="Its prompt, as node.input: 6.text.")] = "",
    seed_at: Annotated[str, Parameter(show_default=False, help="Its seed, such as 3.seed.")] = "",
    reference_at: Annotated[str, Parameter(show_default=False, help="Its picture, such as 10.image.")] = "",
    url: Annotated[str, Parameter(show_default=False, help="A hosted service draws: its address.")] = "",
    api: Annotated[
        Literal["edits", "generations", "gemini"],
        Parameter(help="Of --url: OpenAI's images/edits or images/generations, or Gemini's."),
    ] = "edits",
    model: Annotated[str, Parameter(show_default=False, help="Of --url: the model's name there.")] = "",
    size: Annotated[str, Parameter(show_default=False, help="Of --url: such as 1024x1024.")] = "",
    key: Annotated[str, Parameter(show_default=False, help="The environment variable that holds the key.")] = "",
    price: Annotated[float, Parameter(help="Of one picture.")] = 0.0,
    budget: Annotated[float, Parameter(help="The most that may be spent.")] = 0.0,
    timeout: Annotated[float, Parameter(help="Seconds for one picture of a server or service.")] = 300.0,
    prompt: Annotated[str, Parameter(show_default=False, help="With {words} where a combination's words go.")] = "",
    seed: Annotated[int, Parameter(help="Another one gives other combinations and pictures.")] = 0,
    redraws: Annotated[int, Parameter(help="Of a picture that is not like the reference.")] = 3,
    least: Annotated[float, Parameter(help="Likeness to the reference that is enough, by the base's eyes.")] = 0.8,
    dry_run: Annotated[
        bool, Parameter(show_default=False, help="Show the prompts and the cost; draw nothing.")
    ] = False,
    changes: Changes = (),
    as_json: Json = False,
) -> Work:
    """Draw pictures of the character of one reference, in combinations spread over the brief, with captions."""
    from portraitist.verbs.generate import Service
    from portraitist.verbs.generate import generate as verb

    if comfy and url:
        raise PortraitistError("--comfy and --url both say who draws", "Give one.")
    project, recipe = opened(folder, changes)
    kind: Any = "comfy" if comfy else api if url else "base"
    service = Service(
        kind, comfy or url, key, model, size, workflow, prompt_at, seed_at, reference_at, price, budget, timeout
    )
    how: dict[str, Any] = {"prompt": prompt, "seed": seed, "redraws": redraws, "least": least, "dry_run": dry_run}
    return Work(
        folder,
        lambda emit, stop: verb(project, recipe, reference, count, service=service, **how, emit=emit, stop=stop),
        patient=True,
    )


sheets = App(
    name="sheet",
    help="Character sheets: an empty template, and a finished one cut into its views.",
    default_parameter=Parameter(negative=""),
    sort_key=5,
)
app.command(sheets)

Size = Annotated[str, Parameter(show_default=False, help="Of the template, as WIDTHxHEIGHT.")]


@sheets.command
def template(
    *,
    out: Annotated[Path, Parameter(help="The PNG to write.")],
    size: Annotated[str, Parameter(help="As WIDTHxHEIGHT.")] = "1536x1024",
    views: Annotated[int, Parameter(help="Boxes side by side.")] = 3,
    as_json: Json = False,
) -> Work:
    """Write an empty sheet of hard-edged boxes, to be drawn into by an edit model or by hand."""
    from portraitist.verbs.sheet import template as verb

    if not 1 <= views <= 12:
        raise PortraitistError(f"A sheet of {views} views", "Between 1 and 12.")
    width, height = sides(size)
    return Work(out.parent, lambda emit, stop: verb(out, width, height, views))


@sheets.command
def cut(
    file: Annotated[Path, Parameter(help="The finished sheet.")],
    folder: Folder,
    /,
    *,
    views: Annotated[
        str, Parameter(help="What its boxes show, from left to right.")
    ] = "front view,side view,back view",
    size: Size = "",
    into: Annotated[str, Parameter(help="The set's folder below pictures/.")] = "sheet",
    heads: Annotated[
        float, Parameter(show_default=False, help="That the figure is high; without it as its face tells.")
    ] = 0.0,
    mirrored: Annotated[bool, Parameter(help="Mirrored as well, if project.toml says symmetric = true.")] = False,
    changes: Changes = (),
    as_json: Json = False,
) -> Work:
    """Cut a finished sheet into its views, each as full body, half body and close-up, with captions."""
    from portraitist.verbs.sheet import sheet as verb

    project, recipe = opened(folder, changes)
    shown = tuple(word.strip() for word in views.split(",") if word.strip())
    if not 1 <= len(shown) <= 12:
        raise PortraitistError(f"--views {views!r} names {len(shown)} views", "Name 1 to 12, with commas between.")
    known = sides(size) if size else None
    how = {"views": shown, "size": known, "into": into, "heads": heads, "mirrored": mirrored}
    return Work(folder, lambda emit, stop: verb(project, recipe, file, **how, emit=emit))  # type: ignore[arg-type]


def sides(text: str) -> tuple[int, int]:
    """Width and height of WIDTHxHEIGHT in pixels."""
    match = re.fullmatch(r"(\d{1,6})\s*[xX]\s*(\d{1,6})", text.strip())
    if match is None:
        raise PortraitistError(f"--size {text!r} is no size", "Write width and height in pixels, such as 1536x1024.")
    return int(match[1]), int(match[2])
