"""What holds of every tool: our presets go out and come back equal, clean to the doctor; no mutation is a traceback."""

import copy
import json
import random
from pathlib import Path

import pytest
import tomli_w

from portraitist import recipe
from portraitist.errors import PortraitistError
from portraitist.interop import headers, jsons, tomls, tool, whose
from portraitist.interop.diagnosis import rules
from portraitist.project import Facts, Project
from portraitist.tables import value_at
from portraitist.verbs.export_config import export_config
from portraitist.verbs.import_config import import_config
from tests.trainers import changed, pictured, read, said
from tests.unit.test_diffusion_pipe import DATASET
from tests.unit.test_diffusion_pipe import SOUND as DIFFUSION_PIPE
from tests.unit.test_onetrainer import SOUND as ONETRAINER
from tests.unit.test_simpletuner import PICTURES, TEXTS
from tests.unit.test_simpletuner import SOUND as SIMPLETUNER

FACTS = Facts(name="Maya", trigger="maya_char", subject="fictional")
TOOLS = ("onetrainer", "simpletuner", "diffusion_pipe")
OWN = {
    "model.base", "model.precision", "training.recompute", "data.resolution", "adapter.modules", "training.level",
    "data.sets", "training.seed", "preset",
}  # fmt: skip
"""Keys where ours may say "the family's own" and theirs has to name it; held below."""

HOLDS = {
    "onetrainer": ("", "int8", "fp8", "nf4"),
    "simpletuner": ("", "int8", "fp8", "nf4"),
    "diffusion_pipe": ("", "fp8"),
}
"""What a tool can hold a base in."""

WITHOUT = {"onetrainer": (), "simpletuner": ("sdxl-full",), "diffusion_pipe": ("sdxl-full",)}
"""Presets that a tool cannot train, for their masks or their optimiser. Edit models want references, of which no preset
has any, and OneTrainer has no type for them; mini is ours alone."""


def preset(name, *changes):
    """A preset's recipe."""
    return recipe.load(Path("/nowhere/recipe.toml"), [f'preset="{name}"', *changes])


def sent(module, ours, folder):
    """A recipe as a tool's files, written down: its main document."""
    for name, text in tool(module).written(ours, FACTS, str(folder / "pictures")).items():
        (folder / name).write_text(text)
    main = next(path for path in folder.iterdir() if path.stem == "config")
    return (tomls if main.suffix == ".toml" else jsons).read(main.read_text(), str(main), str(folder))


def unlike(ours, carried):
    """Keys whose value came back otherwise, those left out that stand for the family's own."""
    dump = ours.model_dump(mode="json")
    dump["stages"] = [{"name": stage["name"], "steps": stage["steps"]} for stage in dump["stages"]]
    return {key: value for key, value in carried.recipe.items() if key not in OWN and value_at(dump, key) != value}


@pytest.mark.parametrize("module", TOOLS)
def test_our_presets_go_out_clean_and_come_back_equal(module, tmp_path):
    sent_out = 0
    for name in recipe.presets():
        ours, folder = preset(name), tmp_path / name
        pictured(folder / "pictures", 8, masks=module == "onetrainer")
        strange = ours.model.family in ("mini", "qwen-image-edit") or ours.model.quantised not in HOLDS[module]
        if strange or name in WITHOUT[module]:
            with pytest.raises(PortraitistError, match="cannot train"):
                sent(module, ours, folder)
            continue
        sent_out += 1
        document = sent(module, ours, folder)
        assert whose(document) == module
        found = tool(module).diagnose(document)
        assert {remark.severity for remark in found.remarks} <= {"note"}, (name, said(found))
        assert found.effective.updates == ours.steps, name
        carried = tool(module).carried(document)
        assert recipe.made(carried.tables(), "here").model.family == ours.model.family
        lost = {"training.ema"} if module == "diffusion_pipe" else set()  # it keeps no average, and its file says so
        assert unlike(ours, carried).keys() <= lost, name
    assert sent_out >= 19


@pytest.mark.parametrize("module", TOOLS)
def test_what_is_named_outright_comes_back_too(module, tmp_path):
    changes = [
        'model.base="my/base"', 'training.recompute="on"', "data.resolution=768", 'training.level="logit-normal"',
        "training.level_spread=1.5", "training.level_shift=2.0", "training.seed=7", "adapter.rank=24",
        "training.batch=2", "training.accumulate=3", "training.warmup=20", "data.dropout=0.1", "training.ema=0.0",
    ]  # fmt: skip
    ours = preset("flux", *changes)
    pictured(tmp_path / "pictures", 8)
    carried = tool(module).carried(sent(module, ours, tmp_path))
    dump = ours.model_dump(mode="json")
    named = {
        key: value_at(dump, key) for key in carried.recipe if key in OWN - {"adapter.modules", "data.sets", "preset"}
    }
    assert {key: carried.recipe[key] for key in named} == named


