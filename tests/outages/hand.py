"""Has the product loaded and does what tests ask for: python -m tests.outages.hand, one [deed, given] per line, one answer per line.

What it starts are processes of their own, forked so that they need not load the product again. Pauses between attempts are short here.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from embedded.process import PR_SET_PDEATHSIG
from tests.outages import sleep

__all__ = ["sleep"]


def main() -> None:
    import django

    django.setup()
    _hurry()
    from django.db import connections

    from tests.outages import deeds

    given = {name: getattr(deeds, name) for name in deeds.KNOWN} | {"start": start, "stop": stop}
    for line in sys.stdin:
        deed, words = json.loads(line)
        try:
            answer: dict[str, Any] = {"found": given[deed](**words)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        connections.close_all()
        print(json.dumps(answer, default=str), flush=True)  # noqa: T201 - read by who started it


def _hurry() -> None:
    from playbooks import steps
    from playbooks.domain import backward, troubles

    hurried: list[tuple[Any, str, Any]] = [
        (troubles, "BACKOFF_S", (1.0,) * len(troubles.BACKOFF_S)),
        (backward, "PAUSES_S", (1.0,) * len(backward.PAUSES_S)),
        (steps, "PROBE_EVERY_S", (0.1,) * len(steps.PROBE_EVERY_S)),
    ]
    for module, name, value in hurried:
        setattr(module, name, value)


def start(kind: str, crash: str = "", **given: Any) -> int:
    """`crash`: the place where it stops or dies (core/crashpoints.py)."""
    return _forked(lambda: {"sweeper": _sweeper, "worker": _worker}[kind](crash=crash, **given))


def stop(pid: int, number: int) -> int:
    """How it ended: what it exited with, or the signal that ended it as a negative number."""
    os.kill(pid, number)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _forked(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    try:
        os.setpgid(0, 0)
        faulthandler.register(signal.SIGUSR1)  # says in hand.log where each thread is
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(2, 1)  # what it prints is no answer
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _sweeper(name: str, crash: str) -> None:
    from django.core.management import call_command

    from core import crashpoints

    crashpoints.order(crash)
    call_command("sweep", name=name)


def _worker(name: str, crash: str) -> None:
    from config.celery import app
    from core import crashpoints

    crashpoints.order(crash)
    pool = ("--pool", "prefork", "--concurrency", "1", "--without-gossip", "--without-mingle", "--without-heartbeat")
    app.worker_main(["worker", *pool, "--loglevel", "WARNING", "--hostname", f"{name}@%h"])


if __name__ == "__main__":
    main()
