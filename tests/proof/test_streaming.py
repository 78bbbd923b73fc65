"""A base of 0.6 GB read into fewer bits by a process of its own: by the kernel's telling it is never there whole."""

import json
import subprocess
import sys

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file

from tests import originals
from tests.house.source import ROOT
from tests.kills import tell

SHAPE = {
    "num_layers": 4, "num_single_layers": 10, "num_attention_heads": 16, "attention_head_dim": 64,
    "joint_attention_dim": 64, "pooled_projection_dim": 64, "axes_dims_rope": (16, 24, 24), "in_channels": 16,
    "patch_size": 1,
}  # fmt: skip

CHILD = """
import json, re, sys, threading, time
from pathlib import Path
import torch
from diffusers import FluxTransformer2DModel
from portraitist import configs
from portraitist.bases import reading, streaming
from portraitist.family import Base
from portraitist.learn import quantise
configs.FOLDER = Path(sys.argv[2])
if sys.argv[3] == "nf4":
    quantise.bitsandbytes()
def anonymous():
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
def watch():
    while not done:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.001)
place, done, before = Path(sys.argv[1]), [], anonymous()
peak = [before]
thread = threading.Thread(target=watch)
thread.start()
base = Base(place, "", "bfloat16", (("transformer", place),), "flux", quantised=sys.argv[3])
found = streaming.read(base, FluxTransformer2DModel, "transformer")
done.append(1)
thread.join()
layers = [m for m in found.modules() if isinstance(m, quantise.Quantised)]
held = sum(t.nbytes for t in found.state_dict().values())
largest = max(m.in_features * m.out_features for m in layers)
print(json.dumps({"peak": peak[0] - before, "held": held, "largest": largest}))
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The base in several files and in one, and its bytes."""
    folder = tmp_path_factory.mktemp("large")
    with torch.device("meta"):
        model = FluxTransformer2DModel(**SHAPE).to(torch.bfloat16)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.uniform_(-0.05, 0.05)
    model.save_pretrained(folder / "transformer", max_shard_size="200MB")
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 2
    save_file({k: t.contiguous() for k, t in originals.flux(model.state_dict()).items()}, folder / "flux.safetensors")
    (folder / "configs" / "flux").mkdir(parents=True)
    (folder / "configs" / "flux" / "transformer.json").write_text((folder / "transformer" / "config.json").read_text())
    return folder, sum(2 * parameter.numel() for parameter in model.parameters())


@pytest.mark.proof
@pytest.mark.parametrize("place", ["transformer", "flux.safetensors"])
@pytest.mark.parametrize("how", ["int8", "nf4"])
def test_a_base_never_stands_whole_in_memory(how, place, stored):
    """Beside what is held at last there is what rounding a piece of a layer takes, and the allocator's own."""
    folder, size = stored
    words = [sys.executable, "-c", CHILD, folder / place, folder / "configs", how]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=ROOT, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    tell(f"{how} {place} {size} {told}")
    assert told["held"] < size * {"int8": 0.6, "nf4": 0.35}[how]
    assert told["peak"] < told["held"] + 150_000_000
    assert told["peak"] < size
