"""What may be done next, asked of rows alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import IRREVERSIBLE
from playbooks.domain.next_action import next_action
from playbooks.domain.step_view import StepView

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)


def step(seq: int, state: str, **more: Any) -> StepView:
    return StepView(**{"seq": seq, "state": state, "disruptive": True, "seen": True, **more})


def taking(seq: int, **more: Any) -> StepView:
    """Evidence that was begun and has not come yet."""
    return step(seq, "acting", **{"disruptive": False, "preserve_until": LATER} | more)


interim, soft, hard = (partial(step, stage=stage) for stage in ("interim", "soft", "hard"))


@pytest.mark.parametrize(
    ("state", "steps", "kind", "seq", "move"),
    [
        ("running", [step(1, "planned"), step(2, "planned")], "do", 1, ""),
        ("running", [step(1, "acting"), step(2, "planned")], "do", 1, ""),
        ("running", [step(1, "acting", next_at=LATER), step(2, "planned")], "wait", 0, ""),
        ("running", [step(1, "verifying", next_at=LATER), step(2, "planned")], "do", 2, ""),
        ("running", [step(1, "failed", on_failure="stop"), step(2, "planned")], "skip", 2, ""),
        ("running", [step(1, "failed", on_failure="continue"), step(2, "planned")], "do", 2, ""),
        ("running", [step(1, "failed", on_failure="undo"), step(2, "planned")], "finish", 0, "undo"),
        ("running", [step(1, "needs_human"), step(2, "planned")], "finish", 0, "give_up"),
        ("running", [step(1, "verifying")], "probe", 1, ""),
        ("running", [step(1, "verifying", next_at=LATER)], "wait", 0, "verify"),
        ("running", [step(1, "done"), step(2, "lost", disruptive=False)], "finish", 0, "contain"),
        ("running", [step(1, "done"), step(2, "partial")], "finish", 0, "leave_partial"),
        ("running", [step(1, "done"), step(2, "failed", on_failure="continue")], "finish", 0, "leave_partial"),
        ("running", [step(1, "failed"), step(2, "skipped")], "finish", 0, "fail"),
        ("running", [step(1, "done", disruptive=False)], "finish", 0, "fail"),  # evidence alone contains nobody
        ("running", [soft(1, "failed"), hard(2, "planned")], "do", 2, ""),  # what stopped the soft stage does not stop the hard one
        ("running", [soft(1, "failed"), soft(2, "planned"), hard(3, "planned")], "skip", 2, ""),
        ("running", [soft(1, "partial"), hard(2, "done")], "finish", 0, "contain"),  # the hard stage is whole by itself
        ("running", [soft(1, "done"), hard(2, "partial")], "finish", 0, "leave_partial"),
        ("running", [soft(1, "failed"), hard(2, "failed")], "finish", 0, "fail"),
        ("running", [taking(1), step(2, "planned")], "do", 1, ""),
        ("running", [taking(1, next_at=LATER), step(2, "planned")], "wait", 0, "preserve"),
        ("running", [taking(1, preserve_until=NOW), step(2, "planned")], "lose", 1, ""),
        ("running", [taking(1, preserve_until=NOW, next_at=LATER), step(2, "planned")], "lose", 1, ""),
        ("running", [step(1, "done"), taking(2, preserve_until=NOW)], "lose", 2, ""),  # nor is what was cut kept from being contained
        ("waiting", [taking(1, preserve_until=NOW)], "do", 1, ""),  # no cut waits for it
        ("waiting", [taking(1, preserve_until=NOW, stage="interim"), interim(2, "planned")], "lose", 1, ""),
        ("waiting", [step(1, "done")], "rest", 0, ""),
        ("waiting", [interim(1, "needs_human"), interim(2, "planned")], "skip", 2, ""),  # the hold is the person it needs
        ("waiting", [interim(1, "needs_human", on_failure="continue"), interim(2, "planned")], "do", 2, ""),
        ("waiting", [interim(1, "needs_human")], "rest", 0, ""),
        ("waiting", [interim(1, "failed", on_failure="undo")], "rest", 0, ""),  # an undone run could not be approved any more
        ("pending", [interim(1, "needs_human"), hard(2, "planned")], "do", 2, ""),
        ("pending", [interim(1, "failed", on_failure="undo"), hard(2, "planned")], "do", 2, ""),
        ("running", [interim(1, "partial"), hard(2, "done")], "finish", 0, "contain"),
        ("running", [interim(1, "done"), hard(2, "failed")], "finish", 0, "leave_partial"),  # the interim stage stands
        ("undoing", [step(1, "done"), step(2, "done")], "undo", 2, ""),
        ("undoing", [step(1, "done"), step(2, "undone")], "undo", 1, ""),
        ("undoing", [step(1, "done"), step(2, "undoing", next_at=LATER)], "wait", 0, ""),
        ("undoing", [step(1, "done"), step(2, "needs_human")], "finish", 0, "give_up"),
        ("undoing", [step(1, "done", was_contained=True)], "let_be", 1, ""),
        ("undoing", [step(1, "done", inverse=IRREVERSIBLE)], "let_be", 1, ""),
        ("undoing", [step(1, "acting", seen=False)], "let_be", 1, ""),
        ("undoing", [step(1, "undoing", seen=False)], "let_be", 1, ""),  # a person was needed before anything was done
        ("undoing", [step(1, "undoing", was_contained=True)], "let_be", 1, ""),
        ("undoing", [step(1, "undoing", disruptive=False, seen=False)], "let_be", 1, ""),
        ("undoing", [step(1, "done", disruptive=False), step(2, "planned")], "skip", 2, ""),
        ("undoing", [step(1, "done", disruptive=False), step(2, "undone")], "finish", 0, "finish_undo"),
    ],
)
def test_the_next_action_follows_from_the_rows(state, steps, kind, seq, move):
    action = next_action(state, steps, now=NOW)
    assert (action.kind, action.seq, action.move) == (kind, seq, move)


_steps = st.lists(
    st.builds(
        step,
        seq=st.just(0),
        state=st.sampled_from(["planned", "acting", "verifying", "done", "partial", "failed", "skipped", "lost", "needs_human"]),
        disruptive=st.booleans(),
        on_failure=st.sampled_from(["stop", "continue", "undo"]),
        next_at=st.sampled_from([None, NOW, LATER]),
    ),
    min_size=1,
    max_size=5,
).map(
    lambda steps: [
        step(n, one.state, disruptive=one.disruptive, on_failure=one.on_failure, next_at=one.next_at) for n, one in enumerate(steps)
    ]
)


@given(_steps)
def test_no_step_begins_before_the_one_before_it_is_settled(steps):
    action = next_action("running", steps, now=NOW)
    if action.kind == "do":
        assert all(one.state not in {"planned", "acting"} for one in steps if one.seq < action.seq)


@given(_steps)
def test_contained_takes_every_cut(steps):
    action = next_action("running", steps, now=NOW)
    if action.move == "contain":
        assert all(one.state in {"done", "skipped"} for one in steps if one.disruptive)
