"""The whole product while everything dies at random: `script/bench chaos`, for one minute."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from embedded.places import ROOT

MINUTES = "1"  # of dying


@pytest.mark.servers
@pytest.mark.fault("A13")
@pytest.mark.fault("A14")
@pytest.mark.fault("A15")
def test_nothing_is_lost_stuck_or_doubled_while_everything_dies(capsys):
    """What it counted is part of what a run of all tests says."""
    words = ["chaos", "--minutes", MINUTES, "--seed", "7", "--dry"]
    own = ("HOLDFAST_", "DATABASE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    done = subprocess.run([sys.executable, "-m", "bench", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with capsys.disabled():
        print(f"\nChaos, {MINUTES} minute:\n{done.stdout}")  # noqa: T201
