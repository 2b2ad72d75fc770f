"""The inventory of identities: owners, reach, names, the protected mark, and the discovery that two of them are one.

Identities change here. Every change locks them first, in the order of their ids; intake and judgement follow a merge, so that no alias is a
way around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from accounts.models import Person, Team
from audit import clock
from audit.record import record, story
from containment import gather
from containment.domain.identity_members import read_changes
from containment.models import (
    Case,
    Credential,
    CredentialUse,
    Designation,
    Detection,
    Identity,
    IdentityAlias,
    Merge,
    Session,
)
from containment.models.identity import REACHES
from core.actor import Actor, ActorKind
from core.refusals import BadInput, Fault, Forbidden, Missing, Refusal
from playbooks.domain.moves import LIVE
from playbooks.models import Run

READ_FROM = ("typed", "connector")


class NoSuchIdentity(Missing):
    code = "no_such_identity"


class AlreadyMerged(Refusal):
    """The entry lives on as another one. Change that one."""

    code = "already_merged"


class NameTaken(Refusal):
    """The name belongs to an identity already."""

    code = "name_taken"


class UnderContainment(Refusal):
    """A live run acts on what the change would move from under it."""

    code = "under_containment"


class CannotMerge(Refusal):
    code = "cannot_merge"


@dataclass(frozen=True, slots=True)
class Unowned:
    """An identity that nobody owns, for how long already, and the group that answers for it until somebody does."""

    identity: Identity
    since: datetime
    age: timedelta
    answers: str


@dataclass(frozen=True, slots=True)
class AdoptionQueue:
    """Oldest first. `count` is of all, also where `waiting` was cut short."""

    count: int
    oldest: timedelta
    waiting: list[Unowned]


def adoption_queue(*, most: int = 200) -> AdoptionQueue:
    now = clock.now()
    unowned = Identity.objects.filter(owner__isnull=True, owner_team="", merged_into__isnull=True)
    first = list(unowned.order_by("created_at", "id")[:most])
    teams = {environment: gather.fallback_team(environment) for environment in {one.environment for one in first}}
    waiting = [_unowned(one, teams[one.environment], now) for one in first]
    return AdoptionQueue(unowned.count(), waiting[0].age if waiting else timedelta(0), waiting)


def _unowned(identity: Identity, team: Team | None, now: datetime) -> Unowned:
    since = identity.discovered_at or identity.created_at
    return Unowned(identity, since, now - since, team.name if team else "")


def lock(identity_id: UUID) -> Identity:
    """The identity, locked; where it was merged meanwhile, the one that it was merged into."""
    identity = _locked(identity_id)
    while identity.merged_into_id is not None:
        identity = _locked(identity.merged_into_id)
    return identity


def lock_all(keys: Iterable[UUID]) -> dict[UUID, Identity]:
    """Many at once, in the order of their ids; where one was merged meanwhile, the one that it was merged into stands for it."""
    rows = Identity.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=set(keys)).order_by("pk")
    return {row.pk: row if row.merged_into_id is None else lock(row.merged_into_id) for row in rows}


# -- one identity -------------------------------------------------------------------------------------------------------------------------


@story
def adopt(identity_id: UUID, *, actor: Actor, owner: UUID | None = None, team: str = "") -> Identity:
    """Give it an owner, a team that answers for it, or both. Who was only discovered is thereby listed."""
    _must(actor, "inventory.edit")
    identity = _one(identity_id)
    person = _owner(owner)
    if team and not Team.objects.filter(name=team).exists():
        raise BadInput([Fault("team", "unknown", "There is no such team.")])
    if person is None and not team:
        raise BadInput([Fault("owner", "missing", "Name a person or a team.")])
    identity.owner, identity.owner_team, identity.discovered_at = person, team, None
    identity.save(update_fields=["owner", "owner_team", "discovered_at"])
    said = ", ".join(str(one) for one in (person, team) if one)
    record("identity.adopted", identity.ref, actor=actor, identity=str(identity), owner=said)
    return identity


@story
def set_reach(identity_id: UUID, reach: str, *, actor: Actor, read_from: str = "typed") -> Identity:
    """How much it could touch, and who says so: a connector that read its grants, or somebody who typed it."""
    _must(actor, "inventory.edit")
    if reach not in REACHES or read_from not in READ_FROM:
        words = REACHES if reach not in REACHES else READ_FROM
        raise BadInput([Fault("reach", "not_one_of", f"Must be one of {', '.join(words)}.")])
    identity = _one(identity_id)
    was = identity.reach
    identity.reach, identity.reach_from, identity.reach_at = reach, "unknown" if reach == "unknown" else read_from, clock.now()
    identity.save(update_fields=["reach", "reach_from", "reach_at"])
    record("identity.changed", identity.ref, actor=actor, identity=str(identity), changes="reach", was=was, now=reach, read_from=read_from)
    return identity


@story
def change(identity_id: UUID, changes: Mapping[str, Any], *, actor: Actor) -> Identity:
    """Its kind, name, environment, tenant, drive, known networks or attestation. Owner, reach and protection have doors of their own."""
    _must(actor, "inventory.edit")
    faults: list[Fault] = []
    wanted = read_changes(changes, faults)
    if faults:
        raise BadInput(faults)
    identity = _one(identity_id)
    differing = {name: value for name, value in wanted.items() if getattr(identity, name) != value}
    if differing:
        was = {name: getattr(identity, name) for name in differing}
        for name, value in differing.items():
            setattr(identity, name, value)
        identity.save(update_fields=list(differing))
        names = ", ".join(sorted(differing)).replace("_", " ")
        record("identity.changed", identity.ref, actor=actor, identity=str(identity), changes=names, was=was, now=differing)
    return identity


@story
def protect(identity_id: UUID, because: str, *, actor: Actor) -> Identity:
    """Break-glass accounts, our own accounts, last administrators: never contained without a person."""
    return _set_protected(identity_id, True, because, actor)


@story
def unprotect(identity_id: UUID, because: str, *, actor: Actor) -> Identity:
    return _set_protected(identity_id, False, because, actor)


def _set_protected(identity_id: UUID, protected: bool, because: str, actor: Actor) -> Identity:
    _must(actor, "protected.edit")
    if not because.strip():
        raise BadInput([Fault("because", "missing", "Say why.")])
    identity = _one(identity_id)
    if identity.protected != protected:
        identity.protected, identity.protected_because = protected, because if protected else ""
        identity.save(update_fields=["protected", "protected_because"])
        record("protected.changed", identity.ref, actor=actor, identity=str(identity), because=because, protected=protected)
    return identity


# -- names --------------------------------------------------------------------------------------------------------------------------------


@story
def add_alias(identity_id: UUID, provider: str, subject: str, *, actor: Actor) -> IdentityAlias:
    """Another name of it. A protected identity protects all its names, so naming one more takes the right to edit that list."""
    identity = _one(identity_id)
    _must(actor, "protected.edit" if identity.protected else "inventory.edit")
    if not provider.strip() or not subject.strip():
        raise BadInput([Fault("subject", "missing", "A name has a provider and a subject.")])
    _refuse_taken(provider, subject)
    alias, made = IdentityAlias.objects.get_or_create(provider=provider, subject=subject, defaults={"identity": identity})
    if alias.identity_id != identity.pk:
        raise NameTaken(f"{alias} is {alias.identity} already. If both are one, merge them.")
    if made:
        record("identity.aliased", identity.ref, actor=actor, identity=str(identity), alias=str(alias))
    return alias


@story
def remove_alias(identity_id: UUID, provider: str, subject: str, *, actor: Actor) -> Identity:
    """The name is nobody's afterwards; a detection that uses it discovers an identity of its own."""
    identity = _one(identity_id)
    _take_alias(identity, provider, subject, actor)
    return identity


