"""Lines to the database are kept, dropped with one that broke, so many and no more, and wait for no lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from guard import lines

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def none_left_over() -> Iterator[None]:
    lines.drop()
    yield
    lines.drop()


def pid(line: psycopg.Connection[Any]) -> int:
    row = line.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def ended(line: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid(line)])
    return line


def test_a_line_is_kept_for_the_next_one() -> None:
    with lines.borrowed() as line:
        first = pid(line)
    with lines.borrowed() as line:
        assert pid(line) == first


def test_beyond_so_many_the_call_takes_the_whole_story_and_a_line_that_comes_back_is_had_again() -> None:
    with ExitStack() as out:
        for _ in range(lines.MOST):
            out.enter_context(lines.borrowed())
        with pytest.raises(psycopg.OperationalError), lines.borrowed():
            pass
    with lines.borrowed() as line:
        assert pid(line)


def test_when_one_line_broke_those_that_wait_are_dropped_too() -> None:
    with lines.borrowed() as other, lines.borrowed():
        waits = pid(other)
    with pytest.raises(psycopg.OperationalError), lines.borrowed() as line:
        pid(ended(line))
    with lines.borrowed() as line:
        assert pid(line) != waits


def test_many_threads_may_drop_lines_at_once() -> None:
    """Nobody minds that somebody else took the last one."""

    class Contested(deque[psycopg.Connection[Any]]):
        def __bool__(self) -> bool:
            return True

    begin = threading.Barrier(4)

    def drops(_: int) -> None:
        begin.wait()
        lines.drop()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lines, "_idle", Contested())
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(drops, range(4)))


def test_a_line_waits_for_no_lock_and_goes_on_afterwards() -> None:
    with lines.borrowed() as line:
        first = pid(line)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE session_use IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable), lines.borrowed() as line:
            line.execute("SELECT FROM session_use")
    with lines.borrowed() as line:
        assert pid(line) == first
        assert line.execute("SHOW lock_timeout").fetchone() == ("200ms",)
