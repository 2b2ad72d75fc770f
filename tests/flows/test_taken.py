"""What was already taken: listed, open until cut or settled by a person; a credential that was read is judged for its owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from audit import clock
from audit.models import AuditEntry
from containment import cases, flow, taken
from containment.models import Activity, Case, Credential, Detection, Identity, Resource, Source, Taken
from containment.refusals import NotThePerson, NotYetSettled
from core.refusals import BadInput
from playbooks.models import Run
from tests import cast, make

pytestmark = pytest.mark.django_db

SECRET = {"kind": "secret", "id": "vault.role_passwords/payments_writer"}


@pytest.fixture(autouse=True)
def plans() -> Iterator[None]:
    """Plans for PostgreSQL roles; no target is reached, since nothing here carries a run out."""
    from django.conf import settings

    from connectors import registry
    from containment.gate import Gate

    nowhere = {"use": "postgres", "dsn": "postgresql://nobody@127.0.0.1:1/estate"}
    registry.configure(settings.CONNECTORS | {"postgres": nowhere}, gate=Gate())
    yield
    registry.configure(settings.CONNECTORS, gate=Gate())


def house() -> tuple[Identity, Identity]:
    make.house()
    etl = make.identity("etl_reader")
    pay = make.identity("payments_writer", owner_team="payments-team")
    make.session(pay, "pay-main")
    make.designation(pay, "pay-main", schemas=["payments"], reconnect=True)
    return etl, pay


def case_of(decision: Any) -> Case:
    assert decision.case is not None
    return Case.objects.get(pk=decision.case_id)


def as_if_contained(run: Run) -> None:
    """The run came to rest, as far as the rows can tell."""
    run.steps.filter(disruptive=True).update(state="done", performed=True)
    Run.objects.filter(pk=run.pk).update(state="contained", contained_at=clock.now(), finished_at=clock.now(), next_at=None)


def test_a_credential_that_was_read_is_listed_and_held_and_its_line_closes_when_a_run_cuts_it():
    house()
    decision = make.detected("etl_reader", resource=SECRET)
    assert decision.verdict == "contain"
    taken.gather(case_of(decision).pk)
    line = Taken.objects.get()
    credential = Credential.objects.get(name="payments_writer")
    assert (line.kind, line.state, line.about_ref) == ("secret_read", "open", str(credential.ref))
    assert (credential.exposed_at, credential.exposure_verified) == (line.first_at, False)

    held = flow.decide(Detection.objects.get(source__name="taken").pk)
    assert (held.verdict, held.detection.identity.subject) == ("hold", "payments_writer"), held.because
    assert make.hold_of(held).reason_class == "payment"

    taken.gather(case_of(decision).pk)
    assert (Taken.objects.count(), Detection.objects.filter(source__name="taken").count()) == (1, 1)

    hold = make.hold_of(held)
    flow.answer_hold(hold.pk, "approve", actor=cast.person("omar"), seen_digest=hold.plan_digest, reason="it is stolen")
    as_if_contained(make.run_of(held))
    taken.gather(case_of(decision).pk)
    line.refresh_from_db()
    assert (line.state, line.cut_by_ref) == ("cut", str(make.run_of(held).ref))
    assert AuditEntry.objects.filter(verb="taken.cut").exists()

    flow.undo_run(make.run_of(held).pk, actor=cast.person("mara"), reason="it has to work again")
    taken.gather(case_of(decision).pk)
    line.refresh_from_db()
    assert (line.state, line.cut_by_ref) == ("open", "")


def test_somebody_elses_credential_is_never_more_than_held_on_this_word():
    house()
    make.identity("reports")
    decision = make.detected("etl_reader", resource={"kind": "secret", "id": "vault/reports"})
    taken.gather(case_of(decision).pk)
    held = flow.decide(Detection.objects.get(source__name="taken").pk)
    assert (held.verdict, make.hold_of(held).reason_class) == ("hold", "ceiling"), held.because


@pytest.mark.parametrize(
    ("key", "kind", "store", "opens"),
    [
        ("vault/payments_writer", "secret", "", True),
        ("vault.keys/p7", "secret", "postgres/vault.keys/p7", True),
        ("vault.keys/p7", "table", "postgres/vault.keys/p7", True),
        ("payments_writer", "table", "", False),  # a table of that name is no secret of that name
        ("vault/etl_reader", "secret", "", False),  # its own
        ("vault/nobody", "secret", "", False),
    ],
)
def test_what_a_secret_opens_is_what_the_inventory_says(key, kind, store, opens):
    etl, _ = house()
    Credential.objects.filter(name="payments_writer").update(store=store)
    found = taken.opens(Resource(kind=kind, key=key), etl)
    assert (found is not None and found.name == "payments_writer") is opens


def test_a_case_stays_open_until_a_person_settled_what_was_taken():
    house()
    decision = make.detected("etl_reader")
    as_if_contained(make.run_of(decision))
    case = cases.judge(case_of(decision).pk, "true_positive", "seen in the logs", actor=cast.person("ines"))
    with pytest.raises(NotYetSettled, match=r"etl_reader read table vault\.card_tokens"):
        cases.close(case.pk, actor=cast.person("mara"))
    line = Taken.objects.get()
    with pytest.raises(NotThePerson):
        taken.settle(line.pk, "cleared", "x", actor=cast.detector())
    with pytest.raises(BadInput):
        taken.settle(line.pk, "cleared", " ", actor=cast.person("ines"))
    settled = taken.settle(line.pk, "accepted", "the tokens are void since noon", actor=cast.person("ines"))
    assert (settled.state, settled.settled_by_name) == ("accepted", "Ines")
    with pytest.raises(NotYetSettled, match="It was accepted at"):
        taken.settle(line.pk, "cleared", "again", actor=cast.person("mara"))
    assert cases.close(case.pk, actor=cast.person("mara")).state == "closed"


def test_rights_that_were_given_and_sessions_from_elsewhere_are_lines_of_the_case_and_what_was_before_is_not():
    etl, _ = house()
    decision = make.detected("etl_reader", action={"name": "data.read"}, claims=["identity_violation"], severity="critical")
    decision = decision if decision.case_id else make.detected("etl_reader", resource={"kind": "table", "id": "vault.card_tokens"})
    case = case_of(decision)
    feed = Source.objects.create(name="feed")
    role, now = Resource.objects.create(kind="role", key="admins"), clock.now()
    for at in (now, case.first_event_at.replace(year=2025)):
        Activity.objects.create(source=feed, identity=etl, resource=role, action="privilege.change", occurred_at=at, received_at=now)
    outside = make.session(etl, "psql")
    outside.origin = {"address": "203.0.113.9"}
    outside.save()
    make.session(etl, "etl-main")
    taken.gather(case.pk)
    lines = {(line.kind, line.key): line for line in Taken.objects.all()}
    assert ("grant_made", "role:admins") in lines
    assert ("session_elsewhere", "etl_reader:psql") in lines
    assert ("session_elsewhere", "etl_reader:etl-main") not in lines
    outside.ended_at = now
    outside.save()
    taken.gather(case.pk)
    assert Taken.objects.get(kind="session_elsewhere").state == "cut"


def test_the_duties_find_the_case_that_was_decided_about_just_now_and_once():
    house()
    make.detected("etl_reader", resource=SECRET)
    assert (taken.gather_soon(), taken.gather_soon()) == (1, 0)
    assert Taken.objects.count() == 1
    assert taken.gather_due() == 1


def test_every_case_has_its_turn_the_one_asked_about_longest_ago_first(monkeypatch):
    house()
    for name in ("etl_reader", "payments_writer"):
        make.detected(name, resource=SECRET, claims=["identity_violation"], severity="critical")
    first, second = Case.objects.order_by("last_event_at")
    monkeypatch.setattr(taken, "PER_ROUND", 1)
    for expected in (first, second, first):
        before = {case.pk: case.gathered_at for case in Case.objects.all()}
        assert taken.gather_due() == 1
        assert [case.pk for case in Case.objects.all() if case.gathered_at != before[case.pk]] == [expected.pk]


def test_a_run_that_was_accepted_after_half_an_undo_cuts_nothing():
    house()
    decision = make.detected("etl_reader", resource=SECRET)
    case = case_of(decision)
    taken.gather(case.pk)
    held = flow.decide(Detection.objects.get(source__name="taken").pk)
    hold = make.hold_of(held)
    flow.answer_hold(hold.pk, "approve", actor=cast.person("omar"), seen_digest=hold.plan_digest, reason="it is stolen")
    run = make.run_of(held)
    as_if_contained(run)
    taken.gather(case.pk)
    assert Taken.objects.get().state == "cut"
    Run.objects.filter(pk=run.pk).update(state="accepted", undo_at=clock.now())
    taken.gather(case.pk)
    assert Taken.objects.get().state == "open"
