"""One identity as its page shows it: who answers for it, what it could touch and who says so, its credentials, sessions and decisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.urls import reverse

from accounts.models import Person
from approvals import grants
from approvals.models import ExceptionGrant, Hold
from console.controls import Control, control
from console.views_of import baselines, cooling_off, intents
from console.views_of import decisions as told
from console.views_of import exceptions as spared
from console.views_of.cooling_off import Cooling
from containment import gather, lockout, protection
from containment.lockout import Suggestion
from containment.models import Case, Credential, Decision, Designation, Identity, IdentityAlias, PersonIdentity, Session
from core.actor import Actor
from playbooks.domain.moves import LIVE
from playbooks.models import Run

MOST = 12
MOST_SESSIONS = 50
GATE_TONES = {"active": "ok", "paused": "warn", "restricted": "warn", "ended": "quiet"}
REACH_FROM = {"connector": "read from its grants by a connector", "typed": "typed in by a person", "unknown": "nobody knows"}
REACH_WORDS = {
    "narrow": "narrow: one task's worth",
    "team": "what one team has",
    "wide": "wide: several systems or teams",
    "estate": "the whole estate",
    "unknown": "unknown, and taken as wide",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A credential without its secret. `users` are the others who use it too; where there is one, cutting it cuts them."""

    credential: Credential
    workflows: Sequence[str]
    users: Sequence[tuple[Identity, str]]

    @property
    def is_shared(self) -> bool:
        return bool(self.users) or len(self.workflows) > 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """A live session and what our gate tells whoever asks for it."""

    session: Session
    tone: str
    origin: str
    designated: Designation | None


@dataclass(frozen=True, slots=True)
class Card:
    identity: Identity
    owner: str
    fallback: str
    reach: str
    reach_from: str
    aliases: Sequence[IdentityAlias]
    merged: Sequence[Identity]
    keys: Sequence[Key]
    sessions: Sequence[Stretch]
    designations: Sequence[Designation]
    decisions: Sequence[told.Line]
    undecided: int
    usual: baselines.Doings
    intents: Sequence[intents.Approved]
    exceptions: Sequence[spared.Line]
    run: Run | None
    case: Case | None
    hold: Hold | None
    cooling: Cooling | None
    persons: Sequence[Person]
    linked: bool
    suggested: Suggestion | None
    two_people: str
    may_link: Control
    may_edit: Control
    may_protect: Control
    may_ask: Control

    @property
    def ask_url(self) -> str:
        return f"{reverse('ask_exception')}?identity={self.identity.pk}"


def card(identity: Identity, viewer: Actor, *, now: datetime) -> Card:
    ref = str(identity.ref)
    decided = Decision.objects.filter(detection__identity=identity)
    decided = decided.select_related("detection__identity", "detection__resource", "detection__source")
    designations = list(identity.designations.filter(ended_at__isnull=True).select_related("requester", "granter"))
    fallback = gather.fallback_team(identity.environment)
    merged_away = f"It was merged into {identity.merged_into}. Change that one." if identity.merged_into else ""
    live = list(_live(identity, now))
    return Card(
        identity=identity,
        owner=owner_of(identity),
        fallback=fallback.name if fallback else "",
        reach=REACH_WORDS[identity.reach],
        reach_from=REACH_FROM.get(identity.reach_from, identity.reach_from),
        aliases=list(identity.aliases.order_by("provider", "subject")),
        merged=list(identity.merged.all()),
        keys=_keys(identity),
        sessions=[_stretch(session, designations) for session in live],
        designations=designations,
        decisions=told.lines(decided[:MOST]),
        undecided=identity.detections.filter(state="received").count(),
        usual=baselines.of(identity),
        intents=intents.of(live, now=now),
        exceptions=spared.lines(_exceptions(identity, now), now=now),
        run=Run.objects.filter(identity_ref=ref, state__in=LIVE).first(),
        case=Case.objects.filter(identity=identity).exclude(state="closed").first(),
        hold=_open_hold(ref),
        cooling=cooling_off.of(identity, now),
        persons=list(lockout.people_of(identity).values()),
        linked=PersonIdentity.objects.filter(identity=identity).exists(),
        suggested=lockout.suggested_for(identity),
        two_people="" if identity.protected or identity.merged_into else protection.protected_because(identity) or lockout.stands(identity),
        may_link=control(viewer, lockout.LINKS, unless=merged_away),
        may_edit=control(viewer, "inventory.edit", unless=merged_away),
        may_protect=control(viewer, "protected.edit", unless=merged_away),
        may_ask=control(viewer, "exception.ask", unless=merged_away),
    )


def _open_hold(ref: str) -> Hold | None:
    """What asks about it: a hold of its own, or one about many."""
    alone = Hold.objects.filter(identity_ref=ref, state="open").first()
    return alone or Hold.objects.filter(members__identity_ref=ref, members__state="waiting", state="open").first()


def owner_of(identity: Identity) -> str:
    """A person, a team, both, or nobody."""
    return ", ".join(str(one) for one in (identity.owner, identity.owner_team) if one)


def _keys(identity: Identity) -> list[Key]:
    credentials = Credential.objects.filter(uses__identity=identity).distinct().prefetch_related("uses__identity")
    found = []
    for credential in credentials:
        mine = sorted({use.workflow for use in credential.uses.all() if use.identity_id == identity.pk and use.workflow})
        others = [(use.identity, use.workflow) for use in credential.uses.all() if use.identity_id != identity.pk]
        found.append(Key(credential, mine, others))
    return found


def _live(identity: Identity, now: datetime) -> Iterable[Session]:
    fresh = Q(discovered_at__isnull=True) | Q(last_seen_at__gt=now - timedelta(hours=1))
    return identity.sessions.filter(fresh, ended_at__isnull=True).select_related("credential", "parent")[:MOST_SESSIONS]


def _stretch(session: Session, designations: Sequence[Designation]) -> Stretch:
    fitting = (one for one in designations if one.granted_at and _is_for(one, session))
    origin = ", ".join(f"{name} {value}" for name, value in sorted(session.origin.items()) if value)
    return Stretch(session, GATE_TONES[session.gate], origin, next(fitting, None))


def _is_for(designation: Designation, session: Session) -> bool:
    if designation.session_name:
        return designation.session_name == session.external_id
    return designation.workflow == session.workflow


def _exceptions(identity: Identity, now: datetime) -> list[ExceptionGrant]:
    asked = ExceptionGrant.objects.filter(state="asked", scope__identity=str(identity.pk))
    return [*grants.covering(identity=str(identity.pk), at=now), *asked]
