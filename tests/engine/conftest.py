"""Engine tests act on the sandbox: a database that is not ours, misbehaves on order and counts what really happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from embedded.postgres import Postgres


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
    yield connector.target
    registry.configure(settings.CONNECTORS, gate=Gate())


@pytest.fixture
def started(sandbox: Any) -> Callable[..., Any]:
    """Starts a run of the given measures on a fresh subject."""
    from audit.record import telling
    from core.actor import SYSTEM
    from core.ids import uuid7
    from core.refs import Ref
    from playbooks import library, runs
    from playbooks.domain.document import parse
    from playbooks.domain.plan import plan_digest, render
    from playbooks.models import PlaybookVersion, Run

    def start(*measures: str, on_failure: str = "stop", subject: str = "") -> Run:
        subject = subject or f"subject-{uuid7()}"
        steps = "\n".join(f"    - {{measure: {measure}, on_failure: {on_failure}}}" for measure in measures)
        text = (
            f"name: p-{uuid7()}\nkinds: [service_account]\nevidence_waiver: the sandbox keeps its own ledger\n"
            f"stages:\n  soft:\n{steps}\n  hard:\n{steps}\nholds:\n  default: {{on_lapse: release}}\n"
        )
        with telling():
            version: PlaybookVersion = library._draft(text, actor=SYSTEM, author_id=None, shipped=True)
            target = {"provider": "sandbox", "kind": "service_account", "subject": subject, "identity": str(uuid7()), "facts": {}}
            plan = render(parse(text), target, library.ability_of)
            return runs.start(
                version,
                identity=Ref.to("identity", uuid7()),
                case=Ref.to("case", uuid7()),
                decision=Ref.to("decision", uuid7()),
                target=target,
                plan=plan,
                plan_digest=plan_digest(plan, target),
                stage="soft",
            )

    return start
