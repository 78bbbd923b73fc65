"""What a command sets before libraries are loaded."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from comfy_nodes.child import kept

SCRIPT = """
import os
from portraitist.replies import grow_segments
grow_segments()
print(os.environ.get("PYTORCH_ALLOC_CONF"))
"""
GROWING = "expandable_segments:True"
ASYNC = "backend:cudaMallocAsync"


@pytest.mark.skipif("microsoft" in platform.release().lower(), reason="WSL's driver fails at it")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, GROWING),
        ({"PYTORCH_ALLOC_CONF": "expandable_segments:False"}, "expandable_segments:False"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}, "None"),
        ({"PYTORCH_CUDA_ALLOC_CONF": ""}, GROWING),
    ],
)
def test_what_torch_holds_of_a_card_grows_in_place_unless_a_person_says_otherwise(given, found):
    env = {name: value for name, value in os.environ.items() if not name.endswith("ALLOC_CONF")} | given
    told = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == found


def test_torch_knows_the_setting_by_that_name():
    library = (Path(torch.__file__).parent / "lib" / "libc10.so").read_bytes()
    assert all(word in library for word in (b"\0PYTORCH_ALLOC_CONF\0", b"\0expandable_segments\0"))


@pytest.mark.parametrize(
    ("said", "left"),
    [(ASYNC, None), (f"max_split_size_mb:64,{ASYNC}", "max_split_size_mb:64"), ("", None), (GROWING, GROWING)],
)
def test_a_child_of_comfyui_does_not_take_over_its_allocator(said, left):
    assert kept({"PYTORCH_CUDA_ALLOC_CONF": said, "HOME": "/"}) == {"HOME": "/"} | (
        {"PYTORCH_CUDA_ALLOC_CONF": left} if left else {}
    )