@story
def split_alias(identity_id: UUID, provider: str, subject: str, *, actor: Actor, because: str) -> Identity:
    """A name that turned out to be somebody else: an identity of its own, as protected as the one it was taken for."""
    identity = _one(identity_id)
    _refuse_while_contained([identity], "Undo that first, then split.")
    _take_alias(identity, provider, subject, actor)
    now = clock.now()
    other = Identity.objects.create(
        provider=provider,
        subject=subject,
        kind=identity.kind,
        environment=identity.environment,
        tenant=identity.tenant,
        owner=identity.owner,
        owner_team=identity.owner_team,
        protected=identity.protected,
        protected_because=identity.protected_because,
        created_at=now,
    )
    facts = {"identity": str(identity), "other": str(other), "because": because}
    record("identity.split", identity.ref, actor=actor, about=[other.ref], **facts)
    return other


def _take_alias(identity: Identity, provider: str, subject: str, actor: Actor) -> None:
    _must(actor, "protected.edit" if identity.protected else "inventory.edit")
    gone, _ = IdentityAlias.objects.filter(identity=identity, provider=provider, subject=subject).delete()
    if not gone:
        raise Missing(f"{provider}/{subject} is no other name of {identity}.")
    record("identity.unaliased", identity.ref, actor=actor, identity=str(identity), alias=f"{provider}/{subject}")


def _refuse_taken(provider: str, subject: str) -> None:
    holder = Identity.objects.filter(provider=provider, subject=subject).first()
    if holder is not None:
        raise NameTaken(f"{holder} is an identity of its own. If both are one, merge them.")