@pytest.mark.parametrize("module", TOOLS)
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_falling_rate_comes_back(module, schedule, tmp_path):
    floor = 0.0 if module == "diffusion_pipe" else 0.25
    falls = [f'training.schedule="{schedule}"', f"training.floor={floor}", "training.warmup=0", "training.ema=0.0"]
    pictured(tmp_path / "pictures", 8)
    document = sent(module, preset("flux", *falls), tmp_path)
    carried = tool(module).carried(document).recipe
    assert (carried["training.schedule"], carried["training.warmup"]) == (schedule, 0)
    assert carried["training.floor"] == pytest.approx(floor, abs=0.01)  # diffusion-pipe's cosine ends at 1e-6
    assert not {"schedule-by-epochs", "wave"} & said(tool(module).diagnose(document))


CHANGES = {
    "flux": [
        'adapter.kind="lokr"', 'adapter.kind="loha"', 'adapter.kind="full"', "adapter.rank=48", "adapter.alpha=8.0",
        "adapter.alpha=8.5",
        "adapter.dropout=0.1", 'adapter.modules="attention"', 'adapter.modules="blocks"', "model.offload=0.5",
        'adapter.start="a.safetensors"', "training.rate=3e-5", "training.batch=3", "training.accumulate=2",
        "training.warmup=7", "training.beta1=0.8", "training.beta2=0.95", "training.weight_decay=0.05",
        "training.max_gradient=0.5", "training.max_gradient=0.0", "training.ema=0.9", 'training.optimiser="adamw8bit"',
        'training.optimiser="adafactor"', 'training.optimiser="schedulefree"', "training.save_every=40",
        'model.precision="float16"', 'model.quantised="int8"', 'model.quantised="nf4"', 'model.quantised="fp8"',
        "data.dropout=0.2", "data.masks=0.3", "data.resolution=512", 'training.recompute="off"',
        'training.level="uniform"', "training.level_mean=0.5", "training.level_spread=0.7", "training.level_shift=3.0",
        'data.sets=[{name="", weight=1, loss_weight=0.5}]', 'model.parts={transformer="x.safetensors"}',
    ],
    "sdxl": [
        "training.snr_gamma=5.0", 'model.prediction="v"', 'adapter.modules="locon"', 'training.level="logit-normal"',
        'model.parts={unet="x.safetensors"}',
    ],
}  # fmt: skip
"""Settings that decide a training, each by itself, of a flow model and of a diffusion model."""

LACKED = {
    'adapter.kind="loha"', 'adapter.modules="attention"', 'training.optimiser="schedulefree"', "data.masks=0.3",
    "training.level_mean=0.5", 'data.sets=[{name="", weight=1, loss_weight=0.5}]', 'adapter.modules="locon"',
    'training.level="logit-normal"', 'adapter.modules="blocks"', 'adapter.kind="lokr"',
}  # fmt: skip
LACKS = {
    "onetrainer": set(),
    "simpletuner": LACKED,
    "diffusion_pipe": {
        *(LACKED - {'adapter.modules="blocks"', 'adapter.kind="lokr"'}), "adapter.alpha=8.0", "adapter.alpha=8.5",
        'training.optimiser="adafactor"', 'model.quantised="int8"', 'model.quantised="nf4"',
        'model.parts={unet="x.safetensors"}',
    },
}  # fmt: skip
"""What a tool's writer refuses of these, each by itself: it may refuse nothing else."""

UNSAID = {("diffusion_pipe", "training.ema"), ("diffusion_pipe", "model.offload"), ("simpletuner", "model.offload")}
"""What goes out without: an average that the tool does not have (the file says so), and where weights lie meanwhile."""


