"""What sweepers do besides for rooms further up, which name it here when they load: short work that must not wait for anything else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import InterfaceError, OperationalError, connection

log = logging.getLogger(__name__)

Duty = Callable[[], int]  # does a bounded part of what is due, and says how much that was

soon: list[Duty] = []  # looked after several times a second, beside the sweep
tidying: list[Duty] = []  # every half minute


def look_after(duty: Duty) -> None:
    if duty not in soon:
        soon.append(duty)


def tidy_up(duty: Duty) -> None:
    if duty not in tidying:
        tidying.append(duty)


def aside(name: str, work: Duty) -> Duty:
    """A duty that may take a while: done in a thread of its own, one at a time, so that no deadline waits for it."""
    running: list[threading.Thread] = []

    def begin() -> int:
        if running and running[-1].is_alive():
            return 0
        running[:] = [threading.Thread(target=_done, args=(name, work), name=name, daemon=True)]
        running[-1].start()
        return 1

    return begin


def _done(name: str, work: Duty) -> None:
    try:
        work()
    except (OperationalError, InterfaceError) as error:
        log.warning("the database does not answer (%s); %s is still due", type(error).__name__, name)
    except Exception:
        log.exception("%s failed; it is tried again", name)
    finally:
        connection.close()
