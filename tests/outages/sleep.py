"""libfaketime breaks the one call by which Python sleeps (to a moment of the monotonic clock). Imported by whatever runs under it."""

from __future__ import annotations

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], max(0.0, seconds))


time.sleep = _sleep  # type: ignore[assignment]  # nobody sleeps for an object that is an index
