"""The playbook library: draft, approve, bind, retire and revoke versions. A version never changes; one is in force per name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from audit import clock
from audit.record import record, story
from connectors import registry
from connectors.base import Ability, Measure
from core import masking
from core.actor import SYSTEM, Actor
from core.digest import digest_of_bytes
from core.lifecycle import Lifecycle
from core.refusals import Missing
from playbooks.domain import bindings
from playbooks.domain.document import parse, stored
from playbooks.domain.specs import DRIVES, Document
from playbooks.models import PlaybookVersion
from playbooks.refusals import LeavesNoPlaybook, NoPlaybook, NotInThatState, NotTheTextSeen, NotYourPlaybook, OwnApproval, TiedPlaybooks

PLAYBOOK = Lifecycle(
    "playbook",
    {
        ("draft", "approve"): "in_force",
        ("draft", "drop"): "dropped",
        ("in_force", "supersede"): "superseded",
        ("in_force", "retire"): "retired",
        ("in_force", "revoke"): "revoked",
        ("superseded", "revoke"): "revoked",  # runs of it may still stand
        ("retired", "revoke"): "revoked",
    },
)
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
    """A new version, checked. BadInput names every fault with its line."""
    _must(actor, "playbook.author")
    return _draft(text, actor=actor, author_id=UUID(actor.principal), shipped=False)


@story
def approve(version_id: UUID, *, actor: Actor, seen_digest: str) -> PlaybookVersion:
    """Put a draft in force, provided it is the text the approver read. Not by its author, and not where two playbooks would tie."""
    _must(actor, "playbook.approve")
    version = _locked(version_id)
    if str(version.author_id) == actor.principal:
        raise OwnApproval(f"You wrote {version}. Somebody else has to approve it.")
    state = PLAYBOOK.after(version.state, "approve") if PLAYBOOK.allows(version.state, "approve") else ""
    if not state:
        raise NotInThatState(f"{version} is {version.state.replace('_', ' ')} already.")
    if version.digest != seen_digest:
        raise NotTheTextSeen(f"{version} is not the text you read. Read it again, then approve.")
    _refuse_faults(version)
    _refuse_ties(version)
    version.approver_id = UUID(actor.principal)
    _put_in_force(version)
    _recorded("playbook.approved", version, actor=actor)
    return version


@story
def retire(version_id: UUID, *, actor: Actor, because: str, confirmed: bool = False) -> PlaybookVersion:
    """No new run of it; those that began go on. Refused where somebody would be left without any playbook, unless that is `confirmed`."""
    _must(actor, "playbook.approve")
    version = _locked(version_id)
    if version.state != "in_force":
        raise NotInThatState(f"{version} is {version.state.replace('_', ' ')}. Only what is in force is retired.")
    if (left := uncovered_without(version)) and not confirmed:
        raise LeavesNoPlaybook(
            f"Without {version} nothing could be contained for {said_cases(left)}. Say that you mean it, or approve another."
        )
    return _ended(version, "retire", actor=actor, because=because)


@story
def revoke(version_id: UUID, *, actor: Actor, because: str) -> PlaybookVersion:
    """Withdraw it as harmful, at any time and by one person: its runs stop at their next boundary. Nothing is put in its place."""
    _must(actor, "playbook.approve")
    version = _locked(version_id)
    if not PLAYBOOK.allows(version.state, "revoke"):
        raise NotInThatState(f"{version} is {version.state.replace('_', ' ')}. Only what was in force once can be revoked as harmful.")
    return _ended(version, "revoke", actor=actor, because=because)


@story
def drop(version_id: UUID, *, actor: Actor) -> PlaybookVersion:
    """A draft that nobody wants any more."""
    _must(actor, "playbook.author")
    version = _locked(version_id)
    if version.state != "draft":
        raise NotInThatState(f"{version} is {version.state.replace('_', ' ')}. Only a draft is dropped.")
    return _ended(version, "drop", actor=actor, because="")


@story
def ship() -> list[PlaybookVersion]:
    """The shipped playbooks whose text is new here. Each is put in force where it takes nothing from a playbook of one's own, and waits as
    a draft for somebody's word otherwise. Safe to call at every start."""
    _one_at_a_time()
    known = {kind for kinds in PlaybookVersion.objects.values_list("kinds", flat=True) for kind in kinds}
    texts = [path.read_text() for path in sorted(SHIPPED.glob("*.yaml"))]
    return [version for text in texts if (version := _ship(text, known)) is not None]


def bind(*, kind: str, drive: str, pattern: str) -> Binding:
    """The most specific playbook in force for this case. NoPlaybook where none fits."""
    found = bindings.fitting(PlaybookVersion.objects.filter(state="in_force", kinds__contains=[kind]), kind, drive, pattern)
    if not found:
        raise NoPlaybook(f"No playbook in force is for a {kind.replace('_', ' ')}.")
    return Binding(found[0], document(found[0].text), tuple(str(version) for version in found[1:]))


def uncovered_without(version: PlaybookVersion) -> list[tuple[str, str]]:
    """Kind and drive of those who would have no playbook at all if this one were not in force."""
    others = list(PlaybookVersion.objects.filter(state="in_force").exclude(pk=version.pk))
    return bindings.without(others, bindings.cases_of(version))


