"""What a command sets before libraries are loaded."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os
from portraitist.replies import quiet_libraries
quiet_libraries()
print(os.environ.get("PYTORCH_ALLOC_CONF"))
"""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "expandable_segments:True"),
        ({"PYTORCH_ALLOC_CONF": "backend:cudaMallocAsync"}, "backend:cudaMallocAsync"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}, "None"),
    ],
)
def test_what_torch_holds_of_a_card_grows_in_place_unless_a_person_says_otherwise(given, found):
    env = {name: value for name, value in os.environ.items() if not name.endswith("ALLOC_CONF")} | given
    told = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == found
