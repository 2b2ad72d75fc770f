"""Where a new password is laid down for those who need it. A folder of ours today; a vault is another Deliver.

Nothing is handed over twice: the parcel of one attempt is always the same. What lay there before waits beside it until it is put back, or
until `forget` says that it never will be.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from connectors.base import Rejected

ADDRESS = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.@+-]{0,99}(/[A-Za-z0-9_-][A-Za-z0-9_.@+-]{0,99}){0,4}")
MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Parcel:
    role: str
    attempt: str
    password: str = field(repr=False)


class Deliver(Protocol):
    def __call__(self, to: str, parcel: Parcel | None, *, back: bool = False) -> str:
        """Lay it down at `to`; with `back`, take it away again and leave what lay there before; with no parcel, only check that it could be
        done, and change nothing. Doing it twice does it once. Says in words, without the secret, what could not be put back. Rejected if it
        cannot be done."""
        ...

    def forget(self, to: str, parcel: Parcel) -> None:
        """Remove what lay there before this parcel: it will not be put back. Rejected if it cannot be done."""
        ...


class Folder:
    """One file for each address, 0600, in folders that belong to us alone. The password is its one line."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        if not self._path.is_absolute():
            raise ValueError("`deliveries` is the absolute path of a folder.")

    def __call__(self, to: str, parcel: Parcel | None, *, back: bool = False) -> str:
        with self._at(to, make=parcel is not None and not back) as folder:
            if parcel is None:
                if folder is None:
                    self._could_be_made()
                return ""
            if back:
                return _take_back(folder, to, parcel) if folder is not None else ""
            return _lay_down(folder, to, parcel) if folder is not None else ""

    def forget(self, to: str, parcel: Parcel) -> None:
        with self._at(to) as folder:
            if folder is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(_names(to, parcel)[1], dir_fd=folder)
                    os.fsync(folder)

    @contextlib.contextmanager
    def _at(self, to: str, *, make: bool = False) -> Iterator[int | None]:
        """The folder that the file stands in; None if it is not there yet, and not to be made."""
        if not isinstance(to, str) or not ADDRESS.fullmatch(to):
            raise Rejected(
                "`deliver_to` is a path inside the folder for deliveries: letters, digits, dots, dashes, @ and +, at most five levels."
            )
        try:
            with contextlib.ExitStack() as stack:
                try:
                    folder = stack.enter_context(self._opened(to.split("/")[:-1], make=make))
                except FileNotFoundError:
                    if make:
                        raise
                    folder = None
                yield folder
        except OSError as error:
            raise Rejected(f"Nothing can be laid down at {to}: {error.strerror}.") from error

    def _could_be_made(self) -> None:
        """The innermost folder of the way that is there is one in which we may make another."""
        nearest = self._path if self._path.is_dir() else self._path.parent
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise Rejected(f"Nothing can be laid down in {self._path}: make the folder, for our account alone (chmod 700).")

    @contextlib.contextmanager
    def _opened(self, parts: list[str], *, make: bool) -> Iterator[int]:
        """Each step of the way is made or checked: nobody else may write or read there."""
        if make:
            with contextlib.suppress(FileExistsError):
                self._path.mkdir(mode=0o700)
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _belongs_to_us(folder)
            for part in parts:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=folder)
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
                _belongs_to_us(folder)
            yield folder
        finally:
            os.close(folder)


def _lay_down(folder: int, to: str, parcel: Parcel) -> str:
    name, before = _names(to, parcel)
    content = _content(parcel)
    there = _read(folder, name)
    if there == content:
        return ""
    if there is not None:
        with contextlib.suppress(FileExistsError):  # kept by an earlier try of this attempt
            os.link(name, before, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    new = f".{name}.new-{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new, dir_fd=folder)
    written = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        os.write(written, content)
        os.fsync(written)
    finally:
        os.close(written)
    os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
    return ""


def _take_back(folder: int, to: str, parcel: Parcel) -> str:
    name, before = _names(to, parcel)
    kept = _read(folder, before) is not None
    if _read(folder, name) != _content(parcel):
        beside = f"what lay there before waits beside it as {before}, for a person to put there or to remove"
        return f"what lies at {to} is not what we laid down there; left as it is; {beside}" if kept else ""
    if kept:
        os.replace(before, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)
    os.fsync(folder)
    return ""


def _names(to: str, parcel: Parcel) -> tuple[str, str]:
    name = to.rpartition("/")[2]
    return name, f".{name}.before-{hashlib.sha256(parcel.attempt.encode()).hexdigest()[:16]}"


def _content(parcel: Parcel) -> bytes:
    return f"{parcel.password}\n".encode()


def _read(folder: int, name: str) -> bytes | None:
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise Rejected("Something other than a file lies where the password should go.")
        return os.read(opened, MOST_BYTES)
    finally:
        os.close(opened)


def _belongs_to_us(folder: int) -> None:
    found = os.fstat(folder)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise Rejected(
            "The folder for deliveries does not belong to us alone: its owner is another account, or others may enter (chmod 700)."
        )
