"""Real inputs made by others. They lie beside the repository, not in it: in `../shared/data`, or where HOLDFAST_TRACES says.

A clone alone has none of them; a test that needs them says so and is skipped, and tests of our own examples stand beside it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("HOLDFAST_TRACES") or Path(__file__).resolve().parents[2] / "shared" / "data")


def file(name: str) -> Path:
    """The file of that name below the folder; the test is skipped where it is missing."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is missing: this test reads what others published.")
    return path
