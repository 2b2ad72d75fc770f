"""What is still to be told: calls that nobody was asked about, and what came of the others. In order, each once, and bounded.

With a path it is a file that only grows while there is something in it, so that what this process did is told by the next one, however this
one ends. A line is an entry, or the number up to which all were taken. The last line may be torn: then it was never kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_guard.errors import JournalInUse
from holdfast_guard.plain import encoded, plain

MOST = 10_000
MOST_ON_DISK = 64 * 1024 * 1024
BEGIN_ANEW, BEGIN_ANEW_FULL = 1024 * 1024, 16 * 1024 * 1024
AROUND = 8  # levels of an entry around the arguments of a call

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, where a second process is not noticed
    fcntl = None  # type: ignore[assignment]


@dataclass
class Entry:
    number: int
    item: dict[str, Any]
    data: bytes = b""
    sending: bool = False

    def __post_init__(self) -> None:
        """Made plain and encoded once, whatever it is: one entry that cannot be sent would keep all those behind it."""
        self.item = plain(self.item, -AROUND)
        self.data = encoded(self.item)


class Journal:
    def __init__(self, path: str | os.PathLike[str] | None = None, *, most: int = MOST) -> None:
        self.lost = 0
        self._most, self._number, self._written = most, 0, 0
        self._pending: deque[Entry] = deque()
        self._by_request: dict[str, Entry] = {}
        self._file: int | None = None
        self._path = Path(path) if path is not None else None
        if self._path is not None:
            self._open(self._path)
            _files.add(self)

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def full(self) -> bool:
        return len(self._pending) >= self._most or self._written >= MOST_ON_DISK

    def keep(self, item: Mapping[str, Any], *, request: str = "") -> bool:
        """False: there is no room, or it could not be written. `request`: what came of it may be added while it is here."""
        if self.full:
            self.lost += 1
            return False
        entry = Entry(self._number + 1, dict(item))
        if not self._write(_line(entry), surely=entry.item.get("mode") == "open"):
            self.lost += 1
            return False
        self._number = entry.number
        self._pending.append(entry)
        if request:
            self._by_request[request] = entry
        return True

    def add(self, request: str, more: Mapping[str, Any]) -> bool:
        """What came of a call that is kept and was not told yet. False: it is on its way, or was told."""
        entry = self._by_request.pop(request, None)
        if entry is None or entry.sending:
            return False
        fuller = Entry(entry.number, {**entry.item, **more})
        entry.item, entry.data = fuller.item, fuller.data
        return self._write(_line(entry))

    def batch(self, most: int, most_bytes: int) -> list[Entry]:
        """The first ones. They are on their way until `taken` or `back` is said."""
        chosen: list[Entry] = []
        size = 0
        for entry in self._pending:
            size += len(entry.data) + 1
            if chosen and (len(chosen) >= most or size > most_bytes):
                break
            chosen.append(entry)
        for entry in chosen:
            entry.sending = True
        return chosen

    def taken(self, entries: list[Entry]) -> None:
        """They were told, and are never told again. The first ones, in their order."""
        if not entries:
            return
        last = entries[-1].number
        while self._pending and self._pending[0].number <= last:
            self._pending.popleft()
        self._by_request = {request: entry for request, entry in self._by_request.items() if entry.number > last}
        self._write(_taken(last))
        if self._written > (BEGIN_ANEW_FULL if self._pending else BEGIN_ANEW):
            self._begin_anew()

    def back(self, entries: list[Entry]) -> None:
        for entry in entries:
            entry.sending = False

    def back_all(self) -> None:
        self.back(list(self._pending))

    def close(self) -> None:
        if self._file is not None:
            if not self._pending:
                self._begin_anew()
            os.close(self._file)
            self._file = None

    def forked(self) -> None:
        """In the child: the file, its lock and what is in it stay with the parent."""
        if self._file is not None:
            os.close(self._file)
        self._file = self._path = None
        self._pending.clear()
        self._by_request.clear()
        self._written = 0

    # -- the file

    def _open(self, path: Path) -> None:
        """Another process may have put a new file in its place just before we held the lock of the old one."""
        while not self._opened(path):
            pass
        self._load(path)

    def _opened(self, path: Path) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        file = os.open(path, flags, 0o600)
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                busy = True
            else:
                busy = False
            if busy:
                raise JournalInUse(f"{path} is in use by another process. Give each process a file of its own.")
        if not _is_at(file, path):
            os.close(file)
            return False
        self._file = file
        return True

    def _load(self, path: Path) -> None:
        found: dict[int, dict[str, Any]] = {}
        taken = whole = 0
        with path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # torn
                whole += len(line)
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    said = json.loads(line)
                    if "taken" in said:
                        taken = max(taken, int(said["taken"]))
                    else:
                        found[int(said["n"])] = dict(said["item"])
        if self._file is not None and os.fstat(self._file).st_size > whole:
            os.ftruncate(self._file, whole)
        self._written = whole
        self._pending = deque(Entry(number, found[number]) for number in sorted(found) if number > taken)
        self._number = max([taken, *found])

    def _write(self, data: bytes, *, surely: bool = False) -> bool:
        """`surely`: it has to outlive a power cut too, since something is done that nobody was asked about."""
        if self._file is None:
            return True
        try:
            whole = os.write(self._file, data) == len(data)
            if whole and surely:
                os.fsync(self._file)
        except OSError:
            whole = False
        if not whole:  # the disk is full: what is half there must not spoil the next line, nor be told though it was not kept
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._written)
            return False
        self._written += len(data)
        return True

    def _begin_anew(self) -> None:
        """Into a new file with what is still to tell, which takes the place of the old one in one move. Numbers go on."""
        if self._file is None or self._path is None:
            return
        beside = self._path.with_name(self._path.name + ".new")
        first = _taken(self._pending[0].number - 1 if self._pending else self._number)
        data = first + b"".join(_line(entry) for entry in self._pending)
        with contextlib.suppress(OSError):
            new = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)
            if fcntl is not None:
                fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(new, data) != len(data):
                os.close(new)
                return
            os.replace(beside, self._path)
            os.close(self._file)
            self._file, self._written = new, len(data)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


def _line(entry: Entry) -> bytes:
    return b'{"n":%d,"item":%s}\n' % (entry.number, entry.data)


def _taken(last: int) -> bytes:
    return b'{"taken":%d}\n' % last


_files: weakref.WeakSet[Journal] = weakref.WeakSet()


def _forked() -> None:
    for journal in list(_files):
        journal.forked()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forked)
