"""Designations: "business-critical, because". Asked for by one person, granted by another, looked at again within 90 days.

They are given to sessions and workflows of the inventory, never by a session's own client. What is granted makes judgement ask a person
first; what has ended does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from audit import clock
from audit.record import record, story
from containment import inventory
from containment.domain.members import Members
from containment.models import Designation, Identity
from containment.models.session import CLASSES
from containment.refusals import OwnApproval
from core.actor import Actor
from core.refusals import BadInput, Fault, Forbidden, Missing, Refusal

LONGEST = timedelta(days=90)
DEAREST = 2_000_000_000
_FACTS = ("service", "owner_team", "kind", "because", "stop_cost_per_hour", "restart_minutes", "safe_stop", "must_go_on")


class DesignationExists(Refusal):
    """The same was asked for already and waits for its answer."""

    code = "designation_exists"


class DesignationEnded(Refusal):
    code = "already_ended"


@story
def request(identity_id: UUID, said: Mapping[str, Any], *, actor: Actor, path: str = "") -> Designation:
    """Ask that a session or a workflow of an identity counts as business-critical. `said`: session or workflow, service, owner_team, class,
    because, stop_cost_per_hour, restart_minutes, safe_stop, must_go_on, review_by."""
    faults: list[Fault] = []
    members = Members(said, path, faults)
    wanted = describe(members, now=clock.now())
    members.finish()
    if faults:
        raise BadInput(faults)
    if not actor.principal:
        raise Forbidden("A request needs somebody who asks, so that somebody else can grant it.")
    identity = inventory.lock(identity_id)
    now = clock.now()
    same = _standing(identity, wanted)
    if any(one.granted_at is None for one in same):
        raise DesignationExists(f"{called(same[0])} waits for its answer already.")
    designation = Designation.objects.create(identity=identity, requester_id=UUID(actor.principal), requested_at=now, **wanted)
    facts = {"what": called(designation), "because": designation.because, "review_by": designation.review_by}
    record("designation.requested", designation.ref, actor=actor, about=[identity.ref], **facts)
    return designation


@story
def grant(designation_id: UUID, *, actor: Actor) -> Designation:
    """By another person than the one who asked. What it renews ends in the same moment."""
    designation = _locked(designation_id)
    if not (actor.is_person and actor.may("designation.grant")):
        raise Forbidden("Designations are granted by people with the right to do so.")
    if str(designation.requester_id) == actor.principal:
        raise OwnApproval("You asked for this. Somebody else has to grant it.")
    now = clock.now()
    if designation.ended_at is not None or designation.granted_at is not None:
        raise DesignationEnded("This request was answered already.")
    if designation.review_by <= now:
        raise DesignationEnded("The day it was to be reviewed has passed. Ask for it again.")
    for earlier in Designation.objects.filter(identity=designation.identity, granted_at__isnull=False, ended_at__isnull=True):
        if (earlier.session_name, earlier.workflow) == (designation.session_name, designation.workflow):
            _end(earlier, now, actor, "renewed")
    designation.granter_id, designation.granted_at = UUID(actor.principal), now
    designation.save(update_fields=["granter", "granted_at"])
    record("designation.granted", designation.ref, actor=actor, about=[designation.identity.ref], what=called(designation))
    return designation


@story
def end(designation_id: UUID, because: str, *, actor: Actor) -> Designation:
    """Takes the designation away, or the request back. Ending twice ends once."""
    designation = _locked(designation_id)
    own_request = designation.granted_at is None and str(designation.requester_id) == actor.principal
    if not (own_request or actor.may("designation.grant")):
        raise Forbidden("A designation is ended by people who may grant one; a request also by whoever asked.")
    if designation.ended_at is None:
        _end(designation, clock.now(), actor, because)
    return designation


def due_for_review(*, within: timedelta = timedelta(days=14)) -> list[Designation]:
    """Granted ones whose review is near or overdue, the most urgent first. They stand until somebody ends them: what is critical does not
    become cuttable because a date passed."""
    standing = Designation.objects.filter(granted_at__isnull=False, ended_at__isnull=True, review_by__lte=clock.now() + within)
    return list(standing.select_related("identity").order_by("review_by"))


def waiting() -> list[Designation]:
    """Requests that nobody has answered yet, oldest first."""
    asked = Designation.objects.filter(granted_at__isnull=True, ended_at__isnull=True)
    return list(asked.select_related("identity", "requester").order_by("requested_at"))


def describe(members: Members, *, now: datetime) -> dict[str, Any]:
    """What is said of a designation, by the name of its column. The caller finishes."""
    session, workflow = members.text("session"), members.text("workflow")
    if not session and not workflow:
        members.fault("session", "missing", "Name a session or a workflow.")
    return {
        "session_name": session,
        "workflow": workflow,
        "service": members.text("service", needed=True),
        "owner_team": members.text("owner_team", needed=True),
        "kind": members.word("class", CLASSES, needed=True),
        "because": members.text("because", needed=True, longest=2000),
        "stop_cost_per_hour": members.whole("stop_cost_per_hour", 0, DEAREST),
        "restart_minutes": members.whole("restart_minutes", 0, 60 * 24 * 365),
        "safe_stop": members.text("safe_stop", longest=2000),
        "must_go_on": _must_go_on(members),
        "review_by": _review_by(members, now),
    }


def is_asked(identity: Identity, wanted: Mapping[str, Any]) -> bool:
    """Whether exactly this stands or waits already. Its review date may differ: asking again does not put it off."""
    return any(all(getattr(one, name) == wanted[name] for name in _FACTS) for one in _standing(identity, wanted))


def _standing(identity: Identity, wanted: Mapping[str, Any]) -> list[Designation]:
    found = Designation.objects.filter(
        identity=identity, session_name=wanted["session_name"], workflow=wanted["workflow"], ended_at__isnull=True
    )
    return list(found.order_by("granted_at"))


def _must_go_on(members: Members) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for part in members.part("must_go_on"):
        if "schemas" in part:
            read["schemas"] = part.texts("schemas")
        if "reconnect" in part:
            read["reconnect"] = part.flag("reconnect")
    return read


def _review_by(members: Members, now: datetime) -> datetime:
    review_by = members.moment("review_by")
    if review_by is None:
        return now + LONGEST
    if not now < review_by <= now + LONGEST:
        members.fault("review_by", "out_of_range", f"A day within the next {LONGEST.days} days is needed here.")
        return now + LONGEST
    return review_by


def _end(designation: Designation, now: datetime, actor: Actor, because: str) -> None:
    designation.ended_at = now
    designation.save(update_fields=["ended_at"])
    facts = {"what": called(designation), "because": because}
    record("designation.ended", designation.ref, actor=actor, about=[designation.identity.ref], **facts)


def _locked(designation_id: UUID) -> Designation:
    """Its identity first: judgement reads designations under that lock."""
    identity_id = Designation.objects.filter(pk=designation_id).values_list("identity_id", flat=True).first()
    if identity_id is None:
        raise Missing("There is no such designation.")
    inventory.lock(identity_id)
    return Designation.objects.select_for_update(of=("self",)).select_related("identity").get(pk=designation_id)


def called(designation: Designation) -> str:
    return f"{designation.identity.subject}’s {designation.session_name or designation.workflow}"