def instead_of(version: PlaybookVersion) -> str:
    """What is bound now to whom this version was for: a sentence. The version before it is not put back by itself."""
    others = list(PlaybookVersion.objects.filter(state="in_force").exclude(pk=version.pk))
    taken: dict[str, list[str]] = {}
    for kind, drive, pattern in bindings.cases_of(version):
        if found := bindings.fitting(others, kind, drive, pattern):
            taken.setdefault(str(found[0]), []).append(kind.replace("_", " "))
    said = [
        f"{name} is bound now for {', '.join(dict.fromkeys(kind.replace('_', ' ') for kind in kinds))}." for name, kinds in taken.items()
    ]
    if left := bindings.without(others, bindings.cases_of(version)):
        said.append(f"No playbook is left for {said_cases(left)}: nothing can be contained there until one is approved.")
    return " ".join(said)


@lru_cache(maxsize=64)
def document(text: str) -> Document:
    """The parsed playbook; the text is its key, so a cached document is never a stale one."""
    return stored(text)


def in_force() -> Iterable[PlaybookVersion]:
    return PlaybookVersion.objects.filter(state="in_force")


def _draft(text: str, *, actor: Actor, author_id: UUID | None, shipped: bool) -> PlaybookVersion:
    document = parse(text)
    _one_at_a_time()
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
    _recorded("playbook.drafted", version, actor=actor)
    return version


def _ship(text: str, known: set[str]) -> PlaybookVersion | None:
    name, digest = parse(text).name, digest_of_bytes(text.encode())
    if PlaybookVersion.objects.filter(name=name, digest=digest).exists():
        return None
    for older in PlaybookVersion.objects.filter(name=name, state="draft", shipped=True):
        _ended(older, "drop", actor=SYSTEM, because="a newer one is shipped")
    version = _draft(text, actor=SYSTEM, author_id=None, shipped=True)
    if _takes_nothing(version, known):
        _put_in_force(version)
        _recorded("playbook.approved", version, actor=SYSTEM)
    else:
        _recorded("playbook.offered", version, actor=SYSTEM)
    return version


def _takes_nothing(version: PlaybookVersion, known: set[str]) -> bool:
    """Whether all that it would be bound to is the shipped playbooks' already. Where somebody took theirs out of force, it stays so."""
    before = PlaybookVersion.objects.filter(name=version.name).exclude(pk=version.pk)
    if before.exists() and not before.filter(state="in_force", shipped=True).exists():
        return False
    others = list(PlaybookVersion.objects.filter(state="in_force"))
    if any(bindings.tied(version, other) for other in others if other.name != version.name):
        return False
    for kind, drive, pattern in bindings.cases_of(version):
        found = bindings.fitting(others, kind, drive, pattern)
        if not found and kind in known:
            return False
        if found and not found[0].shipped and bindings.fitting([found[0], version], kind, drive, pattern)[0] is version:
            return False
    return True


def _put_in_force(version: PlaybookVersion) -> None:
    for former in PlaybookVersion.objects.filter(name=version.name, state="in_force"):
        former.state = PLAYBOOK.after(former.state, "supersede")
        former.save(update_fields=["state"])
    version.state, version.in_force_at = PLAYBOOK.after(version.state, "approve"), clock.now()
    version.save(update_fields=["state", "in_force_at", "approver"])


def _ended(version: PlaybookVersion, move: str, *, actor: Actor, because: str) -> PlaybookVersion:
    because = masking.in_text(because)
    version.state, version.ended_at, version.ended_because = PLAYBOOK.after(version.state, move), clock.now(), because
    version.ended_by_id = UUID(actor.principal) if actor.is_person else None
    version.save(update_fields=["state", "ended_at", "ended_by", "ended_because"])
    _recorded(f"playbook.{version.state}", version, actor=actor, because=because)
    return version


def _locked(version_id: UUID) -> PlaybookVersion:
    """The version, while nothing else happens to any version."""
    _one_at_a_time()
    version = PlaybookVersion.objects.select_for_update(of=("self",)).filter(pk=version_id).first()
    if version is None:
        raise Missing("There is no such playbook version.")
    return version


def _one_at_a_time() -> None:
    """Two drafts that would tie, approved at once: each finds the other's outcome."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('playbooks', 8))")


def _must(actor: Actor, permission: str) -> None:
    if not (actor.is_person and actor.may(permission)):
        raise NotYourPlaybook("Playbooks are written, approved and withdrawn by people with the right to do so.")


def _refuse_faults(version: PlaybookVersion) -> None:
    """The rules of today, in case it was drafted under those of yesterday."""
    parse(version.text)


def _refuse_ties(version: PlaybookVersion) -> None:
    for other in PlaybookVersion.objects.filter(state="in_force", pattern=version.pattern).exclude(name=version.name):
        if kinds := bindings.tied(version, other):
            raise TiedPlaybooks(f"{other} is as specific for {', '.join(kinds)}. Make one of them narrower.")


def said_cases(cases: Iterable[tuple[str, str]]) -> str:
    """Kinds and drives, in words."""
    drives: dict[str, list[str]] = {}
    for kind, drive in cases:
        drives.setdefault(kind.replace("_", " "), []).append(drive)
    return ", ".join(kind if len(found) == len(DRIVES) else f"{kind} driven by {' or '.join(found)}" for kind, found in drives.items())


def _recorded(verb: str, version: PlaybookVersion, *, actor: Actor, **more: Any) -> None:
    record(verb, version.ref, actor=actor, name=version.name, version=version.version, digest=version.digest, **more)
