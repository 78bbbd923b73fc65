"""Loads LoRA files by ComfyUI's own loader into a model without weights. Run by ComfyUI's interpreter, not by ours:

    python tests/comfy_loading.py COMFY_DIR TREE.json LORA.safetensors ...

TREE.json holds the shape of each of a model's tensors by its publisher's names. Prints one JSON object: per file its
tensors, the weights that it changes, and every line that the loader complained in.
"""

import json
import logging
import sys
from pathlib import Path


def main(folder, tree, *loras):
    """Load each file and tell of it."""
    sys.path.insert(0, folder)
    sys.argv = [sys.argv[0], "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import torch
    from comfy import lora, model_detection, model_patcher, utils

    heard = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: heard.append(record.getMessage())
    logging.getLogger().addHandler(listener)
    shapes = json.loads(Path(tree).read_text())
    state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    config = model_detection.model_config_from_unet(state, "")
    if config is None:  # diffusers' names, as its own loader of models does it
        state = model_detection.convert_diffusers_mmdit(state, "")
        config = model_detection.model_config_from_unet(state, "")
    model = config.get_model(state, "", device="meta")
    own = dict(model.named_parameters())
    told = {"model": type(config).__name__, "files": {}}
    for path in loras:
        heard.clear()
        tensors = utils.load_torch_file(path, safe_load=True)
        loaded = lora.load_lora(tensors, lora.model_lora_keys_unet(model, {}))
        patcher = model_patcher.ModelPatcher(model, torch.device("meta"), torch.device("meta"))
        keys = patcher.add_patches(loaded, 1.0)
        for key in {key if isinstance(key, str) else key[0] for key in keys}:
            lora.calculate_weight(patcher.patches[key], own[key].detach(), key)
        told["files"][path] = {
            "tensors": len(tensors),
            "changes": len(keys),
            "asked": len(loaded),
            "heard": list(heard),
        }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
