"""What was already taken: the secrets an identity read, the rights it gave and the sessions it began elsewhere before it was cut.

Looked for in what was told since the first suspicious event of a case: detections, activity, calls that the guard let through. Each thing
is a line of the case, open until what it opens is cut, or until a person clears or accepts it; the case closes no sooner. A secret that is
the credential of somebody else in the inventory is reported as exposed in the name of the built-in source `taken`, so that it is judged:
people decide about it. (Credentials that were made have rows of their own: minted.py.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q

from audit import clock, nudges
from audit.record import record, story
from containment import fingerprints
from containment.domain.facts import lies_inside
from containment.flow import DECIDE
from containment.intake import DECIDE_WITHIN
from containment.models import Activity, Case, Credential, Decision, Detection, Identity, Resource, Session, Source, Taken
from containment.refusals import NotThePerson, NotYetSettled
from containment.speaking import AGENTS, CEILINGS, GUARD, TAKEN
from core import masking
from core.actor import SYSTEM, Actor
from core.digest import digest
from core.refs import Ref
from core.refusals import BadInput, Fault, Missing
from playbooks.models import Run

WORDS = {"cut": "it opens nothing any more", "cleared": "it is none of this, or never was", "accepted": "it may go on"}
SECRETS = frozenset({"secret", "credential", "password", "api_key", "token", "private_key", "vault"})  # kinds of resources
READS = frozenset({"data.read", "data.export"})
ASKED = (GUARD, AGENTS)  # these sources tell of what was asked for; what was let through, the guard's own rows say
LONGEST_REASON = 1000
MOST_EVENTS, MOST_OF_A_CASE = 500, 200
FRESH = timedelta(seconds=20)
AWAKE = timedelta(days=1)  # so long after its last event a case is looked at again
PER_ROUND = 30
STILL_CUT = Q(state="contained") | Q(state="accepted", undo_at__isnull=True)  # accepted after half an undo, part was given back
BACK = ("undoing", "reinstating", "undone")
SEVERAL = 6  # users of one credential that are reported; the others share its exposure


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that happened, as somebody told it."""

    kind: str
    key: str
    said: str
    at: datetime
    resource: Resource | None = None
    about_ref: str = ""


Reader = Callable[[Identity, datetime], Iterable[Seen]]
readers: list[Reader] = []  # rooms further up that know of more name themselves here when they load

_gathered: dict[UUID, datetime] = {}


# -- finding it --------------------------------------------------------------------------------------------------------------------------


def gather_soon() -> int:
    """A sweeper's duty: cases about which something was decided just now."""
    since = clock.now() - FRESH
    rows = Decision.objects.filter(decided_at__gt=since, case__isnull=False).order_by("decided_at").values_list("case", "decided_at")[:500]
    newest = {case: at for case, at in rows}  # noqa: C416 - the last one wins
    for case in [case for case, at in _gathered.items() if at < since]:
        del _gathered[case]
    due = [case for case, at in newest.items() if _gathered.get(case) != at][:PER_ROUND]
    for case in due:
        if gather(case) is not None:
            _gathered[case] = newest[case]
    return len(due)


def gather_due() -> int:
    """A sweeper's duty, now and then: cases that are awake, and those with something open, which may have been cut meanwhile; those that
    were asked about longest ago first, so that each has its turn."""
    awake = Q(last_event_at__gt=clock.now() - AWAKE) | Q(Exists(Taken.objects.filter(case=OuterRef("pk"), state="open")))
    oldest = Case.objects.exclude(state="closed").filter(awake).order_by(F("gathered_at").asc(nulls_first=True), "last_event_at")
    due = list(oldest.values_list("pk", flat=True)[:PER_ROUND])
    for case in due:
        gather(case)
    return len(due)


def gather(case_id: UUID) -> list[Taken] | None:
    """Write down what is not there yet, and close the lines of what opens nothing any more. Safe to call at any time. What was told is read
    before the case is locked; None where somebody else holds it just now."""
    case = Case.objects.select_related("identity").filter(pk=case_id).exclude(state="closed").first()
    return _gathered_now(case_id, _seen(case)) if case is not None else []


@story
def _gathered_now(case_id: UUID, told: Sequence[Seen]) -> list[Taken] | None:
    free = Case.objects.select_for_update(skip_locked=True, of=("self",)).select_related("identity")
    case = free.filter(pk=case_id).exclude(state="closed").first()
    return _write_down(case, told) if case is not None else None


