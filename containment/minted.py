"""Minted credentials: which session made which, by whose word, and what became of each once the session was contained.

A word is a claim: it cuts nothing by itself. It makes an open item of the case, which somebody settles (cut, cleared or accepted) before
the case is closed; a credential that a run cut, that has a new secret or that is past its end needs nobody.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import F, Q

from audit import clock
from audit.record import record, story
from containment import fingerprints, session_use
from containment.models import Case, Credential, Identity, MintedCredential, Session, Source
from containment.refusals import NotThePerson, NotYetSettled
from core import masking
from core.actor import Actor
from core.refusals import BadInput, Fault, Missing
from playbooks.models import Run
from sources.base import Reading

WORDS = {"cut": "it works no more", "cleared": "it is none of this, or never was", "accepted": "it may go on"}
MOST_OF_A_SESSION, MOST_OF_A_CASE = 1000, 200
LONGEST_REASON = 1000
CUT = ("contained", "accepted")
ACTED = ("running", "verifying", "contained", "partial", "needs_human", "accepted")


def note(session: Session | None, reading: Reading, *, source: Source, actor: Actor, now: datetime) -> None:
    """Somebody tells that a session made a credential. Told again, the first word stands; one that counts replaces a claim."""
    if session is None or not reading.minted_id:
        return
    credential = _credential(session.identity, reading, now)
    vouched = session.discovered_at is None and session_use.may_teach(session, source, actor)
    if session.mints.count() >= MOST_OF_A_SESSION:
        return
    line, new = MintedCredential.objects.get_or_create(
        session=session, credential=credential, defaults={"told_by": source.name, "vouched": vouched, "told_at": now}
    )
    if not new and (line.vouched or not vouched):
        return
    if not new:
        line.told_by, line.vouched, line.told_at = source.name, True, now
        line.save(update_fields=["told_by", "vouched", "told_at"])
    if vouched:
        Credential.objects.filter(pk=credential.pk, minted_by__isnull=True).update(minted_by=session)
    record(
        "credential.minted",
        credential.ref,
        actor=actor,
        about=[session.ref, session.identity.ref],
        session=session.external_id,
        credential=str(credential),
        vouched=vouched,
    )


def of_case(case: Case) -> list[MintedCredential]:
    """What the sessions made that the runs of the case stopped, with those that worked for them."""
    runs = list(Run.objects.filter(case_ref=str(case.ref), state__in=ACTED).values_list("target", flat=True))
    names = {name for target in runs for name in ([target["session"]] if target.get("session") else target["facts"].get("sessions", []))}
    if not names:
        return []
    stopped = set(Session.objects.filter(identity=case.identity_id, external_id__in=names).values_list("pk", flat=True))
    layer = stopped
    for _ in range(session_use.DEEPEST):
        layer = set(Session.objects.filter(parent__in=layer).values_list("pk", flat=True)) - stopped
        if not layer:
            break
        stopped |= layer
    lines = MintedCredential.objects.filter(session__in=stopped).select_related("session", "credential")
    return list(lines.order_by("told_at", "id")[:MOST_OF_A_CASE])


def left_standing(case: Case) -> list[MintedCredential]:
    """Those of them that nobody has settled, and that may still work."""
    lines = [line for line in of_case(case) if line.state == "standing"]
    now = clock.now()
    dead = Q(expires_at__lte=now) | Q(rotated_at__gt=F("mints__told_at"))
    over = set(Credential.objects.filter(dead, mints__in=[line.pk for line in lines]).values_list("pk", flat=True))
    targets = Run.objects.filter(state__in=CUT, target__credential__in=[line.credential.name for line in lines if line.credential.name])
    cut = set(targets.filter(steps__measure__startswith="credential.").values_list("target__credential", flat=True))
    return [line for line in lines if line.credential_id not in over and line.credential.name not in cut]


@story
def settle(line_id: UUID, word: str, reason: str, *, actor: Actor) -> MintedCredential:
    """A person says what became of it. Said once: the case is closed on this word."""
    if not (actor.is_person and actor.may("case.judge")):
        raise NotThePerson("What became of a credential is said by people who judge cases.")
    faults = [] if word in WORDS else [Fault("state", "unknown", f"Must be one of {', '.join(WORDS)}.")]
    if not reason.strip() or len(reason) > LONGEST_REASON:
        faults.append(Fault("reason", "required", f"Say what it rests on, in at most {LONGEST_REASON} characters."))
    if faults:
        raise BadInput(faults)
    line = (
        MintedCredential.objects.select_for_update(of=("self",))
        .select_related("session__identity", "credential")
        .filter(pk=line_id)
        .first()
    )
    if line is None:
        raise Missing("Nobody told of such a credential.")
    if line.state != "standing":
        raise NotYetSettled(f"It was {line.state} at {line.settled_at:%Y-%m-%d %H:%M:%S} UTC by {line.settled_by_name}.")
    line.state, line.because, line.settled_at = word, masking.in_text(reason.strip()), clock.now()
    line.settled_by, line.settled_by_name = actor.principal, actor.name
    line.save(update_fields=["state", "because", "settled_at", "settled_by", "settled_by_name"])
    record(
        "credential.mint_settled",
        line.credential.ref,
        actor=actor,
        about=[line.session.ref, line.session.identity.ref],
        session=line.session.external_id,
        credential=str(line.credential),
        state=word,
        because=line.because,
    )
    return line


def _credential(identity: Identity, reading: Reading, now: datetime) -> Credential:
    kind, key = reading.minted_kind, reading.minted_id
    credential, _ = Credential.objects.get_or_create(
        provider=identity.provider,
        kind=kind,
        fingerprint=fingerprints.of(kind, key),
        defaults={
            "name": fingerprints.label(kind, key),
            "secret_digest": "" if kind in fingerprints.NAMED else fingerprints.of_secret(key),
            "discovered_at": now,
            "created_at": now,
        },
    )
    return credential
