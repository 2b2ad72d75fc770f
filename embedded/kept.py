"""A kept process is started again when it dies: after 0.2 s, then doubling to 5 s while it keeps dying."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from embedded.process import birth, signal_group
from embedded.trouble import Trouble

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
STEADY = 10.0  # seconds after which an earlier death is forgotten


class Kept:
    def __init__(self, name: str, start: Callable[[], subprocess.Popen[bytes]], *, log: Path) -> None:
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.born = ""
        self._start = start
        self._began = 0.0
        self._pause = FIRST_PAUSE
        self._due = 0.0

    def start(self, now: float) -> None:
        self.process = self._start()
        self.born = birth(self.process.pid)
        self._began = now

    def adopt(self, process: subprocess.Popen[bytes], now: float) -> None:
        """It was started by other means, this first time."""
        self.process, self.born, self._began = process, birth(process.pid), now

    def tend(self, now: float) -> str:
        """Look at it, and do what is due. A sentence if there is something to tell."""
        if self.process is None:
            return self._start_again(now) if now >= self._due else ""
        code = self.process.poll()
        if code is None:
            return ""
        signal_group(self.process.pid, signal.SIGKILL)  # what it started dies with it, or would sit on its port
        self.process = None
        if now - self._began >= STEADY:
            self._pause = FIRST_PAUSE
        return f"{self.name} ended ({_how(code)}); it starts again in {self._wait(now):.1f} s. Its log: {self.log}"

    def ask_to_end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end_now(self) -> None:
        """The process and everything it started."""
        if self.process is not None:
            signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _start_again(self, now: float) -> str:
        try:
            self.start(now)
        except (Trouble, OSError) as error:
            return f"{self.name} did not start: {error} The next try is in {self._wait(now):.1f} s."
        return f"{self.name} runs again"

    def _wait(self, now: float) -> float:
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        self._due = now + pause
        return pause


def _how(code: int) -> str:
    return f"exit {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
