"""Clocks that can be bent while their processes run: libfaketime reads a file once a second. What only measures how long
something takes (monotonic time) goes on as it is, as it does where an administrator sets a clock.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

LIBRARIES = tuple(f"/usr/lib/{machine}-linux-gnu/faketime/libfaketime.so.1" for machine in ("x86_64", "aarch64"))
NO_LIBFAKETIME = "clocks are bent with libfaketime, which is not installed (on Debian: apt-get install -y faketime)"


def library() -> str:
    """Empty where there is none."""
    return next((name for name in LIBRARIES if Path(name).exists()), "")


CACHED_S = 0  # libfaketime reads its file again in the first second that is further away than this


class Clock:
    def __init__(self, file: Path) -> None:
        self.file, self.by = file, ""
        self._write("+0")

    def bend(self, by: str) -> None:
        """Such as +1d; +0 is right again. Everybody knows when this returns."""
        if by != self.by:
            self._write(by)
            time.sleep(CACHED_S + 1.2)

    def _write(self, by: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(f"{by}\n")
        new.chmod(0o644)
        os.replace(new, self.file)
        self.by = by

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that goes by it."""
        if not library():
            return {}
        told = {"LD_PRELOAD": library(), "FAKETIME_TIMESTAMP_FILE": str(self.file)}
        return told | {"FAKETIME_CACHE_DURATION": str(CACHED_S), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
