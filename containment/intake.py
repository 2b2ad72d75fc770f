"""Intake: a message becomes a detection, once. Nothing is decided here.

An inventory that lags behind never refuses a detection: what was not seen before is made from it, marked `discovered`, with the cautious
defaults of its kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Q

from audit import clock
from audit.record import attempt, record, story
from containment import fingerprints, inventory, limits, minted, session_use
from containment.domain.event import Event
from containment.models import (
    Credential,
    CredentialUse,
    Detection,
    DetectionBody,
    Exposure,
    Identity,
    IdentityAlias,
    Resource,
    Session,
    Source,
)
from containment.refusals import OutOfSource
from core import masking
from core.actor import SYSTEM, Actor
from core.digest import canonical, digest
from sources.base import Reading

DECIDE_WITHIN = timedelta(seconds=2)  # whoever took it in decides at once; after this a sweeper does


@dataclass(frozen=True, slots=True)
class Received:
    detection: Detection
    duplicate: bool
    differs: bool


@dataclass(frozen=True, slots=True)
class Admitted:
    """Messages were counted against their source's rate. `observed_because`: it is only observed."""

    observed_because: str


def receive(
    reading: Reading,
    message: Mapping[str, Any],
    *,
    actor: Actor,
    admitted: Admitted | None = None,
    source: Source | None = None,
    called: Mapping[str, Any] | None = None,
) -> Received:
    """Store a detection, or find the one that the same (source, external id) made before. OutOfSource where the token may not say this.
    Inside a story, it was `admitted` before that began. `source`, where source_of() was asked already. `called`: the call that it tells of,
    where somebody compared it with its session's intent already; it is counted and learned by them, or not at all.
    """
    source = source or source_of(reading, actor)
    return _receive(reading, message, source, admitted or Admitted(limits.admit(source)), actor, called)


def admit(actor: Actor, count: int) -> Admitted:
    """Count messages that are about to be stored, whatever becomes of each."""
    source = Source.objects.filter(name=actor.source).first()
    return Admitted(limits.admit(source, count) if source else "")


@story
def _receive(
    reading: Reading,
    message: Mapping[str, Any],
    source: Source,
    admitted: Admitted,
    actor: Actor,
    called: Mapping[str, Any] | None,
) -> Received:
    fingerprint = digest(masking.in_message(_masked(message, fingerprints.of), _fingerprint_of_text))
    earlier = Detection.objects.filter(source=source, external_id=reading.external_id).first()
    if earlier is None:
        try:
            with attempt():
                return Received(_store(reading, message, fingerprint, source, admitted, actor, called), duplicate=False, differs=False)
        except IntegrityError:
            earlier = Detection.objects.get(source=source, external_id=reading.external_id)  # another delivery was faster
    return Received(earlier, duplicate=True, differs=earlier.body_digest != fingerprint)


def source_of(reading: Reading, actor: Actor) -> Source:
    """The source that the token speaks for. What the body says of it must agree."""
    if reading.source and reading.source != actor.source:
        raise OutOfSource(f"This token speaks for the source “{actor.source}”, not for “{reading.source}”.")
    source = Source.objects.filter(name=actor.source).first()
    if source is None:
        raise OutOfSource("This token speaks for no source that is set up. An engineer can add it.")
    may_speak_about(source, reading.identity_kind)
    if source.providers and reading.identity_provider not in source.providers:
        raise OutOfSource(f"The source “{source.name}” may not speak about identities of “{reading.identity_provider}”.")
    return source


def may_speak_about(source: Source, kind: str) -> None:
    if source.kinds and kind not in source.kinds:
        raise OutOfSource(f"The source “{source.name}” may not speak about a {kind.replace('_', ' ')}.")


def find_identity(provider: str, subject: str) -> Identity | None:
    """By its key or any alias; a merged identity answers with the one it was merged into."""
    identity = Identity.objects.select_related("merged_into").filter(provider=provider, subject=subject).first()
    if identity is None:
        alias = IdentityAlias.objects.select_related("identity__merged_into").filter(provider=provider, subject=subject).first()
        identity = alias.identity if alias else None
    while identity is not None and identity.merged_into is not None:
        identity = identity.merged_into
    return identity


