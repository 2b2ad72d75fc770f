"""Reviewers: whose word a hold takes. Frozen when the hold opens; approvals asks this file nothing afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from accounts.models import Team
from approvals import groups
from approvals.domain.quorum import Reviewers, Terms
from containment import gather, lockout
from containment.domain.bystanders import Bystander
from containment.models import Designation, Detection, Identity
from core.actor import Actor
from playbooks.models import PlaybookVersion

ANYBODY = Reviewers(name="anybody who answers holds", anyone=True)
MANAGERS = Reviewers(name="any manager", anyone=True, permission="exception.grant")


def terms_for(detection: Detection, bystanders: Iterable[Bystander], playbook: PlaybookVersion, *, quorum: int) -> Terms:
    """The teams that own what would be stopped and the identity's own team, beside the group that answers for the environment; then every
    manager. Never: who asked for it, who wrote the playbook, the identity itself, and the owner of an agent for their own agent."""
    identity = detection.identity
    fallback = gather.fallback_team(identity.environment)
    teams = {one.owner_team for one in Designation.objects.filter(pk__in=[one.designation for one in bystanders if one.designation])}
    teams |= {identity.owner_team, fallback.name if fallback else ""}
    known = sorted(Team.objects.filter(name__in=teams - {""}).values_list("name", flat=True))
    first = Reviewers(name=_called(known), teams=known) if known else ANYBODY
    return Terms(quorum=quorum, reviewers=(first, MANAGERS), never=never_of(detection, playbook))


def team_for(environment: str) -> str:
    """The name of the group that answers for an environment; empty where there is none."""
    team = gather.fallback_team(environment)
    return team.name if team else ""


def for_group(environment: str, quorum: int, never: Mapping[str, str]) -> Terms:
    """Who is asked about many at once: the group that answers for the environment, with the managers as well where that group is too small
    to answer, and with everybody who answers holds where even they are too few."""
    fallback = gather.fallback_team(environment)
    first = Reviewers(name=_called([fallback.name]), teams=[fallback.name]) if fallback else ANYBODY
    asked = [first, MANAGERS] if first is ANYBODY else [first, MANAGERS, ANYBODY]
    for step in range(len(asked)):
        terms = Terms(quorum=quorum, reviewers=tuple(asked[: max(step + 1, 2)]), never=dict(never), step=step)
        if groups.enough(terms):
            return terms
    return terms


def for_call(identity: Identity, *, never: Mapping[str, str]) -> Terms:
    """Who is asked about one call of a program: the identity's own team, beside the group that answers for the environment; then every
    manager."""
    fallback = gather.fallback_team(identity.environment)
    known = sorted(
        Team.objects.filter(name__in={identity.owner_team, fallback.name if fallback else ""} - {""}).values_list("name", flat=True)
    )
    first = Reviewers(name=_called(known), teams=known) if known else ANYBODY
    return Terms(quorum=1, reviewers=(first, MANAGERS), never=dict(never))


def never_of_call(identity: Identity, *, requester: Actor) -> dict[str, str]:
    """Whose word counts nothing about a call: who asks for it (a program asks as the owner of its token), who owns the identity that would
    make it, and the identity itself."""
    never = {str(identity.owner_id): "the owner of who would do it"} if identity.owner_id else {}
    never |= {str(person): "who would do it" for person in lockout.people_of(identity)}
    return never | {requester.principal: "the owner of the token that asks"}


def _called(teams: list[str]) -> str:
    return "the team " + teams[0] if len(teams) == 1 else "the teams " + ", ".join(teams[:-1]) + " and " + teams[-1]


def never_of(detection: Detection, playbook: PlaybookVersion) -> dict[str, str]:
    identity = detection.identity
    never: dict[str, str] = {}
    if identity.kind == "ai_agent" and identity.owner_id:
        never[str(identity.owner_id)] = "the owner of this agent"
    if playbook.author_id:
        never[str(playbook.author_id)] = "the author of the playbook"
    if detection.posted_by:
        never[detection.posted_by] = "the requester"
    for person in lockout.people_of(identity):
        never[str(person)] = "the identity itself"
    return never
