"""Risk policy versions: shipping, drafting, and the one that is in force. A version never changes its text.

Its state changes here, for policy_approvals.py (whose word it takes) and shadow.py (judging beside the one in force).
"""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from django.db import connection

from audit import clock
from audit.record import record, story
from containment.domain import policy as documents
from containment.domain.policy import Mode, RiskPolicy
from containment.models import RiskPolicyVersion
from containment.refusals import NoPolicy, NotThePerson
from core.actor import SYSTEM, Actor
from core.digest import digest_of_bytes
from core.lifecycle import Lifecycle
from core.refusals import BadInput, Fault, Missing

POLICY = Lifecycle(
    "policy version",
    {
        ("draft", "approve"): "in_force",
        ("draft", "shadow"): "shadow",  # judges beside the one in force, without effect
        ("shadow", "stop"): "draft",
        ("shadow", "approve"): "in_force",
        ("in_force", "supersede"): "superseded",
    },
)


def in_force() -> RiskPolicyVersion:
    version = RiskPolicyVersion.objects.filter(state="in_force").first()
    if version is None:
        raise NoPolicy("No risk policy is in force yet. What arrives is kept and decided as soon as one is.")
    return version


@lru_cache(maxsize=8)
def document(text: str) -> RiskPolicy:
    """The parsed policy; the text is its key, so a cached document is never a stale one."""
    return documents.parse(text)


def check(text: str) -> list[Fault]:
    """Everything that is wrong with a text, each fault with its path and line; an empty list for a good one."""
    try:
        documents.parse(text)
    except BadInput as refusal:
        return refusal.faults
    return []


@story
def ship(*, mode: Mode, more: str = "") -> RiskPolicyVersion | None:
    """Put the shipped policy in force where there is none yet. Safe to call at every start. `more`: what a trial says besides."""
    if RiskPolicyVersion.objects.exists():
        return None
    version = write(documents.shipped_text(mode) + more, actor=SYSTEM, author_id=None, shipped=True)
    put_in_force(version, None, needed=1)
    record("policy.approved", version.ref, actor=SYSTEM, version=version.version, digest=version.digest, shipped=True)
    return version


@story
def draft(text: str, *, actor: Actor) -> RiskPolicyVersion:
    """A new version, checked. BadInput names every fault with its line and path."""
    must(actor, "policy.author", "Policies are written by people with the right to do so.")
    return write(text, actor=actor, author_id=UUID(actor.principal), shipped=False)


def locked(version_id: UUID) -> RiskPolicyVersion:
    """The version, while nothing else happens to any version."""
    one_at_a_time()
    version = RiskPolicyVersion.objects.select_for_update(of=("self",)).filter(pk=version_id).first()
    if version is None:
        raise Missing("There is no such policy version.")
    return version


def put_in_force(version: RiskPolicyVersion, base: RiskPolicyVersion | None, *, needed: int) -> None:
    """It is in force and `base`, the one that was, no longer. The database refuses it on fewer words than `needed`."""
    if base is not None:
        base.state = POLICY.after(base.state, "supersede")
        base.save(update_fields=["state"])
    now = clock.now()
    if version.state == "shadow":
        version.shadow_until = now
    version.state, version.in_force_at = POLICY.after(version.state, "approve"), now
    version.supersedes, version.approvals_needed = base, needed
    version.save(update_fields=["state", "in_force_at", "approver", "loosens_only", "shadow_until", "supersedes", "approvals_needed"])


def must(actor: Actor, permission: str, otherwise: str) -> None:
    """Only people do this, and only those with the permission."""
    if not (actor.is_person and actor.may(permission)):
        raise NotThePerson(otherwise)


def write(text: str, *, actor: Actor, author_id: UUID | None, shipped: bool) -> RiskPolicyVersion:
    """A draft with the next number. BadInput names every fault."""
    documents.parse(text)
    one_at_a_time()
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


def one_at_a_time() -> None:
    """Versions are numbered and put in force one after the other, so that of two at once each finds the other's outcome."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('risk policy', 8))")
