"""Protection: what connectors ask to protect, and the second look right before one of them acts.

Each connector says as whom it works and who administers its system. Until a person answers, a subject it names counts as protected. The
decision looks at names (flow.py); what a call would really hit, its connector says just before it acts, and nothing is done to anybody
protected whom two people were not asked about.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from approvals.domain.quorum import Terms
from approvals.models import Hold
from audit import clock
from audit.record import record, story
from connectors import optional, registry
from connectors.base import Connector, ConnectorTrouble, LockedOut, Rejected, Unavailable
from connectors.base import Step as Call
from containment import lockout
from containment.domain.facts import CredentialUser, Facts
from containment.domain.lockout import folded
from containment.domain.policy import HoldReason
from containment.lockout import ADMINISTERS, names_of
from containment.models import Identity, IdentityAlias, ProtectionProposal
from containment.refusals import NotThePerson
from core import masking
from core.actor import SYSTEM, Actor
from core.crashpoints import crashpoint
from core.refs import Ref
from core.refusals import BadInput, Fault, Missing, Refusal
from playbooks import circuit, shield
from playbooks.models import Run, Step
from playbooks.shield import Shielded

log = logging.getLogger(__name__)

WORKS_AS = "its connector works as it, or depends on it"
EDITS = "protected.edit"
MOST = 500  # subjects that one connector may ask to protect
MOST_SHOWN = 5
LONGEST_REASON = 2000
REMEMBERED_S = 60.0  # how long what a connector said of itself serves the second look
KIND_OF_UNKNOWN = "service_account"


class AnsweredAlready(Refusal):
    code = "answered_already"


@dataclass(frozen=True, slots=True)
class Named:
    """What a connector says of itself: subject -> why it should be protected. `trouble`: why it said nothing;
    `is_locked_out`: because its target refuses our own credential."""

    subjects: Mapping[str, str]
    trouble: str = ""
    is_locked_out: bool = False


# -- what connectors ask for ---------------------------------------------------------------------------------------------------------------


def contact(provider: str) -> Named:
    """Ask a connector who it is and who administers its system, and keep what it says. Outside any transaction."""
    connector = registry.connector_for(provider)
    named = _asked(connector) if connector is not None else Named({}, "No connector acts on it any more.")
    if not named.trouble:
        _keep(provider, named.subjects)
    if named.is_locked_out:
        circuit.refused_at(provider, named.trouble)
    elif named.subjects:  # it knew us
        circuit.close(provider)
    return named


def _asked(connector: Connector) -> Named:
    try:
        crashpoint("protection.contact.before_call")
        ours, administrators = connector.whoami(), optional.administrators(connector)
        crashpoint("protection.contact.after_call")
    except ConnectorTrouble as trouble:
        return Named({}, trouble.said, is_locked_out=isinstance(trouble, LockedOut))
    except Exception:  # whatever a connector does, the page says that it did not answer
        log.exception("the connector %s could not say who it is", connector.name)
        return Named({}, "Its connector failed; the log says why.")
    subjects = dict.fromkeys(sorted(ours), WORKS_AS)  # first: where there are too many, those that it works as stay
    for subject in sorted(administrators):
        subjects[subject] = f"{WORKS_AS}; {ADMINISTERS}" if subject in subjects else ADMINISTERS
    return Named(dict(list(subjects.items())[:MOST]))


@story
def _keep(provider: str, subjects: Mapping[str, str]) -> None:
    """New ones are proposed; an open one that is named no longer is withdrawn; what people answered stays answered."""
    now = clock.now()
    known = {row.subject: row for row in ProtectionProposal.objects.select_for_update(of=("self",)).filter(provider=provider)}
    for subject, because in subjects.items():
        row = known.get(subject)
        if row is None:
            made, new = ProtectionProposal.objects.get_or_create(
                provider=provider, subject=subject, defaults={"because": because, "proposed_at": now, "seen_at": now}
            )
            if new:
                record("protection.proposed", made.ref, actor=SYSTEM, subject=str(made), because=because)
        else:
            row.because, row.seen_at = because, now
            row.save(update_fields=["because", "seen_at"])
    for subject, row in known.items():
        if subject in subjects:
            continue
        if row.state == "open":
            record("protection.withdrawn", row.ref, actor=SYSTEM, subject=str(row))
            row.delete()
        elif row.because:
            row.because = ""
            row.save(update_fields=["because"])


@story
def agree(proposal_id: UUID, *, actor: Actor) -> Identity:
    """It is protected from now on, under all its names. One that nobody had listed is listed thereby."""
    row, identity = _locked_for(proposal_id, actor)
    because = f"asked for by the connector of {row.provider}: {row.because}"
    if identity is None:
        now = clock.now()
        identity = Identity.objects.create(
            provider=row.provider, subject=row.subject, kind=KIND_OF_UNKNOWN, discovered_at=now, created_at=now
        )
        record("identity.discovered", identity.ref, actor=actor, identity=str(identity))
    if not identity.protected:
        identity.protected, identity.protected_because = True, because
        identity.save(update_fields=["protected", "protected_because"])
        record("protected.changed", identity.ref, actor=actor, identity=str(identity), because=because, protected=True)
    _answer(row, "agreed", because, actor)
    return identity


@story
def decline(proposal_id: UUID, because: str, *, actor: Actor) -> ProtectionProposal:
    """It may be contained without a person, as far as its name goes. That it is the last administrator still takes two."""
    row, _ = _locked_for(proposal_id, actor)
    if not because.strip() or len(because) > LONGEST_REASON:
        raise BadInput([Fault("because", "missing", f"Say why it needs no protection, in at most {LONGEST_REASON} characters.")])
    return _answer(row, "declined", masking.in_text(because.strip()), actor)


def _locked_for(proposal_id: UUID, actor: Actor) -> tuple[ProtectionProposal, Identity | None]:
    """Identity first: the order of the house."""
    if not (actor.is_person and actor.may(EDITS)):
        raise NotThePerson("Whom a connector asks to protect is answered by people who may edit the protected list.")
    seen = ProtectionProposal.objects.filter(pk=proposal_id).first()
    if seen is None:
        raise Missing("It is not asked for any more.")
    identity = known_as(seen.provider, seen.subject)
    if identity is not None:
        identity = Identity.objects.select_for_update(no_key=True, of=("self",)).get(pk=identity.pk)
    row = ProtectionProposal.objects.select_for_update(of=("self",)).filter(pk=proposal_id).first()
    if row is None or row.state != "open":
        raise AnsweredAlready("Somebody answered it a moment ago." if row else "It is not asked for any more.")
    return row, identity


def _answer(row: ProtectionProposal, state: str, because: str, actor: Actor) -> ProtectionProposal:
    row.state, row.answered_at, row.answered_by_id = state, clock.now(), UUID(actor.principal)
    row.save(update_fields=["state", "answered_at", "answered_by"])
    record(f"protection.{state}", row.ref, actor=actor, subject=str(row), because=because)
    return row


def known_as(provider: str, subject: str) -> Identity | None:
    """The identity of this name, or of this alias; where it was merged, the one that it lives on as."""
    found = Identity.objects.filter(Q(provider=provider, subject=subject)).first()
    if found is None:
        alias = IdentityAlias.objects.select_related("identity").filter(provider=provider, subject=subject).first()
        found = alias.identity if alias else None
    while found is not None and found.merged_into is not None:
        found = found.merged_into
    return found


def waiting(provider: str = "") -> QuerySet[ProtectionProposal]:
    rows = ProtectionProposal.objects.filter(state="open")
    return rows.filter(provider=provider) if provider else rows


# -- what the decision looks at ------------------------------------------------------------------------------------------------------------


def shielded(facts: Facts, identity: Identity, asking: Callable[[], Terms] | None = None) -> Facts:
    """The same facts with what only comes into play where something would be done: who asked to protect it, and what we would lose."""
    if not facts.identity.protected and (why := protected_because(identity)):
        facts = replace(facts, identity=replace(facts.identity, protected=True, protected_because=why))
    if facts.credential is not None and not facts.scoped:
        users = tuple(_as_proposed(user) for user in facts.credential.users)
        facts = replace(facts, credential=replace(facts.credential, users=users))
    return facts if facts.identity.protected else replace(facts, locks_out=lockout.stands(identity, asking=asking))


def _as_proposed(user: CredentialUser) -> CredentialUser:
    provider, _, subject = user.identity_name.partition("/")
    return user if user.protected or not _proposed([(provider, subject)]) else replace(user, protected=True)


def protected_because(identity: Identity) -> str:
    """Why it counts as protected although its own row does not say so; empty where nothing says so."""
    return _protected_name(names_of(identity), besides=identity)


def _protected_name(names: Iterable[tuple[str, str]], *, besides: Identity | None = None) -> str:
    listed = list(names)
    if row := _proposed(listed):
        return f"asked for by the connector of {row.provider}: {row.because}"
    for provider, subject in listed:
        if (other := _spelt_otherwise(provider, subject, besides)) is not None:
            return f"{other} is protected, and only the spelling differs"
    return ""


def _proposed(names: Iterable[tuple[str, str]]) -> ProtectionProposal | None:
    wanted = {(provider, folded(subject)) for provider, subject in names}
    rows = ProtectionProposal.objects.filter(state="open", provider__in={provider for provider, _ in wanted}).order_by("subject")
    return next((row for row in rows if (row.provider, folded(row.subject)) in wanted), None)  # MOST of each provider, and none left out


def _spelt_otherwise(provider: str, subject: str, besides: Identity | None = None) -> Identity | None:
    alike = Q(provider=provider, subject__iexact=subject.strip()) | Q(aliases__provider=provider, aliases__subject__iexact=subject.strip())
    rows = Identity.objects.filter(alike, protected=True, merged_into__isnull=True)
    return (rows.exclude(pk=besides.pk) if besides else rows).first()


# -- the second look -----------------------------------------------------------------------------------------------------------------------


def look_again(run: Run, step: Step, connector: Connector, call: Call) -> None:
    """Right before a connector acts: whom would this call hit? Shielded where one of them is protected and was not asked about."""
    excused = _asked_about(run)
    for subject in _resolved(connector, call):
        why = _why_not(step, connector, call, subject)
        if why and folded(subject) not in excused:
            raise Shielded(_said(call, subject, why))


def _resolved(connector: Connector, call: Call) -> list[str]:
    try:
        crashpoint("protection.resolves.before_call")
        found = optional.resolves(connector, call)
        crashpoint("protection.resolves.after_call")
    except Rejected as trouble:
        raise Shielded(f"Nobody can say whom it would hit, so nothing was done: {trouble.said}") from trouble
    return found


def _why_not(step: Step, connector: Connector, call: Call, subject: str) -> str:
    """Why this subject may not be hit without people; empty where it may."""
    providers = list(dict.fromkeys([call.target.provider, step.connector]))
    for provider in providers:
        known = _spelt_otherwise(provider, subject)
        if known is not None:
            return known.protected_because or "it is on the protected list"
        if row := _proposed([(provider, subject)]):
            return f"asked for by the connector of {provider}: {row.because}"
    own = _own(step.connector, connector)
    if folded(subject) in own and step.connector == call.target.provider:
        return f"its connector says so: {own[folded(subject)]}"
    return next((why for provider in providers if (why := lockout.one_of_ours(provider, subject))), "")


def _said(call: Call, subject: str, why: str) -> str:
    itself = folded(subject) == folded(call.target.subject)
    whom = f"{subject} is protected ({why}), and two people were not asked about it." if itself else ""
    whom = whom or f"It would hit {subject} as well, which is protected ({why})."
    return f"{whom} Nothing was done. A person contains it by hand, or takes it off the protected list and tries again."


def _asked_about(run: Run) -> frozenset[str]:
    """The names of the run's own identity, where two people said that it should be contained although it is protected."""
    if not Hold.objects.filter(run_ref=str(run.ref), state="approved", reason_class=str(HoldReason.PROTECTED)).exists():
        return frozenset()
    identity = Identity.objects.filter(pk=Ref.parse(run.identity_ref).id).first()
    names = names_of(identity) if identity else []
    return frozenset({folded(str(run.target["subject"])), *(folded(subject) for _, subject in names)})


