"""Agent profiles and workflows: which work was approved. Drafting, approving, and the version that is in force.

A version never changes. It comes into force when somebody other than its author approves exactly the text that they read.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from audit import clock
from audit.record import record, story
from containment.domain.intent import Purpose
from containment.domain.members import Members
from containment.models import WorkDocument
from containment.models.identity import DRIVES
from containment.refusals import OwnApproval
from core.actor import Actor
from core.digest import digest
from core.refusals import BadInput, Fault, Forbidden, Missing, Refusal

KINDS = ("agent_profile", "workflow")
LONGEST_LIFE = 30 * 24 * 60  # minutes
PURPOSES = tuple(purpose.value for purpose in Purpose if purpose)
_ONE_TEXT = "one_text_per_work_document_version"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_BUDGET = re.compile(r"(calls|writes|bytes|money|targets)_per_(minute|hour|day|session)")


class NotAsRead(Refusal):
    """The version is not the text that its approver read."""

    code = "not_as_read"


class AlreadyDecided(Refusal):
    code = "already_ended"


def parse(body: Any, path: str = "body") -> dict[str, Any]:
    """The body with what was left out left out. BadInput names every fault with its path. What it leaves out allows nothing."""
    faults: list[Fault] = []
    read = _read(Members(body, path, faults))
    if faults:
        raise BadInput(faults)
    return read


@story
def draft(kind: str, name: str, body: Any, *, actor: Actor, path: str = "body") -> WorkDocument:
    """A new version. The text of the last one again is that one, not another version."""
    faults: list[Fault] = []
    if kind not in KINDS:
        faults.append(Fault("kind", "not_one_of", f"Must be one of {', '.join(KINDS)}."))
    if not NAME.fullmatch(name):
        faults.append(Fault("name", "wrong_form", "Small letters, digits, dots and hyphens, such as nightly-ingest."))
    content = _read(Members(body, path, faults))
    if faults:
        raise BadInput(faults)
    if not actor.principal:
        raise Forbidden("A draft needs an author, so that somebody else can approve it.")
    while True:
        last = latest(kind, name)
        if last is not None and last.digest == digest(content):
            return last
        document = WorkDocument(
            kind=kind,
            name=name,
            version=last.version + 1 if last else 1,
            body=content,
            digest=digest(content),
            author_id=UUID(actor.principal),
            drafted_at=clock.now(),
        )
        try:
            with transaction.atomic():
                document.save(force_insert=True)
        except IntegrityError as error:
            if _ONE_TEXT not in str(error):
                raise
            continue  # somebody drafted this version in the same instant: ours is the next one
        record("document.drafted", document.ref, actor=actor, **_facts(document))
        return document


@story
def approve(document_id: UUID, *, actor: Actor, seen_digest: str) -> WorkDocument:
    """Put a draft in force, provided it is the text the approver read, and not their own."""
    named = WorkDocument.objects.filter(pk=document_id).values("kind", "name").first()
    if named is None:
        raise Missing("There is no such agent profile or workflow.")
    # every version of one name is locked together, so that two approvals of two versions come one after the other
    versions = {one.pk: one for one in WorkDocument.objects.select_for_update(of=("self",)).filter(**named).order_by("pk")}
    document = versions[document_id]
    _may_approve(document, actor)
    if document.state != "draft":
        raise AlreadyDecided(f"{_called(document)} is {document.state.replace('_', ' ')} already.")
    if document.digest != seen_digest:
        raise NotAsRead(f"{_called(document)} is not the text you read. Read it again, then approve.")
    newer = [one for one in versions.values() if one.state == "in_force" and one.version > document.version]
    if newer:
        raise AlreadyDecided(f"{_called(newer[0])} is in force and newer. Draft the older text again if it should come back.")
    WorkDocument.objects.filter(kind=document.kind, name=document.name, state="in_force").update(state="superseded")
    document.state, document.in_force_at, document.approver_id = "in_force", clock.now(), UUID(actor.principal)
    document.save(update_fields=["state", "in_force_at", "approver"])
    record("document.approved", document.ref, actor=actor, **_facts(document))
    return document


def in_force(name: str, kind: str | None = None) -> WorkDocument | None:
    """The approved version. Where a workflow and an agent profile share a name, `kind` says which is meant."""
    found = WorkDocument.objects.filter(name=name, state="in_force")
    return (found.filter(kind=kind) if kind else found).order_by("kind").first()


def latest(kind: str, name: str) -> WorkDocument | None:
    """The last version that anybody wrote, approved or not."""
    return WorkDocument.objects.filter(kind=kind, name=name).order_by("-version").first()


def waiting() -> list[WorkDocument]:
    """Drafts that nobody has approved yet, oldest first."""
    return list(WorkDocument.objects.filter(state="draft").select_related("author").order_by("drafted_at"))


def _may_approve(document: WorkDocument, actor: Actor) -> None:
    if not (actor.is_person and actor.may("document.approve")):
        raise Forbidden("Agent profiles and workflows are approved by people with the right to do so.")
    if str(document.author_id) == actor.principal:
        raise OwnApproval(f"You wrote {_called(document)}. Somebody else has to approve it.")


def _called(document: WorkDocument) -> str:
    return f"Version {document.version} of the {document.kind.replace('_', ' ')} {document.name}"


def _facts(document: WorkDocument) -> dict[str, Any]:
    return {
        "version": document.version,
        "kind": document.kind.replace("_", " "),
        "name": document.name,
        "digest": document.digest,
    }


# -- the body -----------------------------------------------------------------------------------------------------------------------------


def _read(members: Members) -> dict[str, Any]:
    body: dict[str, Any] = {
        "scope": _scope(members),
        "drives": members.texts("drives", words=DRIVES),
        "roles": {name: _role(role) for name, role in members.named("roles")},
        "tools": [_tool(tool) for tool in members.each("tools")],
        "resources": members.texts("resources"),
        "systems": members.texts("systems"),
        "joins": _joins(members),
        "bounds": {tool: _bounds(arguments) for tool, arguments in members.named("bounds")},
        "budgets": _budgets(members),
        "environments": members.texts("environments"),
        "ttl_minutes": members.whole("ttl_minutes", 1, LONGEST_LIFE) if "ttl_minutes" in members else None,
    }
    members.finish()
    if members.is_mapping and not members.names():
        members.fault("", "empty", "Say at least what it may do: scope, or tools.")
    return {name: body[name] for name in body if name in members and body[name] is not None}


def _scope(members: Members) -> list[dict[str, str]]:
    return [
        {"action": rule.text("action", needed=True, longest=100), "resource": rule.text("resource", longest=300) or "*"}
        for rule in members.each("scope")
    ]


def _role(role: Members) -> dict[str, Any]:
    read: dict[str, Any] = {}
    if "scope" in role:
        read["scope"] = _scope(role)
    if purpose := role.text("purpose"):
        read["purpose"] = purpose
    return read


def _tool(tool: Members) -> dict[str, Any]:
    """`trusted`: what it returns may be acted on. `arguments`: what they are for, where their names do not say."""
    read: dict[str, Any] = {"name": tool.text("name", needed=True, longest=300), "writes": tool.flag("writes", needed=True)}
    if tool.flag("trusted"):
        read["trusted"] = True
    for kinds in tool.part("arguments"):
        read["arguments"] = {name: kinds.word(name, PURPOSES, needed=True) for name in kinds.names()}
    return read


def _joins(members: Members) -> list[list[str]]:
    """Which systems approved work may move between, both ways."""
    found: list[list[str]] = []
    for path, pair in members.items("joins"):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, str) and one.strip() for one in pair)):
            members.faults.append(Fault(path, "wrong_type", "Two names of systems are needed here, such as [postgres, mail]."))
        else:
            found.append([str(one) for one in pair])
    return found


def bounds_and_budgets(body: Any, path: str) -> tuple[dict[str, Any], list[Fault]]:
    """What a session may declare in the words of a profile: bounds and budgets."""
    faults: list[Fault] = []
    members = Members(body, path, faults)
    read = {"bounds": {tool: _bounds(arguments) for tool, arguments in members.named("bounds")}, "budgets": _budgets(members)}
    members.finish()
    return {name: said for name, said in read.items() if name in members}, faults


def _bounds(arguments: Members) -> dict[str, Any]:
    """What the arguments of one tool may be."""
    bounds: dict[str, Any] = {}
    for name in arguments.names():
        for bound in arguments.part(name):
            read: dict[str, Any] = {side: bound.whole(side, -(10**15), 10**15) for side in ("min", "max") if side in bound}
            if "one_of" in bound:
                read["one_of"] = bound.texts("one_of")
            if pattern := bound.text("like"):
                read["like"] = pattern
            if not read:
                bound.fault("", "empty", "Say min, max, one_of or like (a pattern such as *@example.org).")
            if read.get("min", -(10**16)) > read.get("max", 10**16):
                bound.fault("max", "out_of_range", "max is under min: no argument fits.")
            bounds[name] = read
    return bounds


def _budgets(members: Members) -> dict[str, int]:
    found: dict[str, int] = {}
    for budgets in members.part("budgets"):
        for name in budgets.names():
            found[name] = budgets.whole(name, 0, 10**15)
            if not _BUDGET.fullmatch(name):
                budgets.fault(
                    name, "unknown_member", "A budget is called calls, writes, bytes, money or targets, then _per_hour, _per_day …"
                )
    return found
