"""kohya_ss, the GUI over sd-scripts: its JSON configs, judged by the options that it would hand on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from portraitist.errors import PortraitistError
from portraitist.interop.carrying import Carried
from portraitist.interop.diagnosis import Diagnosis, Remark, Rules, rules
from portraitist.interop.document import Document
from portraitist.interop.kohya import carrying, trainings
from portraitist.interop.kohya.reading import Gathered, gathered
from portraitist.interop.kohya.schema import real, whole
from portraitist.interop.kohya.settings import Given
from portraitist.interop.kohya.trainings import Training
from portraitist.interop.nearest import meant

if TYPE_CHECKING:
    from portraitist.project import Facts
    from portraitist.recipe import Recipe

NAME = "kohya_ss"
SIGNS = frozenset(
    {"max_resolution", "optimizer", "lr_warmup", "train_batch_size", "epoch", "stop_text_encoder_training"}
)
FOLDER_PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def recognises(document: Document) -> bool:
    """Whether a config is the GUI's: JSON with the names of its fields."""
    value = document.value
    if document.kind != "json" or not isinstance(value, Mapping):
        return False
    return "LoRA_type" in value or len(SIGNS & set(value)) >= 3


class Fields:
    """The fields of a config, as the GUI converts them on opening."""

    def __init__(self, document: Document, known: Rules) -> None:
        """Of a config whose value is a mapping."""
        self.document, self.known = document, known
        self.value: Mapping[str, Any] = document.value

    def given(self, name: str, value: Any) -> Given:
        """A value at a field's place."""
        return Given(value, (name,), self.document.place((name,)))

    def number(self, name: str) -> float:
        """A field as a number, text included; 0 for what is none."""
        found = self.value.get(name)
        if isinstance(found, str):
            found = carrying.fraction(found) if found.strip() else 0
        return real(found, 0.0)

    def says(self, rule: str, at: str, **fields: object) -> Remark:
        """A remark on a field."""
        return self.known[rule].at((at,), self.document.place((at,)), **fields)


def options(fields: Fields, family: str) -> dict[str, Given]:
    """What the GUI hands to sd-scripts, at the fields' places: zeros and empty texts are left out."""
    keys = fields.known.keys
    named = [(name, str(keys["renamed"].get(name, name))) for name in fields.value]
    numbers = {option: fields.number(name) for name, option in named if name in keys["numbers"]}
    back = {option: name for name, option in named}
    found = {
        option: fields.given(back[option], int(number) if number == int(number) else number)
        for option, number in numbers.items()
        if number or option == "network_alpha"
    }
    for name, option in named:
        value = fields.value[name]
        if (name in keys["words"] and isinstance(value, str) and value) or (name in keys["flags"] and value is True):
            found[option] = fields.given(name, value)
    for name in ("optimizer_args", "lr_scheduler_args"):
        words = str(fields.value.get(name) or "").replace('"', "").split()
        found |= {name: fields.given(name, words)} if words else {}
    cache = {"sdxl": "sdxl_", "flux": "flux1_", "sd3": "sd3_"}.get(family, "none_") + "cache_text_encoder_outputs"
    found |= {"cache_text_encoder_outputs": fields.given(cache, True)} if fields.value.get(cache) is True else {}
    return found | warmup(fields) | (network(fields, family) if "LoRA_type" in fields.value else {})


def warmup(fields: Fields) -> dict[str, Given]:
    """Steps of warm-up: as such, else per cent of the run."""
    steps, percent = fields.number("lr_warmup_steps"), fields.number("lr_warmup")
    if steps > 0:
        return {"lr_warmup_steps": fields.given("lr_warmup_steps", int(steps))}
    return {"lr_warmup_steps": fields.given("lr_warmup", percent / 100)} if percent else {}


def network(fields: Fields, family: str) -> dict[str, Given]:
    """The network's module and arguments, and which parts are trained."""
    kind = str(fields.value.get("LoRA_type"))
    module, algo = fields.known.keys["types"].get(kind, ["", ""])
    module = "networks.lora_sd3" if family == "sd3" and module == "networks.lora" else module
    args: list[str] = []
    if algo:
        args = [f"algo={algo}", f"preset={fields.value.get('LyCORIS_preset', 'full')}"]
        args += [f"factor={whole(fields.value.get('factor'), -1)}"] if algo == "lokr" else []
    if (algo and algo not in ("full", "ia3")) or kind in ("Kohya LoCon", "Kohya DyLoRA"):
        for name in ("conv_dim", "conv_alpha"):
            args += [f"{name}={fields.number(name):g}"] if name in fields.value else []
    found = {"network_module": fields.given("LoRA_type", module)} if module else {}
    found |= {"network_args": fields.given("LoRA_type", args)} if args else {}
    text, denoiser = fields.number("text_encoder_lr"), fields.number("unet_lr")
    if "text_encoder_lr" in fields.value and text == 0 and denoiser:
        found["network_train_unet_only"] = fields.given("text_encoder_lr", True)
    elif text:
        found["text_encoder_lr"] = fields.given("text_encoder_lr", [text, text])
    return found


def family_of(value: Mapping[str, Any]) -> str:
    """The family that the model's boxes say."""
    boxes = {"sdxl": "sdxl", "flux1_checkbox": "flux", "sd3_checkbox": "sd3", "hunyuan_image_checkbox": "hunyuan-image",
             "anima_checkbox": "anima", "lumina_checkbox": "lumina"}  # fmt: skip
    return next((family for box, family in boxes.items() if value.get(box) is True), "sd")


