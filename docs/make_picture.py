"""Draws docs/demo.png from what `make demo` left: true drawings, the base, and the chosen LoRA on the same noise.

The prompts and seeds are those of the demo's figures: nothing was chosen by them.
"""

import io
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from portraitist import durable, families, runs
from portraitist.adapters import files, inject
from portraitist.mini import truth
from portraitist.mini.characters import ZORBLAX
from portraitist.mini.evaluate import drawn, encoder, sampler, to_bytes
from portraitist.project import Project
from portraitist.sections import Model

ROOT = Path(__file__).resolve().parent.parent
ROWS = ("training pictures", "the base, asked for zorblax", "the LoRA, in new scenes", "true drawings of them")


def main(shown: Sequence[int] = range(4, 12), left: int = 178) -> None:
    """Write docs/demo.png."""
    project = Project.open(ROOT / "demo" / "zorblax")
    run = runs.find(project)
    choice = tomllib.loads(durable.read_text(run.choice))
    folder = families.resolve(Model()).folder
    by, encoding = sampler(folder), encoder(folder)
    asked = [truth.prompts(ZORBLAX, "zorblax")[i] for i in shown]
    texts = [prompt.text for prompt in asked]
    base = to_bytes(drawn(by, encoding, texts, 0, "truth"))
    tensors, _ = files.read(run.adapter(int(choice["step"])))
    with inject.loaded(by.denoiser, by.family, tensors, float(choice["strength"])):
        lora = to_bytes(drawn(by, encoding, texts, 0, "truth"))
    taught = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(project.pictures.glob("*.png"))[: len(shown)]]
    rows = [taught, base, lora, [prompt.drawings[0].pixels for prompt in asked]]
    side, gap = 128, 6
    sheet = Image.new("RGB", (left + (side + gap) * len(shown), (side + gap) * len(rows) + gap), (250, 249, 245))
    pen = ImageDraw.Draw(sheet)
    for y, (name, row) in enumerate(zip(ROWS, rows, strict=True)):
        words, top = name.replace(", ", ",\n").replace(" of ", "\nof "), gap + y * (side + gap)
        pen.text((14, top + side / 2 - 18), words, (40, 38, 46), font=ImageFont.load_default(15))
        for x, picture in enumerate(row):
            sheet.paste(Image.fromarray(picture), (left + x * (side + gap), top))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    durable.write_bytes(ROOT / "docs" / "demo.png", buffer.getvalue())


if __name__ == "__main__":
    main()
