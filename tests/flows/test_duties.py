"""Duties that may take a while are done beside the sweep: one at a time, and nobody waits for them."""

from __future__ import annotations

import threading

from containment.duties import Aside
from embedded.process import wait_until


def test_a_duty_aside_is_begun_once_at_a_time_and_says_afterwards_what_it_did():
    may_end, began = threading.Event(), []

    def work() -> int:
        began.append(threading.current_thread())
        may_end.wait(10)
        return 3

    duty = Aside("slow", work)
    assert duty() == 0
    assert wait_until(lambda: len(began) == 1, seconds=5)
    assert duty() == 0
    assert len(began) == 1
    may_end.set()
    assert wait_until(lambda: duty() == 3, seconds=5), "and begins the next turn"
    assert wait_until(lambda: len(began) == 2, seconds=5)
    assert began[0] is began[1]


def test_a_duty_that_fails_is_tried_again():
    turns: list[int] = []

    def work() -> int:
        turns.append(1)
        raise ValueError("this one fails")

    duty = Aside("fails", work)
    assert wait_until(lambda: duty() == 0 and len(turns) >= 3, seconds=5)
