"""Pictures to judge an audit by, and ways to spoil them: each fault with a name, drawn from a seed.

Three kinds of picture: the drawn world's characters, dead leaves (discs of 1/f texture that hide each other, a model of
what photographs share), and crops of photographs that lie in installed packages or in a folder.
"""

import importlib.util
import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from portraitist.mini.characters import album, unseen
from portraitist.mini.drawing import draw

Pixels = np.ndarray
SIDE = 384


def drawn(number: int, count: int) -> list[tuple[Pixels, bool]]:
    """One character's pictures, each in another context; and whether its sky is drawn in bands, as sunsets are."""
    scenes = album(unseen(8000 + number), count, 90 + number)
    return [(draw(scene, SIDE).pixels, scene.context.background == "sunset") for scene in scenes]


def leaves(number: int, count: int) -> list[Pixels]:
    """Dead leaves (Lee, Mumford & Huang 2001): discs with radii by a cubic law, each of its own 1/f texture, seen by a
    lens of half a pixel's blur and a sensor of one grey level's noise; lighter above than below."""
    made = []
    for at in range(count):
        chance = np.random.default_rng([number, at])
        texture = pink(chance, 2 * SIDE)
        canvas = chance.uniform(40, 215, 3) + texture[:SIDE, :SIDE, None] * 14
        for radius in sorted(9 / np.sqrt(chance.uniform(0.003, 1, 200)), reverse=True):
            y, x = chance.uniform(0, SIDE, 2)
            top, left = max(0, int(y - radius)), max(0, int(x - radius))
            low, right = min(SIDE, int(y + radius) + 2), min(SIDE, int(x + radius) + 2)
            rows, columns = np.mgrid[top:low, left:right]
            inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
            from_row, from_column = chance.integers(0, SIDE, 2)
            grain = texture[from_row:, from_column:][: low - top, : right - left][inside]
            canvas[top:low, left:right][inside] = chance.uniform(15, 240, 3) + grain[:, None] * chance.uniform(2, 25)
        canvas *= np.linspace(1.12, 0.88, SIDE)[:, None, None]
        soft = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.5))
        made.append(np.clip(np.asarray(soft) + chance.normal(0, 1, canvas.shape), 0, 255).astype(np.uint8))
    return made


def pink(chance: np.random.Generator, side: int) -> np.ndarray:
    """(side, side) noise with a photograph's spectrum, deviation 1."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = 1
    plane = np.fft.ifft2(np.fft.fft2(chance.standard_normal((side, side))) / frequency**1.1).real
    return np.asarray((plane - plane.mean()) / plane.std())


def photographs(folders: list[Path]) -> list[tuple[str, Pixels]]:
    """Crops of SIDE x SIDE of the coloured photographs in scikit-image, scikit-learn, matplotlib and `folders`."""
    for name, inner in (("skimage", "data"), ("sklearn", "datasets/images"), ("matplotlib", "mpl-data/sample_data")):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            folders = [*folders, Path(spec.origin).parent / inner]
    names = ("coffee", "astronaut", "chelsea", "rocket", "motorcycle_left", "china", "flower", "grace_hopper")
    found = []
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.stem in names):
        image = Image.open(path).convert("RGB")
        scale = max(1.0, SIDE / min(image.size))
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        wide, high = image.width - SIDE, image.height - SIDE
        corners = [(0, 0), (wide, high)] if max(wide, high) > 60 else [(wide // 2, high // 2)]
        found += [(path.stem, np.asarray(image.crop((x, y, x + SIDE, y + SIDE)))) for x, y in corners]
    return found


def jpeg(pixels: Pixels, quality: int, chance: random.Random) -> bytes:
    """As a JPEG file, colours halved or not."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=chance.choice((0, 2)))
    return file.getvalue()


def opened(data: bytes) -> Pixels:
    """Pixels of a file."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def enlarged(pixels: Pixels, chance: random.Random) -> Pixels:
    """Scaled down and up again, 1.9 to 4 times."""
    few = round(SIDE / chance.uniform(1.9, 4))
    how = chance.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS))
    small = Image.fromarray(pixels).resize((few, few), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((SIDE, SIDE), how))


def blurred(pixels: Pixels, chance: random.Random) -> Pixels:
    """Out of focus by 1.2 to 4 pixels (deviation)."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(chance.uniform(1.2, 4))))


def shaken(pixels: Pixels, chance: random.Random) -> Pixels:
    """Moved by 7 to 17 pixels while exposed, any way."""
    length, way = chance.randint(7, 17), chance.uniform(0, np.pi)
    total = np.zeros(pixels.shape, np.float64)
    for at in range(length):
        off = at - length // 2
        total += np.roll(pixels, (round(off * np.sin(way)), round(off * np.cos(way))), (0, 1))
    return (total / length).astype(np.uint8)