@pytest.mark.parametrize("module", TOOLS)
@pytest.mark.parametrize(("family", "change"), [(family, one) for family, all_of in CHANGES.items() for one in all_of])
def test_a_setting_comes_back_or_is_refused_and_is_never_dropped(module, family, change, tmp_path):
    more = ['training.level="logit-normal"'] if "level_" in change else []
    if "schedulefree" in change:
        more += ["training.ema=0.0"]
    if 'kind="full"' in change or "ema=" in change:
        more += ['model.precision="bfloat16"']
    ours = preset(family, *more, change)
    pictured(tmp_path / "pictures", 8)
    if change in LACKS[module]:
        with pytest.raises(PortraitistError, match="cannot train this recipe"):
            sent(module, ours, tmp_path)
        return
    document = sent(module, ours, tmp_path)
    carried, dump = tool(module).carried(document).recipe, ours.model_dump(mode="json")
    key = change.partition("=")[0]
    if (module, key) in UNSAID:
        assert carried.get(key) in (None, 0.0)
    elif key == "data.sets":
        assert carried[key][0]["loss_weight"] == 0.5
    elif key == "model.parts":
        assert [value for name, value in carried.items() if name.startswith("model.parts.")] == ["x.safetensors"]
    else:
        assert carried.get(key) == value_at(dump, key)


@pytest.mark.parametrize("module", TOOLS)
def test_sets_of_pictures_come_back_with_their_weight(module, tmp_path):
    for name, count in (("faces", 4), ("bodies", 8)):
        pictured(tmp_path / "pictures" / name, count)
    sets = 'data.sets=[{name="faces", weight=4}, {name="bodies", weight=2}]'
    document = sent(module, preset("flux", sets), tmp_path)
    run = tool(module).diagnose(document).effective
    assert [one.pictures for one in run.sets] == [4, 8]
    assert run.sets[0].repeats / run.sets[1].repeats == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize("module", TOOLS)
def test_what_a_tool_does_not_have_is_refused_and_not_dropped(module, tmp_path):
    for change in ("training.preserve=1.0", "training.stratified=true", "stages=[{steps=5}, {steps=5, rate=0.5}]"):
        with pytest.raises(PortraitistError, match="cannot train"):
            sent(module, preset("flux", change), tmp_path)


def test_every_rule_says_where_it_is_from_and_fills_in_its_words():
    for module in ("header", *TOOLS):
        for name, rule in rules(module).rules.items():
            assert rule.source, name
            assert not rule.says.endswith("."), name
        assert set(rules(module).keys["stops"]) <= {
            name for name, rule in rules(module).rules.items() if rule.severity == "error"
        }


@pytest.mark.parametrize("module", ["onetrainer", "simpletuner"])
def test_comments_and_commas_stop_a_reader_of_plain_json(module):
    plain = json.dumps({"onetrainer": ONETRAINER, "simpletuner": SIMPLETUNER}[module], indent=1)
    texts = {"// mine\n" + plain, plain.rstrip("}\n") + ",\n}", plain.replace("{", '{"seed": 1, "seed": 2, ', 1)}
    found = [said(tool(module).diagnose(jsons.read(text, "config.json", ""))) for text in texts]
    assert sum("not-json" in one for one in found) == 2
    assert sum("stands-twice" in one for one in found) == 1
    assert not {"not-json", "stands-twice"} & said(tool(module).diagnose(jsons.read(plain, "config.json", "")))


JUNK = (
    None, "", "x", -1, 0, 10**30, 1e308, -2.5, True, [], {}, ["a"], {"a": 1}, "1e400", "[1024]", [[1]], [None], "\x00",
)  # fmt: skip
HEADER = {
    "ss_network_dim": 8, "ss_steps": 100, "ss_datasets": [{"subsets": [{"img_count": 3}]}], "ss_resolution": "(1, 2)",
    "ss_dataset_dirs": {"a": {"n_repeats": 1, "img_count": 2}}, "ot_config": ONETRAINER, "training_info": {"step": 1},
    "tensors": {"count": 3, "layers": 1, "products": 0, "ranks": [8], "convolutions": 0, "text_encoder_layers": 0},
}  # fmt: skip
SOURCES = {
    "onetrainer": [ONETRAINER, ONETRAINER["concepts"], {**ONETRAINER, "__version": 5}],
    "simpletuner": [SIMPLETUNER, [PICTURES, TEXTS]],
    "diffusion_pipe": [DIFFUSION_PIPE, DATASET],
    "header": [HEADER],
}


