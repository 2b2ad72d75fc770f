"""A leaked credential that nobody used yet condemns the credential, never whoever it belongs to; and who is protected, is so by it too."""

from __future__ import annotations

from typing import Any

import pytest

from audit import clock
from containment import flow
from containment.models import ContainmentSpend, Credential, CredentialUse
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)

AGENT: dict[str, Any] = {"kind": "ai_agent", "provider": "agents", "subject": "invoice-agent"}
QUIET: dict[str, Any] = {
    "identity": AGENT,
    "resource": None,
    "credential": None,
    "claims": [],
    "severity": "low",
    "confidence": 0.1,
    "action": {"name": "data.read"},
    "session": {"id": "inv-1"},
    "context": {"environment": "prod", "source_ip": "127.0.0.1"},
}


def exposed(subject: str) -> None:
    Credential.objects.filter(name=subject).update(exposed_at=clock.now(), exposure_verified=True)


def with_agent() -> None:
    make.house()
    make.session(make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow"), "inv-1")


def measures(run) -> set[str]:
    return {step["measure"] for stage in run.plan.values() for step in stage}


def test_where_nothing_cuts_the_credential_alone_a_person_is_asked_and_the_agent_goes_on(drive):
    with_agent()
    exposed("invoice-agent")
    decision = make.detected("invoice-agent", **QUIET)
    assert (decision.verdict, decision.stage) == ("hold", "hard"), decision.because
    assert "no measure of the plan cuts that alone" in decision.because
    assert measures(make.run_of(decision)) == {"evidence.preserve"}
    assert not ContainmentSpend.objects.exists()
    hold = make.hold_of(decision)
    flow.answer_hold(hold.pk, "approve", actor=cast.person("omar"), seen_digest=hold.plan_digest)
    assert drive(make.run_of(decision).pk).state == "needs_human"


def test_what_is_found_later_does_not_wait_behind_that_question():
    with_agent()
    exposed("invoice-agent")
    asked = make.detected("invoice-agent", **QUIET)
    Credential.objects.update(exposed_at=None)
    decision = make.detected("invoice-agent", identity=AGENT, credential=None, severity="critical", confidence=1.0)
    assert (decision.verdict, decision.stage) == ("contain", "hard"), decision.because
    hold, run = make.hold_of(asked), make.run_of(asked)
    hold.refresh_from_db()
    run.refresh_from_db()
    assert (hold.state, run.state) == ("superseded", "withdrawn")
    assert measures(make.run_of(decision)) == {"evidence.preserve", "session.restrict", "session.pause", "session.terminate"}


def test_a_credential_that_can_be_cut_alone_is_and_nothing_else(role):
    make.house()
    etl = make.identity("etl_reader")
    make.session(etl, "s-77")
    role("etl_reader")
    exposed("etl_reader")
    same = {"kind": "service_account", "provider": "postgres", "subject": "etl_reader"}
    decision = make.detected("etl_reader", **QUIET | {"identity": same, "session": {"id": "s-77"}})
    assert (decision.verdict, decision.stage) == ("contain", "hard"), decision.because
    assert measures(make.run_of(decision)) == {"evidence.preserve", "credential.rotate", "credential.revoke"}


def test_a_soft_run_about_something_else_does_not_end_the_agent_for_it(drive):
    with_agent()
    mild = QUIET | {
        "confidence": 0.6,
        "severity": "high",
        "claims": ["unexpected_secret_read"],
        "action": {"name": "secret.read", "count": 3},
    }
    run = make.run_of(make.detected("invoice-agent", **mild))
    exposed("invoice-agent")
    decision = make.detected("invoice-agent", **QUIET)
    run.refresh_from_db()
    assert (decision.verdict, run.stage) == ("covered", "soft")


@pytest.fixture
def shared():
    """One credential of two identities, and the other of them."""
    make.house()
    make.identity("etl_reader")
    other = make.identity("breakglass_reader")
    CredentialUse.objects.create(credential=Credential.objects.get(name="etl_reader"), identity=other)
    return other


def protect(identity) -> None:
    identity.protected, identity.protected_because = True, "break-glass"
    identity.save()


def test_a_protected_user_of_the_credential_asks_two_people(shared):
    protect(shared)
    decision = make.detected("etl_reader", session=None)
    assert (decision.verdict, make.hold_of(decision).reason_class) == ("hold", "protected"), decision.because
    assert "uses the same credential and is protected" in decision.because
    assert not ContainmentSpend.objects.exists()


@pytest.mark.parametrize("what", ["another user", "the credential"])
def test_silence_contains_nobody_whose_credential_is_protected_by_now(shared, what):
    make.session(shared, "train-7")
    make.designation(shared, "train-7", kind="long_running_job")
    own = make.session(Credential.objects.get(name="etl_reader").uses.get(identity__subject="etl_reader").identity, "job-1")
    make.designation(own.identity, "job-1", kind="long_running_job")
    hold = make.hold_of(make.detected("etl_reader", session=None))
    assert (hold.reason_class, hold.in_the_end) == ("long_running_job", "contain")
    if what == "another user":
        protect(shared)
    else:
        Credential.objects.filter(name="etl_reader").update(protected=True)
    for _ in range(3):
        make.deadline_passed(hold)
        lapsed = flow.lapse_hold(hold.pk)
        if lapsed.state == "lapsed":
            break
    assert (lapsed.state, lapsed.lapsed_to) == ("lapsed", "release")
