"""Changes of a recipe that advice is made of, each held against the recipe's own preset. Pure."""

from typing import Any

from portraitist.judge.advising.changes import usual, usual_steps
from portraitist.recipe import Recipe

FAR = 1.5
"""How many times the preset's value a setting is off before it is blamed. Judged: less is within what presets bore."""

LONGER = "-longer"
"""How the name of a stage ends that advice made longer: another name makes another run."""

Blamed = dict[str, tuple[Any, str]]
"""By key: the value to go back to, and why it is to blame; "" of a key that only goes along with another."""


def causes(blamed: Blamed) -> tuple[str, ...]:
    """Why, of each that is to blame."""
    return tuple(why for _, why in blamed.values() if why)


def slower(recipe: Recipe, by: float) -> dict[str, Any]:
    """A lower rate: the preset's where that is far below and for the same optimiser, else so many times lower.
    Prodigy, which finds its rate, is given up."""
    own, plain, kind = recipe.training.rate, usual(recipe, "training.rate"), usual(recipe, "training.optimiser")
    if recipe.training.optimiser == "prodigy":
        return {"training.optimiser": kind, "training.rate": plain}
    far = own > FAR * plain and recipe.training.optimiser == kind
    return {"training.rate": plain if far else significant(own / by)}


def faster(recipe: Recipe, by: float) -> dict[str, Any]:
    """A higher rate, at most 1; Prodigy finds its own."""
    return (
        {}
        if recipe.training.optimiser == "prodigy"
        else {"training.rate": significant(min(1.0, recipe.training.rate * by))}
    )


