"""How long do commands take that compute next to nothing: a version, a help, the doctor of one config?

    python -m benchmarks.start [--times 10] before=/checkouts/before after=.

Each argument names a checkout of portraitist, all run by this Python. Their commands take turns, each in a process of
its own, so that what else the machine does falls on all alike. Prints of each the least processor time (user and
system) and the least time by the clock, in milliseconds, and the machine's load.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """
job: extension
config:
  name: maya
  process:
    - type: sd_trainer
      trigger_word: maya_char
      network: {type: lora, linear: 16, linear_alpha: 16}
      datasets: [{folder_path: maya, caption_ext: txt, resolution: [1024], num_repeats: 1}]
      train: {batch_size: 1, steps: 2000, lr: 1e-4, optimizer: adamw8bit, dtype: bf16}
      model: {name_or_path: BASE, arch: ARCH, quantize: true}
"""
BASES = {"trained here": ("Qwen/Qwen-Image", "qwen_image"), "not trained here": ("somebody/wan", "wan22_14b")}
"""Of one that is trained here, memory and hours are foretold, and so a recipe is made and checked."""


def spent(checkout: Path, words: list[str]) -> tuple[float, float]:
    """Milliseconds of the processor and of the clock that one command takes, which may end with 0 or 1."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=False)
    by_clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr.decode())
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return 1000 * used, 1000 * by_clock


def main() -> None:
    """Measure each checkout's commands in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--times", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = {"python -c pass": ["-c", "pass"]}
        for words in ("--version", "--help"):
            commands[f"portraitist {words}"] = ["-m", "portraitist", words]
        for what, (base, arch) in BASES.items():
            path = Path(folder) / f"{arch}.yaml"
            path.write_text(CONFIG.replace("BASE", base).replace("ARCH", arch))
            commands[f"portraitist doctor, a base {what}"] = ["-m", "portraitist", "doctor", str(path)]
        least: dict[tuple[str, str], tuple[float, float]] = {}
        checkouts = [named.partition("=") for named in asked.checkouts]
        for _ in range(asked.times + 1):  # the first one writes what Python compiles, and is beaten by the others
            for what, words in commands.items():
                for name, _, place in checkouts:
                    used, by_clock = spent(Path(place), words)
                    best = least.get((what, name), (used, by_clock))
                    least[what, name] = (min(best[0], used), min(best[1], by_clock))
    sys.stdout.write(
        "| command |" + "".join(f" {name}: processor | {name}: clock |" for name, _, _ in checkouts) + "\n"
    )
    sys.stdout.write("|---|" + "---|---|" * len(checkouts) + "\n")
    for what in commands:
        cells = "".join(" {:.0f} | {:.0f} |".format(*least[what, name]) for name, _, _ in checkouts)
        sys.stdout.write(f"| {what} |{cells}\n")
    sys.stdout.write("load {:.1f} {:.1f} {:.1f}\n".format(*os.getloadavg()))


if __name__ == "__main__":
    main()
