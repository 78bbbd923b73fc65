"""ai-toolkit: what becomes of `sample` and `save`, and of pictures kept for validation."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from portraitist.interop.aitoolkit.process import Process
from portraitist.interop.diagnosis import Remark

TRUE_GUIDANCE = ("qwen_image", "qwen_image_edit", "qwen_image_edit_plus")
CONTROLS = ("ctrl_img", "ctrl_img_1", "ctrl_img_2", "ctrl_img_3")


def sample(process: Process) -> Iterator[Remark]:
    """All that is said of `sample`."""
    listed = list(process.samples())
    if not process.section("sample") or process.flag("train", "disable_sampling"):
        return
    if process.has("sample", "sampler") and process.arch in process.rules.keys["flows"]:
        yield process.say("sampler", "sample", "sampler", arch=process.arch)
    unseeded = [one for _, one in listed if one.get("seed") is None]
    if len(unseeded) > 1 and not process.flag("sample", "walk_seed"):
        seed = process.whole("sample", "seed", default=0)
        at = ("sample", "walk_seed") if process.has("sample", "walk_seed") else ("sample",)
        yield process.say("one-seed", *at, count=len(unseeded), seed=seed)
    yield from guidance(process)
    side, size = process.side, process.whole("sample", "width", default=512)
    if listed and side > 512 and not process.has("sample", "width") and not any("width" in one for _, one in listed):
        yield process.say("sample-size", "sample", size=size, side=side)
    yield from controls(process)
    yield from cost(process, len(listed))


def guidance(process: Process) -> Iterator[Remark]:
    """What guidance means for the family."""
    at, true = ("sample", "guidance_scale"), process.arch in TRUE_GUIDANCE
    value = process.number(*at, default=-1)
    if process.arch == "flux":
        if value > 1:
            yield process.say("flux-guidance", *at, value=value)
        if process.text("sample", "neg"):
            yield process.say("flux-negative", "sample", "neg")
    elif true and value > 1 and not 2.5 <= value <= 5:
        yield process.say("guidance-range", *at, value=value, arch=process.arch)
    if value < 0 and (true or process.arch == "flux") and next(process.samples(), None):
        what = "true guidance is best at 3 to 4" if true else "the distilled guidance is best at about 3.5"
        yield process.say("sample-guidance", "sample", arch=process.arch, what=what)


def controls(process: Process) -> Iterator[Remark]:
    """Samples of an edit model need pictures of their own: those of the datasets do not count."""
    listed = list(process.samples())
    if process.arch not in process.rules.keys["sampled_edits"] or not listed:
        return
    wanted = CONTROLS if process.arch == "qwen_image_edit_plus" else CONTROLS[:1]
    prompts = [(path, str(one.get("prompt")), any(one.get(key) for key in wanted)) for path, one in listed]
    lacking = [path for path, prompt, given in prompts if not given and "--ctrl_img" not in prompt]
    if lacking:
        key = "ctrl_img_1" if len(wanted) > 1 else "ctrl_img"
        fields = {"count": len(lacking), "all": len(listed), "arch": process.arch, "key": key}
        yield process.say("sample-control", *lacking[0], **fields)


def cost(process: Process, count: int) -> Iterator[Remark]:
    """What sampling takes beside training, in forward passes of the training's size."""
    every, steps = (
        process.whole("sample", "sample_every", default=100),
        process.whole("sample", "sample_steps", default=20),
    )
    guided = process.number("sample", "guidance_scale", default=7)
    passes = 1 if process.arch == "flux" or guided <= 1 else 2
    sides = [side for one in process.datasets for side in one.resolutions]
    if not every or not count or not sides or not process.family:
        return
    width = process.whole("sample", "width", default=512) * process.whole("sample", "height", default=512)
    trained = sum(side * side for side in sides) / len(sides)
    share = count * steps * passes * width / (every * 4 * process.batch * process.accumulation * trained)
    if share > 0.5:
        better = max(every, round(every * share / 0.2 / 50) * 50)
        fields = {"share": share, "count": count, "steps": steps, "every": every, "passes": passes, "better": better}
        yield process.say("sample-cost", "sample", "sample_every", **fields)


def save(process: Process) -> Iterator[Remark]:
    """Which checkpoints there will be, and which will be left."""
    every, saves, kept = process.whole("save", "save_every", default=1000), process.numbered_saves, process.kept_saves
    if process.has("save", "save_format") and process.get("save", "save_format") not in ("safetensors", "diffusers"):
        yield process.say("save-format", "save", "save_format", value=repr(process.get("save", "save_format"))[:60])
    if kept < saves:
        at = ("save", "max_step_saves_to_keep") if process.has("save", "max_step_saves_to_keep") else ("save",)
        yield process.say("saves-deleted", *at, saves=saves, kept=kept, lost=every * (saves - kept))
    if not saves and process.steps > 1:
        better = max(1, process.steps // 10)
        at = ("save", "save_every") if process.has("save", "save_every") else ("save",)
        yield process.say("save-never", *at, every=every, steps=process.steps, better=better)
    shown = process.whole("sample", "sample_every", default=100)
    sampling = any(process.samples()) and not process.flag("train", "disable_sampling")
    if sampling and every and shown and every % shown and shown % every:
        yield process.say("sample-save", "sample", "sample_every", sample=shown, save=every)
    if process.flag("save", "push_to_hub") and not process.get("save", "hf_repo_id"):
        yield process.say("hub-name", "save", "push_to_hub")


def validation(process: Process) -> Iterator[Remark]:
    """Pictures that are to tell of what was not seen, and were."""
    at = ("train", "validation_config")
    if not process.section(*at):
        return
    if process.arch == "qwen_image_edit_plus":
        yield process.say("validation-edit", *at, arch=process.arch)
    listed = process.get(*at, "validation_items")
    folders = [PurePosixPath(one.folder.replace("\\", "/")) for one in process.datasets if one.folder]
    stems = {path.stem.lower() for one in process.datasets for path in one.pictures or ()}
    for index in range(len(listed) if isinstance(listed, list) else 0):
        written = process.text(*at, "validation_items", index, "image_path")
        path = PurePosixPath(written.replace("\\", "/"))
        bare = re.sub(r"[-_. ]?(crop(ped)?|cut|part|detail)[-_. ]?\d*$", "", path.stem.lower())
        what = ""
        if any(folder in path.parents for folder in folders):
            what = "a training picture: it lies in a dataset's folder"
        elif bare in stems:
            what = f"by its name a crop of a training picture, {bare}" if bare != path.stem.lower() else ""
            what = what or "by its name a training picture"
        if written and what:
            where = (*at, "validation_items", index, "image_path")
            yield process.say("validation-leak", *where, name=path.name, what=what)
