"""story() and record(): the one door for audit writes.

A story is an outermost transaction. record() inside it collects; the entries are chained as the story's last statement, so no change is
committed without its entries and no entry without its change. On commit the watchers of what changed are nudged.
"""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from django.db import OperationalError, transaction

from audit import chain, nudges, verbs
from core import masking
from core.actor import Actor
from core.crashpoints import crashpoint
from core.digest import plain
from core.refs import Ref

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 5  # deadlocks and serialization failures are the database asking for the whole story again
_RETRY = {"40001", "40P01"}

STORIES: set[str] = set()  # the names of all that were loaded: where a process may die before and after it commits


class _Told(threading.local):
    drafts: list[chain.Draft] | None = None


_told = _Told()


@contextmanager
def telling(name: str = "a story") -> Iterator[None]:
    """The body of a story. Inside another story it joins that one."""
    if _told.drafts is not None:
        yield
        return
    _told.drafts = []
    try:
        with transaction.atomic(durable=True):
            yield
            entries = chain.append(_told.drafts)
            for entry in entries:
                nudges.tell_watchers(entry.verb, [entry.subject, *entry.about], seq=entry.seq)
            crashpoint(f"{name}.before_commit")
        crashpoint(f"{name}.after_commit")
    finally:
        _told.drafts = None


@contextmanager
def attempt() -> Iterator[None]:
    """A part of a story that may fail and be caught: what it changed and what it recorded are taken back together."""
    drafts = _told.drafts if _told.drafts is not None else []
    told_before = len(drafts)
    try:
        with transaction.atomic():
            yield
    except BaseException:
        del drafts[told_before:]
        raise


def story(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` as a story. When the database asks for it again (deadlock, serialization), it is told again from the start."""

    name = f"{function.__module__}.{function.__name__}"
    STORIES.add(name)

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        if _told.drafts is not None:
            return function(*args, **kwargs)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with telling(name):
                    return function(*args, **kwargs)
            except OperationalError as error:
                if attempt == ATTEMPTS or getattr(error.__cause__, "sqlstate", None) not in _RETRY:
                    raise
                time.sleep(random.uniform(0.01, 0.05) * attempt)  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    return told


def record(verb: str, subject: Ref, /, *, actor: Actor, about: Iterable[Ref | None] = (), **facts: Any) -> None:
    """Write down that `actor` did `verb` to `subject`. `about` names the other things whose pages show it. Only inside a story."""
    if _told.drafts is None:
        raise RuntimeError(f"{verb} was recorded outside a story: no entry, no change")
    if verb not in verbs.SENTENCES:
        raise LookupError(f"{verb} is not in audit/verbs.py")
    _told.drafts.append(
        chain.Draft(
            verb=verb,
            actor=str(actor),
            actor_name=actor.name,
            subject=str(subject),
            about=[str(ref) for ref in about if ref is not None],
            facts=_masked(plain(facts)),
        )
    )


def _masked(value: Any) -> Any:
    """A secret that somebody pasted into a reason or a title must not become immortal."""
    match value:
        case str():
            return masking.in_text(value)
        case dict():
            return {key: _masked(item) for key, item in value.items()}
        case list():
            return [_masked(item) for item in value]
    return value