def gather_here(case: Case) -> list[Taken]:
    """Inside a story that holds the case."""
    return _write_down(case, _seen(case))


def _write_down(case: Case, told: Sequence[Seen]) -> list[Taken]:
    now = clock.now()
    Case.objects.filter(pk=case.pk).update(gathered_at=now)
    known = {(line.kind, line.key) for line in Taken.objects.filter(case=case)[:MOST_OF_A_CASE]}
    for seen in told:
        if (seen.kind, seen.key) not in known and len(known) < MOST_OF_A_CASE:
            known.add((seen.kind, seen.key))
            _write(case, seen, now)
    return _close_what_is_cut(case, now)


def opens(resource: Resource, reader: Identity) -> Credential | None:
    """Whose credential it is: kept there by the inventory's word, or named by the last part of a secret's key. Not the reader's own."""
    stores = [resource.key, *(f"{place}/{resource.key}" for place in (resource.system, reader.provider) if place)]
    named = Q(store__in=stores)
    if resource.kind in SECRETS:
        name = re.split(r"[/.:]", resource.key)[-1]
        named |= Q(fingerprint__in=[fingerprints.of(kind, name) for kind in sorted(fingerprints.NAMED)])
    found = Credential.objects.filter(named).exclude(uses__identity=reader).order_by("-store", "pk")
    return found.first()


def _seen(case: Case) -> list[Seen]:
    identity, since = case.identity, case.first_event_at
    found = [*_told(identity, since), *_done(identity, since), *_elsewhere(identity, since)]
    for reader in readers:
        found += reader(identity, since)
    for line in Taken.objects.filter(case=case, kind="secret_read", about_ref__startswith="credential:")[:SEVERAL]:
        for user in Identity.objects.filter(credential_uses__credential=UUID(Ref.parse(line.about_ref).id)).distinct()[:SEVERAL]:
            found += _elsewhere(user, line.first_at)
    return sorted(found, key=lambda seen: seen.at)


def _told(identity: Identity, since: datetime) -> list[Seen]:
    rows = Detection.objects.filter(identity=identity, occurred_at__gte=since).exclude(source__name__in=[*ASKED, TAKEN])
    found = rows.select_related("resource", "source").order_by("occurred_at")[:MOST_EVENTS]
    return [seen for one in found if (seen := seen_in(identity, one.action, one.resource, one.occurred_at, one.source.name)) is not None]


def _done(identity: Identity, since: datetime) -> list[Seen]:
    interesting = Q(action__in=["secret.read", "privilege.change"]) | Q(resource__kind__in=sorted(SECRETS), action__in=sorted(READS))
    rows = Activity.objects.filter(interesting, identity=identity, occurred_at__gte=since).select_related("resource", "source")
    found = rows.order_by("occurred_at")[:MOST_EVENTS]
    return [seen for one in found if (seen := seen_in(identity, one.action, one.resource, one.occurred_at, one.source.name)) is not None]


def seen_in(identity: Identity, action: str, resource: Resource | None, at: datetime, told_by: str) -> Seen | None:
    """What one event took, if it took anything."""
    if resource is None:
        return None
    what = f"{resource.kind} {resource.key}"
    if action == "secret.read" or (action in READS and resource.kind in SECRETS):
        return Seen("secret_read", f"{resource.kind}:{resource.key}", f"{identity.subject} read {what} (told by {told_by})", at, resource)
    if action == "privilege.change":
        said = f"{identity.subject} changed rights on {what} (told by {told_by})"
        return Seen("grant_made", f"{resource.kind}:{resource.key}", said, at, resource)
    return None


def _elsewhere(identity: Identity, since: datetime) -> list[Seen]:
    """Sessions from an address that lies in none of its networks; where none are known, from one that it never came from before."""
    began = Session.objects.filter(identity=identity, started_at__gte=since, parent__isnull=True).order_by("started_at")[:MOST_EVENTS]
    sessions = [one for one in began if one.origin.get("address")]
    if not sessions:
        return []
    networks = tuple(identity.known_networks)
    before = Session.objects.filter(identity=identity, started_at__lt=since).values_list("origin__address", flat=True)[:MOST_EVENTS]
    usual = set() if networks else {str(address) for address in before if address}
    found = []
    for one in sessions:
        address = str(one.origin["address"])
        foreign = lies_inside(address, networks) is False if networks else bool(usual) and address not in usual
        if foreign:
            said = f"{identity.subject} began the session {one.external_id} from {address}, where it never works"
            found.append(Seen("session_elsewhere", f"{identity.subject}:{one.external_id}", said, one.started_at, None, str(one.ref)))
    return found


