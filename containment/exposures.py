"""Exposures: a report of leaked credentials becomes one group, each credential of it cut or held like anything else.

A report is stored at once, with what our inventory makes of each entry; workers pass it on, a few credentials per transaction: the
credential is marked as exposed, and everybody who uses it gets a detection, which the usual story decides. So budgets, holds, designations,
exceptions and shared credentials behave as they always do, and a report of a thousand holds no lock for long.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, InterfaceError, OperationalError
from django.db.models import QuerySet

from audit import clock, nudges
from audit.record import attempt, record, story
from containment import fingerprints, intake, limits
from containment.domain.decide import AHEAD
from containment.domain.exposure_report import SHA256, Leaked, Report
from containment.flow import DECIDE
from containment.models import Credential, Exposure, ExposureMember, Identity, Source
from containment.refusals import NotExposed, OutOfSource
from core import masking
from core.actor import SYSTEM, Actor
from core.digest import digest
from core.refs import Ref
from core.refusals import BadInput, Fault, Missing

log = logging.getLogger(__name__)

PASS_ON = "containment.pass_on"  # noqa: S105 - the name of a task
AT_A_TIME = 10  # credentials that share a transaction
MOST_OF_A_STORE = 10_000
MOST_PER_SUBJECT = 100
PASS_ON_WITHIN = timedelta(seconds=2)
RETRY_AFTER = timedelta(seconds=15)
MOST_STRIKES = 3  # so often one credential may fail before the others no longer wait for it
LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True)
class Received:
    exposure: Exposure
    duplicate: bool
    differs: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What an entry is among ours; no credential where it is none. `verified`: the digest of its secret is the one that we know."""

    place: int
    named: str
    credential: Credential | None = None
    found_by: str = ""
    verified: bool = False
    said: str = ""


# -- taking a report in ------------------------------------------------------------------------------------------------------------------


def receive(report: Report, message: Mapping[str, Any], *, actor: Actor) -> Received:
    """Store a report, or find the one that the same (source, external id) made before. Matching reads only, before anything is locked."""
    source = _source_of(report, actor)
    if report.found_at > clock.now() + AHEAD:
        raise BadInput([Fault("found_at", "in_the_future", "A leak cannot have been found in the future. Check the sender's clock.")])
    why = limits.admit(source)
    body_digest = _digest(message)
    earlier = Exposure.objects.filter(source=source, external_id=report.external_id).first()
    if earlier is not None:
        return Received(earlier, duplicate=True, differs=earlier.body_digest != body_digest)
    return _receive(report, _once_each(_match(report, source)), body_digest, source, why, actor)


@story
def _receive(report: Report, found: Sequence[Found], body_digest: str, source: Source, why: str, actor: Actor) -> Received:
    try:
        with attempt():
            return Received(_store(report, found, body_digest, source, why, actor), duplicate=False, differs=False)
    except IntegrityError:
        earlier = Exposure.objects.get(source=source, external_id=report.external_id)  # another delivery was faster
    return Received(earlier, duplicate=True, differs=earlier.body_digest != body_digest)


def _store(report: Report, found: Sequence[Found], body_digest: str, source: Source, why: str, actor: Actor) -> Exposure:
    now = clock.now()
    exposure = Exposure.objects.create(
        source=source,
        external_id=report.external_id,
        body_digest=body_digest,
        where=masking.in_text(report.where),
        note=masking.in_text(report.note),
        store=report.store,
        found_at=report.found_at,
        received_at=now,
        posted_by=actor.principal,
        observed_because=why,
        next_at=now + PASS_ON_WITHIN,
    )
    ExposureMember.objects.bulk_create(
        [
            ExposureMember(
                exposure=exposure,
                place=one.place,
                credential=one.credential,
                named=one.named,
                found_by=one.found_by,
                verified=one.verified,
                state="waiting" if one.credential else "twice" if one.found_by else "unknown",
                said=one.said,
            )
            for one in found
        ],
        batch_size=500,
    )
    record(
        "exposure.received",
        exposure.ref,
        actor=actor,
        where=exposure.where,
        count=len(found),
        source=source.name,
        external_id=exposure.external_id,
        body_digest=body_digest,
    )
    nudges.wake_worker(PASS_ON, exposure.pk)
    return exposure


def _source_of(report: Report, actor: Actor) -> Source:
    if report.source and report.source != actor.source:
        raise OutOfSource(f"This token speaks for the source “{actor.source}”, not for “{report.source}”.")
    source = Source.objects.filter(name=actor.source).first()
    if source is None:
        raise OutOfSource("This token speaks for no source that is set up. An engineer can add it.")
    return source


