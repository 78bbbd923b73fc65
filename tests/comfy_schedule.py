"""Levels of noise by ComfyUI's own schedules. Run by ComfyUI's interpreter, not by ours:

    python tests/comfy_schedule.py COMFY_DIR ASKED.json

ASKED.json is a list of [node, shift, scheduler, steps]: the node that patches the model, or "" for SDXL as it is.
Prints a list of lists, of timesteps for SDXL and of levels for the others.
"""

import json
import sys
from pathlib import Path


def main(folder, asked):
    """Print what each comes to."""
    sys.path.insert(0, folder)
    sys.argv = [sys.argv[0], "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    from comfy import model_sampling, samplers

    found = []
    for node, shift, scheduler, steps in json.loads(Path(asked).read_text()):
        if node == "ModelSamplingFlux":
            model = model_sampling.ModelSamplingFlux(None)
            model.set_parameters(shift=shift)
        elif node:
            model = model_sampling.ModelSamplingDiscreteFlow(None)
            model.set_parameters(shift=shift, multiplier=1.0)
        else:
            model = model_sampling.ModelSamplingDiscrete(None)
        sigmas = samplers.calculate_sigmas(model, scheduler, steps)
        found.append([float(s) if node else float(model.timestep(s)) for s in sigmas[:-1]])
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
