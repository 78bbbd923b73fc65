"""Teach the embedded base and what goes with it: python -m portraitist.mini.teach PART --out FOLDER [--from FOLDER].

Parts, in their order: autoencoder, text, base, eyes, probe. Each reads what it needs from `--from`, writes what it
taught into `--out`. All but `text`, which begins anew, go on from what `--from` has of them, with pictures that it has
not seen. None is needed to use portraitist.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch


def main(arguments: Sequence[str] | None = None) -> None:
    """Teach one part for so many minutes."""
    parser = argparse.ArgumentParser(prog="portraitist.mini.teach", description=__doc__)
    parser.add_argument("part", choices=("autoencoder", "decoder", "text", "base", "eyes", "probe"))
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--from", type=Path, dest="start", help="folder of weights to go on from")
    parser.add_argument("--minutes", type=float, default=10.0, help="wall time")
    parser.add_argument("--purpose", default="teaching", help="which pictures: another word draws others")
    parser.add_argument("--batch", type=int, default=48, help="pictures a step, for the base")
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates, for the base")
    parser.add_argument("--processes", type=int, default=1, help="that teach the base together, a thread each")
    parser.add_argument("--port", type=int, default=29517, help="on this machine, by which they meet")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="of base, eyes and probe: cpu, cuda")
    parser.add_argument("--drawers", type=int, default=1, help="processes that draw, for base, eyes and probe")
    parser.add_argument("--reuse", type=int, default=5, help="how often a picture is learnt from, for the base")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.part in ("autoencoder", "decoder"):
        from portraitist.mini.teach_autoencoder import teach as autoencoder

        autoencoder(options.out, options.minutes, options.start, options.part == "decoder", options.purpose)
    elif options.part == "text":
        from portraitist.mini.teach_text import teach as text

        text(options.out, options.minutes)
    elif options.part == "base":
        from torch.multiprocessing.spawn import spawn

        from portraitist.mini.teach_base import Plan, together
        from portraitist.mini.teach_base import teach as base

        plan = Plan(
            options.minutes, options.batch, options.rate, options.purpose, reuse=options.reuse,
            drawers=options.drawers, device=options.device,
        )  # fmt: skip
        start = options.start or options.out
        if options.processes > 1:
            given = (options.processes, options.out, start, plan, options.port)
            spawn(together, given, nprocs=options.processes)  # type: ignore[no-untyped-call]
        else:
            base(options.out, start, plan)
    elif options.part == "eyes":
        from portraitist.mini.teach_eyes import teach as eyes

        eyes(options.out, options.start or options.out, options.minutes, options.device, options.drawers)
    else:
        from portraitist.mini.probe import teach as probe

        probe(options.out, options.start or options.out, options.minutes, options.device, options.drawers)


if __name__ == "__main__":
    main()
