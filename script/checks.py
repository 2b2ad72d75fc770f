"""Everything that script/test runs, cheapest first, what takes long side by side. With arguments: pytest alone, and they are its own."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bootstrap import ROOT, Trouble, apt_install, say

# Folders that go side by side with all the others: each part has servers of its own, and mostly waits for them.
PARTS = (
    ("brokers", "browser", "crash", "engine", "govbench", "inventory", "races", "trial"),
    ("access", "chaos", "client", "outages", "proxy"),
)
POLICY = Path("/usr/sbin/policy-rc.d")  # asked by Debian's packages before they start what they bring
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHECKS = (
    ("lint", ["-m", "ruff", "check", "."]),
    ("format", ["-m", "ruff", "format", "--check", "."]),
    ("layers", ["-c", "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"]),
)
TYPES = ["-m", "mypy", "."]


def settle_browser() -> None:
    if any(map(shutil.which, BROWSERS)):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Trouble("The browser tests need Chromium. On Debian: sudo apt-get install -y chromium. Then start again.")
    apt_install("chromium")


def settle_clocks() -> None:
    """Where it cannot be had, the tests that bend clocks are skipped and say so."""
    if not shutil.which("faketime") and os.geteuid() == 0 and shutil.which("apt-get"):
        with contextlib.suppress(Trouble):
            apt_install("faketime")


def settle_servers() -> None:
    """Where one cannot be had, its tests are skipped and say so. They run servers of their own; where installing one would keep a service
    running from now on, that is left to whom the machine belongs."""
    for package, program in (("rabbitmq-server", "rabbitmq-server"), ("pgbouncer", "pgbouncer")):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
            continue
        keeps_services = Path("/run/systemd/system").exists()
        if keeps_services or os.geteuid() != 0 or not shutil.which("apt-get"):
            say(f"Without {package} its tests are skipped. On Debian: sudo apt-get install -y {package}")
            continue
        with contextlib.suppress(Trouble), no_service_started():
            apt_install(package)


@contextlib.contextmanager
def no_service_started() -> Iterator[None]:
    """By a package that is installed meanwhile."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def for_the_type_checker() -> dict[str, str]:
    """It loads the settings to learn the models, and no server is there yet: what they ask for is only looked at."""
    nothing = base64.b64encode(bytes(32)).decode()
    return {
        "DATABASE_URL": "postgresql:///unused",
        "HOLDFAST_SECRET_KEY": nothing,
        "HOLDFAST_SEAL_KEY": nothing,
        "HOLDFAST_TRIAL": "1",
    } | dict(os.environ)


def check(name: str, command: list[str]) -> bool:
    began = time.monotonic()
    passed = subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode == 0
    say(f"{name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.1f} s")
    return passed


def parts() -> list[list[str]]:
    """The folders of tests/ in parts that take about as long: first all that no part names."""
    folders = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").iterdir() if (path / "__init__.py").exists())
    named = [[folder for folder in folders if folder.partition("/")[2] in part] for part in PARTS]
    return [[folder for folder in folders if not any(folder in part for part in named)], *named]


def side_by_side() -> list[str]:
    """The type checker and all parts of the tests at once; what the others say is printed when the first part is through. What failed."""
    began = time.monotonic()
    first, *others = parts()
    with contextlib.ExitStack() as stack:
        beside = []
        for name, command, env in [
            ("types", TYPES, for_the_type_checker()),
            *(("tests", ["-m", "pytest", *part], None) for part in others),
        ]:
            said = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=env, stdout=said, stderr=subprocess.STDOUT)
            stack.callback(process.terminate)
            beside.append((name, process, said))
        failed = [] if subprocess.run([sys.executable, "-m", "pytest", *first], cwd=ROOT, check=False).returncode == 0 else ["tests"]
        for name, process, said in beside:
            if process.wait() != 0:
                failed.append(name)
            said.seek(0)
            sys.stdout.write(said.read())
    for name in ("types", "tests"):
        say(f"{name}: {'FAILED' if name in failed else 'passed'}")
    say(f"Types and tests took {time.monotonic() - began:.1f} s")
    return sorted(set(failed), reverse=True)


def main(words: list[str]) -> int:
    os.environ.pop("HOLDFAST_BEGAN", None)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of some hundred programs compiles all that is ours once more
    try:
        settle_browser()
        settle_clocks()
        settle_servers()
    except Trouble as trouble:
        say(f"script/test: {trouble}")
        if not words:
            return 1
    if words:
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *words])  # noqa: S606 - it is all that was asked for
    failed = [name for name, command in CHECKS if not check(name, command)]
    failed += side_by_side()
    say(f"script/test: {'failed: ' + ', '.join(failed) if failed else 'all passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
