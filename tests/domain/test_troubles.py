"""What follows an attempt that did not come to an end that we know."""

from __future__ import annotations

from datetime import timedelta

import pytest

from playbooks.domain.troubles import BACKOFF_S, PATIENCE, follows, pause_s

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("outcome", "more", "then"),
    [
        ("unavailable", {}, "again"),
        ("ambiguous", {}, "again"),
        ("unavailable", {"without_answer": PATIENCE - MINUTE}, "again"),
        ("unavailable", {"without_answer": PATIENCE}, "give_up"),
        ("ambiguous", {"without_answer": PATIENCE, "forward": False}, "give_up"),
        ("locked_out", {}, "again"),
        ("locked_out", {"forward": False, "without_answer": PATIENCE}, "give_up"),
        ("locked_out", {"disruptive": False, "on_failure": "continue"}, "again"),  # a job that has to save itself first
        ("locked_out", {"disruptive": False, "on_failure": "continue", "without_answer": PATIENCE}, "lose"),
        ("unexpected", {"attempts": 4}, "again"),
        ("unexpected", {"attempts": 5}, "give_up"),
        ("rejected", {}, "fail"),
        ("rejected", {"forward": False}, "give_up"),
        ("foreign", {"forward": False}, "give_up"),
        ("blind", {}, "give_up"),
        ("unavailable", {"disruptive": False, "on_failure": "continue"}, "lose"),  # a message to somebody
        ("rejected", {"disruptive": False}, "fail"),
        ("unavailable", {"disruptive": False, "evidence": True, "on_failure": "continue"}, "again"),  # while a cut waits for it
        ("unexpected", {"disruptive": False, "evidence": True, "on_failure": "continue"}, "again"),
        ("unexpected", {"disruptive": False, "evidence": True, "on_failure": "continue", "attempts": 5}, "lose"),
        ("rejected", {"disruptive": False, "evidence": True, "on_failure": "continue"}, "lose"),
        ("rejected", {"disruptive": False, "evidence": True}, "fail"),
        ("unavailable", {"disruptive": False, "evidence": True, "without_answer": PATIENCE}, "lose"),
    ],
)
def test_what_follows_is_a_table(outcome, more, then):
    usual = {"forward": True, "disruptive": True, "evidence": False, "on_failure": "stop", "attempts": 1, "without_answer": MINUTE}
    assert follows(outcome, **usual | more) == then


def test_pauses_grow_to_a_quarter_of_an_hour_and_stay_there():
    pauses = [pause_s("unavailable", tries=tries, retry_after=None) for tries in range(1, 40)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1.0, 900.0)
    assert len(BACKOFF_S) < 24 * 4


@pytest.mark.fault("F3")
@pytest.mark.parametrize(("said", "heard"), [(0, 1.0), (-5, 1.0), (30, 30.0), (1e9, 900.0), (float("inf"), 900.0)])
def test_a_target_that_names_a_time_is_heard_within_bounds(said, heard):
    assert pause_s("unavailable", tries=3, retry_after=said) == heard


def test_a_target_that_refuses_us_is_left_alone_by_a_step_for_longer_than_others_need_for_a_try():
    assert pause_s("locked_out", tries=1, retry_after=0) == pause_s("locked_out", tries=9, retry_after=None) == 20


def test_a_first_doubt_is_looked_into_at_once():
    assert pause_s("ambiguous", tries=1, retry_after=None) < 1 <= pause_s("ambiguous", tries=2, retry_after=None)
