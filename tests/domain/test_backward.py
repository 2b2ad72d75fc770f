"""How long an undo is tried."""

from __future__ import annotations

import pytest

from playbooks.domain.backward import PATIENCE, pause_before_another_undo


def test_five_tries_take_a_quarter_of_an_hour():
    pauses = [pause_before_another_undo(tries, outcome="unavailable", retry_after=None) for tries in range(1, 6)]
    assert sum(pause or 0 for pause in pauses) == PATIENCE.total_seconds()
    assert pauses[-1] is None


@pytest.mark.parametrize(
    ("tries", "outcome", "retry_after", "wanted"),
    [
        (1, "ambiguous", None, 0.2),
        (2, "ambiguous", None, 15.0),
        (1, "unavailable", 60.0, 60.0),
        (3, "unavailable", 1.0, 180.0),
        (1, "unavailable", 1e9, 900.0),
    ],
)
def test_a_target_that_names_a_time_is_heard_within_bounds(tries, outcome, retry_after, wanted):
    assert pause_before_another_undo(tries, outcome=outcome, retry_after=retry_after) == wanted
