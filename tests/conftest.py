"""What every test stands on: quiet libraries, one thread, the same examples every time."""

import os

from portraitist.replies import SILENCE

os.environ.update(SILENCE)
os.environ["OMP_NUM_THREADS"] = "1"
if "PORTRAITIST_CARD" not in os.environ:  # else what is held to the bit on a CPU would run on a card where there is one
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "house", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")