_remembered: dict[str, tuple[float, Connector, dict[str, str]]] = {}
_remembering = threading.Lock()


def _own(provider: str, connector: Connector) -> dict[str, str]:
    """What the connector says of itself just now, without what people declined. Where it cannot say, what it said last; one that never
    said is asked again later."""
    with _remembering:
        at, whose, found = _remembered.get(provider, (float("-inf"), connector, {}))
    if whose is not connector or time.monotonic() - at > REMEMBERED_S:
        named = _asked(connector)
        kept = ProtectionProposal.objects.filter(provider=provider).exclude(because="")
        if named.trouble and not kept.exists():
            raise Unavailable(f"Nobody can say yet whom it must not hit: {named.trouble}")
        subjects = named.subjects if not named.trouble else dict(kept.values_list("subject", "because")[:MOST])
        found = {folded(subject): because for subject, because in subjects.items()}
        with _remembering:
            _remembered[provider] = (time.monotonic(), connector, found)
    declined = ProtectionProposal.objects.filter(provider=provider, state="declined").values_list("subject", flat=True)[:MOST]
    return {subject: because for subject, because in found.items() if subject not in {folded(one) for one in declined}}


def last_contact(provider: str) -> datetime | None:
    return ProtectionProposal.objects.filter(provider=provider).order_by("-seen_at").values_list("seen_at", flat=True).first()


def stand_guard() -> None:
    """When the room loads: no connector acts before it was asked whom it would hit."""
    shield.register(look_again)
