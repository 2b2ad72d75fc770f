"""What a question is made into: a Reading, as every door makes one, the source that it counts for, and the same question asked before."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from approvals import groups
from approvals.models import Hold
from containment import intake, speaking
from containment.models import Resource, Source
from containment.refusals import OutOfSource
from core.actor import Actor
from core.refusals import BadInput, Fault
from guard.models import GuardCall
from guard.question import plain_name, request_of
from guard.verdicts import ASKED_AGAIN
from playbooks.models import Run
from sources.asking import Ask
from sources.authzen import PROVIDER
from sources.base import Reading

PREFIX = "call:"  # of the ids of detections that are made of calls
NO_RESOURCES = frozenset({"tool", "mcp_server"})  # what a call goes through, and not what it is about
SELDOM_RESOURCES = frozenset({"prompt", "task"})  # something that it is about only where the inventory knows it
LONGEST_TITLE = 300
FREED = " " * 2  # before the name of a request that was set free: no question can have it, what is read of its id is stripped


class RequestReused(BadInput):
    """The same request id came with another question."""

    code = "request_reused"
    kind = "malformed"


def provider_of(actor: Actor) -> str:
    """The provider of a subject that names none: the only one that the token's source may speak about, else our own."""
    if not actor.source:
        return PROVIDER
    providers = Source.objects.filter(name=actor.source).values_list("providers", flat=True).first()
    return providers[0] if providers and len(providers) == 1 else PROVIDER


def provider_for(message: Any, actor: Actor) -> str:
    """The same, looked up where the message names none: most do, and every call waits for this."""
    subject = message.get("subject") if isinstance(message, dict) else None
    properties = subject.get("properties") if isinstance(subject, dict) else None
    named = properties.get("provider") if isinstance(properties, dict) else None
    names_one = isinstance(named, str) and 0 < len(named.strip()) <= 200
    return PROVIDER if names_one else provider_of(actor)


def source_of(reading: Reading, actor: Actor) -> Source:
    return intake.source_of(reading, replace(actor, source=_name_of_source(actor)))


def own_source(actor: Actor) -> Source:
    """The same, whatever is spoken about."""
    source = Source.objects.filter(name=_name_of_source(actor)).first()
    if source is None:
        raise OutOfSource("This token speaks for no source that is set up. An engineer can add it.")
    return source


def _name_of_source(actor: Actor) -> str:
    """One of our own is set up by being needed."""
    name = speaking.source_name(actor)
    if name in speaking.CEILINGS:
        Source.objects.get_or_create(name=name, defaults={"ceiling": speaking.CEILINGS[name]})
    return name


def speaking_for(actor: Actor, source: Source) -> Actor:
    return replace(actor, source=source.name)


def reading(ask: Ask, key: UUID, *, now: datetime) -> Reading:
    """It claims nothing: what counts is what our facts say."""
    resource = _resource_of(ask)
    what = ask.tool or ask.action_name
    return Reading(
        external_id=f"{PREFIX}{key}",
        title=f"Asked to do {what}{f' on {resource}' if resource else ''}"[:LONGEST_TITLE],
        severity="low",
        confidence=0.0,
        occurred_at=now,
        identity_kind=ask.kind,
        identity_provider=ask.provider,
        identity_subject=ask.subject,
        action=ask.action,
        tool=ask.tool,
        arguments=ask.arguments,
        writes=ask.writes,
        bytes=ask.bytes,
        money=ask.money,
        session=ask.session,
        session_role=ask.role,
        session_workflow=ask.workflow,
        resource_kind=ask.resource_kind if resource else "",
        resource_id=resource,
        resource_system=ask.system if resource else "",
        context={name: said for name in ("source_ip", "environment", "tenant") if (said := getattr(ask, name))},
    )


def _resource_of(ask: Ask) -> str:
    if ask.resource_kind in NO_RESOURCES:
        return ""
    name = plain_name(ask.resource)
    seldom = ask.resource_kind in SELDOM_RESOURCES
    return "" if seldom and not Resource.objects.filter(kind=ask.resource_kind, key=name).exists() else name


def message(ask: Ask, reading: Reading) -> dict[str, Any]:
    """The question in the words of our own detection format, as it is kept."""
    action = {"name": reading.action, "tool": reading.tool, "arguments": dict(reading.arguments), "writes": reading.writes}
    told: dict[str, Any] = {
        "external_id": reading.external_id,
        "identity": {"kind": ask.kind, "provider": ask.provider, "subject": ask.subject},
        "session": {"id": reading.session, "role": reading.session_role, "workflow": reading.session_workflow},
        "action": {name: said for name, said in action.items() if said not in ("", None, {})},
        "resource": {"kind": ask.resource_type, "id": ask.resource, "system": ask.system},
        "context": dict(reading.context),
        "asked": {"action": ask.action_name, "request": ask.request},
    }
    return told


def hold_of(run: Run) -> Hold | None:
    """Where people are asked about a run, by itself or in a group."""
    alone = Hold.objects.filter(run_ref=str(run.ref), state="open").first()
    if alone is None and (member := groups.of_run(str(run.ref))) is not None:
        return member.hold
    return alone


def earlier(ask: Ask, actor: Actor, question: str, session: UUID | None, *, now: datetime) -> GuardCall | None:
    """The answer to this very request in this very session, as long as it is good. After that it is judged anew, under the same name."""
    name = request_of(ask)
    row = GuardCall.objects.filter(principal=actor.principal, asker=actor.asker, request=name).first() if name else None
    if row is None:
        return None
    if row.question != question and row.asked_at > now - ASKED_AGAIN:
        raise RequestReused([Fault("context.request_id", "reused", "This request id was used for another question. Give each its own.")])
    if row.question == question and row.session == session and now < row.expires_at:
        return row
    GuardCall.objects.filter(pk=row.pk, request=name).update(request=f"{FREED}{name}#{row.pk}")  # nothing, where somebody else was quicker
    return None
