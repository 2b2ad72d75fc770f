"""The kill switch: one person makes it harder, two make it milder; while it is on nothing begins, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from approvals.models import Hold
from audit import clock
from audit.models import AuditEntry
from connectors import registry
from containment import flow, sweep
from containment.gate import Gate
from containment.models import ContainmentSpend, Decision, Detection
from core.refusals import BadInput
from playbooks import switch, switching
from playbooks.models import KillSwitch, Run
from playbooks.refusals import AlreadyAsked, AskChanged, KillSwitchOn, NothingAsked, NotMilder, NotYourSwitch, TakesTwo
from tests import cast, make

pytestmark = pytest.mark.django_db


def _facts(body: str) -> dict[str, Any]:
    return dict(json.loads(body))


def turned(position: switch.Position = "no_new", by: str = "ines", because: str = "") -> KillSwitch:
    return switching.turn(position, because, actor=cast.person(by))


def switched_off() -> None:
    switching.ask_lift("off", "it was a drill", actor=cast.person("mara"))
    switching.lift(cast.person("mia"))


def test_an_analyst_switches_it_on_without_a_reason_and_harder_at_any_time():
    assert switch.position() == "off"
    turned("no_new")
    assert (switch.position(), switch.stops_new(), switch.stops_everything()) == ("no_new", True, False)
    turned("nothing", by="omar", because="the estate is on fire")
    assert switch.stops_everything()
    facts = list(AuditEntry.objects.filter(verb="killswitch.set").order_by("seq").values_list("actor_name", "body"))
    assert [(name, _facts(body)["reason"]) for name, body in facts] == [("Ines", "no reason was given"), ("Omar", "the estate is on fire")]


def test_the_same_position_again_changes_nothing():
    turned("no_new")
    assert turned("no_new", by="omar").by_id == turned("no_new", by="ines").by_id
    assert AuditEntry.objects.filter(verb="killswitch.set").count() == 1


@pytest.mark.parametrize(("at", "to"), [("no_new", "off"), ("nothing", "no_new"), ("nothing", "off")])
def test_milder_takes_two_different_people(at, to):
    turned(at)
    with pytest.raises(TakesTwo):
        turned(to, by="mara")
    switching.ask_lift(to, "it was a drill", actor=cast.person("mara"))
    assert switch.position() == at
    with pytest.raises(NotYourSwitch):
        switching.lift(cast.person("mara"))
    switching.lift(cast.person("mia"), seen=to)
    assert switch.position() == to
    entry = AuditEntry.objects.get(verb="killswitch.lifted")
    assert (entry.actor_name, _facts(entry.body)["asked_by"]) == ("Mia", "Mara")


def test_the_database_compares_the_two():
    turned("nothing")
    switching.ask_lift("off", "it was a drill", actor=cast.person("mara"))
    asked = KillSwitch.objects.get()
    for position, by in [("off", asked.lift_by_id), ("no_new", asked.lift_by_id)]:
        with pytest.raises(IntegrityError), transaction.atomic():
            KillSwitch.objects.update(position=position, by=by, lift_to=position)
    with pytest.raises(IntegrityError), transaction.atomic():
        KillSwitch.objects.update(position="off", lift_to="", lift_by=None)


def test_those_who_may_not_are_told_so():
    for name in ("enzo", "wren", "ada"):
        with pytest.raises(NotYourSwitch):
            turned("no_new", by=name)
    turned("no_new")
    with pytest.raises(NotYourSwitch):
        switching.ask_lift("off", "please", actor=cast.person("ines"))
    with pytest.raises(NotYourSwitch):
        switching.turn("nothing", "", actor=cast.detector())


def test_whoever_asked_withdraws_and_nobody_else():
    turned("no_new")
    with pytest.raises(BadInput):
        switching.ask_lift("off", " ", actor=cast.person("mara"))
    with pytest.raises(NothingAsked):
        switching.lift(cast.person("mia"))
    switching.ask_lift("off", "it was a drill", actor=cast.person("mara"))
    with pytest.raises(AlreadyAsked):
        switching.ask_lift("off", "me too", actor=cast.person("mia"))
    with pytest.raises(NotYourSwitch):
        switching.withdraw_lift(actor=cast.person("mia"))
    switching.withdraw_lift(actor=cast.person("mara"))
    with pytest.raises(NothingAsked):
        switching.lift(cast.person("mia"))


def test_what_was_asked_is_void_once_it_is_turned_harder_or_asked_otherwise():
    turned("no_new")
    switching.ask_lift("off", "it was a drill", actor=cast.person("mara"))
    turned("nothing", by="mara")
    with pytest.raises(NothingAsked):
        switching.lift(cast.person("mia"))
    with pytest.raises(NotMilder):
        switching.ask_lift("nothing", "hm", actor=cast.person("mara"))
    switching.ask_lift("no_new", "a little", actor=cast.person("mara"))
    with pytest.raises(AskChanged):
        switching.lift(cast.person("mia"), seen="off")


# -- what waits --------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def house() -> Iterator[None]:
    nowhere = {"use": "postgres", "dsn": "postgresql://nobody@127.0.0.1:1/estate"}
    registry.configure(settings.CONNECTORS | {"postgres": nowhere}, gate=Gate())
    make.house()
    yield
    registry.configure(settings.CONNECTORS, gate=Gate())


def paying(kind: str = "payment") -> None:
    """An identity whose sessions people are asked about."""
    identity = make.identity("payments_writer", known_networks=[], owner_team="payments-team")
    make.workflow("payments", [{"action": "data.write", "resource": "payments.*"}])
    make.session(identity, "pay-main", workflow="payments")
    make.designation(identity, "pay-main", kind, schemas=["payments"])


@pytest.mark.parametrize("position", ["no_new", "nothing"])
def test_what_would_be_contained_is_recorded_waits_and_is_contained_once_it_is_off(house, position):
    turned(position)
    make.identity("etl_reader")
    held_back = make.detected("etl_reader")
    assert (held_back.verdict, held_back.would_have, held_back.run) == ("watch", "contain", None)
    assert "Held back by the kill switch" in held_back.because
    assert held_back.case is not None
    detection = held_back.detection
    assert (detection.state, detection.next_at is not None) == ("received", True)
    assert flow.decide_due(detection.pk) is None
    assert (Run.objects.count(), ContainmentSpend.objects.count(), Decision.objects.count()) == (0, 0, 1)

    switched_off()
    detection.refresh_from_db()
    assert detection.next_at is not None
    assert detection.next_at <= clock.now()
    again = flow.decide_due(detection.pk)
    assert again is not None
    assert (again.verdict, again.generation, again.cause) == ("contain", 1, flow.SWITCHED_OFF)
    assert again.case is not None
    assert (again.case, again.case.detections_seen) == (held_back.case, 1)
    assert (Run.objects.count(), ContainmentSpend.objects.count()) == (1, 1)


def test_what_would_be_held_waits_too_and_is_asked_once_it_is_off(house):
    paying()
    turned("no_new")
    held_back = make.detected("payments_writer", session=None)
    assert (held_back.verdict, held_back.would_have, Hold.objects.count()) == ("watch", "hold", 0)
    switched_off()
    again = flow.decide_due(held_back.detection_id)
    assert again is not None
    assert (again.verdict, make.hold_of(again).state) == ("hold", "open")


def test_what_would_only_be_watched_is_watched_and_does_not_wait(house):
    turned("no_new")
    make.identity("etl_reader")
    quiet = make.detected("etl_reader", confidence=0.1, claims=[], severity="low")
    assert (quiet.verdict, quiet.would_have, quiet.detection.state) == ("watch", "", "decided")


def test_a_live_run_is_not_raised_while_it_is_on(house):
    make.identity("etl_reader")
    soft = make.detected("etl_reader", confidence=0.35, severity="medium")
    assert (soft.verdict, soft.stage) == ("contain", "soft")
    turned("no_new")
    worse = make.detected("etl_reader")
    assert (worse.verdict, Run.objects.get().stage, worse.detection.state) == ("covered", "soft", "received")
    switched_off()
    flow.decide_due(worse.detection_id)
    assert Run.objects.get().stage == "hard"


def test_a_cool_off_does_not_end_with_the_switch(house):
    make.identity("etl_reader")
    first = make.run_of(make.detected("etl_reader"))
    Run.objects.filter(pk=first.pk).update(state="contained")
    flow.undo_run(first.pk, actor=cast.person("mara"), reason="a false alarm")
    Run.objects.filter(pk=first.pk).update(state="undone", next_at=None)
    turned("no_new")
    again = make.detected("etl_reader")
    assert (again.verdict, again.would_have) == ("watch", "")
    switched_off()
    assert Run.objects.count() == 1


@pytest.mark.fault("G4")
def test_a_storm_under_it_starts_nothing_and_loses_nothing(house):
    turned("no_new")
    names = [f"role_{number}" for number in range(12)]
    for name in names:
        make.identity(name)
        make.detected(name)
    Detection.objects.update(next_at=clock.now())
    sweep.sweep_once()
    assert (Run.objects.count(), Hold.objects.count(), Decision.objects.count()) == (0, 0, len(names))
    assert not Detection.objects.filter(next_at__lte=clock.now()).exists()  # and nothing keeps the sweepers busy
    switched_off()
    for _ in names:
        sweep._detections()
    assert Run.objects.count() == len(names)
    assert not Detection.objects.exclude(state="decided").exists()


# -- what people may say, and what silence means ------------------------------------------------------------------------------------------


def test_contain_now_is_refused_and_leave_it_running_is_not(house):
    paying()
    hold = make.hold_of(make.detected("payments_writer", session=None))
    turned("no_new")
    with pytest.raises(KillSwitchOn, match="You can say no"):
        flow.answer_hold(hold.pk, "approve", actor=cast.person("omar"), seen_digest=hold.plan_digest)
    hold.refresh_from_db()
    assert (hold.state, hold.answers.count()) == ("open", 0)
    flow.answer_hold(hold.pk, "reject", actor=cast.person("omar"), seen_digest=hold.plan_digest, reason="month end")
    hold.refresh_from_db()
    assert hold.state == "rejected"


@pytest.mark.fault("I12")
@pytest.mark.parametrize("position", ["no_new", "nothing"])
def test_a_deadline_that_passes_under_it_ends_nothing_however_often(house, position):
    paying("long_running_job")
    hold = make.hold_of(make.detected("payments_writer", session=None))
    assert hold.on_lapse == "contain"
    turned(position)
    for _ in range(3):
        make.deadline_passed(hold)
        hold = flow.lapse_hold(hold.pk)
        assert (hold.state, hold.lapsed_to) == ("open", "escalated")
        assert hold.deadline > clock.now()
    assert make.run_of(hold.decisions.get()).state == "waiting"


def test_a_deadline_that_passed_under_it_and_is_found_after_it_ends_nothing_either(house):
    paying("long_running_job")
    hold = make.hold_of(make.detected("payments_writer", session=None))
    assert hold.on_lapse == "contain"
    turned("no_new")
    make.deadline_passed(hold)
    switched_off()
    assert flow.lapse_hold(hold.pk).state == "open"
    Hold.objects.filter(pk=hold.pk).update(deadline=clock.now())  # the next one is its own
    assert flow.lapse_hold(hold.pk).lapsed_to == "contain"
