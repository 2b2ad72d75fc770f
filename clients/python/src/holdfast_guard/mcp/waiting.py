"""Who waits for people: the calls that are held, with the task that asks about each. Kept in a file, so that a restart forgets none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from holdfast_guard.mcp.pins import read_whole, write_whole


@dataclass(frozen=True, slots=True)
class Kept:
    """`data` and `because`: what the caller was told, to be told again. `until`: seconds of the wall clock."""

    task: Mapping[str, Any]
    data: Mapping[str, Any]
    because: str
    until: float


@dataclass
class Waiting:
    """`path` None: in memory alone. The names are digests of calls; no argument of any call enters the file."""

    KEPT_S = 24 * 3600.0
    MOST = 1_000

    path: Path | None = None
    _kept: dict[str, Kept] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, said in (read_whole(self.path) if self.path else {}).items():
            self._kept[name] = Kept(**said)

    def get(self, call: str) -> Kept | None:
        kept = self._kept.get(call)
        if kept is not None and kept.until < time.time():
            self.forget(call)
            return None
        return kept

    def keep(self, call: str, kept: Kept) -> None:
        self._kept[call] = kept
        while len(self._kept) > self.MOST:
            self._kept.pop(next(iter(self._kept)))
        self._write()

    def forget(self, call: str) -> None:
        if self._kept.pop(call, None) is not None:
            self._write()

    def _write(self) -> None:
        if self.path is not None:
            write_whole(self.path, {name: asdict(kept) for name, kept in self._kept.items()})
