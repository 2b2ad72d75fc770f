"""Agents whose soft stage was carried out, and about whom people are asked for the hard one."""

from __future__ import annotations

from typing import Any

from approvals.models import Hold
from containment import ladder
from containment.models import Decision
from playbooks import library, runs
from playbooks.models import PlaybookVersion, Run
from tests import cast, make

AGENT: dict[str, Any] = {"kind": "ai_agent", "provider": "agents", "subject": "invoice-agent"}
MILD: dict[str, Any] = {
    "resource": None,
    "credential": None,
    "confidence": 0.6,
    "session": {"id": "inv-1"},
    "context": {"environment": "prod"},
}


def agent() -> None:
    make.house()
    make.session(make.identity("invoice-agent", provider="agents", kind="ai_agent", reach="narrow"), "inv-1")


def offers() -> None:
    """The agents' playbook says that people are asked for the hard stage although the soft one holds."""
    agent()
    text = PlaybookVersion.objects.get(name="ai-agent", state="in_force").text
    draft = library.draft(f"{text}ladder: {{unproven: hard, proven: hold}}\n", actor=cast.person("enzo"))
    library.approve(draft.pk, actor=cast.person("mara"), seen_digest=draft.digest)


def decided(**changes: Any) -> Decision:
    return make.detected("invoice-agent", identity=AGENT, **(MILD | changes))


def asked_since_it_did_not_hold() -> Hold:
    agent()
    run = make.run_of(decided())
    Run.objects.filter(pk=run.pk).update(terms={"unproven": "hold"})
    return _asked(run, state="partial", move="leave_partial", because="1 of 1 measures are not whole")


def offered_although_it_holds() -> Hold:
    offers()
    return _asked(make.run_of(decided()), state="done", move="contain", because="")


def _asked(run: Run, *, state: str, move: str, because: str) -> Hold:
    """As if its soft stage had been carried out, and looked at."""
    ticket = runs.claim(run.pk, executor="command")
    assert ticket is not None
    runs.begin(ticket, seen=Run.objects.get(pk=run.pk))
    assert run.steps.filter(disruptive=True).update(state=state, proof_level="introspected" if state == "done" else "")
    runs.finish(ticket, move, because=because, seen=Run.objects.get(pk=run.pk))
    assert ladder.ask_due() == 1
    return Hold.objects.get(run_ref=str(run.ref))