def _digest(message: Mapping[str, Any]) -> str:
    """Over keyed fingerprints: what somebody sent in spite of everything must not be guessed from a plain digest."""
    entries = message.get("credentials")
    keyed = [_keyed(entry) for entry in entries] if isinstance(entries, list) else entries
    return digest(masking.in_message({**message, "credentials": keyed}, lambda text: fingerprints.of("text", text)))


def _keyed(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {name: fingerprints.of("text", value) if name in ("id", "fingerprint") else value for name, value in entry.items()}


# -- which of our credentials that is ----------------------------------------------------------------------------------------------------


def _match(report: Report, source: Source) -> list[Found]:
    found = list(_of_store(report.store)) if report.store else []
    ours = _Ours(report.credentials)
    first = len(found)
    for place, leaked in enumerate(report.credentials, first):
        found += [replace(one, place=place) for one in ours.fitting(leaked)]
    return [_allowed(one, source) for one in found]


def _of_store(store: str) -> Iterator[Found]:
    kept = list(Credential.objects.filter(store=store).order_by("id")[: MOST_OF_A_STORE + 1])
    if len(kept) > MOST_OF_A_STORE:
        detail = f"More than {MOST_OF_A_STORE:,} credentials are kept there. Report them in parts, as credentials."
        raise BadInput([Fault("store", "too_many", detail)])
    for place, credential in enumerate(kept):
        yield Found(place, str(credential), credential, "store")


def _allowed(found: Found, source: Source) -> Found:
    if found.credential is None or not source.providers or found.credential.provider in source.providers:
        return found
    said = f"The source “{source.name}” may not speak about credentials of “{found.credential.provider}”."
    return replace(found, credential=None, found_by="", said=said)


def _once_each(found: Iterable[Found]) -> list[Found]:
    """One row per credential: what is named twice counts once, as verified as the better of the two."""
    listed = list(found)
    verified = {one.credential.pk for one in listed if one.credential and one.verified}
    seen: set[UUID] = set()
    kept = []
    for one in listed:
        credential = one.credential
        if credential is None:
            kept.append(one)
        elif credential.pk in seen:
            kept.append(replace(one, credential=None, said=f"This is {credential}, which stands in the report already."))
        else:
            seen.add(credential.pk)
            kept.append(replace(one, verified=credential.pk in verified))
    return kept


class _Ours:
    """Our credentials that may fit the entries of a report, fetched in a few questions however many there are."""

    def __init__(self, report: Sequence[Leaked]) -> None:
        sent = {one.fingerprint for one in report if one.fingerprint}
        bare = {text for text in sent if not text.startswith(SHA256)}
        by_name = {(one.kind, one.id): fingerprints.of(one.kind, one.id) for one in report if one.id and one.kind in fingerprints.NAMED}
        other_ids = {one.id for one in report if one.id and one.kind not in fingerprints.NAMED}
        self._by_fingerprint = _grouped("fingerprint", {*bare, *by_name.values()})
        self._by_secret = _grouped("secret_digest", {_of_secret(text) for text in sent})
        self._by_label = _grouped("name", other_ids)
        self._by_key = {str(one.pk): one for one in Credential.objects.filter(pk__in=[text for text in other_ids if _is_id(text)])}

    def fitting(self, leaked: Leaked) -> list[Found]:
        if leaked.fingerprint:
            return self._of_fingerprint(leaked)
        if leaked.subject:
            return _of_subject(leaked)
        return self._of_id(leaked)

    def _of_fingerprint(self, leaked: Leaked) -> list[Found]:
        """The same secret may be the key of several doors: all that fit are exposed. A fingerprint over a name proves nothing."""
        same = _narrowed(self._by_secret.get(_of_secret(leaked.fingerprint), ()), leaked)
        by_ours = [one for one in _narrowed(self._by_fingerprint.get(leaked.fingerprint, ()), leaked) if one not in same]
        found = [Found(0, str(one), one, "fingerprint", verified=True) for one in same]
        found += [Found(0, str(one), one, "fingerprint", verified=one.kind not in fingerprints.NAMED) for one in by_ours]
        return found or [Found(0, _named(leaked), said="No credential here has this fingerprint.")]

    def _of_id(self, leaked: Leaked) -> list[Found]:
        if leaked.kind in fingerprints.NAMED:
            fitting = self._by_fingerprint.get(fingerprints.of(leaked.kind, leaked.id), ())
        else:
            by_key = self._by_key.get(leaked.id)
            fitting = [by_key] if by_key else self._by_label.get(leaked.id, ())
        fitting = _narrowed(fitting, leaked)
        if len(fitting) > 1:
            said = f"{len(fitting)} credentials here are called so. Name the provider, or send a fingerprint."
            return [Found(0, _named(leaked), said=said)]
        return [Found(0, str(one), one, "id") for one in fitting] or [Found(0, _named(leaked), said="No credential here is called so.")]


def _of_subject(leaked: Leaked) -> list[Found]:
    identity = intake.find_identity(leaked.provider, leaked.subject)
    if identity is None:
        return [Found(0, _named(leaked), said="No identity here is called so.")]
    used = Credential.objects.filter(uses__identity=identity).distinct().order_by("id")
    fitting = list((used.filter(kind=leaked.kind) if leaked.kind else used)[:MOST_PER_SUBJECT])
    found = [Found(0, str(one), one, "subject") for one in fitting]
    return found or [Found(0, _named(leaked), said=f"It is known, and no {leaked.kind.replace('_', ' ') or 'credential'} of it is.")]


def _named(leaked: Leaked) -> str:
    """How an entry is shown that is none of ours. An id may be a secret that nobody recognised: no more of it than of any secret."""
    what = f"{leaked.fingerprint.removeprefix(SHA256)[:12]}…" if leaked.fingerprint else leaked.subject
    what = what or fingerprints.label(leaked.kind, leaked.id)
    return " ".join(part for part in (leaked.provider, leaked.kind.replace("_", " "), what) if part)


def _grouped(column: str, values: set[str]) -> dict[str, list[Credential]]:
    found: dict[str, list[Credential]] = {}
    for one in Credential.objects.filter(**{f"{column}__in": values - {""}}).order_by("id"):
        found.setdefault(getattr(one, column), []).append(one)
    return found


def _narrowed(fitting: Iterable[Credential], leaked: Leaked) -> list[Credential]:
    return [one for one in fitting if leaked.kind in ("", one.kind) and leaked.provider in ("", one.provider)]


def _of_secret(fingerprint: str) -> str:
    return fingerprints.of_sha256(fingerprint.removeprefix(SHA256))


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


# -- passing it on -----------------------------------------------------------------------------------------------------------------------


def pass_on(exposure_id: UUID) -> None:
    """Until every credential of it is marked and its users reported. Any number of workers may do this at once; one that dies of it leaves
    it due for later. A credential that fails is tried again later, after those behind it; after MOST_STRIKES it is set aside.

    Each credential counts against the rate of its source, as a message does: a few at a time, before they are passed on and in a
    transaction of their own. What goes over the rate is only observed.
    """
    Exposure.objects.filter(pk=exposure_id, state="passing_on").update(next_at=clock.now() + RETRY_AFTER)
    failed: set[UUID] = set()
    while _some(exposure_id, _admitted(exposure_id, failed), failed):
        pass


def _admitted(exposure_id: UUID, failed: Collection[UUID]) -> str:
    """Count the few that come next. Says why they are only observed; empty where they may act."""
    count = len(_waiting(exposure_id, failed).values_list("pk", flat=True)[:AT_A_TIME])
    if not count:
        return ""
    exposure = Exposure.objects.select_related("source").get(pk=exposure_id)
    return limits.admit(exposure.source, count)


def _waiting(exposure_id: UUID, failed: Collection[UUID]) -> QuerySet[ExposureMember]:
    return ExposureMember.objects.filter(exposure_id=exposure_id, state="waiting").exclude(pk__in=failed).order_by("place", "id")


@story
def _some(exposure_id: UUID, observed: str, failed: set[UUID]) -> bool:
    """A few of them; those that fail are put into `failed`. False when none is left here: the rest is done, failed, or another worker
    has it."""
    waiting = _waiting(exposure_id, failed).select_for_update(skip_locked=True, of=("self",))
    members = list(waiting.select_related("exposure__source", "credential")[:AT_A_TIME])
    if not members:
        _finish(exposure_id)
        return False
    credentials = _locked(members)
    for member in members:
        try:
            with attempt():
                _pass_on_one(member, credentials[member.credential_id], observed)
        except (OperationalError, InterfaceError):
            raise  # the database is away, or asks for all of it again
        except Exception as trouble:
            log.exception("one credential of a leak could not be passed on; the others go on")
            _strike(member, trouble)
            failed.add(member.pk)
    Exposure.objects.filter(pk=exposure_id).update(next_at=clock.now() + RETRY_AFTER)
    return True


def _locked(members: Iterable[ExposureMember]) -> dict[UUID | None, Credential]:
    """All at once and in the order of their ids: another report may name the same ones the other way round."""
    wanted = [member.credential_id for member in members if member.credential_id]
    rows = Credential.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=wanted).order_by("pk")
    return {one.pk: one for one in rows}