def mutated(value, draw):
    """A value with up to four things in it put to junk, taken away or renamed."""
    found = json.loads(json.dumps(value))
    for _ in range(draw.randint(1, 4)):
        held = found
        while True:
            keys = sorted(held) if isinstance(held, dict) else list(range(len(held)))
            if not keys:
                break
            key = draw.choice(keys)
            if isinstance(held[key], (dict, list)) and held[key] and draw.random() < 0.6:
                held = held[key]
                continue
            action = draw.random()
            if action < 0.7:
                held[key] = copy.deepcopy(draw.choice(JUNK))
            elif action < 0.85 or isinstance(held, list):
                del held[key]
            else:
                held[str(key)[::-1]] = held.pop(key)
            break
    return found


def survive(module, draw, folder):
    """Judge and carry one mutated config: a refusal is allowed, nothing else."""
    value = mutated(draw.choice(SOURCES[module]), draw)
    if module == "header":
        document = headers.document(value, "x.safetensors")
    elif module == "diffusion_pipe":
        try:
            document = read(value, "config.toml", folder)
        except (TypeError, ValueError, AttributeError):  # TOML has no null, and a list of unlike things is none
            return
    else:
        document = read(value, draw.choice(["config.json", "#config.json"]), folder)
    tool(module).diagnose(document)
    try:
        recipe.made(tool(module).carried(document).tables(), "here")
    except PortraitistError:
        return


@pytest.mark.parametrize("module", SOURCES)
def test_no_mutation_ends_in_a_traceback(module, tmp_path):
    pictured(tmp_path / "maya", 2)
    (tmp_path / "multidatabackend.json").write_text(json.dumps([PICTURES, TEXTS]))
    (tmp_path / "dataset.toml").write_text(tomli_w.dumps(DATASET))
    draw = random.Random(module)
    for _ in range(80):
        survive(module, draw, tmp_path)


@pytest.mark.proof
@pytest.mark.parametrize("module", SOURCES)
def test_no_mutation_of_ten_thousand_ends_in_a_traceback(module):
    draw = random.Random(f"proof {module}")
    for _ in range(2500):
        survive(module, draw, "")


def test_a_changed_copy_leaves_the_original():
    assert changed(ONETRAINER, {"transformer.train": False})["transformer"]["train"] is False
    assert ONETRAINER["transformer"]["train"] is True


@pytest.mark.parametrize("named", ["OneTrainer", "SimpleTuner", "diffusion-pipe"])
def test_a_project_goes_out_and_comes_back_by_the_verbs(named, tmp_path):
    project = Project.create(tmp_path / "maya", FACTS)
    pictured(project.pictures, 8)
    ours = preset("flux", "training.ema=0.0", 'model.base="my/base"')
    sent_out = export_config(project, ours, named, tmp_path / "out")
    assert sent_out.tool == named
    main = next(path for path in map(Path, sent_out.files) if path.stem == "config")
    back = import_config(main, tmp_path / "back", subject="fictional", trigger="maya_char")
    assert back.pictures == 8
    made = recipe.load(tmp_path / "back" / "recipe.toml")
    assert (made.model.base, made.steps, made.adapter.rank) == ("my/base", ours.steps, ours.adapter.rank)
    assert made.training.model_dump() == ours.training.model_dump() | {
        key: getattr(made.training, key) for key in ("level", "recompute", "seed", "floor")
    }


@pytest.mark.parametrize(
    ("named", "seed", "words"), [("SimpleTuner", 0, "seed 42"), ("SimpleTuner", 7, ""), ("OneTrainer", 7, "no seed")]
)
def test_a_seed_that_cannot_go_along_is_told_at_the_export(named, seed, words, tmp_path):
    """To SimpleTuner 0 is another seed at each start, so that it is written as another one."""
    project, told = Project.create(tmp_path / "maya", FACTS), []
    pictured(project.pictures, 8)
    ours = preset("flux", "training.ema=0.0", f"training.seed={seed}")
    export_config(project, ours, named, tmp_path / "out", emit=told.append)
    said_of_seeds = [event.says for event in told if "training.seed" in event.says]
    assert len(said_of_seeds) == bool(words)
    assert all(words in says for says in said_of_seeds)


def test_a_folder_by_a_name_that_no_file_can_have_is_absent(tmp_path):
    (tmp_path / "train.sh").write_text(
        "accelerate launch sdxl_train_network.py --pretrained_model_name_or_path=a --dataset_config=data.toml"
    )
    (tmp_path / "data.toml").write_text(f'[[datasets]]\n[[datasets.subsets]]\nimage_dir = "{"a" * 5000}"\n')
    made = import_config(tmp_path / "train.sh", tmp_path / "maya", subject="fictional", trigger="maya_char")
    assert [len(name) for name in made.absent] == [5000]
