"""Whom the servers run as. PostgreSQL refuses root, so root hands its servers to an unprivileged account that exists already.

Nobody here opens a folder for that account: `can_run` and `can_enter` ask whether it gets there, and the caller goes elsewhere if not.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody to become. The invoking user has none: there is nobody to become."""

    name: str
    uid: int
    gid: int


def for_servers() -> Account | None:
    """The account that root hands its servers to (HOLDFAST_ACCOUNT, else nobody); None for everybody else, who keep their own."""
    if os.geteuid() != 0:
        return None
    name = os.environ.get("HOLDFAST_ACCOUNT", "nobody")
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise Trouble(
            f"There is no account {name!r} here. Name one that exists in HOLDFAST_ACCOUNT; PostgreSQL does not run as root."
        ) from None
    if entry.pw_uid == 0:
        raise Trouble(f"The account {name!r} is root, and PostgreSQL does not run as root. Name another one in HOLDFAST_ACCOUNT.")
    return Account(name, entry.pw_uid, entry.pw_gid)


def becoming(account: Account | None) -> dict[str, Any]:
    """What subprocess wants to hear to start something as this account."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def can_run(account: Account | None, command: Sequence[str | Path], *, cwd: Path | None = None) -> bool:
    """Does `command` succeed as that account?"""
    try:
        ended = subprocess.run(
            [str(part) for part in command],
            cwd=cwd or "/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            **becoming(account),
        )
    except OSError:
        return False
    return ended.returncode == 0


def can_enter(account: Account | None, folder: Path) -> bool:
    return can_run(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", folder])


def give(account: Account | None, path: Path) -> None:
    """Hand one file or folder of ours to the account."""
    if account:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def private_folder(path: Path, account: Account | None) -> Path:
    """`path` as a folder that its owner alone can enter. Its parents stay as they are."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    give(account, path)
    return path
