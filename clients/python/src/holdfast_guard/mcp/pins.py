"""Pins: what each tool of a server said it was when it was first seen. One that says something else later is withheld until accepted.

One file for each server, in the state folder of whoever runs the proxy. The file is the truth: several proxies of one server share it,
under a lock, and `holdfast-guard pins` reads and changes it. Keep it where the agent cannot write.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHOWN = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")  # what a model reads of a tool, or is told about it
LONGEST_KEPT = 20_000  # a definition this long is kept in words, so that people can see what changed; a longer one as its digest alone
MOST_TOOLS = 2_000


@dataclass(frozen=True, slots=True)
class Change:
    """A tool that is no longer what it was. `was` and `now` are digests."""

    tool: str
    was: str
    now: str
    new: bool  # not reported before


@dataclass(frozen=True, slots=True)
class Compared:
    """What one listing says beside the pins: the tools that may be shown, and those that are withheld."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # no name, or a name that stands twice


class Pins:
    def __init__(self, path: Path, *, server: str = "") -> None:
        self.path, self.server = path, server

    def compare(self, tools: Sequence[Any]) -> Compared:
        """Pin what is new, keep what is the same, withhold what changed."""
        named = Counter(tool["name"] for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str))
        said = Compared()
        with self._open() as book:
            for tool in tools:
                name = tool.get("name") if isinstance(tool, dict) else None
                if not isinstance(name, str) or not name or named[name] > 1 or (len(book) >= MOST_TOOLS and name not in book):
                    said.broken.append(str(name or ""))
                    continue
                change = _compare(book, name, tool)
                if change is None:
                    said.kept.append(tool)
                else:
                    said.changed.append(change)
        return said

    def accept(self, *tools: str) -> list[str]:
        """What these tools say now is what they are. Without a name: all that changed."""
        with self._open() as book:
            names = [name for name, pin in book.items() if "changed" in pin and (not tools or name in tools)]
            for name in names:
                book[name] = book[name] | book[name].pop("changed")
        return names

    def all(self) -> Mapping[str, Mapping[str, Any]]:
        return self._read()

    def writes(self, tool: str) -> bool | None:
        """What people wrote beside the pin. What the server says of itself never counts."""
        said = self._read().get(tool, {}).get("writes")
        return said if isinstance(said, bool) else None

    def say(self, tool: str, *, writes: bool) -> bool:
        with self._open() as book:
            if tool in book:
                book[tool]["writes"] = writes
            return tool in book

    @contextmanager
    def _open(self) -> Iterator[dict[str, dict[str, Any]]]:
        """The book under its lock; written back, whole or not at all, if anything in it changed."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self.path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            book = self._read()
            before = json.dumps(book, sort_keys=True)
            yield book
            if json.dumps(book, sort_keys=True) != before:
                write_whole(self.path, {"server": self.server or self._server(), "tools": book})

    def _read(self) -> dict[str, dict[str, Any]]:
        said = read_whole(self.path)
        tools = said.get("tools", {})
        if not isinstance(tools, dict) or not all(isinstance(pin, dict) and isinstance(pin.get("digest"), str) for pin in tools.values()):
            raise ValueError(f"{self.path} is not a file of pins. Mend it or move it away: nothing is listed on a guess.")
        return tools

    def _server(self) -> str:
        return str(read_whole(self.path).get("server", ""))


def fingerprint(tool: Mapping[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(_words(tool).encode()).hexdigest()


def default_path(server: Sequence[str]) -> Path:
    """By the command that starts the server, or its address: the same command is the same server."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", Path(server[0]).name)[:40] or "server"
    return Path(home) / "holdfast-guard" / "pins" / f"{name}-{short(*server)}.json"


def short(*words: object) -> str:
    return hashlib.sha256(json.dumps([str(word) for word in words]).encode()).hexdigest()[:16]


def read_whole(path: Path) -> dict[str, Any]:
    """An object that was written by write_whole; nothing there is an empty one."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as fault:
        raise ValueError(f"{path} cannot be read. Mend it or move it away.") from fault
    if not isinstance(said, dict):
        raise ValueError(f"{path} cannot be read. Mend it or move it away.")
    return said


def write_whole(path: Path, said: Mapping[str, Any]) -> None:
    """Whole or not at all, and for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(said, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _compare(book: dict[str, dict[str, Any]], name: str, tool: Mapping[str, Any]) -> Change | None:
    now, pin = fingerprint(tool), book.get(name)
    if pin is None:
        book[name] = _pin(tool, now)
        return None
    if pin["digest"] == now:
        pin.pop("changed", None)  # it is again what it was
        return None
    new = pin.get("changed", {}).get("digest") != now
    if new:
        pin["changed"] = _pin(tool, now)
    return Change(name, pin["digest"], now, new)


def _pin(tool: Mapping[str, Any], digest: str) -> dict[str, Any]:
    words = _words(tool)
    return {"digest": digest, "seen_at": int(time.time()), "says": words if len(words) <= LONGEST_KEPT else ""}


def _words(tool: Mapping[str, Any]) -> str:
    return json.dumps({name: tool[name] for name in SHOWN if name in tool}, sort_keys=True, separators=(",", ":"))
