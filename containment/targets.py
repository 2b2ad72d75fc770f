"""Targets: the frozen copy of what a run acts on, and which sessions its plan would cut. Plain JSON values only.

`spare` are origins that must go on, `only` the origins of the one workflow that is cut, `must_go_on` what an interim stage may never touch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from containment.domain.bystanders import Bystander
from containment.domain.cut import Level, misbehaving_workflow
from containment.domain.facts import Facts, Stage
from containment.domain.families import Pattern
from containment.domain.judge import Judgement
from containment.models import Designation, Detection, Session, WorkDocument


def pattern_of(facts: Facts, judgement: Judgement) -> Pattern:
    """The pattern playbooks are chosen by. A shared credential is cut by session or workflow where that ends the abuse; where it does not,
    it is a case like any other."""
    if _is_shared(facts) and judgement.cut.level in {Level.SESSION, Level.WORKFLOW} and facts.session:
        return Pattern.SHARED_CREDENTIAL
    return Pattern.ANY if judgement.pattern is Pattern.SHARED_CREDENTIAL else judgement.pattern


def stage_cuts(facts: Facts) -> Mapping[str, frozenset[Stage]]:
    """What a plan for a shared credential cuts: the sessions of the workflow that misbehaves, and no other."""
    guilty = misbehaving_workflow(facts)
    return {
        session.id: frozenset({Stage.SOFT, Stage.HARD}) if _belongs(session.id, session.workflow, facts.session, guilty) else frozenset()
        for session in facts.sessions
    }


def build(detection: Detection, facts: Facts, bystanders: Iterable[Bystander], *, scoped: bool) -> dict[str, Any]:
    identity = detection.identity
    sessions = {str(session.pk): session for session in Session.objects.filter(pk__in=[session.id for session in facts.sessions])}
    spared = [sessions[one.session] for one in bystanders if one.session in sessions]
    cuts = stage_cuts(facts) if scoped else {}
    cut = [session for key, session in sessions.items() if not scoped or cuts.get(key)]
    named = detection.session.external_id if detection.session and detection.session.discovered_at is None else ""
    return {
        "provider": identity.provider,
        "kind": identity.kind,
        "subject": identity.subject,
        "identity": str(identity.pk),
        "session": named,
        "credential": detection.credential.name if detection.credential else "",
        "facts": {
            "environment": identity.environment,
            "sessions": sorted(session.external_id for session in cut if session.identity_id == identity.pk),
            "spare": _origins(spared),
            "only": _origins(cut) if scoped else [],
            "must_go_on": _must_go_on(bystanders),
        },
    }


def sparing(spared: Iterable[Session], designations: Iterable[Designation]) -> dict[str, Any]:
    """`spare` and `must_go_on` where nothing is known but who was designated."""
    bystanders = [Bystander("", one.session_name or one.workflow, one.because, designation=str(one.pk)) for one in designations]
    return {"spare": _origins(spared), "must_go_on": _must_go_on(bystanders)}


def _must_go_on(bystanders: Iterable[Bystander]) -> dict[str, Any]:
    """The union of what the designations inside the cut list; for other users of a shared credential, what their work is approved for."""
    schemas: set[str] = set()
    reconnect = False
    everyone = list(bystanders)
    for designation in Designation.objects.filter(pk__in=[one.designation for one in everyone if one.designation]):
        schemas |= set(designation.must_go_on.get("schemas", []))
        reconnect = reconnect or bool(designation.must_go_on.get("reconnect"))
    sessions = Session.objects.filter(pk__in=[one.session for one in everyone if one.session and not one.designation])
    workflows = {session.workflow for session in sessions} | {one.name for one in everyone if not one.session and not one.designation}
    for document in WorkDocument.objects.filter(state="in_force", name__in=workflows):
        patterns = {str(rule.get("resource", "")) for rule in document.body.get("scope", [])}
        schemas |= {pattern.partition(".")[0] for pattern in patterns if "." in pattern and "*" not in pattern.partition(".")[0]}
        reconnect = True
    return {"schemas": sorted(schemas), "reconnect": reconnect}


def _origins(sessions: Iterable[Session]) -> list[dict[str, str]]:
    found = {(str(one.origin.get("address", "")), str(one.origin.get("application", ""))) for one in sessions if one.origin}
    return [{"address": address, "application": application} for address, application in sorted(found)]


def _is_shared(facts: Facts) -> bool:
    users = facts.credential.users if facts.credential else ()
    return len({(user.identity, user.workflow) for user in users}) > 1


def _belongs(session: str, workflow: str, named: str, guilty: str) -> bool:
    return session == named or bool(guilty and workflow == guilty)
