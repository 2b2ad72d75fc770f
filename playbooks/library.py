"""The playbook library: draft, approve and bind versions. A version never changes; one is in force per name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from django.conf import settings

from audit import clock
from audit.record import record, story
from connectors import registry
from connectors.base import Ability, Measure
from core.actor import SYSTEM, Actor
from core.digest import digest_of_bytes
from core.refusals import Missing, Refusal
from playbooks.domain.document import parse, stored
from playbooks.domain.specs import Document
from playbooks.models import PlaybookVersion
from playbooks.refusals import NoPlaybook, OwnApproval, TiedPlaybooks

SHIPPED = Path(settings.ROOT) / "playbooks" / "shipped"


@dataclass(frozen=True, slots=True)
class Binding:
    """The version that was chosen, its document, and the names of those passed over."""

    version: PlaybookVersion
    document: Document
    passed_over: tuple[str, ...]


def ability_of(connector: str, measure: Measure) -> Ability | None:
    found = registry.connector_for(connector)
    return found.abilities.get(measure) if found is not None else None


@story
def draft(text: str, *, actor: Actor) -> PlaybookVersion:
    """A new version, checked. BadInput names every fault."""
    return _draft(text, actor=actor, author_id=UUID(actor.principal), shipped=False)


@story
def approve(version_id: UUID, *, actor: Actor, seen_digest: str) -> PlaybookVersion:
    """Put a draft in force, provided it is the text the approver read. Not by its author, and not where two playbooks would tie."""
    version = PlaybookVersion.objects.select_for_update().filter(pk=version_id).first()
    if version is None:
        raise Missing("There is no such playbook version.")
    if str(version.author_id) == actor.principal:
        raise OwnApproval(f"You wrote {version}. Somebody else has to approve it.")
    if version.state != "draft":
        raise Refusal(f"{version} is {version.state.replace('_', ' ')} already.")
    if version.digest != seen_digest:
        raise Refusal(f"{version} is not the text you read. Read it again, then approve.")
    _refuse_ties(version)
    version.approver_id = UUID(actor.principal)
    _put_in_force(version)
    record("playbook.approved", version.ref, actor=actor, name=version.name, version=version.version, digest=version.digest)
    return version


@story
def ship() -> list[PlaybookVersion]:
    """Put the shipped playbooks in force where none of that name exists yet. Safe to call at every start."""
    shipped = []
    for path in sorted(SHIPPED.glob("*.yaml")):
        text = path.read_text()
        if not PlaybookVersion.objects.filter(name=parse(text).name).exists():
            version = _draft(text, actor=SYSTEM, author_id=None, shipped=True)
            _put_in_force(version)
            record("playbook.approved", version.ref, actor=SYSTEM, name=version.name, version=version.version, digest=version.digest)
            shipped.append(version)
    return shipped


def bind(*, kind: str, drive: str, pattern: str) -> Binding:
    """The most specific playbook in force for this case: one that names the pattern before one for any, one that names the drive before one
    for all. NoPlaybook where none fits."""
    fitting = [
        version
        for version in PlaybookVersion.objects.filter(state="in_force", kinds__contains=[kind])
        if version.pattern in {pattern, "any"} and (not version.drives or drive in version.drives)
    ]
    if not fitting:
        raise NoPlaybook(f"No playbook in force is for a {kind.replace('_', ' ')}.")
    fitting.sort(key=lambda version: (version.pattern != pattern, not version.drives, version.name))
    return Binding(fitting[0], document(fitting[0].text), tuple(str(version) for version in fitting[1:]))


@lru_cache(maxsize=64)
def document(text: str) -> Document:
    """The parsed playbook; the text is its key, so a cached document is never a stale one."""
    return stored(text)


def in_force() -> Iterable[PlaybookVersion]:
    return PlaybookVersion.objects.filter(state="in_force")


def _draft(text: str, *, actor: Actor, author_id: UUID | None, shipped: bool) -> PlaybookVersion:
    document = parse(text)
    last = PlaybookVersion.objects.filter(name=document.name).order_by("-version").first()
    version = PlaybookVersion.objects.create(
        name=document.name,
        version=last.version + 1 if last else 1,
        text=text,
        digest=digest_of_bytes(text.encode()),
        kinds=list(document.kinds),
        drives=list(document.drives),
        pattern=document.pattern,
        shipped=shipped,
        author_id=author_id,
        drafted_at=clock.now(),
    )
    record("playbook.drafted", version.ref, actor=actor, name=version.name, version=version.version, digest=version.digest)
    return version


def _put_in_force(version: PlaybookVersion) -> None:
    PlaybookVersion.objects.filter(name=version.name, state="in_force").update(state="superseded")
    version.state, version.in_force_at = "in_force", clock.now()
    version.save(update_fields=["state", "in_force_at", "approver"])


def _refuse_ties(version: PlaybookVersion) -> None:
    for other in PlaybookVersion.objects.filter(state="in_force", pattern=version.pattern).exclude(name=version.name):
        same_kind = set(other.kinds) & set(version.kinds)
        same_drive = (not other.drives and not version.drives) or bool(set(other.drives) & set(version.drives))
        if same_kind and same_drive:
            raise TiedPlaybooks(f"{other} is as specific for {', '.join(sorted(same_kind))}. Make one of them narrower.")
