"""The guard for programs that wait. It does nothing by itself: one thread of its own runs the other one's loop, and callers wait for that.

Any number of threads may use one. Make it after forking: a process that was forked begins anew, with what it keeps in memory.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import functools
import inspect
import logging
import os
import socket
import threading
import time
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


class _OwnLoop(asyncio.SelectorEventLoop):
    """Looks names up in threads that hold nobody up: the process ends, however long a look-up takes, and may look up while it ends."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def create_connection(self, *given: Any, **more: Any) -> Any:
        transport, protocol = await super().create_connection(*given, **more)
        self._lines.add(transport)
        return transport, protocol

    async def cut_off(self) -> None:
        """Lines that nobody came round to close are closed with the loop: afterwards nobody could."""
        for line in list(self._lines):
            line.abort()
        await asyncio.sleep(0)

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        found: asyncio.Future[Any] = self.create_future()

        def settle(error: Exception | None, result: Any) -> None:
            if not found.done():
                found.set_result(result) if error is None else found.set_exception(error)

        def look_up() -> None:
            try:
                said: tuple[Exception | None, Any] = (None, socket.getaddrinfo(host, port, **more))
            except Exception as error:
                said = (error, None)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self.call_soon_threadsafe(settle, *said)

        threading.Thread(target=look_up, name="holdfast-guard-names", daemon=True).start()
        return await found


class _Loop:
    """An event loop in a thread that ends with the process."""

    def __init__(self) -> None:
        self._loop = _OwnLoop()
        self._thread = threading.Thread(target=self._runs, name="holdfast-guard", daemon=True)
        self._thread.start()

    def _runs(self) -> None:
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:  # so that each closes what it has open
            self._loop.run_until_complete(asyncio.wait(left, timeout=0.5))
        self._loop.run_until_complete(self._loop.cut_off())
        self._loop.close()

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

    def stop_after(self, last: Coroutine[Any, Any, None]) -> None:
        """Does this, and ends. Waits for nothing."""

        async def ends() -> None:
            try:
                await last
            finally:
                self._loop.call_soon(self._loop.stop)

        asyncio.run_coroutine_threadsafe(ends(), self._loop)

    def ended(self, seconds: float) -> bool:
        if self._thread is not threading.current_thread():
            self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()


class _Own:
    """What a guard must not leave as it is: apart from it, so that nothing keeps it alive, and so that it can end without it."""

    def __init__(self, inner: AsyncGuard) -> None:
        self.inner, self.process, self.lock = inner, os.getpid(), threading.Lock()
        self.loop: _Loop | None = None
        self.closed = False
        _open.add(self)

    def begun(self) -> _Loop:
        with self.lock:
            if self.loop is None:
                self.loop = _Loop()
            return self.loop

    def leave(self) -> None:
        """Also when the guard was dropped, wherever that may be: so it waits for nothing."""
        if self.closed:
            return
        self.closed = True
        if self.process != os.getpid():
            _open.discard(self)
        else:
            with contextlib.suppress(RuntimeError):
                self.begun().stop_after(self.inner.close())

    def left(self, seconds: float) -> None:
        if self.process == os.getpid() and self.loop is not None:
            self.loop.ended(seconds)
        _open.discard(self)


_open: set[_Own] = set()


@atexit.register
def _leave_all() -> None:
    """A program that ends without closing its guards tells what can be told all the same, and leaves nothing half done behind."""
    ends = time.monotonic() + aguard.CLOSES_WITHIN_S + SLACK_S
    owns = [own for own in list(_open) if own.process == os.getpid()]
    for own in owns:
        own.leave()
    for own in owns:
        own.left(ends - time.monotonic())


class _Late:
    """An answer that comes when nobody waits for it any more is told as not done."""

    def __init__(self) -> None:
        self._lock, self._over = threading.Lock(), False
        self._verdict: Verdict | None = None

    async def unless(self, asked: Coroutine[Any, Any, Verdict], inner: AsyncGuard) -> Verdict:
        verdict = await asked
        with self._lock:
            self._verdict, over = verdict, self._over
        if over:
            inner.report(verdict, calls.NOT_DONE)
        return verdict

    def just_in_time(self) -> Verdict | None:
        with self._lock:
            self._over = True
            return self._verdict


class Guard:
    """Asks before a tool is used. The settings are those of AsyncGuard."""

    def __init__(self, url: str, token: str, *, subject: Subject | str | Mapping[str, Any], **settings: Any) -> None:
        self._make: Callable[..., AsyncGuard] = functools.partial(AsyncGuard, url, token, subject=subject, **settings)
        self._budget_s = float(settings.get("budget_s", aguard.BUDGET_S))
        self._have(self._make())

    def __repr__(self) -> str:
        return f"<Guard {self._inner.url} for {self._inner.subject.type} {self._inner.subject.id}>"

    # -- asking

    def evaluate(self, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> Verdict:
        """May this be done now? There is always an answer. The words are those of AsyncGuard.evaluate."""
        late = _Late()
        try:
            return self._run(late.unless(self._guard().evaluate(tool, arguments, **more), self._inner), self._budget_s)
        except Unavailable as slow:
            why = str(slow)
        if (verdict := late.just_in_time()) is not None:
            return verdict
        return Verdict(False, "guard_unavailable", DECLARED, verdict="deny", for_user=CLOSED, for_admin=why)

    def allowed(self, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> Verdict:
        """The verdict, if it is yes; otherwise Held or Denied."""
        late = _Late()
        try:
            return self._run(late.unless(self._guard().allowed(tool, arguments, **more), self._inner), 2 * self._budget_s)
        except Unavailable as slow:
            why = str(slow)
        if (verdict := late.just_in_time()) is not None:
            return verdict
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
            calls.must_do_it_at_once(function)
            named = name or function.__name__

            @functools.wraps(function)
            def asked(*args: Any, **kwargs: Any) -> T:
                with self.call(named, calls.arguments_of(function, args, kwargs), writes=writes, **more) as call:
                    result = function(*args, **kwargs)
                    if inspect.iscoroutine(result):
                        result.close()
                        call.not_done()
                        raise TypeError(calls.NOT_AT_ONCE)
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
        self._own.leave()
        self._own.left(aguard.CLOSES_WITHIN_S + 2)

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- inside

    def _have(self, inner: AsyncGuard) -> None:
        self._own = _Own(inner)
        weakref.finalize(self, self._own.leave).atexit = False  # at exit, _leave_all waits for it too

    @property
    def _inner(self) -> AsyncGuard:
        return self._own.inner

    @property
    def _loop(self) -> _Loop | None:
        return self._own.loop

    def _guard(self) -> AsyncGuard:
        if self._own.closed:
            raise RuntimeError("This guard is closed.")
        if self._own.process != os.getpid():
            self._after_fork()
        return self._inner

    def _run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        return self._own.begun().run(work, seconds + SLACK_S)

    def _soon(self, what: Callable[[], None]) -> None:
        """In the order in which it was said, and before whatever is asked next."""
        loop = self._own.loop
        if loop is None or not loop.soon(what):
            what()

    def _after_fork(self) -> None:
        """The thread and its connections stayed with the parent, and so does the journal's file."""
        log.warning("A guard was used after a fork. It begins anew, and keeps in memory what is to be told.")
        self._have(self._make(journal=None))
