"""The kill switch: one person makes it harder, two make it milder; while it is on nothing begins, and nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from audit.models import AuditEntry
from core.refusals import BadInput
from playbooks import switch, switching
from playbooks.models import KillSwitch
from playbooks.refusals import AlreadyAsked, AskChanged, NothingAsked, NotMilder, NotYourSwitch, TakesTwo
from tests import cast

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
