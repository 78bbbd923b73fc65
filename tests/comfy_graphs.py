"""Every kind of graph that is written for ComfyUI, by name."""

from dataclasses import replace

from portraitist.deploy.graphs.drawing import drawing
from portraitist.deploy.graphs.setting import EDITS, FILES, Setting
from portraitist.deploy.graphs.sweep import Row, sheet


def setting(family, **changes):
    """A drawing of one family."""
    plain = Setting(
        family, "zorblax.safetensors", 0.85, "zorblax on a beach, \"quoted\", ünï", 20, 4.0, 832, 1248, negative=" ",
        seed=2**63, shift=2.0,
    )  # fmt: skip
    return replace(plain, **changes)


def every():
    """Graphs by name: with one LoRA, with two, as a sheet, and with references."""
    found = {}
    for family in FILES:
        one = setting(family)
        found[family] = drawing(one)
        found[f"{family}-style"] = drawing(replace(one, style=("ink.safetensors", 0.6)))
        rows = [Row("zorblax.safetensors", "step 500"), Row("zorblax-step-001000.safetensors", "step 1000")]
        found[f"{family}-sweep"] = sheet(one, rows, (0.0, 0.7, 1.0))
        for count in range(1, EDITS.get(family, 0) + 1):
            shown = tuple(f"reference-{i}.png" for i in range(1, count + 1))
            found[f"{family}-{count}"] = drawing(replace(one, references=shown))
    found["sdxl-v"] = drawing(setting("sdxl", prediction="v"))
    found["flux-1024"] = drawing(setting("flux", shift=3.158, width=1024, height=1024))
    return found
