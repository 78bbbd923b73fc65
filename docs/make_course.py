"""Draws docs/mini_course.png: what the base drew over the course of its teaching, equal captions and equal noise.

python docs/make_course.py FOLDER ...

Each folder is a base as it was then; the row's name is what its teaching.json counts. The last row are true drawings.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from portraitist import durable
from portraitist.mini.corpus import scene
from portraitist.mini.drawing import draw
from portraitist.mini.evaluate import drawn, encoder, sampler, to_bytes
from portraitist.mini.scenes import caption
from portraitist.mini.teach_base import course_so_far

OUT = Path(__file__).with_name("mini_course.png")


def main(folders: Sequence[Path], count: int = 10, left: int = 130) -> None:
    """Write the picture."""
    scenes = [scene("evaluation", i) for i in range(count)]
    rows = []
    for folder in folders:
        pixels = drawn(sampler(folder), encoder(folder), [caption(one) for one in scenes], 0)
        rows.append((f"{course_so_far(folder)['taught']:,}\nsamples", to_bytes(pixels)))
    rows.append(("true drawings", [draw(one).pixels for one in scenes]))
    side, gap = 128, 4
    sheet = Image.new("RGB", (left + (side + gap) * count, (side + gap) * len(rows) + gap), (250, 249, 245))
    pen = ImageDraw.Draw(sheet)
    for y, (name, pictures) in enumerate(rows):
        top = gap + y * (side + gap)
        pen.text((14, top + side / 2 - 16), name, (40, 38, 46), font=ImageFont.load_default(15))
        for x, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (left + x * (side + gap), top))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    durable.write_bytes(OUT, buffer.getvalue())


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
