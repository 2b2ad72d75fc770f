"""Ids: UUIDv7 by their layout, in the order in which they were given, and not held back by a clock that was wrong for a while."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from core import ids
from core.ids import uuid7

HOUR_NS = 3_600_000_000_000


def milliseconds(one: UUID) -> int:
    return one.int >> 80


def test_an_id_has_the_layout_and_the_moment_of_the_standard():
    before = time.time_ns() // 1_000_000
    one = uuid7()
    assert (one.version, one.variant) == (7, "specified in RFC 4122")
    assert before <= milliseconds(one) <= time.time_ns() // 1_000_000 + 1


def test_ids_of_one_process_sort_as_they_were_given():
    given = [uuid7() for _ in range(20_000)]
    assert given == sorted(given)
    assert len(set(given)) == len(given)


def test_threads_never_get_the_same_moment():
    with ThreadPoolExecutor(4) as pool:
        given = [one for many in pool.map(lambda _: [uuid7() for _ in range(2_000)], range(4)) for one in many]
    assert len({one.int >> 64 for one in given}) == len(given)


def test_a_small_step_back_keeps_the_order_and_a_large_one_is_followed(monkeypatch: pytest.MonkeyPatch):
    now = time.time_ns()
    moments = iter([now, now - 500_000_000, now - HOUR_NS])
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    first, small, large = uuid7(), uuid7(), uuid7()
    assert first < small
    assert milliseconds(large) == (now - HOUR_NS) // 1_000_000
