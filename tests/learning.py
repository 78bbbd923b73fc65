"""What tests of learning stand on: tiny models of real classes, and families made by hand around them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import QwenImageTransformer2DModel, UNet2DConditionModel
from torch import nn

from portraitist.adapters import files, inject
from portraitist.dataset.stream import course
from portraitist.events import Event, Log, Saved
from portraitist.family import Base, Profile, Sample
from portraitist.learn import loop, state
from portraitist.learn.noise import Ddpm, Flow
from portraitist.recipe import Recipe
from portraitist.runs import RunFolder

BASE = Base(Path("nowhere"), "ab" * 32, "float32")
PROFILE = Profile(resolution=64, guidance=1.0, sampling_steps=2)


@dataclass(frozen=True)
class Painter:
    """A tiny UNet (DDPM, predicts the noise): convolutions, cross attention, feed-forward layers."""

    name = "painter"
    process = Ddpm()
    profile = replace(PROFILE, timesteps=True)
    pixel_multiple = 8
    targets = ("to_q", "to_k", "to_v", "to_out.0")

    def file_name(self, module: str) -> str:
        return "lora_unet_" + module.replace(".", "_")

    def load_denoiser(self, base: Base) -> nn.Module:
        torch.manual_seed(7)
        unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=8,
            attention_head_dim=4,
            norm_num_groups=4,
            use_linear_projection=True,
        )
        return unet.to(getattr(torch, base.dtype)).eval().requires_grad_(False)

    def predict(self, denoiser: nn.Module, noisy: Any, level: Any, given: Any) -> Any:
        return denoiser(noisy, self.process.timestep(level), given["tokens"], return_dict=False)[0]


@dataclass(frozen=True)
class Weaver:
    """A tiny Qwen-Image transformer (rectified flow): packed latents, joint attention."""

    name = "weaver"
    process = Flow()
    profile = PROFILE
    pixel_multiple = 16
    targets = ("to_q", "to_k", "to_v", "to_out.0")

    def file_name(self, module: str) -> str:
        return f"transformer.{module}"

    def load_denoiser(self, base: Base) -> nn.Module:
        torch.manual_seed(7)
        transformer = QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=8,
            axes_dims_rope=(4, 6, 6),
        )
        return transformer.to(getattr(torch, base.dtype)).eval().requires_grad_(False)

    def predict(self, denoiser: nn.Module, noisy: Any, level: Any, given: Any) -> Any:
        b, c, h, w = noisy.shape
        packed = noisy.reshape(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, c * 4)
        mask = given.get("tokens_mask", torch.ones(given["tokens"].shape[:2], dtype=torch.bool))
        out = denoiser(
            hidden_states=packed,
            timestep=level,
            encoder_hidden_states=given["tokens"],
            encoder_hidden_states_mask=mask,
            img_shapes=[[(1, h // 2, w // 2)]] * b,
            return_dict=False,
        )[0]
        return out.reshape(b, h // 2, w // 2, c, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, c, h, w)


def drawn(count: int = 6, size: tuple[int, int] = (8, 8), seed: int = 0, **facts: Any) -> list[Sample]:
    """Samples of numbers that no picture stands behind; sizes alternate when `size` has two unlike sides."""
    found = []
    for i in range(count):
        draw = torch.Generator().manual_seed(1000 * seed + i)
        sides = size if i % 2 else size[::-1]
        conditions = tuple({"tokens": torch.randn(5, 8, generator=draw)} for _ in range(2))
        empty = {"tokens": torch.zeros(5, 8)}
        latents = torch.randn(4, *sides, generator=draw)
        found.append(Sample(f"{seed}-{i}", latents, conditions, empty, **facts))
    return found


@dataclass
class Job:
    """One training as `verbs.train` sets it up, on samples at hand, with its run folder and what was told."""

    folder: Path
    recipe: Recipe
    family: Any
    samples: list[Sample]
    told: list[Event]
    held: Callable[[], set[int]] | None = None

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.folder)

    def trainee(self) -> state.Trainee:
        denoiser = self.family.load_denoiser(BASE)
        trained = inject.attach(denoiser, self.recipe.adapter, self.family, self.recipe.training.seed)
        return state.Trainee(denoiser, trained, self.recipe.training)

    def go(self, halt: Callable[[int], str] = lambda step: "", watch: Callable[[Event], None] = lambda e: None) -> Any:
        """Train from what is on disk to the recipe's end, or until `halt(step)` says a word."""
        trainee = self.trainee()
        state.restore(self.run, trainee, self.hear)

        def save(trainee: state.Trainee) -> None:
            metadata = {"format": "1", "step": str(trainee.step)}
            held = self.held() if self.held else None
            path = state.save(self.run, trainee, lambda to, tensors: files.write(to, tensors, metadata), held)
            emit(Saved(step=trainee.step, path=str(path.relative_to(self.folder))))

        def emit(event: Event) -> None:
            self.hear(event)
            watch(event)

        loop.train(
            self.family,
            trainee,
            course(self.samples, self.recipe),
            self.recipe,
            horizon=self.recipe.steps,
            emit=emit,
            checkpoint=save,
            halt=lambda: halt(trainee.step),
        )
        return trainee

    def hear(self, event: Event) -> None:
        self.told.append(event)
        Log(self.folder / "events.jsonl").append(event)

    def files(self) -> dict[str, bytes]:
        """Every checkpoint file's bytes."""
        found = sorted(self.run.checkpoints.rglob("*.safetensors"))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}


def job(folder: Path, family: Any, samples: list[Sample] | None = None, **settings: Any) -> Job:
    """A job whose settings go by dotted keys with double underscores: training__ema=0.9."""
    values: dict[str, Any] = {
        "model": {"precision": "float32", "threads": 1},
        "adapter": {"rank": 3},
        "stages": [{"steps": 9}],
        "training": {"batch": 2, "accumulate": 2, "rate": 1e-2, "save_every": 3, "keep": 2},
        "data": {"dropout": 0.2},
    }
    for key, value in settings.items():
        section, _, name = key.partition("__")
        if name:
            values.setdefault(section, {})[name] = value
        else:
            values[section] = value
    folder.mkdir(parents=True, exist_ok=True)
    return Job(folder, Recipe.model_validate(values), family, samples or drawn(), [])
