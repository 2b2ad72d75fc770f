"""Where things lie: the home folder, what of it the servers' account may reach, and the keys that stay in it.

A home that lies behind a closed folder (a private temporary folder, say) stays closed: the servers' data then goes to a folder that the
account can reach, and a pointer in home says where.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import sys
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from embedded.account import Account, can_enter, can_run, for_servers, give, private_folder
from embedded.postgres import write_private
from embedded.trouble import Trouble

ROOT = Path(__file__).resolve().parent.parent
POINTER = "servers-are-in"
ELSEWHERE = (Path("/var/lib"), Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - the folder made in it is private and its name random


@dataclass(frozen=True, slots=True)
class Places:
    home: Path
    servers: Path  # data of the embedded servers
    logs: Path
    servers_account: Account | None
    python_account: Account | None  # whom our own processes run as
    keys: dict[str, str]

    @property
    def access(self) -> Path:
        return self.home / "access.json"


def settle(home: Path) -> Places:
    """Make what is missing. The caller holds the lock of this home."""
    account = for_servers()
    ours = _is_ours(home)
    keys = _keys(home)
    python_account = account if ours and _reaches_the_code(account) and _takes_over(home, account) else None
    logs = home / "log"
    logs.mkdir(mode=0o700, exist_ok=True)
    return Places(home, _servers_folder(home, account), logs, account, python_account, keys)


def open_home(home: Path) -> Path:
    """The home folder, made if it is not there. Under root others may pass through a new one, since the servers' data lies in it."""
    try:
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Trouble(f"The home folder {home} cannot be made: {error.strerror}. Choose another one with --home.") from None
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise Trouble(f"The home folder {home} belongs to somebody else. Choose another one with --home.")
    return home.resolve()


def lock(home: Path) -> int:
    """One supervisor per home: the descriptor that keeps it so, until the process ends."""
    descriptor = os.open(home / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        runs = os.read(descriptor, 200).decode(errors="replace").strip()
        raise Trouble(f"Holdfast already runs on {home}{f' ({runs})' if runs else ''}. Stop that one, or choose another --home.") from None
    return descriptor


def sign(descriptor: int, text: str) -> None:
    """Who holds the lock, for the sentence that the next one reads."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _is_ours(home: Path) -> bool:
    """Made for Holdfast, or empty but for the lock that was just taken: then the whole folder may go to the account."""
    return (home / "keys.json").exists() or not any(entry.name != "supervisor.lock" for entry in home.iterdir())


def _keys(home: Path) -> dict[str, str]:
    """Made once: what signs cookies, what seals secrets, and a name for this home. Without the second one nothing sealed can be opened."""
    file = home / "keys.json"
    if not file.exists():
        seal = base64.b64encode(secrets.token_bytes(32)).decode()
        write_private(file, json.dumps({"home": secrets.token_hex(4), "secret_key": secrets.token_urlsafe(48), "seal_key": seal}, indent=1))
    keys: dict[str, str] = json.loads(file.read_text())
    return keys


def _reaches_the_code(account: Account | None) -> bool:
    question = "import django, config; open('manage.py').close()"
    return account is not None and can_run(account, [sys.executable, "-c", question], cwd=ROOT)


def _takes_over(home: Path, account: Account | None) -> bool:
    """Hand home itself to the account, provided it gets there at all."""
    if not can_enter(account, home.parent):
        return False
    for path in (home, home / "access.json"):
        if path.exists():
            give(account, path)
    return True


def _servers_folder(home: Path, account: Account | None) -> Path:
    pointer = home / POINTER
    if pointer.exists():
        there = Path(pointer.read_text().strip())
        if not there.is_dir():
            raise Trouble(
                f"{pointer} says that the data of the servers is in {there}, and that folder is gone. "
                f"Bring it back, or choose another --home to begin anew."
            )
        return there
    if can_enter(account, home):
        inside = home / "servers"
        inside.mkdir(mode=0o711, exist_ok=True)
        return inside
    outside = _somewhere_reachable(home, account)
    write_private(pointer, f"{outside}\n")
    return outside


def _somewhere_reachable(home: Path, account: Account | None) -> Path:
    label = sha256(os.fsencode(home)).hexdigest()[:8]
    for place in (*ELSEWHERE, Path(tempfile.gettempdir())):
        if os.access(place, os.W_OK) and can_enter(account, place):
            return private_folder(Path(tempfile.mkdtemp(prefix=f"holdfast-{label}-", dir=place)), account)
    name_of_account = account.name if account else "of this process"
    raise Trouble(f"The account {name_of_account} enters neither {home} nor {', '.join(map(str, ELSEWHERE))}. Choose another --home.")
