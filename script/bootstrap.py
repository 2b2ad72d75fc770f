"""Makes `.venv` from a hashed lock and becomes the program that script/up or script/test stand for. Standard library only.

The environment is built beside its place and renamed when it is whole, under a lock, so both commands may begin at once. Its stamp holds
the digest of the lock file that it was made from; a changed lock makes a new one. script/up is content with what script/test installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV, PART, OLD = ROOT / ".venv", ROOT / ".venv.part", ROOT / ".venv.old"
LOCKS = {"trial": ROOT / "requirements" / "trial.txt", "dev": ROOT / "requirements" / "dev.txt"}
CONTENT_WITH = {"trial": ("trial", "dev"), "dev": ("dev",)}


class Trouble(Exception):  # noqa: N818 - it is met by people, not by code
    """Printed without a traceback."""


def environment(wanted: str) -> Path:
    """The Python of an environment that has what `wanted` names."""
    with one_at_a_time():
        if not any(stamp() == {"lock": name, "digest": digest(name)} for name in CONTENT_WITH[wanted]):
            build(wanted)
    return VENV / "bin" / "python"


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    try:
        lock = (ROOT / ".venv.lock").open("w")
    except OSError as error:
        raise Trouble(f"{ROOT} cannot be written to: {error.strerror}. The environment .venv is built in it.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("Another command is building .venv; waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest(name: str) -> str:
    return hashlib.sha256(LOCKS[name].read_bytes()).hexdigest()


def stamp() -> dict[str, str] | None:
    try:
        found: dict[str, str] = json.loads((VENV / "holdfast.json").read_text())
    except (OSError, ValueError):
        return None
    return found if (VENV / "bin" / "python").exists() else None


def build(wanted: str) -> None:
    began = time.monotonic()
    say(f"Installing into .venv what {LOCKS[wanted].relative_to(ROOT)} lists …")
    for leftover in (PART, OLD):
        shutil.rmtree(leftover, ignore_errors=True)
    install(wanted, make_empty_one())
    name_the_final_place()
    (PART / "holdfast.json").write_text(json.dumps({"lock": wanted, "digest": digest(wanted)}))
    if VENV.exists():
        VENV.rename(OLD)
    PART.rename(VENV)
    shutil.rmtree(OLD, ignore_errors=True)
    say(f"Installed in {time.monotonic() - began:.1f} s")


def make_empty_one() -> list[str] | None:
    """`.venv.part` without packages. The uv to fill it with; None if there is none, and pip must do."""
    uv = shutil.which("uv")
    if uv:
        run([uv, "venv", "--quiet", "--python", sys.executable, str(PART)])
        return [uv]
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        install_venv_package()
    run([sys.executable, "-m", "venv", str(PART)])
    python = str(PART / "bin" / "python")
    with_pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"]
    got = subprocess.run([*with_pip, "-r", str(ROOT / "requirements" / "uv.txt")], check=False)
    return [python, "-m", "uv"] if got.returncode == 0 else None


def install(wanted: str, uv: list[str] | None) -> None:
    python, lock = str(PART / "bin" / "python"), str(LOCKS[wanted])
    # Compiled at once: the account that runs the programs may not write here, and would compile everything at every start.
    if uv:
        by_uv = [*uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "--compile-bytecode", "-r", lock]
        if subprocess.run(by_uv, check=False, env=uv_environment()).returncode == 0:
            return
        if subprocess.run([python, "-m", "pip", "--version"], check=False, capture_output=True).returncode:
            raise Trouble("uv could not install the packages; what it said is above.")
        say("uv could not install the packages; trying pip …")
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "-r", lock])


def name_the_final_place() -> None:
    """The commands in `bin` name the folder they were installed into, which is about to get another name."""
    for command in (PART / "bin").iterdir():
        if command.is_file() and not command.is_symlink():
            content = command.read_bytes()
            if os.fsencode(PART) in content:
                command.write_bytes(content.replace(os.fsencode(PART), os.fsencode(VENV)))


def uv_environment() -> dict[str, str]:
    """uv asks where pip would ask, and trusts whom the system trusts."""
    said = {"UV_SYSTEM_CERTS": "1", "UV_LINK_MODE": "copy"}  # a link into a private cache would be out of the servers' reach
    for pips, uvs in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")):
        if pips in os.environ:
            said[uvs] = os.environ[pips]
    return said | dict(os.environ)


def install_venv_package() -> None:
    """Debian and its relatives ship Python without the module that makes environments."""
    package = f"python3.{sys.version_info.minor}-venv"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Trouble(
            f"This Python cannot make environments. Install what is missing (on Debian and Ubuntu: sudo apt-get install {package}), or uv, "
            "and start again."
        )
    apt_install(package)


def apt_install(package: str) -> None:
    say(f"Installing {package} …")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=False, env=quiet)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package], env=quiet)


def run(command: list[str], env: dict[str, str] | None = None) -> None:
    if subprocess.run(command, check=False, env=env, stdout=sys.stderr).returncode:
        raise Trouble(f"This did not work: {' '.join(command)}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def become(command: list[str]) -> None:
    os.chdir(ROOT)
    os.execv(command[0], command)  # noqa: S606 - the very point


def main() -> int:
    name, *words = sys.argv[1:]
    os.environ.setdefault("HOLDFAST_BEGAN", str(time.time()))
    try:
        if name == "up":
            words = absolute_home(words)
            become([str(environment("trial")), "-m", "embedded.supervisor", *words])
        if name == "bench":
            become([str(environment("dev")), "-m", "bench", *words])
        become([str(environment("dev")), str(ROOT / "script" / "checks.py"), *words])
    except Trouble as trouble:
        print(f"script/{name}: {trouble}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"script/{name}: stopped", file=sys.stderr)
    return 1


def absolute_home(words: list[str]) -> list[str]:
    """`--home` counts from where the command was typed, and the program starts in the repository."""
    changed = list(words)
    for place, word in enumerate(changed):
        if word == "--home" and place + 1 < len(changed):
            changed[place + 1] = os.path.abspath(changed[place + 1])
        elif word.startswith("--home="):
            changed[place] = f"--home={os.path.abspath(word.removeprefix('--home='))}"
    return changed


if __name__ == "__main__":
    sys.exit(main())
