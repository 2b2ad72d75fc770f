"""What is told afterwards: what came of calls, the calls that nobody was asked about, and tools that changed.

An outcome counts once, and only from the party that asked. A call that was not asked about becomes a row of its own (`asked` False) under a
name that no question can have, so that telling it never answers one. If it was done, the guard is asked now what it would have said: a no
makes a detection of it, which goes the way of all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from django.db import DataError, IntegrityError

from audit import clock, nudges
from audit.record import attempt, record, story
from containment import flow, intake, inventory, limits, minted, policies, session_use, speaking
from containment.domain.event import Event
from containment.models import Identity, Session, Source
from core import masking
from core.actor import Actor
from core.digest import digest
from core.ids import uuid7
from core.refs import Ref
from core.refusals import BadInput, Fault, Missing, Refusal
from guard import ask as guard
from guard import asked, chain, live, made, standing
from guard.answers import LASTS, Answer
from guard.models import GuardCall
from guard.question import digest_of, request_of
from sources.asking import Ask
from sources.authzen import MINTS
from sources.base import Reading
from sources.reports import Minted, Outcome, Report, ToolChanged, Unasked

AT_ONCE = 25  # in one transaction: what it locks is locked as long as all of them take
TOLD_LATE = timedelta(days=30)  # a call is not dated further back than this
CARRIED_OUT = ("done", "failed")
IN_SPITE = "in_spite:"  # of the ids of detections that are made of these
NOES = {"deny": "denied", "hold": "held for people"}
REASONS = {"open": "declared_open", "closed": "declared_closed", "contained": "declared_contained"}
BECAUSE = {
    "open": "The guard did not answer, and the runtime had declared that such calls are made then.",
    "closed": "The guard did not answer, and the runtime had declared that such calls are not made then.",
    "contained": "The runtime knew it as contained or stopped, and refused it by itself.",
}


class NoSuchCall(Missing):
    code = "unknown_evaluation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one report. `duplicate`: it was told before. `detection`: what was made of it."""

    call: UUID | None = None
    detection: UUID | None = None
    duplicate: bool = False
    taught: bool = False


class _Tried(Exception):  # noqa: N818 - not an error: carries what would have been said out of what is taken back
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def take(reports: Sequence[Report], actor: Actor) -> list[Taken | Refusal]:
    """In their order. One that is refused spoils no other."""
    taken: list[Taken | Refusal] = []
    if claims := sum(not isinstance(report, Outcome) for report in reports):
        limits.admit(asked.own_source(actor), claims)
    for start in range(0, len(reports), AT_ONCE):
        with limits.discovering(speaking.source_name(actor)):
            taken += _take(reports[start : start + AT_ONCE], actor)
        _show(reports[start : start + AT_ONCE], taken[start:])
    return taken


def _show(reports: Sequence[Report], taken: Sequence[Taken | Refusal]) -> None:
    """Open pages show what was made without asking, as they show what was asked."""
    for report, one in zip(reports, taken, strict=True):
        if isinstance(report, Unasked) and isinstance(one, Taken) and one.call is not None and not one.duplicate:
            live.heard(one.call)


@story
def _take(reports: Sequence[Report], actor: Actor) -> list[Taken | Refusal]:
    taken = [_one(report, actor) for report in reports]
    told = [
        (report, one)
        for report, one in zip(reports, taken, strict=True)
        if isinstance(report, Outcome) and isinstance(one, Taken) and not one.duplicate
    ]
    if told:
        lines = [[str(one.call), report.outcome] for report, one in told]
        done, failed = (sum(report.outcome == name for report, _ in told) for name in ("done", "failed"))
        first = Ref.to("guard_call", told[0][1].call or "")
        record("guard.reported", first, actor=actor, count=len(told), done_count=done, failed_count=failed, root=digest(lines))
    return taken


def _one(report: Report, actor: Actor) -> Taken | Refusal:
    try:
        with attempt():
            match report:
                case Outcome():
                    return _outcome(report, actor)
                case Unasked():
                    return _unasked(report, actor)
                case ToolChanged():
                    return _changed(report, actor)
    except Refusal as refusal:
        if refusal.kind == "busy":
            raise
        return refusal
    except DataError:
        return BadInput([Fault("", "unstorable", "Something in it cannot be kept. Nothing was taken of it.")])


# -- what came of a call ------------------------------------------------------------------------------------------------------------------