def steadier(recipe: Recipe) -> dict[str, Any]:
    """Gradients clipped and a start that is warmed up, where they are not."""
    found: dict[str, Any] = {} if recipe.training.max_gradient else {"training.max_gradient": 1.0}
    return found if recipe.training.warmup else {**found, "training.warmup": max(1, recipe.steps // 20)}


def wider(recipe: Recipe) -> dict[str, Any]:
    """A precision with a longer range, in place of float16."""
    return {"model.precision": "auto"} if recipe.model.precision == "float16" else {}


def longer(recipe: Recipe, run: str) -> dict[str, Any]:
    """Half as many steps more: as a fork that starts from the run's end, or, where no run is named or one starts from a
    file, a last stage that is so much longer, under another name, since it is to be another run."""
    last = len(recipe.stages) - 1
    more = max(1, recipe.steps // 2)
    if not run or recipe.adapter.start:
        name = recipe.stages[-1].name + LONGER
        return {f"stages.{last}.steps": recipe.stages[-1].steps + more, f"stages.{last}.name": name}
    stage = recipe.stages[-1].model_copy(update={"steps": more})
    alone = {"stages.0.steps": more} if not last else {"stages": [stage.model_dump(mode="json")]}
    return {"parent": run, **alone}


def as_often(recipe: Recipe, count: int, more: int) -> dict[str, Any]:
    """Steps by which each of `count` pictures is shown as often as before when there are so many more: every stage is
    so much longer, at most twice as long. Nothing where it is not known how many there are."""
    share = min(1.0, more / count) if count else 0.0
    added = [round(stage.steps * share) for stage in recipe.stages]
    steps = {f"stages.{i}.steps": s.steps + n for i, (s, n) in enumerate(zip(recipe.stages, added, strict=True)) if n}
    last = len(added) - 1
    return {**steps, f"stages.{last}.name": recipe.stages[-1].name + LONGER} if steps else {}


def apart(recipe: Recipe) -> dict[str, Any]:
    """The noun held to the base; nothing where it is held already."""
    return {} if recipe.training.preserve else {"training.preserve": 1.0}


def guidance(recipe: Recipe) -> dict[str, Any]:
    """The preset's guidance, where the recipe's is above it."""
    plain = usual(recipe, "judging.guidance")
    return {"judging.guidance": plain} if 0 < plain < recipe.judging.guidance else {}


def weak(recipe: Recipe) -> Blamed:
    """Settings that let a run learn far less than the preset would."""
    how, found, steps = recipe.training, dict[str, tuple[Any, str]](), usual_steps(recipe)
    rate = usual(recipe, "training.rate")
    if how.optimiser == usual(recipe, "training.optimiser") and how.rate * FAR < rate:
        found["training.rate"] = (rate, f"the rate {how.rate:g} is far below the preset's {rate:g}")
    for i, stage in enumerate(recipe.stages):
        if stage.rate * FAR < 1:
            found[f"stages.{i}.rate"] = (1.0, f"the stage {stage.name!r} takes {stage.rate:g} of the rate")
    last = len(recipe.stages) - 1
    if recipe.steps * FAR < steps and not recipe.parent:  # what goes on from another run has its steps behind it
        more = recipe.stages[-1].steps + steps - recipe.steps
        found[f"stages.{last}.steps"] = (more, f"{recipe.steps} steps show far fewer pictures than the preset's")
        found[f"stages.{last}.name"] = (recipe.stages[-1].name + LONGER, "")  # another run, on its own schedule
    warmup, ema = usual(recipe, "training.warmup"), usual(recipe, "training.ema")
    if how.warmup * 2 > recipe.steps and how.warmup > warmup:
        found["training.warmup"] = (warmup, f"the rate is warmed up for {how.warmup} steps")
    if how.ema and 1 / (1 - how.ema) > recipe.steps and how.ema > ema:
        found["training.ema"] = (ema, f"an average of {how.ema:g} lags {recipe.steps} steps")
    if recipe.data.dropout > 0.5:
        found["data.dropout"] = (0.05, f"{recipe.data.dropout:.0%} of captions are left out")
    return {**found, **small(recipe)}


def small(recipe: Recipe) -> Blamed:
    """An adapter that can hold far less than the preset's."""
    adapter, found = recipe.adapter, dict[str, tuple[Any, str]]()
    if adapter.kind == usual(recipe, "adapter.kind") == "lora":
        rank = usual(recipe, "adapter.rank")
        if adapter.rank * FAR < rank:
            found["adapter.rank"] = (rank, f"rank {adapter.rank} is far below the preset's {rank}")
        if adapter.alpha and adapter.alpha * FAR < adapter.rank:
            found["adapter.alpha"] = (0.0, f"alpha {adapter.alpha:g} scales it to {adapter.alpha / adapter.rank:.2g}")
        if adapter.dropout > 0.3:
            found["adapter.dropout"] = (0.0, f"{adapter.dropout:.0%} of its inputs are dropped")
    return found


def strong(recipe: Recipe) -> Blamed:
    """Settings that drive a run far harder than the preset would."""
    how, adapter, found = recipe.training, recipe.adapter, dict[str, tuple[Any, str]]()
    rate, steps, rank = usual(recipe, "training.rate"), usual_steps(recipe), usual(recipe, "adapter.rank")
    if how.optimiser == usual(recipe, "training.optimiser") and how.rate > FAR * rate:
        found["training.rate"] = (rate, f"the rate {how.rate:g} is far above the preset's {rate:g}")
    far = 2.0 if recipe.stages[-1].name.endswith(LONGER) else FAR  # what advice made longer is not blamed for it
    if recipe.steps > far * steps and len(recipe.stages) == 1:
        found["stages.0.steps"] = (steps, f"{recipe.steps} steps show far more pictures than the preset's")
        found["stages.0.name"] = (f"{recipe.stages[0].name}-shorter", "")
    if adapter.kind == usual(recipe, "adapter.kind") == "lora":
        if adapter.rank > FAR * rank:
            found["adapter.rank"] = (rank, f"rank {adapter.rank} is far above the preset's {rank}")
        if adapter.alpha > FAR * adapter.rank:
            found["adapter.alpha"] = (0.0, f"alpha {adapter.alpha:g} scales it by {adapter.alpha / adapter.rank:.2g}")
    return found


def source(recipe: Recipe, blamed: Blamed) -> str:
    """Where it stands that the preset's values are better: its own word on them; G1 where nothing is blamed."""
    if not blamed:
        return "guide: G1"
    told = usual(recipe, "standing") or {}
    plain = (".".join(part for part in key.split(".") if not part.isdigit()) for key in blamed)
    words = [told[key] for key in plain if key in told]
    return next((one for one in words if one.startswith("measured")), "judged: by the preset")


def significant(value: float) -> float:
    """A number with two digits that count."""
    return float(f"{value:.2g}")
