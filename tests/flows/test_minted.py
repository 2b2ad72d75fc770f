"""Credentials that sessions made: noted by whose word, open items of the case when the session is contained, suspicious when used."""

from __future__ import annotations

from typing import Any

import pytest

from audit import clock
from containment import cases, minted
from containment.domain.facts import Facts
from containment.domain.replay import restore
from containment.domain.signals.session_ttl import session_ttl
from containment.gate import Gate
from containment.models import Case, Credential, Decision, DetectionBody, MintedCredential, Session
from containment.refusals import NotThePerson
from core.refusals import BadInput
from playbooks.models import Run
from sources import native
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)

WHO = {"kind": "ai_agent", "provider": "agents", "subject": "builder"}
SECRET = "hk_live_0123456789abcdef"
CALM: dict[str, Any] = {"identity": WHO, "claims": [], "severity": "low", "confidence": 0.1, "resource": None, "credential": None}


@pytest.fixture
def session() -> Session:
    make.house()
    builder = make.identity("builder", provider="agents", kind="ai_agent", reach="narrow")
    return make.session(builder, "b-1", registered_by=cast.detector().principal)


def told(name: str = "b-1", **more: Any) -> Decision:
    action = {"name": "token.mint", "minted": {"kind": "api_key", "id": SECRET}}
    return make.detected("builder", **CALM | {"session": {"id": name}, "action": action} | more)


def contained(session: Session) -> Case:
    """The session stopped by a run of a case, as a run stops it."""
    decision = make.detected("builder", **CALM | {"session": {"id": session.external_id}, "confidence": 0.6, "severity": "high"})
    run = make.run_of(decision)
    Run.objects.filter(pk=run.pk).update(state="contained")
    Gate().set(str(session.identity_id), session.external_id, state="paused", because="stop", key="k")
    assert decision.case is not None
    return decision.case


def left(case: Case) -> list[str]:
    return [one for one in cases.open_items(case) if "was made by the contained session" in one]


def test_what_a_session_made_is_noted_and_its_secret_is_kept_nowhere(session: Session) -> None:
    told(external_id="m-1")
    line = MintedCredential.objects.get()
    assert (line.session, line.vouched, line.told_by, line.credential.minted_by) == (session, True, "edr-prod", session)
    assert SECRET not in DetectionBody.objects.get(detection__external_id="m-1").content
    assert SECRET not in line.credential.name


def test_a_strangers_word_is_a_claim_and_makes_nobody_the_maker(session: Session) -> None:
    Session.objects.filter(pk=session.pk).update(registered_by="somebody-else")
    told()
    line = MintedCredential.objects.get()
    assert (line.vouched, line.credential.minted_by) == (False, None)
    Session.objects.filter(pk=session.pk).update(registered_by=cast.detector().principal)
    told()
    assert MintedCredential.objects.get().vouched


@pytest.mark.parametrize("minted_", ["a text", {"kind": "api_key"}, {"kind": "api_key", "id": 5}, {"kind": "", "id": "x"}])
def test_a_mint_that_makes_no_sense_is_refused_with_its_place(minted_: Any) -> None:
    with pytest.raises(BadInput) as refused:
        native.read(make.message(action={"name": "token.mint", "minted": minted_}))
    assert all(fault.path.startswith("action.minted") for fault in refused.value.faults)
    with pytest.raises(BadInput):
        native.read(make.message(action={"name": "data.read", "minted": {"kind": "api_key", "id": "x"}}))


def test_the_case_stays_open_until_somebody_says_what_became_of_it(session: Session) -> None:
    told()
    case = contained(session)
    assert len(left(case)) == 1
    line = minted.left_standing(case)[0]
    with pytest.raises(NotThePerson):
        minted.settle(line.pk, "cut", "deleted at the provider", actor=cast.detector())
    settled = minted.settle(line.pk, "cut", "deleted at the provider", actor=cast.person("ines"))
    assert (settled.state, settled.settled_by_name, left(case)) == ("cut", "Ines", [])


def test_what_a_child_made_counts_too_and_a_new_secret_settles_it(session: Session) -> None:
    make.session(session.identity, "b-2", parent=session, registered_by=cast.detector().principal)
    told("b-2")
    case = contained(session)
    assert len(left(case)) == 1
    Credential.objects.filter(mints__isnull=False).update(rotated_at=clock.now())
    assert left(case) == []


def test_its_use_after_its_maker_was_stopped_is_suspicious(session: Session) -> None:
    told()
    use: dict[str, Any] = {"credential": {"kind": "api_key", "id": SECRET}, "session": None, "action": {"name": "data.read"}}

    def found() -> str:
        facts: Facts = restore(told(**use).facts)
        finding = session_ttl(facts)
        return finding.because if finding is not None and finding.strength else ""

    assert found() == ""
    Gate().set(str(session.identity_id), "b-1", state="paused", because="stop", key="k")
    assert found() == "The credential was made by the session b-1, which is paused, and is used all the same."