def _outcome(report: Outcome, actor: Actor) -> Taken:
    call = GuardCall.objects.filter(pk=report.evaluation, principal=actor.principal, asker=actor.asker).first()
    if call is None:
        raise NoSuchCall("No such evaluation was answered to you.")
    speaking.must_be_its_own(actor, Identity.objects.filter(pk=call.identity).first())
    _must_mint(call.action, report.minted)
    news, detection = _settle(call, report.outcome), None
    if _in_spite(call, report.outcome):
        detection = _defied(call, report.ask, report.outcome, actor)
    if not news:
        return Taken(call=call.pk, detection=detection, duplicate=True)
    if report.outcome in CARRIED_OUT:
        _noted(call, report.minted, actor)
    return Taken(call=call.pk, detection=detection, taught=_taught(call, report, actor))


def _settle(call: GuardCall, outcome: str) -> bool:
    """Once: whoever comes second changes nothing."""
    rows = GuardCall.objects.filter(pk=call.pk, outcome="")
    return bool(rows.update(outcome=outcome, reported_at=clock.now()))


def _taught(call: GuardCall, report: Outcome, actor: Actor) -> bool:
    """The session learns what its tool returned, and is charged what was moved beyond what was said before."""
    session = _session_of(call)
    if session is None or not session_use.may_teach(session, asked.own_source(actor), actor):
        return False
    if report.outcome not in CARRIED_OUT or call.verdict != "allow":
        return False
    ask = report.ask if report.ask is not None and digest_of(report.ask) == call.question else None
    now = clock.now()
    if report.returned:
        session_use.learn(session, _event(call, ask, report.returned, session, now))
    if (more := report.bytes - (ask.bytes if ask else 0)) > 0:
        session_use.charge_bytes(session, more, now=now)
    return bool(report.returned)


def _must_mint(action: str, made: Minted | None) -> None:
    if made is not None and action != MINTS:
        raise BadInput([Fault("minted", "wrong_action", f"Only a call with the action {MINTS} makes a credential.")])


def _noted(call: GuardCall, made: Minted | None, actor: Actor) -> None:
    """What its session made is looked at when that is contained. Whose word it is counts as everywhere (containment/minted.py)."""
    session = Session.objects.select_related("identity").filter(pk=call.session).first() if call.session else None
    if made is None or session is None:
        return
    source, now = asked.own_source(actor), clock.now()
    told = replace(asked.reading(_ask_of(call, session.identity), call.pk, now=now), minted_kind=made.kind, minted_id=made.id)
    minted.note(session, told, source=source, actor=asked.speaking_for(actor, source), now=now)


def _session_of(call: GuardCall) -> Session | None:
    """If it still goes on, and somebody registered it."""
    return Session.objects.filter(pk=call.session, ended_at__isnull=True, discovered_at__isnull=True).first() if call.session else None


def _event(call: GuardCall, ask: Ask | None, returned: tuple[str, ...], session: Session, now: datetime) -> Event:
    """Without its question, nobody knows what it was called with: then its result comes from no tool that anybody trusts."""
    return Event(
        occurred_at=now,
        action=call.action,
        tool=made.tool_of(ask, session_use.approved_for(session)) if ask else "",
        arguments=ask.arguments if ask else {},
        returned=returned,
        session=str(session.pk),
    )


# -- calls that were made in spite of the answer -----------------------------------------------------------------------------------------


def _in_spite(call: GuardCall, outcome: str) -> bool:
    """Whether it was carried out although it was refused, or would have been. One that was only observed and is a detection already says
    nothing new by being done."""
    refused = call.verdict != "allow" or (bool(call.would_have) and call.detection is None)
    return refused and outcome in CARRIED_OUT


def _defied(call: GuardCall, ask: Ask | None, outcome: str, actor: Actor) -> UUID:
    """A detection, once for each call, and an entry in the trail that says so. Who tells it, and how often, changes nothing."""
    identity = inventory.lock(call.identity)
    asks = ask if ask is not None and digest_of(ask) == call.question else _ask_of(call, identity)
    reading = asked.reading(asks, call.pk, now=clock.now())
    source = asked.own_source(actor)
    what = f"{call.tool or call.action}{f' on {reading.resource_id}' if reading.resource_id else ''}"
    answered = f"only observed, or else {NOES[call.would_have]}" if call.would_have else NOES[call.verdict]
    told = replace(
        reading,
        external_id=f"{IN_SPITE}{call.pk}",
        title=f"Done in spite of the answer: {what}"[: asked.LONGEST_TITLE],
        severity="high",
        confidence=0.9,
        session=_name_of(call) or asks.session,
        context={**reading.context, "evaluation": str(call.pk), "answer": answered, "because": call.because[:500], "outcome": outcome},
    )
    received = intake.receive(
        told,
        asked.message(asks, told),
        actor=asked.speaking_for(actor, source),
        admitted=intake.Admitted(limits.observed_because(source)),
        source=source,
        called={} if call.would_have else None,  # what was let pass is charged to its session already
    )
    if not received.duplicate:
        nudges.wake_worker(flow.DECIDE, received.detection.pk)
        record(
            "guard.defied",
            call.ref,
            actor=actor,
            about=[identity.ref, Ref.to("session", call.session) if call.session else None, received.detection.ref],
            identity=str(identity),
            what=what,
            answered=answered,
            because=call.because,
            outcome=outcome,
            question=call.question,
        )
    return received.detection.pk


