"""A LoCon of SDXL on the tiny real UNet: its file by kohya's names is what ComfyUI adds to weights."""

import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

from portraitist import families
from portraitist.adapters import files, inject
from portraitist.family import Prompt
from portraitist.sections import Adapter
from tests.originals import unet, weights
from tests.tiny import tiny


def test_every_name_is_one_of_comfyuis_keys_and_what_it_adds_is_what_was_trained(tmp_path):
    """ComfyUI takes `lora_unet_` and a weight's name in Stability's layout with `_` for `.`, and adds
    alpha / rank * up @ down, both flattened, in the weight's shape."""
    base, family = tiny("sdxl", tmp_path / "base"), families.get("sdxl")
    denoiser = family.load_denoiser(base)
    trained = inject.attach(denoiser, Adapter(rank=3, alpha=6, modules="locon"), family, 0)
    draw = torch.Generator().manual_seed(5)
    for parameter in trained.parameters().values():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=draw)
    file = files.to_comfy(trained.tensors(), family)
    original = unet(weights(base.folder, "unet"))
    keys = {f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}": name for name in original}
    modules = {name.removesuffix(".alpha") for name in file if name.endswith(".alpha")}
    assert len(file) == 3 * len(modules)
    assert modules <= keys.keys()
    merged, convolutions = dict(original), 0
    for module in modules:
        down, up = file[f"{module}.lora_down.weight"], file[f"{module}.lora_up.weight"]
        weight = original[keys[module]]
        assert down.shape == (3, *weight.shape[1:])
        assert up.shape == (weight.shape[0], 3, *(1 for _ in weight.shape[2:]))
        convolutions += weight.shape[2:] == (3, 3)
        scale = float(file[f"{module}.alpha"]) / down.shape[0]
        merged[keys[module]] = weight + scale * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    wanted = sum(n.endswith(".weight") and t.shape[2:] == (3, 3) for n, t in original.items())
    assert convolutions == wanted - 2, "all of 3 x 3 but the first and the last, which stand in no block"
    adapted = family.load_denoiser(base)
    named = {f"model.diffusion_model.{name}": tensor for name, tensor in merged.items()}
    adapted.load_state_dict(convert_ldm_unet_checkpoint(named, adapted.config))
    given = {name: value[None] for name, value in family.load_encoder(base).conditions(Prompt("zorblax")).items()}
    noisy, level = torch.randn(1, 4, 8, 8, generator=draw), torch.tensor([0.6])
    with torch.no_grad():
        one, other = (family.predict(each, noisy, level, given) for each in (adapted, denoiser))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
