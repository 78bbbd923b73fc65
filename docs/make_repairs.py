"""Draws the pictures of docs/repair.md and docs/sheets.md with our own drawings and our own code."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from portraitist import durable, families
from portraitist.audit import harmony, previews
from portraitist.dataset import sheets
from portraitist.dataset.combinations import USUAL, spread, told
from portraitist.judge.studio import Studio
from portraitist.mini.characters import ZORBLAX, unseen
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import Character, Context, Scene
from portraitist.pictures import open_bytes
from portraitist.recipe import Recipe
from portraitist.sight import masks

DOCS = Path(__file__).resolve().parent
CASTS = {2: (1.15, 0.9, 0.65), 4: (0.7, 0.85, 1.1)}
"""Factors on red, green and blue of two of the pictures: lamplight, and shade."""


def drawn(who: Character, framing: str, view: str, background: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and true mask of a drawing."""
    made = draw(Scene(who, Context(framing, view, "smiling", "standing", background, "soft light"), seed), side=300)
    return made.pixels, made.mask


def colours() -> bytes:
    """Half bodies before and after MKL towards the first, by the colours of the subject."""
    places = ("room", "forest", "city", "mountains", "beach", "room")
    found = [drawn(ZORBLAX, "half body", "front view", place, i) for i, place in enumerate(places)]
    cast = [
        (np.clip(pixels * np.array(CASTS.get(i, (1, 1, 1))), 0, 255).astype(np.uint8), mask)
        for i, (pixels, mask) in enumerate(found)
    ]
    target = harmony.gaussian(harmony.sampled(*cast[0]))
    pairs = []
    for i, (pixels, mask) in enumerate(cast):
        own = harmony.gaussian(harmony.sampled(pixels, mask))
        moved = harmony.harmonised(pixels, own, target, 0.9, (harmony.NARROW, harmony.WIDE))
        told = "the reference" if not i else "with a cast" if i in CASTS else "without"
        pairs.append((f"{i}: {told}", previews.fitted(pixels), previews.fitted(moved)))
    return previews.before_after(pairs, len(pairs))


def covered() -> bytes:
    """Drawings and what a loss with their GrabCut masks sees."""
    cases = [("half body", "city"), ("full body", "room"), ("close-up", "beach"), ("full body", "forest")]
    pairs = []
    for i, (framing, place) in enumerate(cases):
        pixels, _ = drawn(unseen(20 + i), framing, "front view", place, i)
        seen = previews.weighed(pixels, masks.grown(masks.subject(pixels)))
        pairs.append((f"{framing}, {place}", previews.fitted(pixels), previews.fitted(seen)))
    return previews.before_after(pairs, len(pairs))


def sheet() -> bytes:
    """The template, a sheet drawn into it, and what it is cut into."""
    width, height, gap = 480, 320, 10
    boxes = sheets.boxes(width, height)
    views = []
    for view in ("front view", "facing left", "back view"):
        how = Context("full body", view, "smiling", "standing", "plain gray", "soft light")
        pixels = draw(Scene(unseen(3), how, 4), side=boxes[0].height).pixels
        left = (boxes[0].height - boxes[0].width) // 2
        views.append(pixels[:, left : left + boxes[0].width])
    whole = sheets.composed(views, width, height)
    page = Image.new("RGB", (2 * width + 3 * gap, 2 * height + 3 * gap), previews.PAPER)
    page.paste(Image.fromarray(sheets.template(width, height)), (gap, gap))
    page.paste(Image.fromarray(whole), (2 * gap + width, gap))
    cuts = [box.of(view) for view in views for box in sheets.framings(view, 2.4).values()]
    wide = (2 * width + gap) // 9
    for i, cut in enumerate(cuts):
        image = Image.fromarray(cut)
        image.thumbnail((wide - 6, height))
        page.paste(image, (gap + i * wide, 2 * gap + height))
    buffer = io.BytesIO()
    page.crop((0, 0, page.width, 3 * gap + height + 2 * wide)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def generated() -> bytes:
    """One reference, and what the embedded base draws from it in seven combinations: the first, chosen by nothing."""
    who, recipe = unseen(3), Recipe()
    how = Context("half body", "front view", "neutral", "standing", "plain gray", "soft light")
    reference = draw(Scene(who, how, 5), side=128).pixels
    asked = [told(one, "a cartoon character") for one in spread(USUAL, 7, 0)]
    studio = Studio(*families.pair(recipe.model), recipe, reference)
    studio.prepare(asked)
    shown = [reference, *(open_bytes(DOCS, studio.draw(text, 0)).pixels for text in asked)]
    side, gap = 192, 8
    page = Image.new("RGB", (4 * (side + gap) + gap, 2 * (side + gap) + gap), previews.PAPER)
    for i, pixels in enumerate(shown):
        tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
        page.paste(tile, (gap + i % 4 * (side + gap), gap + i // 4 * (side + gap)))
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def smaller(data: bytes, share: float) -> bytes:
    """A PNG at a share of its size."""
    image, buffer = Image.open(io.BytesIO(data)), io.BytesIO()
    size = round(image.width * share), round(image.height * share)
    image.resize(size, Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main() -> None:
    """Write the pictures."""
    durable.write_bytes(DOCS / "repair-colours.png", smaller(colours(), 0.6))
    durable.write_bytes(DOCS / "repair-masks.png", smaller(covered(), 0.7))
    durable.write_bytes(DOCS / "sheets.png", sheet())
    durable.write_bytes(DOCS / "generated.png", smaller(generated(), 0.8))


if __name__ == "__main__":
    main()