def _write(case: Case, seen: Seen, now: datetime) -> None:
    credential = opens(seen.resource, case.identity) if seen.kind == "secret_read" and seen.resource is not None else None
    about = str(credential.ref) if credential is not None else seen.about_ref
    said = masking.in_text(f"{seen.said}; it is the credential {credential}" if credential is not None else seen.said)
    line = Taken.objects.create(
        case=case, kind=seen.kind, key=masking.in_text(seen.key), said=said, about_ref=about, first_at=seen.at, found_at=now
    )
    refs = [case.ref, case.identity.ref, *([Ref.parse(about)] if about else [])]
    record("taken.found", line.ref, actor=SYSTEM, about=refs, kind=line.kind, said=said)
    if credential is not None:
        _expose(case, credential, line, now)


def _expose(case: Case, credential: Credential, line: Taken, now: datetime) -> None:
    """It lies open since it was read. Whoever uses it is reported, as in any leak; nobody compared the secret, so nothing is conclusive."""
    credential = Credential.objects.select_for_update().get(pk=credential.pk)
    exposed, replaced = credential.exposed_at, credential.rotated_at
    if replaced is not None and replaced > line.first_at:
        return
    if exposed is None or (replaced is not None and replaced > exposed):
        credential.exposed_at, credential.exposure_verified = line.first_at, False
        credential.exposed_where = f"read by {case.identity}"
        credential.save(update_fields=["exposed_at", "exposure_verified", "exposed_where"])
        facts = {"credential": str(credential), "where": credential.exposed_where, "checked": "nobody compared its fingerprint"}
        record("credential.exposed", credential.ref, actor=SYSTEM, about=[line.ref, case.ref], **facts)
    source, _ = Source.objects.get_or_create(name=TAKEN, defaults={"ceiling": CEILINGS[TAKEN], "trust": 1.0})
    users = Identity.objects.filter(credential_uses__credential=credential, merged_into__isnull=True).exclude(pk=case.identity_id)
    for identity in users.distinct().order_by("id")[:SEVERAL]:
        detection = Detection.objects.create(
            source=source,
            external_id=f"taken:{line.pk}:{identity.pk}",
            body_digest=digest({"taken": str(line.pk), "said": line.said}),
            title=f"Credential read by {case.identity.subject} before it was cut: {credential}",
            severity="high",
            confidence=1.0,
            claims=["credential_exposed"],
            identity=identity,
            credential=credential,
            action="",
            context={"taken": str(line.pk), "where": f"read by {case.identity}"},
            occurred_at=min(line.first_at, now),
            received_at=now,
            next_at=now + DECIDE_WITHIN,
        )
        record(
            "detection.received",
            detection.ref,
            actor=SYSTEM,
            about=[identity.ref, credential.ref, case.ref],
            title=detection.title,
            identity=str(identity),
            source=source.name,
            external_id=detection.external_id,
            body_digest=detection.body_digest,
        )
        nudges.wake_worker(DECIDE, detection.pk)


# -- settling it -------------------------------------------------------------------------------------------------------------------------


def of_case(case: Case) -> list[Taken]:
    return list(Taken.objects.filter(case=case).order_by("first_at", "id")[:MOST_OF_A_CASE])


def left_open(case: Case) -> list[Taken]:
    return list(Taken.objects.filter(case=case, state="open").order_by("first_at", "id")[:MOST_OF_A_CASE])


@story
def settle(line_id: UUID, word: str, reason: str, *, actor: Actor) -> Taken:
    """A person says what became of it. Said once: the case is closed on this word."""
    if not (actor.is_person and actor.may("case.judge")):
        raise NotThePerson("What became of something that was taken is said by people who judge cases.")
    faults = [] if word in WORDS else [Fault("state", "unknown", f"Must be one of {', '.join(WORDS)}.")]
    if not reason.strip() or len(reason) > LONGEST_REASON:
        faults.append(Fault("reason", "required", f"Say what it rests on, in at most {LONGEST_REASON} characters."))
    if faults:
        raise BadInput(faults, sentence=" ".join(fault.detail for fault in faults))
    case_id = Taken.objects.filter(pk=line_id).values_list("case", flat=True).first()
    if case_id is None:
        raise Missing("Nothing like that was found to be taken.")
    case = Case.objects.select_for_update(of=("self",)).select_related("identity").get(pk=case_id)
    line = Taken.objects.select_for_update(of=("self",)).get(pk=line_id)
    if line.state != "open":
        raise NotYetSettled(f"It was {line.state} at {line.settled_at:%Y-%m-%d %H:%M:%S} UTC by {line.settled_by_name}.")
    line.state, line.because, line.settled_at = word, masking.in_text(reason.strip()), clock.now()
    line.settled_by, line.settled_by_name = actor.principal, actor.name
    line.save(update_fields=["state", "because", "settled_at", "settled_by", "settled_by_name"])
    about = [case.ref, case.identity.ref]
    record("taken.settled", line.ref, actor=actor, about=about, said=line.said, state=word, because=line.because)
    return line


