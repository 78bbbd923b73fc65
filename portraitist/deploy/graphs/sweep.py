"""A sheet of one prompt and one seed at several checkpoints and strengths, each picture labelled, in one graph."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from portraitist.deploy.graphs.drawing import Builder, adapted, base, conditions, drawn, scheduled
from portraitist.deploy.graphs.setting import Setting, require
from portraitist.deploy.server import Graph
from portraitist.errors import PortraitistError

MOST = 10
"""Of rows, and of pictures in a row: CreateList takes no more."""

CELL = 512
"""Pixels along a picture's longer side on the sheet, at most."""


@dataclass(frozen=True, slots=True)
class Row:
    """A file on the sheet, and what its pictures are labelled with."""

    lora: str
    label: str


def sheet(setting: Setting, rows: Sequence[Row], strengths: Sequence[float]) -> Graph:
    """A graph that draws every row at every strength (0 is the base alone), row by row, and saves them as one sheet.

    The base is loaded and the words are read once. Raises PortraitistError as `drawing` does, and for more than MOST
    rows or columns.
    """
    require(setting)
    if not (1 <= len(rows) <= MOST and 1 <= len(strengths) <= MOST):
        raise PortraitistError(
            f"A sheet of {len(rows)} rows with {len(strengths)} pictures each",
            f"Up to {MOST} of each: name fewer.",
        )
    builder = Builder()
    plain = base(builder, setting)
    if setting.style[0]:
        plain = adapted(builder, setting, plain, *setting.style, title="Style LoRA")
    plain = replace(plain, model=scheduled(builder, setting, plain.model))
    asked, lists, base_alone = conditions(builder, setting, plain), [], ""
    for row in rows:
        cells = []
        for strength in strengths:
            if not strength and base_alone:  # the same picture, whatever file is not used
                cells.append(base_alone)
                continue
            label = f"{row.label}, strength {strength:g}" if strength else "without the LoRA"
            with_it = adapted(builder, setting, plain, row.lora, strength, title=label, words=False)
            picture = drawn(builder, setting, with_it.model, plain.vae, asked, title=label)
            told = builder.add(
                "TextOverlay", label, images=picture, text=label, font_size=5.0, color="#ffffff",
                position="bottom", align="left", outline=True,
            )  # fmt: skip
            cells.append(told)
            base_alone = base_alone if strength else told
        lists.append(listed(builder, row.label, cells))
    pictures = lists[0] if len(lists) == 1 else listed(builder, "All rows", lists)
    scale = min(1.0, CELL / max(setting.width, setting.height))
    grid = builder.add(
        "ImageGrid",
        "Sheet",
        images=[pictures, 0],
        columns=len(strengths),
        cell_width=round(setting.width * scale),
        cell_height=round(setting.height * scale),
        padding=4,
    )
    builder.add("SaveImage", "Save", images=[grid, 0], filename_prefix=f"{setting.name}-sweep")
    return builder.graph


def listed(builder: Builder, title: str, keys: Sequence[str]) -> str:
    """What several nodes give, one after the other."""
    return builder.add("CreateList", title, **{f"inputs.input{i}": [key, 0] for i, key in enumerate(keys)})


def strengths_of(tried: Sequence[float], chosen: float) -> tuple[float, ...]:
    """None, those that were tried, and the chosen one, ascending; of more than a row takes the nearest to it."""
    near = sorted({*tried} - {0.0, chosen}, key=lambda one: abs(one - chosen))
    return tuple(sorted({0.0, chosen, *near[: MOST - 2]}))
