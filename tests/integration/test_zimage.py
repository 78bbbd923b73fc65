"""Z-Image's own: its tree, publishers' files of it, the schedule its base says, and a training that is cut."""

import json

import pytest
import torch
from safetensors.torch import save_file

from portraitist import families, runs
from portraitist.adapters import dialects, trees
from portraitist.adapters.modules import reached
from portraitist.errors import Interrupted, PortraitistError
from portraitist.families import zimage
from portraitist.family import Prompt
from portraitist.recipe import load
from portraitist.sections import Adapter, Model
from portraitist.verbs.train import train
from tests.projects import made
from tests.tiny import PIPELINES, tiny

NAME = "z-image"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny(NAME, tmp_path_factory.mktemp("bases") / NAME)


def test_its_tree_is_the_published_one_and_comfyui_loads_what_is_exported():
    with torch.device("meta"):
        assert sum(p.numel() for p in zimage.ZImage.published().parameters()) == 6_154_908_736
    layers = trees.layers(NAME)
    assert len(layers) == 276
    loaded = {row.name: sum(map(row.loads, layers)) for row in dialects.of(NAME)}
    assert loaded == {name: 276 for name in loaded} | {"musubi": 137, "peft": 0}
    assert dialects.tree_of("z-image-turbo") == NAME
    counts = {}
    for name in ("family", *zimage.SETS):
        on = reached(Adapter(modules=name), NAME, families.get(NAME).targets)
        counts[name] = sum(on(module, 2) for module in layers)
    assert counts == {"family": 238, "attention": 136, "attention-mlp": 238, "blocks": 270, "all-linear": 276}


@pytest.mark.parametrize(("name", "shift"), [("z-image", 6.0), ("z-image-turbo", 3.0)])
def test_the_schedule_is_the_bases_own_and_else_the_published_one(name, shift, base, tmp_path):
    assert families.get(name).shift == shift
    config = base.folder / "scheduler" / "scheduler_config.json"
    kept, said = config.read_text(), json.loads(config.read_text())
    try:
        config.write_text(json.dumps(said | {"shift": 4.5}))
        family = families.pair(Model(family=name, base=str(base.folder)))[0]
        scheduler = PIPELINES[name].from_pretrained(base.folder).scheduler
        scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / 7, 7).tolist(), mu=1.0)
        torch.testing.assert_close(family.levels(7, 512, 512), scheduler.sigmas)
        assert family.name == name
        config.write_text(json.dumps(said | {"use_dynamic_shifting": True}))
        with pytest.raises(PortraitistError, match="another schedule than a fixed shift"):
            families.pair(Model(family=name, base=str(base.folder)))
    finally:
        config.write_text(kept)


def test_words_are_what_the_pipeline_encodes_however_many(base):
    encoder = families.get(NAME).load_encoder(base)
    pipeline = PIPELINES[NAME].from_pretrained(base.folder)
    for text in ("", "zorblax, a fox", "zorblax, sitting, " * 200):
        (theirs,), _ = pipeline.encode_prompt(text, device="cpu", do_classifier_free_guidance=False)
        torch.testing.assert_close(encoder.conditions(Prompt(text))["tokens"], theirs, rtol=1e-5, atol=1e-5)
    assert len(theirs) == zimage.TOKENS


def test_publishers_files_hold_the_same_weights(base, tmp_path, monkeypatch):
    """The transformer in its own layout, qkv fused, the language model behind `model.`, as ComfyUI keeps them."""
    family, model = families.get(NAME), families.get(NAME).load_denoiser(base)
    fused: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in model.state_dict().items():
        module, _, kind = name.rpartition(".")
        renamed = module.replace(".norm_q", ".q_norm").replace(".norm_k", ".k_norm")
        place = zimage.original(renamed)
        fused.setdefault(f"{place.name}.{kind}".lstrip("."), {})[place.part] = tensor
    encoder = family.load_encoder(base)
    for name, tensors in (
        ("diffusion_models", {n: torch.cat([parts[i] for i in sorted(parts)]) for n, parts in fused.items()}),
        ("text_encoders", {f"model.{n}": t.clone() for n, t in encoder.text.state_dict().items()}),
    ):
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "its.safetensors")
    sizes = {p: json.loads((base.folder / p / "config.json").read_text()) for p in ("transformer", "text_encoder")}
    monkeypatch.setattr(type(family.layout), "config", lambda layout, part: sizes[part])
    asked = Model(
        family=NAME, base=str(tmp_path), parts={"vae": str(base.folder / "vae")}, tokenizers=str(base.folder),
        precision="float32",
    )  # fmt: skip
    published = families.resolve(asked)
    for ours, theirs in (
        (model, family.load_denoiser(published)),
        (encoder.text, family.load_encoder(published).text),
    ):
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())


def test_a_training_that_is_cut_ends_in_the_bytes_of_the_uncut_one(tmp_path):
    done = made(tmp_path, NAME, ["stages=[{steps=20}]", "training.save_every=10"])
    recipe = load(done.project.recipe, ["stages=[{steps=20}]", "training.save_every=10"])
    asked = iter(range(100))
    with pytest.raises(Interrupted):
        train(done.project, recipe, "cut", stop=lambda: next(asked) == 13)
    train(done.project, recipe, "cut")
    for step in (10, 20):
        assert runs.find(done.project, "cut").adapter(step).read_bytes() == done.run.adapter(step).read_bytes()


def test_a_base_of_another_pipeline_and_a_declared_prediction_are_refused(base, tmp_path):
    with pytest.raises(PortraitistError, match="have no choice of it"):
        families.pair(Model(family=NAME, base=str(base.folder), prediction="v"))
    index = base.folder / "model_index.json"
    kept = index.read_text()
    try:
        index.write_text(kept.replace("ZImagePipeline", "ZImageOmniPipeline"))
        with pytest.raises(PortraitistError, match="is a base for ZImageOmniPipeline"):
            families.pair(Model(family=NAME, base=str(base.folder)))
    finally:
        index.write_text(kept)
