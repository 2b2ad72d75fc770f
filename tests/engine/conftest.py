"""Engine tests act on the sandbox: a database that is not ours, misbehaves on order and counts what really happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from embedded.postgres import Postgres


@pytest.fixture(autouse=True)
def lease_without_renewal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a test that is rolled back no other connection sees the run, so nobody could renew its lease: it is a long one."""
    from datetime import timedelta

    from playbooks import engine, runs

    marker = request.node.get_closest_marker("django_db")
    if marker is not None and not marker.kwargs.get("transaction"):
        monkeypatch.setattr(engine, "RENEW_EVERY_S", 600.0)
        monkeypatch.setattr(runs, "LEASE", timedelta(minutes=10))


@pytest.fixture
def sandbox(estate: Postgres) -> Iterator[Any]:
    """The sandbox target, with its connector registered for the provider `sandbox`."""
    from django.conf import settings

    from connectors import registry
    from connectors.sandbox import SandboxConnector
    from containment.gate import Gate

    connector = SandboxConnector(dsn=estate.dsn("estate"))
    connector.target.create()
    registry.register("sandbox", connector)
    with connector.target.kept_open():
        yield connector.target
    registry.configure(settings.CONNECTORS, gate=Gate())


@pytest.fixture
def started(sandbox: Any) -> Callable[..., Any]:
    """Starts a run of the given measures on a fresh subject; its hard stage is `hard`, or the same measures."""
    from audit.record import telling
    from playbooks import runs
    from playbooks.models import Run

    def start(
        *measures: str,
        hard: Sequence[str] = (),
        on_failure: str = "stop",
        subject: str = "",
        waived: bool = True,
        terms: dict[str, Any] | None = None,
    ) -> Run:
        with telling():
            given = _planned(soft=measures, hard=hard or measures, on_failure=on_failure, subject=subject, waived=waived)
            return runs.start(**given, terms=terms, stage="soft")

    return start


@pytest.fixture
def held(sandbox: Any) -> Callable[..., Any]:
    """Prepares a run that waits for people: the given measures while it waits, and `approved` afterwards."""
    from audit.record import telling
    from playbooks import runs
    from playbooks.models import Run

    def hold(*interim: str, approved: Sequence[str] = ("workload.isolate",), on_failure: str = "stop", subject: str = "") -> Run:
        with telling():
            given = _planned(soft=interim, hard=approved, on_failure=on_failure, subject=subject)
            given["plan"] = {"interim": given["plan"]["soft"], "soft": given["plan"]["hard"], "hard": given["plan"]["hard"]}
            return runs.prepare(**given, stage="hard", interim=True)

    return hold


def _planned(*, soft: Sequence[str], hard: Sequence[str], on_failure: str, subject: str, waived: bool = True) -> dict[str, Any]:
    """What runs.start and runs.prepare take, for a playbook of these measures. Inside a story."""
    from core.actor import SYSTEM
    from core.ids import uuid7
    from core.refs import Ref
    from playbooks import library
    from playbooks.domain.document import parse
    from playbooks.domain.plan import plan_digest, render

    waiver = "evidence_waiver: the sandbox keeps its own ledger\n" if waived else ""
    text = (
        f"name: p-{uuid7()}\nkinds: [service_account]\n{waiver}"
        f"stages:\n  soft:\n{_steps(soft, on_failure)}\n  hard:\n{_steps(hard, on_failure)}\nholds:\n  default: {{on_lapse: release}}\n"
    )
    target = {
        "provider": "sandbox",
        "kind": "service_account",
        "subject": subject or f"subject-{uuid7()}",
        "identity": str(uuid7()),
        "facts": {},
    }
    version = library._draft(text, actor=SYSTEM, author_id=None, shipped=True)
    plan = render(parse(text), target, library.ability_of)
    return {
        "playbook": version,
        "identity": Ref.to("identity", uuid7()),
        "case": Ref.to("case", uuid7()),
        "decision": Ref.to("decision", uuid7()),
        "target": target,
        "plan": plan,
        "plan_digest": plan_digest(plan, target),
    }


def _steps(measures: Sequence[str], on_failure: str) -> str:
    return "\n".join(f"    - {{measure: {measure}, on_failure: {on_failure}}}" for measure in measures)
