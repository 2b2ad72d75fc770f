"""How many examples property tests try: a quarter in every run, all of them with HOLDFAST_FULL=1 script/test tests/domain."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

FULL = os.environ.get("HOLDFAST_FULL") == "1"
LEAST = 10


def some(full: int) -> int:
    return full if FULL else max(LEAST, full // 4)


USUAL = "usual"
# How long examples take says how busy the machine is, and on a fresh one the tables of characters are built first.
settings.register_profile(USUAL, max_examples=some(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