def read(document: Document) -> tuple[Gathered, list[Remark]]:
    """The training that a config starts, and what is remarked of the GUI itself."""
    known, sd_scripts = rules("kohyagui"), rules("kohya")
    fields = Fields(document, known)
    family = family_of(fields.value)
    found = options(fields, family)
    script = "train_network" if "LoRA_type" in fields.value else ""
    training = Training(sd_scripts, script, family, found, False)
    one = gathered(training, document)
    steps = computed(fields, one)
    if steps >= 0:
        place = fields.given("epoch", steps)
        training = Training(sd_scripts, script, family, found | {"max_train_steps": place}, False)
        one = gathered(training, document)
    return one, list(remarks(fields, family))


def computed(fields: Fields, one: Gathered) -> int:
    """The steps that the GUI computes of epochs, where neither steps nor epochs are handed on; -1 where it does not.

    Pictures times repeats, divided by batch and accumulation, times epochs, rounded up once; twice as many with
    regularisation pictures (kohya_gui/lora_gui.py). Buckets' last batches are not in it.
    """
    if "epoch" not in fields.value or fields.value.get("dataset_config") or not one.datasets:
        return -1
    if "max_train_steps" not in fields.value or fields.number("max_train_steps") or fields.number("max_train_epochs"):
        return -1
    total = 0
    for subset in one.datasets[0].subsets:
        if subset.folder is not None and not subset.values["is_reg"]:
            names = [name for name in subset.folder.pictures if name.lower().endswith(FOLDER_PICTURES)]
            total += subset.repeats * len(names)
    batch, accumulate = max(1, whole(fields.number("train_batch_size"), 1)), one.training.accumulate
    double = 2 if fields.value.get("reg_data_dir") else 1
    return -int(-(total * max(1, whole(fields.number("epoch"), 1)) * double) // (batch * accumulate))


def remarks(fields: Fields, family: str) -> Iterator[Remark]:
    """What is the GUI's own."""
    value, known = fields.value, fields.known
    every = set(known.keys["fields"])
    for name in map(str, value):
        if name in known.keys["old"]:
            if value[name] not in ("", False, 0, None):
                yield fields.says("old-field", name, name=name, new=known.keys["old"][name])
        elif name not in every:
            yield fields.says("unknown-key", name, name=name, near=meant(name, sorted(every)))
    yield from of_length(fields)
    rates = ("learning_rate", "unet_lr", "text_encoder_lr")
    if "LoRA_type" in value and all(name in value for name in rates) and not any(map(fields.number, rates)):
        yield fields.says("no-rate", "learning_rate")
    yield from of_type(fields, family, str(value.get("LoRA_type", "")))


def of_length(fields: Fields) -> Iterator[Remark]:
    """Steps, epochs and warm-up."""
    steps, epochs, asked = fields.number("max_train_steps"), fields.number("epoch"), fields.number("max_train_epochs")
    if steps and epochs > 1 and not asked:
        yield fields.says("epoch-ignored", "epoch", epochs=f"{epochs:g}", steps=f"{steps:g}")
    if fields.value.get("dataset_config") and "max_train_steps" in fields.value and not steps and not asked:
        yield fields.says("default-steps", "max_train_steps")
    if "save_every_n_epochs" in fields.value and not any(
        map(fields.number, ("save_every_n_epochs", "save_every_n_steps"))
    ):
        yield fields.says("saves-none", "save_every_n_epochs")
    if fields.number("lr_warmup") and fields.number("lr_warmup_steps"):
        yield fields.says("warmup-twice", "lr_warmup")


def of_type(fields: Fields, family: str, kind: str) -> Iterator[Remark]:
    """The LoRA's type."""
    if family == "flux" and kind and kind not in ("Flux1", "Flux1 OFT") and "LyCORIS" not in kind:
        yield fields.says("flux-type", "LoRA_type", kind=kind)
    if kind == "Standard" and fields.number("conv_dim") > 1:
        yield fields.says("standard-convolution", "conv_dim", dim=f"{fields.number('conv_dim'):g}")
    if fields.number("stop_text_encoder_training") and kind:
        yield fields.says("stop-ignored", "stop_text_encoder_training")


def diagnose(document: Document) -> Diagnosis:
    """What would really come of a config."""
    one, own = read(document)
    known = rules("kohyagui")
    found = trainings.judged(NAME, known, [*own, *one.remarks], one.effective)
    stopping = trainings.judged(NAME, rules("kohya"), one.remarks, one.effective)
    return Diagnosis(NAME, known.version, found.remarks, one.effective, found.stops or stopping.stops, stopping.differs)


def carried(document: Document) -> Carried:
    """What of a config our project and recipe can hold."""
    one, _ = read(document)
    going = carrying.carry(one.training, one.went.updates, one.went.per_epoch)
    pictures = carrying.sets(going, one.datasets)
    had = {*going.kept, *(left.path for left in going.left)}
    for name, value in document.value.items():
        if (name,) not in had and value not in ("", False, 0, None):
            given = Given(value, (name,), document.place((name,)))
            going.pass_over(given.path, given.value, carrying.why(str(name)))
    return going.closed(*carrying.named(one.datasets), pictures)


def written(recipe: Recipe, facts: Facts, pictures: str) -> dict[str, str]:
    """Refused: the GUI's JSON holds its three hundred fields, of which some hundred decide nothing."""
    raise PortraitistError(
        "kohya_ss is not written: its config is the state of its window", "Export for sd-scripts, which it starts."
    )


def differences(recipe: Recipe) -> Iterator[str]:
    """None, for no recipe is written."""
    return iter(())