def ready(readings: Iterable[Reading], actor: Actor) -> None:
    """What several messages are about is discovered and locked in an order that does not depend on theirs, so that two senders never wait
    for each other in a circle. What the token may not say is left to receive(). Inside a story."""
    now = clock.now()
    spoken = [reading for reading in readings if _may_say(reading, actor)]
    identities_for(spoken, now)
    resources_for(spoken, now)


def _may_say(reading: Reading, actor: Actor) -> bool:
    try:
        source_of(reading, actor)
    except OutOfSource:
        return False
    return True


def identities_for(readings: Iterable[Reading], now: datetime) -> dict[tuple[str, str], Identity]:
    """Discovered in the order of their names, then locked in the order of their ids."""
    first = {(reading.identity_provider, reading.identity_subject): reading for reading in reversed(list(readings))}
    wanted = [{"p": provider, "s": subject} for provider, subject in sorted(first)]
    known = Identity.objects.raw(
        "SELECT i.* FROM identity i JOIN jsonb_to_recordset(%s::jsonb) AS w(p text, s text) ON i.provider = w.p AND i.subject = w.s"
        " WHERE i.merged_into_id IS NULL",
        [json.dumps(wanted)],
    )
    found = {(identity.provider, identity.subject): identity for identity in known} if first else {}
    for name in sorted(first.keys() - found.keys()):
        found[name] = identity_for(first[name], now)
    locked = inventory.lock_all({identity.pk for identity in found.values()})
    return {name: locked[identity.pk] for name, identity in found.items()}


def sessions_for(wanted: Mapping[tuple[UUID, str], tuple[Identity, Reading]], now: datetime) -> dict[tuple[UUID, str], Session | None]:
    """Of identities that are locked, by identity and the name that messages give the session."""
    rows = Session.objects.filter(identity__in={key for key, _ in wanted}, external_id__in={name for _, name in wanted})
    found: dict[tuple[UUID, str], Session | None] = {
        (row.identity_id, row.external_id): row for row in rows if (row.identity_id, row.external_id) in wanted
    }
    Session.objects.filter(pk__in=[row.pk for row in found.values() if row is not None]).update(last_seen_at=now)
    for key in sorted(wanted.keys() - found.keys()):
        identity, reading = wanted[key]
        found[key] = session_for(reading, identity, None, now)
    return found


def resources_for(readings: Iterable[Reading], now: datetime) -> dict[tuple[str, str], Resource]:
    first = {(reading.resource_kind, reading.resource_id): reading for reading in reversed(list(readings)) if reading.resource_id}
    wanted = Q()
    for kind in {kind for kind, _ in first}:
        wanted |= Q(kind=kind, key__in=[key for its, key in first if its == kind])
    found = {(row.kind, row.key): row for row in Resource.objects.filter(wanted)} if first else {}
    if missing := [reading for name, reading in sorted(first.items(), key=lambda one: one[0]) if name not in found]:
        made = [
            Resource(
                kind=reading.resource_kind,
                key=reading.resource_id,
                system=reading.resource_system,
                environment=str(reading.context.get("environment") or ""),
                discovered_at=now,
            )
            for reading in missing
        ]
        Resource.objects.bulk_create(made, ignore_conflicts=True)
        found = {(row.kind, row.key): row for row in Resource.objects.filter(wanted)}
    for name in sorted(first):
        if first[name].resource_system and not found[name].system:
            found[name] = resource_for(first[name], now) or found[name]
    return found


