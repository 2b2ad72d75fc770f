"""Makes rows that tests need: the policy and playbooks in force, an inventory, and detections posted through intake."""

from __future__ import annotations

import copy
import itertools
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from approvals.models import Hold
from audit import clock
from containment import fingerprints, flow, intake, policies, taken
from containment.domain.policy import Mode
from containment.models import (
    Backtest,
    BacktestSeen,
    Credential,
    CredentialUse,
    Decision,
    Designation,
    Identity,
    Resource,
    RiskPolicyVersion,
    Session,
    Source,
    Taken,
    WorkDocument,
)
from core.actor import Actor
from core.digest import digest
from playbooks import library
from playbooks.models import Run
from sources import native
from tests import again, cast

_numbers = itertools.count(1)

SAMPLE: dict[str, Any] = {
    "external_id": "a-1001",
    "occurred_at": "2026-11-22T10:00:00Z",
    "title": "Secret read outside task scope",
    "severity": "high",
    "confidence": 0.9,
    "claims": ["unexpected_secret_read"],
    "identity": {"kind": "service_account", "provider": "postgres", "subject": "etl_reader"},
    "session": {"id": "s-77", "role": "nightly-ingest", "workflow": "ingest"},
    "credential": {"kind": "db_role", "id": "etl_reader"},
    "action": {"name": "secret.read", "count": 3},
    "resource": {"kind": "table", "id": "vault.card_tokens"},
    "context": {"environment": "prod", "tenant": "acme", "source_ip": "203.0.113.9"},
}


def house(mode: Mode = Mode.ENFORCE, *, teaches: bool = False) -> None:
    """Policy and playbooks in force, a source, a team that answers, and the sensitive table. `teaches`: the source is a feed, too."""

    def made() -> None:
        cast.person("ines"), cast.person("omar"), cast.person("mara")
        policies.ship(mode=mode)
        library.ship()
        Source.objects.get_or_create(name="edr-prod", defaults={"teaches": teaches})
        Resource.objects.get_or_create(kind="table", key="vault.card_tokens", defaults={"sensitivity": "critical"})

    again.scene(("house", mode, teaches), made)


def identity(subject: str, *, provider: str = "postgres", kind: str = "service_account", **more: Any) -> Identity:
    made = Identity.objects.create(
        provider=provider,
        subject=subject,
        kind=kind,
        created_at=clock.now() - timedelta(days=400),
        **{"owner_team": "soc", "reach": "wide", "reach_from": "typed", "known_networks": ["127.0.0.0/8", "10.0.0.0/8"]} | more,
    )
    credential = Credential.objects.create(
        provider=provider, kind="db_role", fingerprint=fingerprints.of("db_role", subject), name=subject, created_at=clock.now()
    )
    CredentialUse.objects.create(credential=credential, identity=made)
    return made


def session(of: Identity, name: str, *, workflow: str = "", application: str = "", **more: Any) -> Session:
    return Session.objects.create(
        identity=of,
        external_id=name,
        workflow=workflow,
        credential=Credential.objects.filter(uses__identity=of).first(),
        environment=of.environment,
        drive=of.usual_drive,
        origin={"address": "127.0.0.1", "application": application or name},
        started_at=clock.now(),
        last_seen_at=clock.now(),
        **more,
    )


def workflow(name: str, scope: list[dict[str, str]], **body: Any) -> WorkDocument:
    author, approver = cast.person("enzo"), cast.person("mara")
    content = {"scope": scope, **body}
    return WorkDocument.objects.create(
        kind="workflow",
        name=name,
        version=1,
        body=content,
        digest=digest(content),
        state="in_force",
        author_id=UUID(author.principal),
        approver_id=UUID(approver.principal),
        drafted_at=clock.now(),
        in_force_at=clock.now(),
    )


def designation(of: Identity, session_name: str, kind: str = "payment", **must_go_on: Any) -> Designation:
    now = clock.now()
    return Designation.objects.create(
        identity=of,
        session_name=session_name,
        kind=kind,
        service="card payments",
        owner_team="payments-team",
        because="a minute without it costs more than a day of rework",
        must_go_on=must_go_on,
        requester_id=UUID(cast.person("enzo").principal),
        granter_id=UUID(cast.person("mara").principal),
        requested_at=now,
        granted_at=now,
        review_by=now + timedelta(days=60),
    )


def message(subject: str = "etl_reader", **changes: Any) -> dict[str, Any]:
    """The sample detection about `subject`, under a new external id unless one is given."""
    made = copy.deepcopy(SAMPLE)
    made["external_id"] = f"d-{next(_numbers)}"
    made["identity"]["subject"] = made["credential"]["id"] = subject
    made.update(changes)
    return {name: value for name, value in made.items() if value is not None}


def detected(subject: str = "etl_reader", *, actor: Actor | None = None, **changes: Any) -> Decision:
    """Post a detection through intake and decide it."""
    body = message(subject, **changes)
    received = intake.receive(native.read(body), body, actor=actor or cast.detector())
    return flow.decide(received.detection.pk)


def deadline_passed(hold: Hold) -> None:
    """As if nobody had answered until now."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE hold SET deadline = clock_timestamp() - interval '1 s' WHERE id = %s", [hold.pk])


def what_was_taken_settled(case_id: UUID) -> None:
    """As if Ines had looked into everything that was read before the cut: the sample detection tells of a secret."""
    taken.gather(case_id)
    for line in Taken.objects.filter(case_id=case_id, state="open"):
        taken.settle(line.pk, "cleared", "test data", actor=cast.person("ines"))


def run_of(decision: Decision) -> Run:
    assert decision.run is not None, decision.because
    return decision.run


def hold_of(decision: Decision) -> Hold:
    assert decision.hold is not None, decision.because
    return decision.hold


def backtest_seen(version: RiskPolicyVersion, *names: str, days: int = 30) -> Backtest:
    """A finished backtest of exactly this version over what was decided in these days, opened by these people."""
    now = clock.now()
    decided = Decision.objects.order_by("decided_at").values_list("decided_at", flat=True)
    since = now - timedelta(days=days)
    backtest = Backtest.objects.create(
        policy_text=version.text,
        policy_digest=version.digest,
        version=version,
        since=since,
        until=now,
        whole=bool(decided) and since <= decided[0],
        events=decided.filter(decided_at__gte=since).count(),
        state="done",
        made_at=now,
        finished_at=now,
    )
    for name in names:
        BacktestSeen.objects.create(backtest=backtest, person_id=UUID(cast.person(name).principal), seen_at=now)
    return backtest
