"""How fast does the audit measure pixels, how much memory does it hold, and how long does it look for twins?

    OMP_NUM_THREADS=1 python -m benchmarks.audit_speed --pictures 200 --memory 1000 5000 20000 --twins 20000 \\
        --peers /somewhere/bin/python

One core throughout. Rates are of pictures of 1024 x 1024, decoding and hashing included, with 1/f texture and discs, no
two alike; cleanvision reads the same files in a process of its own. For memory, pictures are made, measured and deleted
one by one in a process for each number, and their records kept as the audit keeps them. For twins, hashes, thumbnails
and descriptors are those of as many pictures of 1/f texture.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from portraitist.audit import looks
from portraitist.audit.measure import measure
from portraitist.dataset.split import twins, written
from portraitist.pictures import Picture, open_upright

SIDE = 1024


def made(number: int, side: int, texture: np.ndarray) -> np.ndarray:
    """(side, side, 3) uint8, another picture for every number: a window of the texture, tinted, with discs on it."""
    chance = np.random.default_rng(number)
    free = texture.shape[0] - side
    y, x = chance.integers(0, free + 1, 2)
    window = texture[y : y + side, x : x + side, None] * chance.uniform(15, 45)
    pixels = np.clip(window + chance.uniform(70, 190, 3), 0, 255).astype(np.uint8)
    for _ in range(12):
        middle, colour = chance.integers(0, side, 2).tolist(), chance.integers(0, 256, 3).tolist()
        cv2.circle(pixels, middle, int(side * chance.uniform(0.01, 0.12)), colour, -1, cv2.LINE_AA)
    return pixels


def texture_of(side: int) -> np.ndarray:
    """(side, side) with a photograph's spectrum, deviation 1."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = 1
    plane = np.fft.ifft2(np.fft.fft2(np.random.default_rng(0).standard_normal((side, side))) / frequency**1.2).real
    return np.asarray((plane - plane.mean()) / plane.std(), np.float32)


def looked_at(path: Path, side: int) -> Picture:
    """One picture as the audit measures it."""
    opened = open_upright(path)
    return Picture(path.name, opened.digest, opened.width, opened.height, measures=measure(opened, side))


def rate(folder: Path, count: int, suffix: str) -> dict[str, float]:
    """Pictures a second, by the clock and by the processor's time; and of that time the share spent on decoding."""
    texture = texture_of(2 * SIDE)
    paths = [folder / f"{number:05}{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(made(number, SIDE, texture)).save(path, quality=92)
    for path in paths[:3]:
        looked_at(path, SIDE)
    began, used = time.perf_counter(), time.process_time()
    for path in paths:
        looked_at(path, SIDE)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    used = time.process_time()
    for path in paths:
        open_upright(path)
    decoding = time.process_time() - used
    return {"per_second": count / wall, "per_cpu_second": count / cpu, "decoding": decoding / cpu}


def memory(count: int, side: int) -> dict[str, float]:
    """Peak memory of a process that measures so many pictures and keeps their records, in MB."""
    texture, kept = texture_of(2 * side), []
    with tempfile.TemporaryDirectory() as place:
        for number in range(count):
            path = Path(place) / f"{number:06}.jpg"
            Image.fromarray(made(number, side, texture)).save(path, quality=92)
            kept.append(looked_at(path, side))
            path.unlink()
    return {"pictures": len({picture.digest for picture in kept}), "peak_mb": peak()}


def peak() -> float:
    """The most memory that this process has held, in MB: Linux's own mark where there is one, since getrusage's is
    inherited from the process that started it."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    marks = [float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
    return marks[0] if marks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def search(count: int) -> dict[str, float]:
    """Seconds to find all twins among so many different pictures, and how many pairs were told."""
    texture, pictures = texture_of(2048), []
    for number in range(count):
        few = made(number, looks.SMALL, texture)
        luma = looks.luma_of(few)
        pictures.append(
            Picture(
                f"{number}",
                f"{number}",
                SIDE,
                SIDE,
                measures={
                    "phash": f"{looks.phash(luma):016x}",
                    "dhash": f"{looks.dhash(luma):016x}",
                    "phash_mirrored": f"{looks.phash(luma[:, ::-1]):016x}",
                    "dhash_mirrored": f"{looks.dhash(luma[:, ::-1]):016x}",
                    "thumbnail": looks.thumbnail(luma),
                    "descriptor": written(looks.descriptor(few)),
                },
            )
        )
    began, used = time.perf_counter(), time.process_time()
    pairs = len(list(twins(pictures)))
    return {
        "pictures": count,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
        "pairs": pairs,
    }


def say(what: str, facts: dict[str, Any]) -> None:
    """One line of JSON, with the load of the machine at the end of it."""
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in facts.items()}
    load = round(os.getloadavg()[0], 1)
    sys.stdout.write(json.dumps({"what": what, **rounded, "load": load}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure what is asked for, and write one line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100, help="files for the rates, of each format")
    parser.add_argument("--memory", type=int, nargs="*", default=[], help="numbers of pictures to hold")
    parser.add_argument("--memory-side", type=int, default=512, help="their sides in pixels")
    parser.add_argument("--twins", type=int, default=20000)
    parser.add_argument("--peers", default="", help="a Python with cleanvision and imagehash")
    parser.add_argument("--hold", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    if given.hold:
        say("held", memory(given.hold, given.memory_side))
        return
    say("machine", {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()})
    for suffix in (".jpg", ".png"):
        with tempfile.TemporaryDirectory() as place:
            ours = rate(Path(place), given.pictures, suffix)
            say(f"pixel checks {suffix}", ours)
            if given.peers:
                script = str(Path(__file__).parent / "audit_peers.py")
                words = [given.peers, script, "speed", place]
                theirs = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
                speed = given.pictures / theirs["all"]["cpu"]
                say(f"cleanvision {suffix}", {"per_cpu_second": speed, "ratio": ours["per_cpu_second"] / speed})
    for count in given.memory:
        words = [sys.executable, "-m", "benchmarks.audit_speed", "--hold", f"{count}"]
        subprocess.run([*words, "--memory-side", f"{given.memory_side}"], check=True)
    if given.twins:
        say("twins", search(given.twins))


if __name__ == "__main__":
    main()
