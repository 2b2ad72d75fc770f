"""What sweepers do besides for rooms further up, which name it here when they load: short work that must not wait for anything else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import InterfaceError, OperationalError, close_old_connections, connection

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


class Aside:
    """A duty that may take a while: done in a thread of its own, one at a time, so that no deadline waits for it. Calling it begins the
    next turn, and says how much the last one did. The thread stays, with its connection: a new one several times a second costs more than
    most duties do."""

    def __init__(self, name: str, work: Duty) -> None:
        self._name, self._work = name, work
        self._thread: threading.Thread | None = None
        self._turn = threading.Event()
        self._did = 0

    def __call__(self) -> int:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._stand_by, name=self._name, daemon=True)
            self._thread.start()
        if self._turn.is_set():
            return 0
        did, self._did = self._did, 0
        self._turn.set()
        return did

    def _stand_by(self) -> None:
        while True:
            self._turn.wait()
            close_old_connections()
            try:
                self._did = self._work()
            except (OperationalError, InterfaceError) as error:
                log.warning("the database does not answer (%s); %s is still due", type(error).__name__, self._name)
                connection.close()
            except Exception:
                log.exception("%s failed; it is tried again", self._name)
            finally:
                self._turn.clear()