def noisy(pixels: Pixels, chance: random.Random) -> Pixels:
    """Noise of 10 to 25 grey levels."""
    noise = np.random.default_rng(chance.randrange(1 << 30)).normal(0, chance.uniform(10, 25), pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def blown(pixels: Pixels, chance: random.Random) -> Pixels:
    """Overexposed until a share of 25 to 50 % of it is white."""
    share = chance.uniform(0.25, 0.5)
    white = max(float(np.quantile(pixels.min(axis=2), 1 - share)), 8.0)
    return np.clip(pixels * (256 / white), 0, 255).astype(np.uint8)


def crushed(pixels: Pixels, chance: random.Random) -> Pixels:
    """Shadows cut off until a share of 25 to 50 % of it is black."""
    share = chance.uniform(0.25, 0.5)
    black = min(float(np.quantile(pixels.max(axis=2), share)), 247.0)
    return np.clip((pixels - black) * (255 / (255 - black)), 0, 255).astype(np.uint8)


def dark(pixels: Pixels, chance: random.Random) -> Pixels:
    """A quarter of its light or less."""
    return (pixels * chance.uniform(0.12, 0.25)).astype(np.uint8)


def light(pixels: Pixels, chance: random.Random) -> Pixels:
    """Washed out to the upper tenth."""
    return (pixels * 0.05 + chance.uniform(243, 244)).clip(0, 255).astype(np.uint8)


def posterised(pixels: Pixels, chance: random.Random) -> Pixels:
    """16 to 48 levels a channel."""
    step = 256 / chance.randint(16, 48)
    return (np.floor(pixels / step) * step + step / 2).astype(np.uint8)


def tinted(pixels: Pixels, chance: random.Random) -> Pixels:
    """A strong wrong white balance."""
    gains = chance.choice(((1.35, 1.0, 0.5), (0.55, 0.95, 1.35), (0.75, 1.2, 0.7), (1.25, 0.7, 1.2)))
    return np.clip(pixels * np.array(gains), 0, 255).astype(np.uint8)


def grey(pixels: Pixels, chance: random.Random) -> Pixels:
    """Black and white, or sepia."""
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    tone = chance.choice(((1, 1, 1), (1, 1, 1), (1.07, 0.97, 0.8)))
    return np.clip(luma[..., None] * np.array(tone), 0, 255).astype(np.uint8)


def barred(pixels: Pixels, chance: random.Random) -> Pixels:
    """Plain bars on two or four sides, 3 to 12 % each, black, white or grey."""
    made, width = pixels.copy(), chance.randint(round(SIDE * 0.03), round(SIDE * 0.12))
    tone, sides = chance.choice((0, 255, 32)), chance.choice(("rows", "columns", "both"))
    if sides != "columns":
        made[:width] = made[-width:] = tone
    if sides != "rows":
        made[:, :width] = made[:, -width:] = tone
    return made


def lettered(pixels: Pixels, chance: random.Random) -> Pixels:
    """A line of white or black lettering at the lower or upper rim, half to wholly opaque."""
    image = Image.fromarray(pixels).convert("RGBA")
    text = chance.choice(("(c) studio name", "www.pictures.example", "SAMPLE PREVIEW", "2024-06-12 18:31", "@somebody"))
    font, over = ImageFont.load_default(size=chance.randint(14, 26)), Image.new("RGBA", image.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(over)
    _, _, wide, tall = pen.textbbox((0, 0), text, font=font)
    tone = chance.choice((255, 255, 0))
    x, y = chance.choice((8, max(8, SIDE - wide - 8))), chance.choice((8, SIDE - tall - 8))
    pen.text((x, y), text, font=font, fill=(tone, tone, tone, chance.randint(140, 255)))
    return np.asarray(Image.alpha_composite(image, over).convert("RGB"))


def marked(pixels: Pixels) -> Pixels:
    """The same mark at the same place: what a stock agency lays over all its pictures."""
    image = Image.fromarray(pixels).convert("RGBA")
    over = Image.new("RGBA", image.size, (0, 0, 0, 0))
    ImageDraw.Draw(over).text(
        (SIDE * 0.56, SIDE * 0.86), "STOCKPIX", font=ImageFont.load_default(size=30), fill=(255, 255, 255, 150)
    )
    return np.asarray(Image.alpha_composite(image, over).convert("RGB"))


def on_a_screen(pixels: Pixels, chance: random.Random) -> Pixels:
    """Shown by a telephone: bars above and below with lettering, of a screen's size."""
    wide, high = chance.choice(((1080, 2340), (1170, 2532), (828, 1792)))
    canvas = Image.new("RGB", (wide, high), chance.choice(((255, 255, 255), (18, 18, 18))))
    canvas.paste(Image.fromarray(pixels).resize((wide, wide), Image.Resampling.BICUBIC), (0, (high - wide) // 2))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=40)
    pen.text((60, 30), "18:31", font=font, fill=(128, 128, 128))
    pen.text((60, high - 200), "1,204 likes    Reply", font=font, fill=(128, 128, 128))
    return np.asarray(canvas)


def long(pixels: Pixels, chance: random.Random) -> Pixels:
    """A strip of a third of it or less."""
    width = round(SIDE / chance.uniform(3, 5))
    start = chance.randint(0, SIDE - width)
    return pixels[:, start : start + width] if chance.random() < 0.5 else pixels[start : start + width]


def little(pixels: Pixels, chance: random.Random) -> Pixels:
    """Scaled down to a quarter to under a half."""
    side = chance.randint(SIDE // 4, SIDE // 2 - 4)
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


def lying(pixels: Pixels, chance: random.Random) -> Pixels:
    """Turned by one, two or three quarters."""
    return np.ascontiguousarray(np.rot90(pixels, chance.randint(1, 3)))


def bare(pixels: Pixels, chance: random.Random) -> Pixels:
    """Nothing but one tone and a little noise."""
    noise = np.random.default_rng(chance.randrange(1 << 30)).normal(0, 0.7, pixels.shape)
    return np.clip(chance.uniform(60, 200) + noise, 0, 255).astype(np.uint8)


def again(pixels: Pixels, chance: random.Random) -> Pixels:
    """The same picture once more: as it is, saved again, halved, brighter, toned, mirrored, or its rim trimmed by 2
    %."""
    image = Image.fromarray(pixels)
    trimmed = SIDE // 50
    ways: tuple[Callable[[], Pixels], ...] = (
        lambda: pixels,
        lambda: opened(jpeg(pixels, 30, chance)),
        lambda: np.asarray(image.resize((SIDE // 2, SIDE // 2), Image.Resampling.BICUBIC)),
        lambda: np.clip(pixels * 1.25, 0, 255).astype(np.uint8),
        lambda: (255 * (pixels / 255) ** 0.7).astype(np.uint8),
        lambda: np.ascontiguousarray(pixels[:, ::-1]),
        lambda: np.ascontiguousarray(pixels[trimmed:-trimmed, trimmed:-trimmed]),
    )
    return chance.choice(ways)()


def cropped(pixels: Pixels, chance: random.Random) -> Pixels:
    """A window of it, 8 to 20 % cut off, anywhere."""
    side = round(SIDE * (1 - chance.uniform(0.08, 0.2)))
    x, y = chance.randint(0, SIDE - side), chance.randint(0, SIDE - side)
    return np.ascontiguousarray(pixels[y : y + side, x : x + side])


FAULTS: dict[str, Callable[[Pixels, random.Random], Pixels]] = {
    "enlarged": enlarged, "blurred": blurred, "shaken": shaken, "noisy": noisy, "blown": blown, "crushed": crushed,
    "dark": dark, "light": light, "bare": bare, "posterised": posterised, "tinted": tinted, "grey": grey,
    "barred": barred, "lettered": lettered, "screenshot": on_a_screen, "long": long, "little": little, "lying": lying,
    "again": again, "cropped": cropped,
}  # fmt: skip
"""By name; besides, `jpeg file`, `jpeg inside` and `jpeg moved` are made of bytes: see `spoilt`."""

COMPRESSED = ("jpeg file", "jpeg inside", "jpeg moved")
BROKEN = "broken"


def spoilt(kind: str, pixels: Pixels, chance: random.Random) -> tuple[str, bytes]:
    """A picture with one fault, as a file's suffix and bytes."""
    if kind in COMPRESSED:
        data = jpeg(pixels, chance.randint(10, 50), chance)
        if kind == "jpeg file":
            return ".jpg", data
        cut = (chance.randint(1, 7), chance.randint(1, 7)) if kind == "jpeg moved" else (0, 0)
        return ".png", png(opened(data)[cut[0] :, cut[1] :])
    if kind == BROKEN:
        data = png(pixels)
        return ".png", data[: len(data) // chance.randint(2, 9)] if chance.random() < 0.5 else data[9:]
    return sound(FAULTS[kind](pixels, chance), chance, kind in ("posterised", "screenshot"))


def sound(pixels: Pixels, chance: random.Random, exact: bool = False) -> tuple[str, bytes]:
    """As people keep good pictures: PNG, or JPEG of quality 92 to 97."""
    if exact or chance.random() < 0.5:
        return ".png", png(pixels)
    return ".jpg", jpeg(pixels, chance.randint(92, 97), chance)


def png(pixels: Pixels) -> bytes:
    """As a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()
