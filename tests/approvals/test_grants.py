"""An exception is asked for by one person and signed by another, ends by itself, and spares no more than its budget."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from approvals import grants
from approvals.models import ExceptionGrant
from approvals.refusals import AlreadyEnded, NotYours
from audit import clock
from audit.models import AuditEntry
from core.actor import CLOCK, Actor, ActorKind
from core.ids import uuid7
from core.lifecycle import NoSuchMove
from core.refusals import BadInput, Forbidden, Missing
from tests.approvals.rows import person

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def analyst():
    return person("omar")


def manager():
    return person("ines", roles=("manager",))


def asked(actor=None, **changes) -> ExceptionGrant:
    now = clock.now()
    return grants.ask(
        **{
            "scope": {"identity": "i-1"},
            "reason": "month-end close reads everything",
            "ticket": "FIN-7",
            "starts_at": now,
            "ends_at": now + DAY,
            "budget_count": 2,
            "budget_risk": 100,
            "actor": actor or analyst(),
            "longest": 14 * DAY,
        }
        | changes
    )


def signed(**changes) -> ExceptionGrant:
    return grants.grant(asked(**changes).pk, actor=manager())


def time_passes(grant: ExceptionGrant) -> None:
    """As if it had been asked for two days ago, past the trigger that keeps it as it was signed."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        shift = "starts_at = starts_at - interval '2 days', ends_at = ends_at - interval '2 days'"
        cursor.execute(f"UPDATE exception_grant SET {shift} WHERE id = %s", [grant.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")


def verbs(grant: ExceptionGrant) -> list[str]:
    return list(AuditEntry.objects.filter(subject=str(grant.ref)).order_by("seq").values_list("verb", flat=True))


def covering(identity="i-1", at=None) -> list[ExceptionGrant]:
    return grants.covering(identity=identity, at=at or clock.now())


def test_it_spares_nothing_until_somebody_else_signed_it():
    grant = asked()
    assert covering() == []
    grants.grant(grant.pk, actor=manager())
    assert covering() == [grant]
    assert verbs(grant) == ["grant.asked", "grant.granted"]


def test_nobody_decides_on_what_they_asked_for():
    ines = manager()
    grant = asked(ines)
    for decide in (
        lambda: grants.grant(grant.pk, actor=ines),
        lambda: grants.refuse(grant.pk, "no", actor=ines),
        lambda: grants.revoke(grant.pk, "no", actor=ines),
    ):
        with pytest.raises(NotYours):
            decide()
    assert ExceptionGrant.objects.get().state == "asked"


def test_a_token_asks_as_its_owner():
    ines = manager()
    token = Actor(ActorKind.TOKEN, "t-1", "script", ines.principal, frozenset({"exception.ask", "exception.grant"}))
    grant = asked(token)
    with pytest.raises(NotYours):
        grants.grant(grant.pk, actor=ines)
    with pytest.raises(Forbidden):
        grants.grant(asked().pk, actor=token)


def test_the_one_it_would_spare_does_not_sign_it():
    ines = manager()
    with pytest.raises(NotYours, match="the identity itself"):
        grants.grant(asked().pk, actor=ines, never={ines.principal: "the identity itself"})


@pytest.mark.parametrize("who", ["analyst", "clock"])
def test_only_a_manager_signs(who):
    with pytest.raises(Forbidden):
        grants.grant(asked().pk, actor=analyst() if who == "analyst" else CLOCK)


def test_who_may_not_ask_does_not_ask():
    with pytest.raises(Forbidden):
        asked(person("adam", roles=("auditor",)))
    with pytest.raises(Forbidden):
        asked(CLOCK)


def test_everything_wrong_with_a_request_is_said_at_once():
    now = clock.now()
    with pytest.raises(BadInput) as no:
        asked(scope={"action": "*"}, reason=" ", starts_at=now, ends_at=now + 15 * DAY, budget_count=0, budget_risk=float("inf"))
    assert [(fault.path, fault.code) for fault in no.value.faults] == [
        ("scope", "too_wide"),
        ("reason", "required"),
        ("ends_at", "too_long"),
        ("budget.count", "out_of_range"),
        ("budget.risk", "out_of_range"),
    ]
    assert not ExceptionGrant.objects.exists()


@pytest.mark.parametrize(
    ("start", "end", "codes"),
    [(0, 0, ["before_start", "past"]), (-3, -2, ["past"]), (2, 1, ["before_start"]), (0, 14, []), (5, 6, [])],
)
def test_it_ends_after_it_starts_and_not_in_the_past(start, end, codes):
    now = clock.now()
    times = {"starts_at": now + start * DAY, "ends_at": now + end * DAY}
    if not codes:
        assert asked(**times).state == "asked"
        return
    with pytest.raises(BadInput) as no:
        asked(**times)
    assert [fault.code for fault in no.value.faults] == codes


@pytest.mark.fault("D7")
def test_a_time_without_a_zone_is_no_time():
    with pytest.raises(BadInput) as no:
        asked(ends_at=(clock.now() + DAY).replace(tzinfo=None))
    assert [(fault.path, fault.code) for fault in no.value.faults] == [("ends_at", "no_time_zone")]


def test_it_covers_from_its_start_until_just_before_its_end():
    grant = signed()
    assert covering(at=grant.starts_at) == [grant]
    assert covering(at=grant.starts_at - timedelta(microseconds=1)) == []
    assert covering(at=grant.ends_at - timedelta(microseconds=1)) == [grant]
    assert covering(at=grant.ends_at) == []


def test_candidates_are_for_this_identity_or_for_any():
    this, any_one = signed(), signed(scope={"tenant": "acme"})
    signed(scope={"identity": "i-2"})
    assert {grant.pk for grant in covering()} == {this.pk, any_one.pk}


def test_spending_stops_at_the_count():
    grant = signed()
    assert [grants.spend(grant.pk, 10) for _ in range(3)] == [True, True, False]
    assert covering() == []
    assert verbs(grant).count("grant.spent") == 2


def test_spending_stops_at_the_risk():
    grant = signed(budget_count=10)
    assert [grants.spend(grant.pk, risk) for risk in (60.5, 39.6, 39.5)] == [True, False, True]
    assert ExceptionGrant.objects.get(pk=grant.pk).used_risk == Decimal("100.0")


def test_nothing_is_spent_from_an_exception_that_is_not_in_force():
    grant = signed()
    time_passes(grant)
    assert not grants.spend(grant.pk, 10)
    assert not grants.spend(asked().pk, 10)
    with pytest.raises(Missing):
        grants.spend(uuid7(), 10)


def test_it_ends_by_itself_whether_signed_or_not():
    granted, only_asked, lasting = signed(), asked(), signed()
    time_passes(granted)
    time_passes(only_asked)
    assert {grant.pk for grant in grants.end_due()} == {granted.pk, only_asked.pk}
    assert grants.end_due() == []
    assert ExceptionGrant.objects.get(pk=lasting.pk).state == "granted"
    assert verbs(granted)[-1] == verbs(only_asked)[-1] == "grant.ended"
    with pytest.raises(AlreadyEnded):
        grants.grant(only_asked.pk, actor=manager())


def test_what_nobody_signed_in_time_cannot_be_signed_any_more():
    grant = asked()
    time_passes(grant)
    with pytest.raises(AlreadyEnded):
        grants.grant(grant.pk, actor=manager())


def test_it_reminds_once_that_it_ends_soon():
    soon = signed()
    signed(ends_at=clock.now() + 5 * DAY)
    assert grants.remind_due() == [soon]
    assert grants.remind_due() == []


def test_revoking_ends_it_now_and_says_why():
    grant = signed()
    with pytest.raises(BadInput):
        grants.revoke(grant.pk, "", actor=manager())
    grants.revoke(grant.pk, "the close is done", actor=manager())
    assert covering() == []
    with pytest.raises(AlreadyEnded, match="revoked"):
        grants.revoke(grant.pk, "again", actor=manager())


def test_refused_is_refused():
    grant = asked()
    grants.refuse(grant.pk, "too long", actor=manager())
    with pytest.raises(AlreadyEnded):
        grants.grant(grant.pk, actor=manager())
    with pytest.raises(NoSuchMove):
        grants.refuse(signed().pk, "too late for that", actor=manager())


def test_only_the_requester_withdraws_and_only_what_is_not_signed():
    omar = analyst()
    grant = asked(omar)
    with pytest.raises(NotYours):
        grants.withdraw(grant.pk, actor=analyst())
    assert grants.withdraw(grant.pk, actor=omar).state == "withdrawn"
    with pytest.raises(NoSuchMove):
        grants.withdraw(signed(actor=omar).pk, actor=omar)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("granter_id = requester_id", "nobody_grants_their_own_exception"),
        ("used_count = budget_count + 1", "an_exception_spares_no_more_than_its_budget"),
        ("used_risk = budget_risk + 1", "an_exception_spares_no_more_than_its_budget"),
        ("state = 'granted'", "an_exception_in_force_was_signed"),
        ("ends_at = ends_at + interval '1 year'", "frozen"),
        ("scope = '{}'", "frozen"),
        ("budget_count = 1000", "frozen"),
        ("state = 'ended'", "an_exception_that_ended_says_when"),
    ],
)
def test_the_database_keeps_what_was_asked(change, said):
    grant = asked()
    with pytest.raises(IntegrityError, match=said), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE exception_grant SET {change} WHERE id = %s", [grant.pk])


def test_what_was_spent_is_spent():
    grant = signed()
    grants.spend(grant.pk, 10)
    with pytest.raises(IntegrityError, match="what was spent is spent"), transaction.atomic():
        ExceptionGrant.objects.filter(pk=grant.pk).update(used_count=0)
