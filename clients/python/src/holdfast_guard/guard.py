"""The guard for programs that wait. It does nothing by itself: one thread of its own runs the other one's loop, and callers wait for that.

Any number of threads may use one. Make it after forking: a process that was forked begins anew, with what it keeps in memory.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import functools
import logging
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

from holdfast_guard import aguard, calls
from holdfast_guard.aguard import AsyncGuard
from holdfast_guard.asking import CLOSED
from holdfast_guard.calls import Call
from holdfast_guard.errors import Denied, Held, Unavailable
from holdfast_guard.words import DECLARED, Subject, Task, Verdict

T = TypeVar("T")
log = logging.getLogger("holdfast_guard")

SLACK_S = 1.0  # for the thread to come round, where this process is busy


class _Loop:
    """An event loop in a thread that ends with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="holdfast-guard", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except concurrent.futures.TimeoutError:
            future.cancel()
        except BaseException:
            future.cancel()
            raise
        raise Unavailable("The guard's thread did not come round in time.")

    def soon(self, what: Callable[[], None]) -> bool:
        """False: the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)
            return True
        return False

    def stop(self) -> None:
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(2)
        if not self._loop.is_running():
            self._loop.close()


class Guard:
    """Asks before a tool is used. The settings are those of AsyncGuard."""

    def __init__(self, url: str, token: str, *, subject: Subject | str | Mapping[str, Any], **settings: Any) -> None:
        self._make: Callable[..., AsyncGuard] = functools.partial(AsyncGuard, url, token, subject=subject, **settings)
        self._inner = self._make()
        self._loop: _Loop | None = None
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._budget_s = float(settings.get("budget_s", aguard.BUDGET_S))
        atexit.register(_leave, weakref.ref(self))

    def __repr__(self) -> str:
        return f"<Guard {self._inner.url} for {self._inner.subject.type} {self._inner.subject.id}>"

    # -- asking

    def evaluate(self, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> Verdict:
        """May this be done now? There is always an answer. The words are those of AsyncGuard.evaluate."""
        try:
            return self._run(self._guard().evaluate(tool, arguments, **more), self._budget_s)
        except Unavailable as late:
            why = str(late)
        return Verdict(False, "guard_unavailable", DECLARED, verdict="deny", for_user=CLOSED, for_admin=why)

    def allowed(self, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> Verdict:
        """The verdict, if it is yes; otherwise Held or Denied."""
        try:
            return self._run(self._guard().allowed(tool, arguments, **more), 2 * self._budget_s)
        except Unavailable as late:
            why = str(late)
        raise Denied(Verdict(False, "guard_unavailable", DECLARED, verdict="deny", for_user=CLOSED, for_admin=why))

    @contextmanager
    def call(self, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> Iterator[Call]:
        """`with guard.call("mail.send", {"to": to}) as call:` asks, raises Denied or Held, and tells afterwards what came of it."""
        call = Call(self.allowed(tool, arguments, **more))
        try:
            yield call
        except BaseException as error:
            self.report(call.verdict, call.told(error))
            raise
        self.report(call.verdict, call.told(None))

    def tool(self, name: str = "", *, writes: bool | None = None, **more: Any) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """`@guard.tool("mail.send", writes=True)`: every call of the function is asked about first, and told afterwards."""

        def guarded(function: Callable[..., T]) -> Callable[..., T]:
            named = name or function.__name__

            @functools.wraps(function)
            def asked(*args: Any, **kwargs: Any) -> T:
                with self.call(named, calls.arguments_of(function, args, kwargs), writes=writes, **more) as call:
                    result = function(*args, **kwargs)
                    call.returned(result)
                    return result

            return asked

        return guarded

    # -- people

    def submit(self, denial: Verdict | Held, *, context: Mapping[str, Any] | None = None, key: str = "") -> Task:
        """Ask people about a call that was held. The same denial asks them once, or the same `key` of the caller's own."""
        return self._run(self._guard().submit(denial, context=context, key=key), self._budget_s)

    def task(self, task: Task, *, wait_s: float = 0.0) -> Task:
        return self._run(self._guard().task(task, wait_s=wait_s), wait_s + aguard.TASK_SLACK_S)

    def wait(self, task: Task, deadline_s: float) -> Task:
        """Until people have answered, or so many seconds are over; then the task as it was."""
        return self._run(self._guard().wait(task, deadline_s), deadline_s + aguard.TASK_SLACK_S)

    # -- telling

    def report(self, verdict: Verdict, outcome: str | Mapping[str, Any], *, returned: Any = None, size: int | None = None) -> None:
        """What came of a call. Told in the background: whatever becomes of that, the call itself is done."""
        item = dict(outcome) if isinstance(outcome, Mapping) else calls.outcome_item(outcome, returned, size)
        self._soon(lambda: self._inner.report(verdict, item))

    def tool_changed(self, server: str, tool: str, *, before: str, after: str, session: str = "") -> None:
        self._guard()
        self._soon(lambda: self._inner.tool_changed(server, tool, before=before, after=after, session=session))

    def flush(self, seconds: float = 5.0) -> bool:
        """Tell now what is still to be told. Says whether all of it arrived."""
        return self._run(self._guard().flush(seconds), seconds)

    @property
    def untold(self) -> int:
        return self._inner.untold

    # -- sessions

    @property
    def session(self) -> str:
        return self._inner.session

    def register(self, session: str, *, intent: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Begin a session with an intent; from now on the calls are its calls. Needs a token with the scope sessions.write."""
        return self._run(self._guard().register(session, intent=intent, **more), self._budget_s)

    def heartbeat(self, **narrower: Any) -> dict[str, Any]:
        return self._run(self._guard().heartbeat(**narrower), self._budget_s)

    def end_session(self) -> None:
        self._run(self._guard().end_session(), self._budget_s)

    def session_state(self, handle: str = "") -> dict[str, Any]:
        """May it go on? `state` is active, paused, restricted or ended."""
        return self._run(self._guard().session_state(handle), self._budget_s)

    def refused_locally(self) -> str:
        """Why this subject or session is refused without asking; empty if it is not."""
        return self._inner.refused_locally()

    # -- its own life

    def close(self) -> None:
        """Tell what can be told in two seconds, and stop. What could not be told stays in the journal's file."""
        if self._closed:
            return
        self._closed = True
        if self._process == os.getpid():
            with contextlib.suppress(Unavailable):
                self._run(self._inner.close(), aguard.CLOSES_WITHIN_S + 2)
            if self._loop is not None:
                self._loop.stop()
                self._loop = None

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- inside

    def _guard(self) -> AsyncGuard:
        if self._closed:
            raise RuntimeError("This guard is closed.")
        if self._process != os.getpid():
            self._after_fork()
        return self._inner

    def _run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        with self._lock:
            if self._loop is None:
                self._loop = _Loop()
            loop = self._loop
        return loop.run(work, seconds + SLACK_S)

    def _soon(self, what: Callable[[], None]) -> None:
        """In the order in which it was said, and before whatever is asked next."""
        with self._lock:
            loop = self._loop
        if loop is None or not loop.soon(what):
            what()

    def _after_fork(self) -> None:
        """The thread and its connections stayed with the parent, and so does the journal's file."""
        log.warning("A guard was used after a fork. It begins anew, and keeps in memory what is to be told.")
        self._lock, self._process, self._loop = threading.Lock(), os.getpid(), None
        self._inner = self._make(journal=None)


def _leave(guard: weakref.ref[Guard]) -> None:
    """A program that ends without closing its guard tells what can be told all the same, and leaves nothing half done behind."""
    if (found := guard()) is not None:
        with contextlib.suppress(Exception):
            found.close()
