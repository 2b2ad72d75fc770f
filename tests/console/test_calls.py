"""The page of a call that a program asks about: what people read, what their words do, and what stands beside a case's hold."""

from __future__ import annotations

from typing import Any

import pytest

from approvals import holds, requests
from approvals.models import AccessRequest, Hold
from approvals.models.hold import ACCESS_REQUEST
from approvals.requests import Wish
from containment import reviewers
from containment.models import Identity
from core.actor import Actor, ActorKind
from core.digest import digest
from core.ids import uuid7
from tests import cast, make
from tests.approvals.rows import MINUTE
from tests.console.doors import HTMX, signed_in, words

pytestmark = pytest.mark.django_db

CALL: dict[str, Any] = {
    "what": "send_mail on finance@example.com",
    "who": "holdfast/invoice-agent",
    "tool": "send_mail",
    "action": "tools/call",
    "resource_type": "mailbox",
    "resource": "finance@example.com",
    "arguments": {"subject": "Invoice 4711", "attach": ["invoice.pdf"], "password": "[redacted]"},
    "writes": True,
    "session": "month-end",
}


def token() -> Actor:
    return Actor(ActorKind.TOKEN, "t", "invoice-agent token", principal=cast.person("enzo").principal)


def wish(of: Identity, run_ref: str = "", **more: Any) -> Wish:
    usual: dict[str, Any] = {
        "evaluation": uuid7(),
        "question": digest({"q": str(uuid7())}),
        "asks": CALL,
        "body_digest": "b",
        "identity_ref": str(of.ref),
        "run_ref": run_ref,
        "justification": "the invoice is due today",
        "never": reviewers.never_of_call(of, requester=token()),
    }
    return Wish(**usual | more)


def asked(**plan: Any) -> AccessRequest:
    agent = Identity.objects.filter(subject="invoice-agent").first() or make.identity("invoice-agent", provider="holdfast", kind="ai_agent")
    made = wish(agent)
    shown: dict[str, Any] = {
        "call": CALL,
        "scope": made.question,
        "covers": "one call",
        "until": "",
        "minutes": 60,
        "justification": made.justification,
        "emergency": False,
        "asked_by": "invoice-agent token",
        "client": {"name": "mail gateway"},
    }
    shown |= plan
    hold = holds.open(
        run_ref="",
        case_ref="",
        identity_ref=str(agent.ref),
        title=CALL["what"],
        because="Rule “mail is asked about”: agents may send mail once a person allowed it.",
        reason_class=ACCESS_REQUEST,
        plan=shown,
        plan_digest=digest(shown),
        terms=reviewers.for_call(agent, never=made.never),
        patience=30 * MINUTE,
        on_lapse="escalate",
        in_the_end="release",
        actor=token(),
    )
    return requests.ask(made, hold, actor=token())


def answer(name: str, hold: Hold, word: str, **more: str) -> Any:
    return signed_in(name).post(f"/holds/{hold.pk}/answer/", {"word": word, "plan_digest": hold.plan_digest, **more})


@pytest.fixture
def request_() -> AccessRequest:
    make.house()
    return asked()


def test_its_page_says_who_wants_what_with_which_arguments_how_long_and_why(request_: AccessRequest) -> None:
    text = words(signed_in("ines").get(f"/holds/{request_.hold_id}/"))
    for said in (
        "send_mail on finance@example.com",
        "holdfast/invoice-agent",
        "Invoice 4711",
        '["invoice.pdf"]',
        "[redacted]",
        "“the invoice is due today”",
        "This call, once, within 60 minutes of a yes",
        "any manager will be asked; if they are silent too, the call stays refused",
        "the token invoice-agent token, for mail gateway",
        "Allow this call",
        "Refuse",
    ):
        assert said in text, said
    assert "If contained" not in text


def test_the_queue_shows_it_among_the_others_without_a_risk(request_: AccessRequest) -> None:
    text = words(signed_in("ines").get("/"))
    assert "asks first" in text
    assert "send_mail on finance@example.com" in text


def test_allowing_and_refusing_on_the_page(request_: AccessRequest) -> None:
    other = asked()
    assert answer("ines", request_.hold, "approve").status_code == 302
    assert answer("ines", other.hold, "reject").status_code == 422  # why?
    said = signed_in("ines").post(
        f"/holds/{other.hold_id}/answer/",
        {"word": "reject", "plan_digest": other.hold.plan_digest, "reason": "not this vendor"},
        headers=HTMX,
    )
    assert "refused this call at" in said.content.decode()
    assert [requests.found(one.pk).state for one in (request_, other)] == ["approved", "denied"]
    assert "Ines allowed this call at" in words(signed_in("omar").get(f"/holds/{request_.hold_id}/"))


def test_whoever_asks_reads_why_they_cannot_answer(request_: AccessRequest) -> None:
    assert "being the owner of the token that asks" in words(signed_in("enzo").get(f"/holds/{request_.hold_id}/"))
    assert "Allow this call" not in words(signed_in("wren").get(f"/holds/{request_.hold_id}/"))


def test_a_yes_is_taken_back_on_the_page_with_a_reason(request_: AccessRequest) -> None:
    answer("ines", request_.hold, "approve")
    assert "not used yet" in words(signed_in("omar").get(f"/holds/{request_.hold_id}/"))
    where = f"/holds/{request_.hold_id}/approvals/{request_.pk}/revoke/"
    signed_in("omar").post(where, {"reason": " "})
    assert requests.found(request_.pk).revoked_at is None
    assert signed_in("wren").post(where, {"reason": "no"}).status_code == 403
    assert signed_in("omar").post(where, {"reason": "the vendor called"}).status_code == 302
    assert requests.found(request_.pk).revoked_at is not None
    assert "the vendor called" in words(signed_in("omar").get(f"/holds/{request_.hold_id}/"))


def test_the_hold_of_a_case_says_which_call_waits_for_it(postgres_plans: None) -> None:
    make.house()
    writer = make.identity("payments_writer")
    make.session(writer, "payments-loop", application="payments-loop")
    make.designation(writer, "payments-loop")
    hold = make.hold_of(make.detected("payments_writer", session=None))
    requests.ask(wish(writer, hold.run_ref, asks=CALL | {"who": str(writer)}), hold, actor=token())
    text = words(signed_in("omar").get(f"/holds/{hold.pk}/"))
    assert "payments_writer waits with this call: send_mail on finance@example.com" in text
    assert "Leaving it running lets this one call go through." in text
    assert "A program waits" in words(signed_in("omar").get("/"))
