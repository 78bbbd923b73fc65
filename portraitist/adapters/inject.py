"""Put what is trained into a denoiser, and finished adapters in and out again.

Training goes through peft's layers. A finished adapter is added by hooks that compute what those layers compute, in
the same order: no module and no weight is exchanged, so taking them off leaves the denoiser as it was, bit for bit.
Held to peft and diffusers by tests/integration/test_adapters.py.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from portraitist.adapters.files import Factors, factors, products
from portraitist.adapters.modules import reached
from portraitist.adapters.products import ROLES, Product, shape
from portraitist.adapters.products import added as added_product
from portraitist.dataset.draws import generator
from portraitist.errors import PortraitistError
from portraitist.family import Family
from portraitist.sections import Adapter
from portraitist.tensorfile import WHOLE

NAME = "default"  # of the one adapter, in peft's dictionaries
ZEROS = ("lora_B.weight", "hada_w2_b", "lokr_w1")  # what of a fresh adapter makes it add nothing


@dataclass(frozen=True, eq=False)
class LowRank:
    """Factors beside a denoiser's layers, float32: the change of a weight is alpha / rank * up @ down, or a product."""

    factors: Mapping[str, nn.Parameter]
    alphas: Mapping[str, float]
    layers: Mapping[str, Any]
    exact = False

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """`<module>.lora_A.weight` (rank, in) and `<module>.lora_B.weight` (out, rank), of convolutions 4-d; or the
        parts of LoHa and LoKr, `<module>.hada_w1_a` and so on."""
        return self.factors

    def tensors(self) -> Mapping[str, Tensor]:
        """The factors now, and `<module>.alpha` of every module, a float32 scalar."""
        found = {name: parameter.detach() for name, parameter in self.factors.items()}
        return found | {f"{module}.alpha": torch.tensor(alpha) for module, alpha in self.alphas.items()}

    @contextmanager
    def off(self) -> Iterator[None]:
        """Within: the denoiser computes what its base does. Not for a way back: peft freezes the factors meanwhile."""
        for layer in self.layers.values():
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in self.layers.values():
                layer.enable_adapters(True)


@dataclass(frozen=True, eq=False)
class Whole:
    """Every parameter of a denoiser; `before` holds a hash of each as the base has it, and not a copy."""

    weights: Mapping[str, nn.Parameter]
    before: Mapping[str, int]
    exact = True

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """By their names in the denoiser."""
        return self.weights

    def tensors(self) -> Mapping[str, Tensor]:
        """The parameters themselves, as they are now and where they lie: `whole.<name>`.

        Raises PortraitistError when training has moved none of them.
        """
        if all(mark(parameter) == self.before[name] for name, parameter in self.weights.items()):
            raise PortraitistError(
                "No weight has moved: nothing was learnt, and nothing was written",
                "Raise training.rate, and see that loss weights and masks leave something to learn.",
            )
        return {f"{WHOLE}{name}": parameter.detach() for name, parameter in self.weights.items()}

    def off(self) -> AbstractContextManager[None]:
        """There is no way back to the base, whose weights these were."""
        raise PortraitistError("All weights are trained: nothing can be switched off", "Set training.preserve = 0.")


def mark(parameter: Tensor) -> int:
    """A hash of a tensor's values, taken where it lies."""
    return int(torch.hash_tensor(parameter.detach()).item())