# -- two that are one ---------------------------------------------------------------------------------------------------------------------


@story
def merge(identity_id: UUID, into_id: UUID, *, actor: Actor, because: str) -> Identity:
    """The first one is the second: its names, sessions, designations and credentials follow, and so does the protected mark. What was
    reported, decided and done about it stays in its own history."""
    if identity_id == into_id:
        raise CannotMerge("An identity cannot be merged into itself.")
    locked = _all_locked([identity_id, into_id])
    other, into = locked[identity_id], locked[into_id]
    for one in (other, into):
        _refuse_merged(one)
    _must(actor, "protected.edit" if other.protected != into.protected else "inventory.edit")
    _refuse_two_people(other, into)
    _refuse_moving_under_a_run(other, into)
    moved = _move_all(other, into)
    other.merged_into = into
    other.save(update_fields=["merged_into"])
    Merge.objects.create(identity=other, into=into, because=because, moved=moved, merged_by=actor.principal, merged_at=clock.now())
    facts = {"identity": str(into), "other": str(other), "because": because, "moved": moved}
    record("identity.merged", into.ref, actor=actor, about=[other.ref], **facts)
    return into


@story
def split(identity_id: UUID, *, actor: Actor, because: str) -> Identity:
    """Undo a merge: what moved goes back, where it is still as the merge left it. What came later stays with the one that was kept."""
    standing = Merge.objects.filter(identity_id=identity_id, split_at__isnull=True).values_list("into_id", flat=True).first()
    if standing is None:
        raise CannotMerge("This identity was not merged into another one.")
    locked = _all_locked([identity_id, standing])
    other, into = locked[identity_id], locked[standing]
    found = Merge.objects.select_for_update(of=("self",)).filter(identity=other, into=into, split_at__isnull=True).first()
    if found is None:
        raise CannotMerge(f"{other} was split off meanwhile.")
    _refuse_merged(into)
    _must(actor, "protected.edit" if other.protected != into.protected or found.moved.get("protected") else "inventory.edit")
    _refuse_while_contained([into], "Undo that first, then split.")
    _move_back(found.moved, other, into)
    other.merged_into = None
    other.save(update_fields=["merged_into"])
    found.split_at = clock.now()
    found.save(update_fields=["split_at"])
    record("identity.split", into.ref, actor=actor, about=[other.ref], identity=str(into), other=str(other), because=because)
    return other


def _move_all(other: Identity, into: Identity) -> dict[str, Any]:
    """Everything that says who acts. Returns what moved, for a split."""
    moved: dict[str, Any] = {"renamed": _make_room(other, into), "dropped_uses": _drop_double_uses(other, into)}
    for name, rows in _following(other):
        moved[name] = [str(key) for key in rows.values_list("pk", flat=True)]
        rows.update(identity=into)
    if not Case.objects.filter(identity=into).exclude(state="closed").exists():
        open_cases = Case.objects.filter(identity=other).exclude(state="closed")
        moved["cases"] = [str(key) for key in open_cases.values_list("pk", flat=True)]
        open_cases.update(identity=into)
    Detection.objects.filter(identity=other, state="received").update(identity=into)
    moved["people"] = [str(key) for key in Person.objects.filter(identity_ref=str(other.ref)).values_list("pk", flat=True)]
    Person.objects.filter(identity_ref=str(other.ref)).update(identity_ref=str(into.ref))
    if other.protected and not into.protected:
        into.protected, into.protected_because, moved["protected"] = True, other.protected_because, True
        into.save(update_fields=["protected", "protected_because"])
    return moved


def _following(identity: Identity) -> Iterable[tuple[str, Any]]:
    yield "aliases", IdentityAlias.objects.filter(identity=identity)
    yield "uses", CredentialUse.objects.filter(identity=identity)
    yield "sessions", Session.objects.filter(identity=identity)
    yield "designations", Designation.objects.filter(identity=identity)


def _make_room(other: Identity, into: Identity) -> dict[str, str]:
    """Two sessions of one name: the one that ended, or that nobody registered, gets another name. {id: the name it had}"""
    renamed: dict[str, str] = {}
    theirs = {session.external_id: session for session in Session.objects.select_for_update(of=("self",)).filter(identity=into)}
    for session in Session.objects.select_for_update(of=("self",)).filter(identity=other, external_id__in=list(theirs)):
        rival = theirs[session.external_id]
        if _is_live(session) and _is_live(rival):
            raise CannotMerge(f"Both have a live session {session.external_id}. End one of them first.")
        loser, owner = (rival, into) if _is_live(session) else (session, other)
        renamed[str(loser.pk)] = loser.external_id
        loser.external_id = f"{loser.external_id}@{owner}#{str(loser.pk)[-6:]}"
        loser.save(update_fields=["external_id"])
    return renamed