def _pass_on_one(member: ExposureMember, credential: Credential, observed: str) -> None:
    _mark(member, credential)
    _report_users(member, credential, observed)
    member.state = "passed_on"
    member.save(update_fields=["state", "said"])


def _strike(member: ExposureMember, trouble: Exception) -> None:
    member.strikes += 1
    member.state, member.said = "waiting", ""
    if member.strikes >= MOST_STRIKES:
        member.state = "set_aside"
        member.said = f"Set aside after {MOST_STRIKES} attempts, so a person has to see to it ({type(trouble).__name__})."
        record(
            "exposure.set_aside",
            member.exposure.ref,
            actor=SYSTEM,
            about=[Ref.to("credential", str(member.credential_id))],
            credential=member.named,
            because=f"it failed {MOST_STRIKES} times, last with {type(trouble).__name__}",
        )
    member.save(update_fields=["state", "said", "strikes"])


def _mark(member: ExposureMember, credential: Credential) -> None:
    """Since the first time it was found. A secret that was compared stays compared. The caller holds the credential's lock."""
    exposure = member.exposure
    fresh = credential.exposed_at is None or (credential.rotated_at is not None and credential.rotated_at > credential.exposed_at)
    if fresh or credential.exposed_at is None:
        credential.exposed_at, credential.exposure_verified, credential.exposed_where = exposure.found_at, member.verified, exposure.where
    else:
        credential.exposed_at = min(credential.exposed_at, exposure.found_at)
        credential.exposure_verified = credential.exposure_verified or member.verified
        credential.exposed_where = credential.exposed_where or exposure.where
    credential.save(update_fields=["exposed_at", "exposure_verified", "exposed_where"])
    record(
        "credential.exposed",
        credential.ref,
        actor=SYSTEM,
        about=[exposure.ref],
        credential=str(credential),
        where=exposure.where,
        checked="its fingerprint was compared" if member.verified else "nobody compared its fingerprint",
    )


