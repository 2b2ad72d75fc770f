"""Trying a playbook on somebody of the inventory: what it would do to them now. It looks, and changes nothing; that somebody looked is on
record."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from audit import clock
from audit.record import record, story
from containment import targets
from containment.models import Credential, Identity, Session
from core.actor import Actor
from core.digest import digest_of_bytes
from core.refusals import Missing
from playbooks import dry_run
from playbooks.dry_run import DryRun
from playbooks.models import PlaybookVersion

MOST_SESSIONS = 200


def out(playbook: PlaybookVersion | str, identity_id: UUID, *, actor: Actor) -> DryRun:
    """The dry run, which is written down afterwards: it may ask another system, and no transaction of ours is open meanwhile."""
    identity = Identity.objects.filter(pk=identity_id, merged_into__isnull=True).first()
    if identity is None:
        raise Missing("There is no such identity.")
    found = dry_run.of(playbook, target_of(identity))
    _told(playbook, identity, actor=actor)
    return found


def target_of(identity: Identity) -> dict[str, Any]:
    """As judgement would freeze it if all live sessions were to be cut but those that are designated. Who else uses a shared credential is
    found when it is decided, and not here."""
    live = Session.objects.filter(identity=identity, ended_at__isnull=True, discovered_at__isnull=True).exclude(expires_at__lt=clock.now())
    sessions = list(live.order_by("-last_seen_at", "id")[:MOST_SESSIONS])
    designations = list(identity.designations.filter(granted_at__isnull=False, ended_at__isnull=True)[:MOST_SESSIONS])
    names = {one.session_name for one in designations if one.session_name}
    workflows = {one.workflow for one in designations if one.workflow}
    spared = [one for one in sessions if one.external_id in names or one.workflow in workflows]
    credential = Credential.objects.filter(uses__identity=identity).order_by("created_at").first()
    return {
        "provider": identity.provider,
        "kind": identity.kind,
        "subject": identity.subject,
        "identity": str(identity.pk),
        "session": "",
        "credential": credential.name if credential else "",
        "facts": {
            "environment": identity.environment,
            "sessions": sorted(one.external_id for one in sessions),
            "only": [],
            **targets.sparing(spared, designations),
        },
    }


@story
def _told(playbook: PlaybookVersion | str, identity: Identity, *, actor: Actor) -> None:
    if isinstance(playbook, PlaybookVersion):
        name, digest, about = str(playbook), playbook.digest, [playbook.ref]
    else:
        name, digest, about = "a text that was not saved", digest_of_bytes(playbook.encode()), []
    record("playbook.tried", identity.ref, actor=actor, about=about, name=name, identity=str(identity), digest=digest)