def _store(
    reading: Reading,
    message: Mapping[str, Any],
    fingerprint: str,
    source: Source,
    admitted: Admitted,
    actor: Actor,
    called: Mapping[str, Any] | None,
) -> Detection:
    now = clock.now()
    identity = inventory.lock(identity_for(reading, now).pk)  # before its sessions: whoever decides locks in this order too
    may_speak_about(source, identity.kind)  # of a known identity the inventory's word counts, not the message's
    credential = _credential(reading, identity, now)
    session = session_for(reading, identity, credential, now)
    detection = Detection.objects.create(
        source=source,
        external_id=reading.external_id,
        body_digest=fingerprint,
        title=masking.in_text(reading.title),
        severity=reading.severity,
        confidence=reading.confidence,
        claims=list(reading.claims),
        identity=identity,
        session=session,
        named_session=reading.session,
        named_role=reading.session_role,
        named_workflow=reading.session_workflow,
        credential=credential,
        resource=resource_for(reading, now),
        action=reading.action,
        action_count=reading.action_count,
        context=masking.in_message(dict(reading.context)),
        workload=dict(reading.workload),
        called=dict(called) if called is not None else _called(reading, session, source, actor, now),
        claimed_kind=reading.identity_kind if reading.identity_kind != identity.kind else "",
        posted_by=actor.principal,
        observed_because=admitted.observed_because,
        occurred_at=reading.occurred_at,
        received_at=now,
        next_at=now + DECIDE_WITHIN,
    )
    minted.note(session, reading, source=source, actor=actor, now=now)
    DetectionBody.objects.create(detection=detection, content=canonical(masking.in_message(_masked(message, fingerprints.label))).decode())
    Identity.objects.filter(pk=identity.pk).update(last_seen_at=now)
    record(
        "detection.received",
        detection.ref,
        actor=actor,
        about=[identity.ref],
        title=detection.title,
        identity=str(identity),
        source=source.name,
        external_id=reading.external_id,
        body_digest=fingerprint,
        claimed_kind=detection.claimed_kind,
    )
    return detection


def report_exposed(exposure: Exposure, credential: Credential, identity: Identity, *, verified: bool, observed: str = "") -> Detection:
    """A detection about somebody who uses a leaked credential: nothing was done with it yet, so it has no action. Inside a story.
    `observed`: why its source is only observed by now."""
    now = clock.now()
    detection = Detection.objects.create(
        source=exposure.source,
        external_id=f"exposure:{exposure.pk}:{credential.pk}:{identity.pk}",
        body_digest=exposure.body_digest,
        title=f"Credential reported leaked: {credential}",
        severity="high",
        confidence=1.0 if verified else 0.9,
        claims=["credential_exposed"],
        identity=identity,
        credential=credential,
        action="",
        context={"exposure": str(exposure.pk), "where": exposure.where},
        posted_by=exposure.posted_by,
        observed_because=exposure.observed_because or observed,
        occurred_at=exposure.found_at,
        received_at=now,
        next_at=now + DECIDE_WITHIN,
    )
    record(
        "detection.received",
        detection.ref,
        actor=SYSTEM,
        about=[identity.ref, exposure.ref, credential.ref],
        title=detection.title,
        identity=str(identity),
        source=exposure.source.name,
        external_id=detection.external_id,
        body_digest=detection.body_digest,
    )
    return detection


def identity_for(reading: Reading, now: datetime, *, by: str = "") -> Identity:
    """`by`: the source that asks about it, which may not bring in any number."""
    identity = find_identity(reading.identity_provider, reading.identity_subject)
    if identity is not None:
        return identity
    if by:
        limits.may_discover(by)
    identity, made = Identity.objects.get_or_create(
        provider=reading.identity_provider,
        subject=reading.identity_subject,
        defaults={
            "kind": reading.identity_kind,
            "environment": str(reading.context.get("environment") or "prod"),
            "tenant": str(reading.context.get("tenant") or ""),
            "discovered_at": now,
            "discovered_by": by,
            "created_at": now,
        },
    )
    if made:
        record("identity.discovered", identity.ref, actor=SYSTEM, identity=str(identity), kind=identity.kind)
    return identity