def _ask_of(call: GuardCall, identity: Identity) -> Ask:
    """The question as far as its row keeps it, for whoever tells no more than the evaluation's id."""
    return Ask(
        kind=identity.kind,
        provider=identity.provider,
        subject=identity.subject,
        subject_type=identity.kind,
        action=call.action,
        action_name=call.action,
        resource_kind=call.resource_kind,
        resource=call.resource,
        resource_type=call.resource_kind,
        tool=call.tool,
        writes=call.writes,
        request=call.request,
    )


def _name_of(call: GuardCall) -> str:
    return Session.objects.filter(pk=call.session).values_list("external_id", flat=True).first() or "" if call.session else ""


# -- calls that nobody was asked about ----------------------------------------------------------------------------------------------------


def _unasked(report: Unasked, actor: Actor) -> Taken:
    ask = report.ask
    _must_mint(ask.action, report.minted)
    reading = asked.reading(ask, key := uuid7(), now=clock.now())
    source = asked.source_of(reading, actor)
    speaking.must_be_its_own(actor, intake.find_identity(ask.provider, ask.subject), f"{ask.provider}/{ask.subject}")
    known = _known(ask, actor)
    if known is not None:
        return _told_again(known, report, actor)
    identity = inventory.lock(intake.identity_for(replace(reading, context={}), reading.occurred_at, by=source.name).pk)
    intake.may_speak_about(source, identity.kind)
    call = _row(report, key, identity, actor)
    try:
        with attempt():
            call.save(force_insert=True)
    except IntegrityError:  # told by another process meanwhile
        return _told_again(_known_for_sure(ask, actor), report, actor)
    if call.verdict != "allow" and report.outcome in CARRIED_OUT:
        detection: UUID | None = _defied(call, ask, report.outcome, actor)
    else:
        detection = _judged_afterwards(report, call, reading, source, actor) if _happened(report) else None
    if _happened(report) or report.outcome in CARRIED_OUT:
        _noted(call, report.minted, actor)
    record(
        "guard.unasked",
        call.ref,
        actor=actor,
        about=[
            identity.ref,
            Ref.to("session", call.session) if call.session else None,
            Ref.to("detection", detection) if detection else None,
        ],
        identity=str(identity),
        what=f"{call.tool or call.action}{f' on {call.resource}' if call.resource else ''}",
        mode=report.mode,
        did="did" if report.decision else "refused",
        outcome=report.outcome,
        at=call.asked_at,
        request=ask.request,
        question=call.question,
        row=chain.root_of([call]),
    )
    return Taken(call=call.pk, detection=detection)


def _told_again(known: GuardCall, report: Unasked, actor: Actor) -> Taken:
    """It is on record; what came of it may be news. Whoever went ahead carried it out, also where it does not know how that went."""
    if report.outcome:
        _settle(known, report.outcome)
    outcome = report.outcome or ("done" if report.decision else "")
    detection = _defied(known, report.ask, outcome, actor) if _in_spite(known, outcome) else None
    return Taken(call=known.pk, detection=detection, duplicate=True)


def _known(ask: Ask, actor: Actor) -> GuardCall | None:
    """Told before; or asked after all, and only the answer was lost."""
    mine = GuardCall.objects.filter(principal=actor.principal, asker=actor.asker)
    rows = mine.filter(request__in=[_name(ask), request_of(ask)]).order_by("asked")
    return next((row for row in rows if not row.asked or row.question == digest_of(ask)), None)


def _known_for_sure(ask: Ask, actor: Actor) -> GuardCall:
    return GuardCall.objects.get(principal=actor.principal, asker=actor.asker, request=_name(ask))


def _name(ask: Ask) -> str:
    """No question can have it: what is read of a request id is stripped."""
    return f" {ask.request}"


def _happened(report: Unasked) -> bool:
    return report.decision and report.outcome != "not_done"


def _row(report: Unasked, key: UUID, identity: Identity, actor: Actor) -> GuardCall:
    ask, now = report.ask, clock.now()
    session = standing.acting_of(ask, identity).session
    speaking.must_be_its_session(actor, session)
    at = min(max(report.at or now, now - TOLD_LATE), now)
    return GuardCall(
        id=key,
        asked_at=at,
        asked=False,
        principal=actor.principal,
        asker=actor.asker,
        request=_name(ask),
        question=digest_of(ask),
        identity=identity.pk,
        session=session.pk if session else None,
        action=masking.in_text(ask.action),
        tool=masking.in_text(ask.tool),
        resource_kind=masking.in_text(ask.resource_kind),
        resource=masking.in_text(ask.resource),
        writes=standing.is_write(ask, None),
        verdict="allow" if report.decision else "deny",
        reason=REASONS[report.mode],
        because=BECAUSE[report.mode],
        policy_version=policies.in_force().version,
        expires_at=at + LASTS,
        outcome=report.outcome,
        reported_at=now if report.outcome else None,  # this may be told once, later
    )


