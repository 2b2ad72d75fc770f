"""How long an undo is tried."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from playbooks.domain.backward import PATIENCE, backward, pause_before_another_undo
from playbooks.domain.step_view import StepView

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_five_tries_take_a_quarter_of_an_hour():
    pauses = [pause_before_another_undo(tries, outcome="unavailable", retry_after=None) for tries in range(1, 6)]
    assert sum(pause or 0 for pause in pauses) == PATIENCE.total_seconds()
    assert pauses[-1] is None


@pytest.mark.parametrize(
    ("tries", "outcome", "retry_after", "wanted"),
    [
        (0, "unexpected", None, 1.0),
        (1, "ambiguous", None, 0.2),
        (2, "ambiguous", None, 15.0),
        (1, "unavailable", 60.0, 60.0),
        (3, "unavailable", 1.0, 180.0),
        (1, "unavailable", 1e9, 900.0),
    ],
)
def test_a_target_that_names_a_time_is_heard_within_bounds(tries, outcome, retry_after, wanted):
    assert pause_before_another_undo(tries, outcome=outcome, retry_after=retry_after) == wanted


def test_evidence_that_is_being_taken_is_settled_before_its_run_is_undone():
    taking = StepView(1, "acting", disruptive=False, preserve_until=NOW)
    assert (backward([taking], NOW).kind, backward([replace(taking, preserve_until=None)], NOW).kind) == ("lose", "let_be")
    assert backward([replace(taking, state="lost")], NOW).move == "finish_undo"