def _report_users(member: ExposureMember, credential: Credential, observed: str) -> None:
    """One detection for everybody who uses the credential, in the name of the source that reported the leak."""
    users = _users(credential)
    told = 0
    for identity in users:
        if member.exposure.source.kinds and identity.kind not in member.exposure.source.kinds:
            continue
        detection = intake.report_exposed(member.exposure, credential, identity, verified=member.verified, observed=observed)
        member.detections.add(detection)
        nudges.wake_worker(DECIDE, detection.pk)
        told += 1
    if not users:
        member.said = "Marked as exposed. Nobody is known to use it, so nobody can be contained."
    elif told < len(users):
        member.said = f"Its source may not speak about {len(users) - told} of its {len(users)} users."


def _users(credential: Credential) -> list[Identity]:
    using = Identity.objects.filter(credential_uses__credential=credential, merged_into__isnull=True)
    return list(using.distinct().order_by("id"))


def _finish(exposure_id: UUID) -> None:
    exposure = Exposure.objects.select_for_update(of=("self",)).filter(pk=exposure_id, state="passing_on").first()
    if exposure is None or exposure.members.filter(state="waiting").exists():
        return
    exposure.state, exposure.next_at = "passed_on", None
    exposure.save(update_fields=["state", "next_at"])
    known = exposure.members.filter(state="passed_on").count()
    unknown = exposure.members.filter(state="unknown").count()
    set_aside = exposure.members.filter(state="set_aside").count()
    record("exposure.passed_on", exposure.ref, actor=SYSTEM, known=known, unknown=unknown, set_aside=set_aside)


def due(most: int) -> list[UUID]:
    """Reports that no worker took in time."""
    late = Exposure.objects.filter(state="passing_on", next_at__lte=clock.now()).order_by("next_at")
    return list(late.values_list("pk", flat=True)[:most])


# -- people ------------------------------------------------------------------------------------------------------------------------------


@story
def replaced(credential_id: UUID, reason: str, *, actor: Actor) -> Credential:
    """A new secret took the place of the leaked one: from now on the leak says nothing about who uses this credential."""
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise BadInput([Fault("reason", "required", f"Say how it was replaced, in at most {LONGEST_REASON} characters.")])
    credential = Credential.objects.select_for_update(no_key=True, of=("self",)).filter(pk=credential_id).first()
    if credential is None:
        raise Missing("There is no such credential.")
    if credential.exposed_at is None or (credential.rotated_at and credential.rotated_at > credential.exposed_at):
        raise NotExposed("This credential is not exposed.")
    credential.rotated_at, credential.secret_digest, credential.before_rotation = clock.now(), "", None
    credential.save(update_fields=["rotated_at", "secret_digest", "before_rotation"])
    record("credential.replaced", credential.ref, actor=actor, credential=str(credential), because=masking.in_text(reason.strip()))
    return credential