def _judged_afterwards(report: Unasked, call: GuardCall, reading: Reading, source: Source, actor: Actor) -> UUID | None:
    """Would it have been allowed? Then it counts for its session as any other call; else it is a detection."""
    answer = _would_have_been(report.ask, actor)
    if answer is not None and answer.decision and not answer.would_have:
        _counted(report, call, reading, source, actor)
        return None
    because = answer.because if answer is not None else "It cannot be judged any more."
    told = replace(
        reading,
        external_id=f"unasked:{actor.asker or actor.principal}:{report.ask.request}",
        title=f"Done without asking: {reading.title.removeprefix('Asked to do ')}"[: asked.LONGEST_TITLE],
        severity="high" if call.writes else "medium",
        confidence=0.9,
        occurred_at=call.asked_at,
        returned=report.returned,
        context={**reading.context, "unasked": REASONS[report.mode], "would_have_been": because[:500]},
    )
    received = intake.receive(
        told,
        asked.message(report.ask, told),
        actor=asked.speaking_for(actor, source),
        admitted=intake.Admitted(limits.observed_because(source)),
        source=source,
    )
    if not received.duplicate:
        nudges.wake_worker(flow.DECIDE, received.detection.pk)
    return received.detection.pk


def _would_have_been(ask: Ask, actor: Actor) -> Answer | None:
    """What the guard says to it now. Asked in earnest, and then all that the question did is taken back."""
    try:
        with attempt():
            _taken_back(guard.answer(replace(ask, request="", approval={}), actor))
    except _Tried as tried:
        return tried.answer
    except Refusal:
        return None


def _taken_back(answer: Answer) -> NoReturn:
    raise _Tried(answer)


def _counted(report: Unasked, call: GuardCall, reading: Reading, source: Source, actor: Actor) -> None:
    session = _session_of(call)
    if session is not None:
        tool = made.tool_of(report.ask, session_use.approved_for(session))
        told = replace(reading, tool=tool, bytes=max(report.bytes, reading.bytes), returned=report.returned)
        if tool:
            session_use.hear(session, intake.event_of(told, session), source=source, actor=actor, now=clock.now())


# -- tools that changed -------------------------------------------------------------------------------------------------------------------


def _changed(report: ToolChanged, actor: Actor) -> Taken:
    """Poisoned or only updated: nobody knows, so a person should. The same change tells itself once."""
    what: Mapping[str, str] = {name: getattr(report, name) for name in ("server", "tool", "before", "after")}
    who = {"kind": report.kind, "provider": report.provider, "subject": report.subject}
    name = masking.in_text(f"{report.tool} of {report.server}")
    reading = Reading(
        external_id=f"tool_changed:{digest({**what, **who})}",
        title=f"Tool definition changed since it was approved: {name}"[: asked.LONGEST_TITLE],
        severity="high",
        confidence=0.9,
        occurred_at=clock.now(),
        identity_kind=report.kind,
        identity_provider=report.provider,
        identity_subject=report.subject,
        action="tool.changed",
        session=report.session,
        resource_kind="tool",
        resource_id=f"{report.server}/{report.tool}"[:500],
        context=dict(what),
    )
    source = asked.source_of(reading, actor)
    identity = intake.find_identity(report.provider, report.subject)
    speaking.must_be_its_own(actor, identity, f"{report.provider}/{report.subject}")
    speaking.must_be_its_session(actor, _registered(identity, report.session))
    intake.identity_for(reading, reading.occurred_at, by=source.name)
    message: dict[str, Any] = {"external_id": reading.external_id, "identity": who, "tool_changed": dict(what)}
    received = intake.receive(
        reading,
        message,
        actor=asked.speaking_for(actor, source),
        admitted=intake.Admitted(limits.observed_because(source)),
        source=source,
    )
    if not received.duplicate:
        about = [received.detection.identity.ref]
        nudges.wake_worker(flow.DECIDE, received.detection.pk)
        record("guard.tool_changed", received.detection.ref, actor=actor, about=about, **what)
    return Taken(detection=received.detection.pk, duplicate=received.duplicate)


def _registered(identity: Identity | None, name: str) -> Session | None:
    named = Session.objects.filter(identity=identity, external_id=name, discovered_at__isnull=True)
    return named.first() if identity is not None and name else None