def _is_live(session: Session) -> bool:
    return session.ended_at is None and session.discovered_at is None


def _drop_double_uses(other: Identity, into: Identity) -> list[list[str]]:
    """Both use a credential in the same workflow: once merged that is one line."""
    have = set(CredentialUse.objects.filter(identity=into).values_list("credential_id", "workflow"))
    double = [use for use in CredentialUse.objects.filter(identity=other) if (use.credential_id, use.workflow) in have]
    for use in double:
        use.delete()
    return [[str(use.credential_id), use.workflow] for use in double]


def _move_back(moved: Mapping[str, Any], other: Identity, into: Identity) -> None:
    for name, rows in _following(into):
        rows.filter(pk__in=moved.get(name, [])).update(identity=other)
    Case.objects.filter(pk__in=moved.get("cases", []), identity=into).update(identity=other)
    Person.objects.filter(pk__in=moved.get("people", []), identity_ref=str(into.ref)).update(identity_ref=str(other.ref))
    for credential, workflow in moved.get("dropped_uses", []):
        if Credential.objects.filter(pk=credential).exists():
            CredentialUse.objects.get_or_create(credential_id=UUID(credential), identity=other, workflow=workflow)
    for key, name in moved.get("renamed", {}).items():
        session = Session.objects.filter(pk=key).first()
        if session is not None and not Session.objects.filter(identity_id=session.identity_id, external_id=name).exists():
            Session.objects.filter(pk=key).update(external_id=name)
    if moved.get("protected") and into.protected_because == other.protected_because:
        into.protected, into.protected_because = False, ""
        into.save(update_fields=["protected", "protected_because"])


def _refuse_two_people(other: Identity, into: Identity) -> None:
    people = Person.objects.filter(identity_ref__in=[str(other.ref), str(into.ref)])
    if people.count() > 1:
        raise CannotMerge(f"They are two people who sign in: {' and '.join(str(person) for person in people)}.")


def _refuse_moving_under_a_run(other: Identity, into: Identity) -> None:
    """A run acts on what it was started for. Only the one that is kept may be under one, and not if it becomes protected by the merge."""
    contained = {one.pk for one in (other, into) if _has_live_run(one)}
    if {other.pk, into.pk} == contained:
        raise UnderContainment(f"Both {other} and {into} are being contained. Finish or undo one of the two runs first.")
    if other.pk in contained:
        raise UnderContainment(f"{other} is being contained. Merge {into} into it, or finish or undo its run first.")
    if into.pk in contained and other.protected and not into.protected:
        raise UnderContainment(f"{other} is protected and {into} is being contained. Finish or undo that run first.")


def _refuse_while_contained(identities: Iterable[Identity], advice: str) -> None:
    for identity in identities:
        if _has_live_run(identity):
            raise UnderContainment(f"{identity} is being contained. {advice}")


def _has_live_run(identity: Identity) -> bool:
    return Run.objects.filter(identity_ref=str(identity.ref), state__in=LIVE).exists()


# -- shared -------------------------------------------------------------------------------------------------------------------------------


def _one(identity_id: UUID) -> Identity:
    identity = _locked(identity_id)
    _refuse_merged(identity)
    return identity


def _locked(identity_id: UUID) -> Identity:
    """Without keeping anybody from storing what names it: its key never changes."""
    identity = Identity.objects.select_for_update(no_key=True, of=("self",)).filter(pk=identity_id).first()
    if identity is None:
        raise NoSuchIdentity("There is no such identity.")
    return identity


def _all_locked(keys: Iterable[UUID]) -> dict[UUID, Identity]:
    """In the order of their ids, so that two merges of the same two wait for each other instead of locking each other out."""
    return {key: _locked(key) for key in sorted(keys)}


def _refuse_merged(identity: Identity) -> None:
    if identity.merged_into_id is not None:
        raise AlreadyMerged(f"{identity} was merged into {identity.merged_into}. Change that one, or split them first.")


def _owner(owner: UUID | None) -> Person | None:
    if owner is None:
        return None
    person = Person.objects.filter(pk=owner, is_active=True).first()
    if person is None:
        raise BadInput([Fault("owner", "unknown", "There is no such person, or they have left.")])
    return person


def _must(actor: Actor, permission: str) -> None:
    """Our own programs at start, and somebody with a shell on the server, act as the system."""
    if actor.kind is not ActorKind.SYSTEM and not actor.may(permission):
        raise Forbidden(f"This takes the right “{permission}”.")