def attach(denoiser: nn.Module, adapter: Adapter, family: Family, seed: int) -> LowRank | Whole:
    """Make a denoiser trainable in the way the recipe says; everything else in it is frozen.

    A fresh adapter adds exactly nothing: of LoRA `up` is zero, of LoHa `w2_b`, of LoKr `w1`; all else is uniform within
    1 / sqrt(fan in), as in arXiv 2106.09685's code and in peft, drawn from (seed, module, part) alone, so the global
    generators do not matter.
    Raises PortraitistError when the targets name no layer, or one that takes no LoRA.
    """
    if adapter.kind == "full":
        before = {
            name: mark(p.float() if adapter.weights == "float32" else p) for name, p in denoiser.named_parameters()
        }
        if adapter.weights == "float32":
            denoiser.float()
        denoiser.requires_grad_(True)
        return Whole(dict(denoiser.named_parameters()), before)
    alpha = torch.tensor(adapter.alpha or float(adapter.rank)).item()  # as the file will hold it: float32
    layers = inject(denoiser, adapter, targets(denoiser, adapter, family), alpha)
    found: dict[str, nn.Parameter] = {}
    for module, layer in layers.items():
        for part, parameter in parts(layer).items():
            purpose = f"adapter {module}" if part == "lora_A.weight" else f"adapter {module} {part}"
            if part in ZEROS:
                parameter.data = torch.zeros(parameter.shape, device=parameter.device)
            else:
                draw = torch.rand(parameter.shape, generator=generator(seed, purpose, 0), device="cpu")
                parameter.data = (parameter[0].numel() ** -0.5 * (2 * draw - 1)).to(parameter.device)
            found[f"{module}.{part}"] = parameter
        if adapter.kind == "lokr" and "lokr_w2" in layer.adapter_layer_names and NAME in layer.lokr_w2:
            layer.scaling[NAME] = 1.0  # both matrices whole: readers of such files know no rank, and take no alpha
    return LowRank(found, dict.fromkeys(layers, alpha), layers)


def parts(layer: Any) -> dict[str, nn.Parameter]:
    """The parameters that one of peft's layers has for our adapter, by the ends of their canonical names."""
    if "lora_A" in layer.adapter_layer_names:
        return {"lora_A.weight": layer.lora_A[NAME].weight, "lora_B.weight": layer.lora_B[NAME].weight}
    return {role: getattr(layer, role)[NAME] for role in ROLES if NAME in getattr(layer, role, {})}


def targets(denoiser: nn.Module, adapter: Adapter, family: Family) -> list[str] | str:
    """What peft is told of the layers: the recipe's or the family's suffixes, or one expression for all of a set."""
    if adapter.modules == "family":
        return list(adapter.targets or family.targets)
    on = reached(adapter, family.name, family.targets)
    found = [
        name
        for name, module in denoiser.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and on(name, len(shape(module)))
    ]
    return "|".join(map(re.escape, found))


def inject(denoiser: nn.Module, adapter: Adapter, targets: list[str] | str, alpha: float) -> dict[str, Any]:
    """peft's layers put in place of the targets, by module path, in the denoiser's order."""
    from peft import LoHaConfig, LoKrConfig, LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    config: Any
    if adapter.kind == "loha":
        config = LoHaConfig(r=adapter.rank, alpha=alpha, target_modules=targets)
    elif adapter.kind == "lokr":
        config = LoKrConfig(r=adapter.rank, alpha=alpha, decompose_factor=adapter.factor or -1, target_modules=targets)
    else:
        config = LoraConfig(r=adapter.rank, lora_alpha=alpha, lora_dropout=adapter.dropout, target_modules=targets)
    try:
        inject_adapter_in_model(config, denoiser, adapter_name=NAME)
    except ValueError as error:
        problem = " ".join(str(error).split())[:200]
        raise PortraitistError(
            f"adapter.targets = {targets}: {problem}", "Name linear or convolutional layers, or leave it empty."
        ) from error
    found = {name: module for name, module in denoiser.named_modules() if isinstance(module, BaseTunerLayer)}
    for name, layer in found.items():
        if not isinstance(layer.get_base_layer(), nn.Linear | nn.Conv2d):
            raise PortraitistError(
                f"adapter.targets reaches {name}, a {type(layer.get_base_layer()).__name__}",
                "Name linear or convolutional layers, or leave it empty.",
            )
        layer.cast_input_dtype_enabled = False  # autocast does it once, and to the bit; peft casts up, it down again
    return found


