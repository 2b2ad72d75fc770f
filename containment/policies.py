"""Risk policy versions: shipping, drafting, approving, and the one that is in force."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from audit import clock
from audit.record import record, story
from containment.domain import policy as documents
from containment.domain.policy import Mode, RiskPolicy
from containment.models import RiskPolicyVersion
from containment.refusals import NoPolicy, OwnApproval
from core.actor import SYSTEM, Actor
from core.digest import digest_of_bytes
from core.refusals import Missing, Refusal


def in_force() -> RiskPolicyVersion:
    version = RiskPolicyVersion.objects.filter(state="in_force").first()
    if version is None:
        raise NoPolicy("No risk policy is in force yet. What arrives is kept and decided as soon as one is.")
    return version


@lru_cache(maxsize=8)
def document(text: str) -> RiskPolicy:
    """The parsed policy; the text is its key, so a cached document is never a stale one."""
    return documents.parse(text)


@story
def ship(*, mode: Mode) -> RiskPolicyVersion | None:
    """Put the shipped policy in force where there is none yet. Safe to call at every start."""
    if RiskPolicyVersion.objects.exists():
        return None
    version = _draft(documents.shipped_text(mode), actor=SYSTEM, author_id=None, shipped=True)
    _put_in_force(version)
    record("policy.approved", version.ref, actor=SYSTEM, version=version.version, digest=version.digest, shipped=True)
    return version


@story
def draft(text: str, *, actor: Actor) -> RiskPolicyVersion:
    """A new version, checked. BadInput names every fault with its line and path."""
    return _draft(text, actor=actor, author_id=UUID(actor.principal), shipped=False)


@story
def approve(version_id: UUID, *, actor: Actor, seen_digest: str) -> RiskPolicyVersion:
    """Put a draft in force, provided it is the text the approver read, and not its author."""
    version = RiskPolicyVersion.objects.select_for_update(of=("self",)).filter(pk=version_id).first()
    if version is None:
        raise Missing("There is no such policy version.")
    if str(version.author_id) == actor.principal:
        raise OwnApproval(f"You wrote {version}. Somebody else has to approve it.")
    if version.state != "draft":
        raise Refusal(f"{version} is {version.state.replace('_', ' ')} already.")
    if version.digest != seen_digest:
        raise Refusal(f"{version} is not the text you read. Read it again, then approve.")
    version.approver_id = UUID(actor.principal)
    _put_in_force(version)
    record("policy.approved", version.ref, actor=actor, version=version.version, digest=version.digest)
    return version


def _draft(text: str, *, actor: Actor, author_id: UUID | None, shipped: bool) -> RiskPolicyVersion:
    documents.parse(text)
    last = RiskPolicyVersion.objects.order_by("-version").values_list("version", flat=True).first() or 0
    version = RiskPolicyVersion.objects.create(
        version=last + 1,
        text=text,
        digest=digest_of_bytes(text.encode()),
        shipped=shipped,
        author_id=author_id,
        drafted_at=clock.now(),
    )
    record("policy.drafted", version.ref, actor=actor, version=version.version, digest=version.digest)
    return version


def _put_in_force(version: RiskPolicyVersion) -> None:
    RiskPolicyVersion.objects.filter(state="in_force").update(state="superseded")
    version.state, version.in_force_at = "in_force", clock.now()
    version.save(update_fields=["state", "in_force_at", "approver"])
