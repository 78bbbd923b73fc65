"""Which settings of a recipe go together: what would be ignored, or go wrong, is refused before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from portraitist.errors import PortraitistError

if TYPE_CHECKING:
    from portraitist.family import Profile
    from portraitist.recipe import Recipe
    from portraitist.sections import Model

ADAPTERS = ("lora", "loha", "lokr")

ONE_BY_ONE = ("adamw", "adafactor", "adamw8bit")
"""Optimisers that move each parameter by its own gradient and states alone."""

COUNTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "adapter.alpha": ("adapter.kind", ADAPTERS),
    "adapter.dropout": ("adapter.kind", ("lora",)),
    "adapter.factor": ("adapter.kind", ("lokr",)),
    "adapter.modules": ("adapter.kind", ADAPTERS),
    "adapter.start": ("adapter.kind", ADAPTERS),
    "adapter.targets": ("adapter.kind", ADAPTERS),
    "adapter.weights": ("adapter.kind", ("full",)),
    "judging.patience": ("judging.beside", ("auto", "always")),  # after training there is nothing left to stop
    "model.offload": ("adapter.kind", ADAPTERS),  # all weights are trained: none is frozen
    "training.beta1": ("training.optimiser", ("adamw", "adamw8bit", "prodigy", "schedulefree")),
    "training.beta2": ("training.optimiser", ("adamw", "adamw8bit", "prodigy", "schedulefree")),
    "training.ema": ("training.optimiser", (*ONE_BY_ONE, "prodigy")),  # schedule-free averages by itself
    "training.floor": ("training.schedule", ("linear", "cosine")),
    "training.preserve": ("adapter.kind", ADAPTERS),  # with all weights trained, there is no base to hold them to
    "training.level_mean": ("training.level", ("logit-normal",)),
    "training.level_spread": ("training.level", ("logit-normal",)),
    "training.level_shift": ("training.level", ("uniform", "logit-normal")),
}
"""Keys that count only with some values of another key."""


def check(recipe: Recipe) -> None:
    """Refuse settings that do not go together, and changed ones that nothing would read."""
    refuse_idle(recipe)
    about_adapter(recipe)
    about_recovery(recipe.model)
    about_memory(recipe)
    about_optimiser(recipe)


def about_preset(recipe: Recipe, family: str, fitting: Sequence[str]) -> None:
    """Refuse a family that another one's preset was made for, where presets of its own are `fitting`.

    family  the preset's
    """
    if recipe.model.family != family and fitting:
        raise PortraitistError(
            f'model.family = "{recipe.model.family}" does not go with preset = "{recipe.preset}", made for {family}',
            f"Set preset to one of: {', '.join(fitting)}.",
        )


def about_adapter(recipe: Recipe) -> None:
    """Refuse what says twice where an adapter goes, or where it begins."""
    adapter = recipe.adapter
    if adapter.targets and adapter.modules != "family":
        raise PortraitistError(
            f'adapter.modules = "{adapter.modules}" and adapter.targets both say which layers',
            'Leave one out: adapter.modules = "family", or adapter.targets = [].',
        )
    if adapter.start and recipe.parent:
        raise PortraitistError(
            f"parent = {shown(recipe.parent)} and adapter.start both say where to start from", "Leave one out."
        )


def about_recovery(model: Model) -> None:
    """Refuse so few bits that they need a recovery adapter without one, and one where nothing is lost."""
    if model.quantised in ("int3", "int2") and not model.recovery:
        raise PortraitistError(
            f'model.quantised = "{model.quantised}" needs a recovery adapter: without one too much is lost',
            "Name the file as model.recovery, and make it: portraitist recover FOLDER. Or use model.quantised=nf4.",
        )
    if model.recovery and model.quantised not in ("nf4", "int3", "int2"):
        raise PortraitistError(
            f'model.recovery = {shown(model.recovery)} means nothing with model.quantised = "{model.quantised}"',
            'Set model.recovery = "", or model.quantised to nf4, int3 or int2.',
        )


def about_memory(recipe: Recipe) -> None:
    """Refuse ways of holding weights that the rest of the recipe cannot use."""
    training, adapter = recipe.training, recipe.adapter
    if recipe.model.quantised and adapter.kind == "full":
        raise PortraitistError(
            f'model.quantised = "{recipe.model.quantised}" does not go with adapter.kind = "full": '
            "weights in 8 bits or fewer cannot be trained",
            'Set model.quantised = "", or train an adapter: adapter.kind = "lora".',
        )
    if recipe.model.quantised in ("nf4", "int3", "int2") and adapter.kind in ("loha", "lokr"):
        raise PortraitistError(
            f'model.quantised = "{recipe.model.quantised}" does not go with adapter.kind = "{adapter.kind}"',
            'peft puts only LoRA over packed weights: set adapter.kind = "lora", or model.quantised = "int8".',
        )
    if recipe.model.offload and training.recompute == "off":
        raise PortraitistError(
            f'model.offload = {recipe.model.offload:g} saves nothing with training.recompute = "off": going back, every'
            " block's weights would still be held",
            'Set training.recompute = "on", or model.offload = 0.',
        )
    rounded = adapter.weights == "bfloat16"
    if rounded and recipe.model.precision != "bfloat16":
        raise PortraitistError(
            f'adapter.weights = "bfloat16" does not go with model.precision = "{recipe.model.precision}"',
            'Set model.precision = "bfloat16", or adapter.weights = "float32".',
        )
    if rounded and training.optimiser not in ONE_BY_ONE:
        raise PortraitistError(
            f'adapter.weights = "bfloat16" does not go with training.optimiser = "{training.optimiser}", '
            "which moves all weights together",
            f"Set training.optimiser to one of {', '.join(ONE_BY_ONE)}, or adapter.weights to float32.",
        )


def about_noise(profile: Profile, recipe: Recipe) -> None:
    """Refuse a policy of noise levels that does not fit a family's process."""
    training = recipe.training
    if training.snr_gamma > 0 and not profile.timesteps:
        raise no_timesteps("training.snr_gamma")
    if training.level_shift != 1 and profile.timesteps:
        raise PortraitistError(
            f"training.level_shift = {training.level_shift:g} is of flows; this family's noise has timesteps",
            "Set training.level_shift = 1.0; a logit-normal with training.level_mean moves levels here.",
        )