def layers(denoiser: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of a denoiser's linear and convolutional weights, by path; the same with an adapter in it."""
    return {
        name.removesuffix(".base_layer"): tuple(shape(module))
        for name, module in denoiser.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and not {"lora_A", "lora_B"} & set(name.split("."))
    }


@contextmanager
def loaded(
    denoiser: nn.Module, family: Family, tensors: Mapping[str, Tensor], strength: float, *, merged: bool = False
) -> Iterator[nn.Module]:
    """Within: the denoiser with an adapter at a strength. After, and at strength 0: the denoiser as it was, exactly.

    tensors   what an adapter file holds, by canonical names
    strength  factor on the change; 1 is what was trained
    merged    whether a LoRA's change is added to the weights themselves and rounded to their type, as ComfyUI does it,
              and not computed beside them: faster, for another copy of these weights meanwhile

    Of adapters nothing else is copied but the factors, so strengths may follow each other cheaply. Run it under the
    precision that training has. Raises PortraitistError when the adapter is of another model.
    """
    inner, whole = factors(tensors), {n.removeprefix(WHOLE): t for n, t in tensors.items() if n.startswith(WHOLE)}
    with ExitStack() as stack:
        for module, part in inner.items():
            layer = denoiser_part(denoiser, family, module)
            if part.shape != tuple(shape(layer)):
                raise stranger(family, module)
            if strength != 0:
                place = next(layer.parameters()).device
                moved = Factors(part.down.to(place), part.up.to(place), strength * part.alpha / part.rank)
                if merged:
                    stack.callback(partial(put, layer.weight, layer.weight.data))
                    put(layer.weight, within(layer.weight.data, moved))
                else:
                    stack.callback(layer.register_forward_hook(partial(added, moved)).remove)
        for module, product in products(tensors).items():
            layer = denoiser_part(denoiser, family, module)
            if not product.fits(shape(layer)):
                raise stranger(family, module)
            if strength != 0:
                place = next(layer.parameters()).device
                held = {role: tensor.to(place) for role, tensor in product.parts.items()}
                hook = partial(added_product, Product(held, strength * product.scale))
                stack.callback(layer.register_forward_hook(hook).remove)
        own = dict(denoiser.named_parameters()) if whole else {}
        if strange := sorted(name for name in own.keys() | whole.keys() if sizes(own, name) != sizes(whole, name)):
            raise stranger(family, strange[0])
        for name, tuned in whole.items() if strength != 0 else ():
            stack.callback(partial(put, own[name], own[name].data))
            put(own[name], between(own[name].data, tuned, strength))
        yield denoiser


def added(factor: Factors, layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A layer's output with the adapter's part; `factor.alpha` is the whole scale here."""
    hidden = given[0].to(factor.down.dtype)
    if isinstance(layer, nn.Conv2d):
        hidden = functional.conv2d(hidden, factor.down, None, layer.stride, layer.padding, layer.dilation)
        return (output + functional.conv2d(hidden, factor.up) * factor.alpha).to(output.dtype)
    part = functional.linear(functional.linear(hidden, factor.down), factor.up)
    return (output + part * factor.alpha).to(output.dtype)


def within(weight: Tensor, factor: Factors) -> Tensor:
    """A weight with a LoRA's change in it, in the weight's type; `factor.alpha` is the whole scale here."""
    change = factor.up.flatten(1).float() @ factor.down.flatten(1).float()
    return (weight.float() + factor.alpha * change.reshape(weight.shape)).to(weight.dtype)


def sizes(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    """The shape of a named tensor; None where there is none."""
    return tuple(tensors[name].shape) if name in tensors else None


def between(base: Tensor, tuned: Tensor, strength: float) -> Tensor:
    """A weight at a strength: at 1 the tuned one itself, else base + strength * (tuned - base), in its type.

    base   as the denoiser has it; the result is on its device
    tuned  the same weight after training
    """
    if strength == 1:
        return tuned.to(base.device)
    moved = tuned.to(base.device).float()
    return (base.float() + strength * (moved - base.float())).to(tuned.dtype)


def put(parameter: Tensor, values: Tensor) -> None:
    """Let a parameter be other values, without a copy."""
    parameter.data = values


def denoiser_part(denoiser: nn.Module, family: Family, module: str) -> nn.Linear | nn.Conv2d:
    """The layer that a module's part of an adapter belongs to; refused when there is none."""
    try:
        layer = denoiser.get_submodule(module)
    except AttributeError as error:
        raise stranger(family, module) from error
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        raise stranger(family, module)
    return layer


def stranger(family: Family, name: str) -> PortraitistError:
    """The refusal of an adapter of another model."""
    return PortraitistError(
        f"The adapter does not fit this base of {family.name}: {name} is absent or of another shape",
        "Use it with the base it was trained on.",
    )
