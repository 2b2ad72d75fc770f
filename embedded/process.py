"""Starting, finding and ending the processes of the trial.

Each gets a session of its own, so a Ctrl-C in the terminal reaches the supervisor alone; on Linux the kernel tells it when its parent died.
What survives all the same (a parent killed on a system without that signal) is found again by pid and time of birth.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from embedded.account import Account, becoming

PR_SET_PDEATHSIG = 1
HAS_PROC = Path("/proc/self/stat").exists()
_libc = ctypes.CDLL(None) if HAS_PROC else None


def spawn(
    command: Sequence[str | Path],
    *,
    account: Account | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    on_orphaned: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own. From a thread that lives on: the kernel takes that thread's end for the parent's."""
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        # The two system calls of `_hear_of_orphaning` take no lock that another thread could hold at the fork.
        warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
        output = stack.enter_context(log.open("ab")) if log else subprocess.DEVNULL
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=stdin,
            stdout=output if stdout is None else stdout,
            stderr=output,
            start_new_session=True,
            **becoming(account),
            preexec_fn=_hear_of_orphaning(on_orphaned, os.getpid()) if _libc else None,
        )


def _hear_of_orphaning(number: signal.Signals, parent: int) -> Callable[[], None]:
    """Runs in the child after it changed its user, which would have cleared the request."""

    def ask() -> None:
        assert _libc is not None  # noqa: S101 - the caller checked
        _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died before the request was in place
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def birth(pid: int) -> str:
    """When the process with this number began, as the system counts; empty if none. A pid alone may be a stranger's by now."""
    stat = Path(f"/proc/{pid}/stat")
    if HAS_PROC:
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()


def command_of(pid: int) -> str:
    if HAS_PROC:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    listed = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process and what it started; nothing if all of them are gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def wait_until(done: Callable[[], bool], *, seconds: float, pause: float = 0.02) -> bool:
    """Ask until the answer is yes, or the time is over."""
    over = time.monotonic() + seconds
    while not done():
        if time.monotonic() >= over:
            return False
        time.sleep(pause)
    return True


def end_stranded(pid: int, born: str, *, ask: signal.Signals = signal.SIGTERM, patience: float = 5.0) -> bool:
    """End a process that an earlier, killed parent left behind, and its group. False if it is gone already or somebody else by now."""
    if not born or birth(pid) != born:
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, ask)
    wait_until(lambda: birth(pid) != born, seconds=patience)
    signal_group(pid, signal.SIGKILL)
    return wait_until(lambda: birth(pid) != born, seconds=2.0)


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, for a sentence that says what went wrong."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