def no_timesteps(key: str) -> PortraitistError:
    """The refusal of what needs signal-to-noise ratios of timesteps."""
    return PortraitistError(
        f"{key} is of denoising diffusion (SDXL); this family is a flow, whose levels training.level weighs",
        f'Set {key} = 0, and choose training.level = "logit-normal" or leave the family\'s own.',
    )


def about_optimiser(recipe: Recipe) -> None:
    """Refuse what an optimiser cannot do."""
    training = recipe.training
    if training.optimiser == "prodigy" and training.rate != 1:
        raise PortraitistError(
            f"training.rate = {training.rate:g}: Prodigy finds the rate itself, and takes a factor of 1",
            "Set training.rate = 1.0, or another training.optimiser.",
        )
    if training.optimiser == "schedulefree" and training.schedule != "constant":
        raise PortraitistError(
            f'training.schedule = "{training.schedule}" does not go with training.optimiser = "schedulefree"',
            'Set training.schedule = "constant": its average stands for a falling rate.',
        )
    if training.optimiser == "schedulefree" and training.beta1 == 0:
        raise PortraitistError(
            'training.beta1 = 0 does not go with training.optimiser = "schedulefree"', "Leave it at 0.9."
        )


def refuse_idle(recipe: Recipe, said: Collection[str] = ()) -> None:
    """Refuse keys that do not count, when they are not at their default or are among those a person has `said`."""
    for key, (chooser, choices) in COUNTS.items():
        value, chosen = value_of(recipe, key), value_of(recipe, chooser)
        if chosen not in choices and (key in said or value != default_of(recipe, key)):
            raise PortraitistError(
                f"{key} = {shown(value)} means nothing with {chooser} = {shown(chosen)}",
                f"Leave it out, or set it to {shown(default_of(recipe, key))} where a preset sets it.",
            )


def value_of(recipe: Recipe, key: str) -> Any:
    """A recipe's value by its dotted key."""
    found: Any = recipe
    for part in key.split("."):
        found = getattr(found, part)
    return found


def default_of(recipe: Recipe, key: str) -> Any:
    """What a key of one of its sections is when nobody sets it."""
    section, _, name = key.partition(".")
    return type(getattr(recipe, section)).model_fields[name].default


def shown(value: Any) -> str:
    """A value as a recipe has it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(shown, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value}".lower()
