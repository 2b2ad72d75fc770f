"""Two runs that cut the same thing: it comes back with the last of them, whichever that is, and whatever happens in between."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import clock
from connectors import registry
from connectors.sandbox import Mood
from core.actor import SYSTEM
from core.ids import uuid7
from evidence import vault
from playbooks import claims, engine, runs, steps
from playbooks.models import ControlClaim, Run
from playbooks.refusals import Occupied

pytestmark = [pytest.mark.django_db, pytest.mark.fault("G5"), pytest.mark.fault("G6")]

CUT = "workload.isolate"


@pytest.fixture(autouse=True)
def _no_renewal(monkeypatch):
    """The thread that renews leases has a connection of its own, which sees nothing of a test that is rolled back."""
    monkeypatch.setattr(engine, "RENEW_EVERY_S", 3600)


def driven(run, *, rounds=12):
    """As if all its pauses were over, until it rests or goes nowhere."""
    for _ in range(rounds):
        _hurry(run)
        engine.drive(run.pk, executor="command")
        run.refresh_from_db()
        if run.next_at is None:
            break
    return run


def _hurry(run):
    run.steps.update(next_at=None)
    Run.objects.filter(pk=run.pk, next_at__isnull=False).update(next_at=run.created_at)


def world(sandbox, subject, measure=CUT):
    with sandbox.connected() as connection:
        return sandbox.state(connection, subject, measure)


def undone(run):
    runs.undo(run.pk, actor=SYSTEM, reason="enough")
    return driven(run)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_only_the_last_of_three_gives_it_back(started, sandbox, order):
    subject = f"subject-{uuid7()}"
    held = [driven(started(CUT, subject=subject)) for _ in range(3)]
    assert {run.state for run in held} == {"contained"}
    assert sandbox.done(subject) == 1
    for place in order[:-1]:
        run = undone(held[place])
        assert run.state == "undone"
        assert run.steps.get().said.startswith(("kept: ", "it was so before us"))
        assert world(sandbox, subject) == "cut"
    assert undone(held[order[-1]]).state == "undone"
    assert (world(sandbox, subject), sandbox.done(subject, "restored")) == ("open", 1)
    assert not ControlClaim.objects.exists()


def test_two_undos_at_once_lift_it_exactly_once(started, sandbox):
    subject = f"subject-{uuid7()}"
    first, second = (driven(started(CUT, subject=subject)) for _ in range(2))
    for run in (first, second):
        runs.undo(run.pk, actor=SYSTEM, reason="enough")
    driven(first), driven(second)
    assert [run.steps.get().said.partition(":")[0] for run in (first, second)] == ["kept", "back to open"]
    assert sandbox.done(subject, "restored") == 1


def test_what_was_so_before_both_stays_so(started, sandbox):
    subject = f"subject-{uuid7()}"
    with sandbox.connected() as connection:
        sandbox.put(connection, subject, CUT, "cut")
    for run in [driven(started(CUT, subject=subject)) for _ in range(2)]:
        assert undone(run).state == "undone"
    assert (world(sandbox, subject), sandbox.done(subject, "restored")) == ("cut", 0)


def test_a_run_that_a_person_accepted_holds_nothing_any_more(started, sandbox):
    subject = f"subject-{uuid7()}"
    first, second = (driven(started(CUT, subject=subject)) for _ in range(2))
    Run.objects.filter(pk=second.pk).update(state="partial")
    runs.accept(second.pk, actor=SYSTEM, reason="it may stay")
    assert undone(first).steps.get().said == "back to open"


def test_the_secret_that_undo_needs_goes_over_under_the_heirs_name(started):
    subject = f"subject-{uuid7()}"
    first, second = (driven(started(CUT, subject=subject)) for _ in range(2))
    step = first.steps.get()
    step.was_sealed = vault.seal_secret({"verifier": "s3cret"}, about=str(step.ref))
    step.save(update_fields=["was_sealed"])
    undone(first)
    assert first.steps.get().was_sealed is None
    was = steps.state_before(second.steps.get())
    assert was is not None
    assert (was.secret, was.public, was.contained) == ({"verifier": "s3cret"}, {"state": "open"}, False)


def test_nobody_begins_on_a_control_while_it_may_be_coming_back(started, sandbox):
    subject = f"subject-{uuid7()}"
    first = driven(started(CUT, subject=subject))
    runs.undo(first.pk, actor=SYSTEM, reason="enough")
    ticket = runs.claim(first.pk, executor="worker")
    assert ticket is not None
    steps.intend(ticket, 1, seen=Run.objects.get(pk=first.pk), direction="undo")
    second = started(CUT, subject=subject)
    engine.drive(second.pk, executor="command")
    second.refresh_from_db()
    assert (second.state, second.steps.get().state) == ("running", "planned")
    assert second.next_at is not None
    assert str(first.pk) in second.because
    first.steps.update(timeout_s=0)
    Run.objects.filter(pk=first.pk).update(lease_until=None)
    assert driven(first).state == "undone"
    assert driven(second).state == "contained"
    assert (world(sandbox, subject), sandbox.done(subject)) == ("cut", 2)


def test_a_new_run_goes_before_an_undo_that_only_waits_for_its_next_try(started, sandbox):
    subject = f"subject-{uuid7()}"
    first = driven(started(CUT, subject=subject))
    runs.undo(first.pk, actor=SYSTEM, reason="enough")
    sandbox.set_mood(subject, Mood.FAILS_BEFORE)
    engine.drive(first.pk, executor="command")
    assert first.steps.get().state == "undoing"
    second = driven(started(CUT, subject=subject))
    assert second.state == "contained"
    assert driven(first).steps.get().said.startswith("kept: ")
    assert world(sandbox, subject) == "cut"
    assert undone(second).steps.get().said == "back to open"


def test_a_claim_of_a_run_that_acts_is_not_passed_over(started):
    """The lock of the control decides, whatever was read before it was held."""
    subject = f"subject-{uuid7()}"
    first, second = started(CUT, subject=subject), started(CUT, subject=subject)
    ticket = runs.claim(first.pk, executor="worker")
    assert ticket is not None
    steps.intend(ticket, 1, seen=runs.begin(ticket, seen=Run.objects.get(pk=first.pk)))
    with pytest.raises(Occupied):
        claims.enter(second, second.steps.get(), "forward", clock.now())


class _Meddling:
    """The sandbox's connector, in the middle of whose calls other things happen."""

    def __init__(self, inner, meddle):
        self._inner, self._meddle = inner, meddle

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if name not in {"look", "perform", "undo", "probe"}:
            return found

        def call(*args, **kwargs):
            self._meddle()
            answer = found(*args, **kwargs)
            self._meddle()
            return answer

        return call


@settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    plan=st.lists(st.tuples(st.sampled_from(["start", "drive", "undo"]), st.integers(0, 2)), min_size=4, max_size=14),
    within=st.lists(st.tuples(st.sampled_from(["start", "drive", "undo"]), st.integers(0, 2)), max_size=10),
)
def test_in_every_order_it_stands_while_somebody_holds_it_and_comes_back_with_the_last(started, sandbox, plan, within):
    subject, waiting = f"subject-{uuid7()}", list(within)
    live: dict[int, Run] = {}
    connector = registry.connector_for("sandbox")
    assert connector is not None

    def do(what, which):
        run = live.get(which)
        if what == "start" and run is None:
            live[which] = started(CUT, subject=subject)
        elif what == "undo" and run is not None and Run.objects.get(pk=run.pk).state == "contained":
            runs.undo(run.pk, actor=SYSTEM, reason="enough")
        elif what == "drive" and run is not None:
            _hurry(run)
            engine.drive(run.pk, executor="command")

    def meddle():
        if waiting:
            do(*waiting.pop())

    def holds():
        states = set(Run.objects.filter(pk__in=[run.pk for run in live.values()]).values_list("state", flat=True))
        assert "contained" not in states or world(sandbox, subject) == "cut"

    registry.register("sandbox", _Meddling(connector, meddle))
    try:
        for step in plan:
            do(*step)
            holds()
        waiting.clear()
        for _ in range(2):
            for run in live.values():
                driven(run)
                holds()
        for run in live.values():
            if run.state == "contained":
                undone(run)
            holds()
    finally:
        registry.register("sandbox", connector)
    assert {run.state for run in live.values()} <= {"undone"}
    assert world(sandbox, subject) == "open"
    assert sandbox.done(subject) == sandbox.done(subject, "restored")


@pytest.mark.parametrize(
    ("state", "kind", "waits"), [("needs_human", "intent", False), ("running", "intent", True), ("running", "outcome", False)]
)
def test_a_call_that_is_surely_over_does_not_keep_others_from_undoing(started, sandbox, state, kind, waits):
    subject = f"subject-{uuid7()}"
    first, second = (driven(started(CUT, subject=subject)) for _ in range(2))
    step = second.steps.get()
    Run.objects.filter(pk=second.pk).update(state=state, next_at=None)
    second.steps.update(state="acting")
    outcome = steps.STOPPED if kind == "outcome" else ""
    step.journal.create(n=9, direction="forward", kind=kind, outcome=outcome, at=clock.now(), fence=9, worker="w", executor="command")
    runs.undo(first.pk, actor=SYSTEM, reason="enough")
    assert driven(first, rounds=2).state == ("undoing" if waits else "undone")


def test_an_undo_that_may_have_reached_its_target_counts_until_a_person_has_looked(started, sandbox):
    run = driven(started("identity.disable"))
    step = run.steps.get()

    def tried(kind, outcome=""):
        step.journal.create(n=2, direction="undo", kind=kind, outcome=outcome, at=run.created_at, fence=9, worker="w", executor="command")
        return steps.may_have_reached(step)

    assert (tried("intent"), tried("intent"), tried("outcome", "unavailable"), tried("outcome", "blind")) == (1, 2, 1, 0)