def _close_what_is_cut(case: Case, now: datetime) -> list[Taken]:
    """By a run on what it opens, by a new secret, by its end: nobody has to say so. A run that is undone opens it again."""
    _open_what_came_back(case)
    lines = left_open(case)
    for line in [line for line in lines if line.about_ref]:
        why, run = _how_cut(line, now)
        if not why:
            continue
        line.state, line.because, line.settled_at = "cut", why, now
        line.cut_by_ref = str(run.ref) if run is not None else ""
        line.settled_by, line.settled_by_name = str(SYSTEM), SYSTEM.name
        line.save(update_fields=["state", "because", "settled_at", "settled_by", "settled_by_name", "cut_by_ref"])
        about = [case.ref, case.identity.ref, *([run.ref] if run is not None else [])]
        record("taken.cut", line.ref, actor=SYSTEM, about=about, said=line.said, because=why)
    return lines


def _open_what_came_back(case: Case) -> None:
    for line in Taken.objects.filter(case=case, state="cut").exclude(cut_by_ref="")[:MOST_OF_A_CASE]:
        run = Run.objects.filter(pk=Ref.parse(line.cut_by_ref).id).first()
        if run is not None and run.state not in BACK and not (run.state == "accepted" and run.undo_at is not None):
            continue
        line.state, line.cut_by_ref, line.because, line.settled_at, line.settled_by, line.settled_by_name = "open", "", "", None, "", ""
        line.save(update_fields=["state", "cut_by_ref", "because", "settled_at", "settled_by", "settled_by_name"])
        record("taken.reopened", line.ref, actor=SYSTEM, about=[case.ref, case.identity.ref], said=line.said)


def _how_cut(line: Taken, now: datetime) -> tuple[str, Run | None]:
    """Why it opens nothing any more, with the run that saw to it; empty while it may."""
    about = Ref.parse(line.about_ref)
    if about.kind == "session":
        session = Session.objects.filter(pk=about.id).first()
        over = session is not None and (session.ended_at is not None or session.gate == "ended")
        return ("the session has ended", None) if over else ("", None)
    credential = Credential.objects.filter(pk=about.id).first() if about.kind == "credential" else None
    if credential is None:
        return "", None
    if credential.rotated_at is not None and credential.rotated_at > line.first_at:
        return "it has a new secret since", None
    if credential.expires_at is not None and credential.expires_at <= now:
        return "it has expired", None
    return _cut_by_a_run(credential, line)


def _cut_by_a_run(credential: Credential, line: Taken) -> tuple[str, Run | None]:
    """A run on the credential itself, or runs on everybody who uses it: with no one let in, it opens nothing."""
    users = {str(Ref.to("identity", key)) for key in credential.uses.values_list("identity", flat=True)[: MOST_EVENTS + 1]}
    runs = Run.objects.filter(STILL_CUT, identity_ref__in=users, contained_at__gte=line.first_at).order_by("-contained_at")
    of_it = runs.filter(Q(target__credential=credential.name) | Q(target__subject=credential.name))
    run = of_it.filter(steps__measure__startswith="credential.", steps__state="done").first()
    if run is not None:
        return f"a run cut it at {run.contained_at:%Y-%m-%d %H:%M:%S} UTC", run
    newest = {one.identity_ref: one for one in reversed(runs[:MOST_EVENTS]) if not one.target.get("session")}
    if not users or users - newest.keys():
        return "", None
    run = max(newest.values(), key=lambda one: one.contained_at or one.created_at)
    return f"nobody who uses it is let in since {run.contained_at:%Y-%m-%d %H:%M:%S} UTC", run
