"""Who else lies inside what the plan would cut: designated sessions, and other users of a shared credential.

They are held. What lies outside them - a session from another origin, or in another workflow - is no bystander and may be cut at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from containment.domain.cut import misbehaving_workflow
from containment.domain.facts import BusinessClass, DesignationFacts, Facts, SessionFacts, Stage, lies_inside
from containment.domain.policy import HoldReason

# The first that lies inside names the hold: the one whose stop cannot be made good comes before the one that only costs time.
MOST_DELICATE_FIRST = (BusinessClass.PAYMENT, BusinessClass.REGULATED, BusinessClass.CUSTOMER_FACING, BusinessClass.LONG_RUNNING_JOB)


@dataclass(frozen=True, slots=True)
class Bystander:
    """Somebody who would break: a session, or somebody who is not connected now (`session` empty)."""

    session: str
    name: str
    because: str
    business_class: BusinessClass | None = None
    designation: str = ""


@dataclass(frozen=True, slots=True)
class Inside:
    """`bystanders` are held; `at_once` are the sessions inside the cut that are nobody's bystander."""

    bystanders: tuple[Bystander, ...]
    at_once: tuple[str, ...]

    @property
    def reason(self) -> HoldReason:
        classes = {bystander.business_class for bystander in self.bystanders}
        return next((HoldReason(one.value) for one in MOST_DELICATE_FIRST if one in classes), HoldReason.SHARED_CREDENTIAL)


def inside(facts: Facts, stage: Stage) -> Inside:
    """Everyone inside what this stage of the plan would cut."""
    sessions = [session for session in facts.sessions if stage in session.cut_by]
    by_session = {session.id: _bystander(facts, session) for session in sessions}
    found = [bystander for bystander in by_session.values() if bystander is not None]
    if all(stage in session.cut_by for session in facts.own_sessions):  # else the plan spares some, and so does not cut the credential
        found += _absent(facts, {session.workflow for session in sessions if by_session[session.id] is not None})
    at_once = tuple(session.id for session in sessions if by_session[session.id] is None and session.identity == facts.identity.id)
    return Inside(tuple(found), at_once)


def designation_of(facts: Facts, session: SessionFacts) -> DesignationFacts | None:
    """The session's own, or its workflow's where somebody vouches for it; none for a session from another origin."""
    workflow = None if session.discovered else facts.workflow(session.workflow)
    found = session.designation or (workflow.designation if workflow else None)
    return None if found is None or lies_inside(session.origin, found.origins) is False else found


def _bystander(facts: Facts, session: SessionFacts) -> Bystander | None:
    name = session.name or session.id
    if found := designation_of(facts, session):
        because = f"{found.service} ({found.business_class.replace('_', ' ')}) depends on it"
        return Bystander(session.id, name, because, found.business_class, found.id)
    if _is_other_user(facts, session.identity, session.workflow) and not session.discovered and _on_the_credential(facts, session):
        return Bystander(session.id, name, f"{session.workflow or session.identity} uses the same credential")
    return None


def _absent(facts: Facts, present: set[str]) -> list[Bystander]:
    """Designated workflows and other users of the credential that have no live session just now: they would break all the same."""
    found = [
        Bystander(
            "", workflow.name, f"{workflow.designation.service} depends on it", workflow.designation.business_class, workflow.designation.id
        )
        for workflow in facts.workflows
        if workflow.designation and workflow.name in facts.identity.workflows and workflow.name not in present
    ]
    named = present | {bystander.name for bystander in found}
    for user in facts.credential.users if facts.credential else ():
        who = user.workflow or user.identity_name or user.identity
        if who not in named and _is_other_user(facts, user.identity, user.workflow):
            named.add(who)
            found.append(Bystander("", who, f"{who} uses the same credential"))
    return found


def _on_the_credential(facts: Facts, session: SessionFacts) -> bool:
    return facts.credential is not None and session.credential == facts.credential.id


def _is_other_user(facts: Facts, identity: str, workflow: str) -> bool:
    """Whether this user of the credential is another than who misbehaves. While nobody knows who of several does, all of them are."""
    if facts.credential is None:
        return False
    if identity != facts.identity.id:
        return True
    guilty = misbehaving_workflow(facts)
    users = {user.workflow for user in facts.credential.users if user.identity == identity}
    users |= {session.workflow for session in facts.own_sessions if _on_the_credential(facts, session) and not session.discovered}
    return bool(workflow) and (workflow != guilty if guilty in users else len(users - {""}) > 1)