def _credential(reading: Reading, identity: Identity, now: datetime) -> Credential | None:
    if not reading.credential_id:
        return None
    credential, made = Credential.objects.get_or_create(
        provider=identity.provider,
        kind=reading.credential_kind,
        fingerprint=fingerprints.of(reading.credential_kind, reading.credential_id),
        defaults={
            "name": fingerprints.label(reading.credential_kind, reading.credential_id),
            "secret_digest": "" if reading.credential_kind in fingerprints.NAMED else fingerprints.of_secret(reading.credential_id),
            "discovered_at": now,
            "created_at": now,
        },
    )
    if made:
        CredentialUse.objects.create(credential=credential, identity=identity, workflow="", last_used_at=now)
    return credential


def session_for(reading: Reading, identity: Identity, credential: Credential | None, now: datetime) -> Session | None:
    """What the message says of role and workflow is kept as a claim; only the inventory's word counts for the session itself."""
    if not reading.session:
        return None
    session, made = Session.objects.get_or_create(
        identity=identity,
        external_id=reading.session,
        defaults={
            "credential": credential,
            "claimed": {"role": reading.session_role, "workflow": reading.session_workflow},
            "environment": identity.environment,
            "started_at": now,
            "last_seen_at": now,
            "discovered_at": now,
        },
    )
    if not made:
        Session.objects.filter(pk=session.pk).update(last_seen_at=now)
    return session


def resource_for(reading: Reading, now: datetime) -> Resource | None:
    """Where it lives is what the first message says, as long as the inventory does not."""
    if not reading.resource_id:
        return None
    resource, _ = Resource.objects.get_or_create(
        kind=reading.resource_kind,
        key=reading.resource_id,
        defaults={
            "discovered_at": now,
            "environment": str(reading.context.get("environment") or ""),
            "system": reading.resource_system,
        },
    )
    if reading.resource_system and not resource.system:
        resource.system = reading.resource_system
        resource.save(update_fields=["system"])
    return resource


def _called(reading: Reading, session: Session | None, source: Source, actor: Actor, now: datetime) -> dict[str, Any]:
    """The tool call that it tells of, beside the intent of its session. A session that nobody vouches for has none."""
    if not reading.tool or session is None or session.discovered_at is not None:
        return {}
    return session_use.kept(session_use.hear(session, event_of(reading, session), source=source, actor=actor, now=now))


def event_of(reading: Reading, session: Session | None) -> Event:
    return Event(
        occurred_at=reading.occurred_at,
        action=reading.action,
        count=reading.action_count,
        resource_kind=reading.resource_kind,
        resource=reading.resource_id,
        system=reading.resource_system,
        tool=reading.tool,
        writes=reading.writes,
        arguments=reading.arguments,
        bytes=reading.bytes,
        money=float(reading.money),
        returned=reading.returned,
        session=str(session.pk) if session else "",
    )


def _fingerprint_of_text(text: str) -> str:
    """Two deliveries of one text with a secret in it compare equal, and nobody guesses the secret from what is kept."""
    return fingerprints.of("text", text)


def _masked(message: Mapping[str, Any], called: Callable[[str, str], str]) -> Mapping[str, Any]:
    """A credential's id may be the secret itself. The kept body has its label instead; its digest is over the keyed fingerprint, since a
    short secret could be guessed from a plain one. What a tool returned is nobody's to keep: its fingerprint tells deliveries apart.
    """
    action = message.get("action")
    if isinstance(action, Mapping) and "returned" in action:
        message = {**message, "action": {**action, "returned": fingerprints.of("returned", canonical(action["returned"]).decode())}}
    if isinstance(action, Mapping) and isinstance(made := action.get("minted"), Mapping):
        message = {**message, "action": {**message["action"], "minted": _named(made, called)}}
    credential = message.get("credential")
    return {**message, "credential": _named(credential, called)} if isinstance(credential, Mapping) else message


def _named(credential: Mapping[str, Any], called: Callable[[str, str], str]) -> Mapping[str, Any]:
    return {**credential, "id": called(str(credential.get("kind")), str(credential.get("id")))}
