"""Runs: preparing, starting, releasing, raising, undoing, claiming. A Run changes state here and nowhere else.

Called by containment.flow inside its story, and by engine.py, which carries runs out. Steps move themselves, in steps.py.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from audit import clock, nudges
from audit.record import attempt, record, story
from core import masking
from core.actor import SYSTEM, Actor
from core.crashpoints import crashpoint
from core.refs import Ref
from playbooks import boundary, switch
from playbooks.domain import moves
from playbooks.domain.ladder import after_soft, offers_hard
from playbooks.domain.receipt import receipt, summary
from playbooks.domain.reinstating import RETURN, stage_of
from playbooks.models import ControlClaim, PlaybookVersion, Run, Step
from playbooks.refusals import AlreadyLive, LeaseLost, NoSuchRun, NotAcceptable, NotRaised, NotRepeatable, NotUndoable, Turned

ENGINE_VERSION = 2  # 2: evidence has a time, a soft stage may be followed by the hard one, and the hard stage is judged by itself
LEASE = timedelta(seconds=8)
STRIKES = 3  # workers that may die on one run before it is set aside for a person
LEVELS_FAIL = 2  # a way back in levels that failed so often is left; what is asked for again comes back at once
NOT_TAKEN = ("rejected", "foreign", "blind", "shielded", "given_up", "unexpected")
DRIVE = "playbooks.drive"
FORGET = "playbooks.forget"
PEOPLE_ARE_ASKED = "; people are asked for the hard stage"
UNRESTED = frozenset({"pending", "running", "verifying"})


@dataclass(frozen=True, slots=True)
class Ticket:
    """One worker's right to write to one run, until its lease passes."""

    run_id: uuid.UUID
    fence: int
    worker: str
    executor: str


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


# -- from the story ----------------------------------------------------------------------------------------------------------------------


@story
def prepare(
    playbook: PlaybookVersion,
    *,
    identity: Ref,
    case: Ref,
    decision: Ref,
    target: Mapping[str, Any],
    plan: Mapping[str, Any],
    plan_digest: str,
    stage: str,
    interim: bool,
    terms: Mapping[str, Any] | None = None,
) -> Run:
    """A run that waits for a person. With `interim`, its interim stage may be claimed at once."""
    run = _create(playbook, identity, case, decision, target, plan, plan_digest, stage, terms or {})
    record("run.prepared", run.ref, actor=SYSTEM, about=run.about, stage=stage, playbook=str(playbook), interim=interim)
    move_on(run, "ask", actor=SYSTEM)
    if interim:
        _add_steps(run, "interim")
        make_due(run)
    return run


@story
def start(
    playbook: PlaybookVersion,
    *,
    identity: Ref,
    case: Ref,
    decision: Ref,
    target: Mapping[str, Any],
    plan: Mapping[str, Any],
    plan_digest: str,
    stage: str,
    terms: Mapping[str, Any] | None = None,
) -> Run:
    """A run that acts at once."""
    run = _create(playbook, identity, case, decision, target, plan, plan_digest, stage, terms or {})
    record("run.started", run.ref, actor=SYSTEM, about=run.about, stage=stage, playbook=str(playbook))
    run.released_at = run.created_at
    move_on(run, "start", actor=SYSTEM, fields=["released_at"])
    _add_steps(run, stage)
    make_due(run)
    return run


@story
def set_aside(run_id: uuid.UUID, *, because: str) -> Run:
    """A run that nobody can carry out by machine: it waits for a person, and says why."""
    run = lock(run_id)
    _end(run, "give_up", actor=SYSTEM, because=because)
    return run


@story
def release(run_id: uuid.UUID, *, actor: Actor, because: str, stage: str = "") -> Run:
    """A person approved, nobody answered and the plan says contain, or more was found that needs no answer (then `stage` is what that calls
    for). Interim steps that did not begin are left out."""
    run = lock(run_id)
    run.released_at, run.stage = clock.now(), stage or run.stage
    move_on(run, "release", actor=actor, because=because, fields=["released_at", "stage"])
    _leave_out_planned(run, because="the stage people approved takes its place")
    _add_steps(run, run.stage)
    record("run.released", run.ref, actor=actor, about=run.about, because=because)
    make_due(run)
    return run


@story
def raise_stage(run_id: uuid.UUID, *, to: str, because: str, actor: Actor = SYSTEM) -> Run:
    """Soft was not enough: the steps of `to` follow those that are there. Nothing happens where they are there already."""
    run = lock(run_id)
    if run.stage == to or not moves.RUN.allows(run.state, "raise"):
        return run
    run.stage, run.lasts_until = to, None  # what it lasts counts anew once the harder stage stands
    move_on(run, "raise", actor=actor, because=because, fields=["stage", "lasts_until"])
    _add_steps(run, to)
    record("run.raised", run.ref, actor=actor, about=run.about, stage=to, because=because)
    make_due(run)
    return run


@story
def climb(run_id: uuid.UUID, *, actor: Actor, because: str) -> Run:
    """People approved the harder stage that a run called for. NotRaised where it went another way before they did."""
    run = lock(run_id)
    to = run.wants
    if withdrawn := boundary.withdrawn(run):
        raise NotRaised(f"The {to} stage does not follow any more. {withdrawn}.")
    run = raise_stage(run_id, to=to, because=because, actor=actor)
    if run.stage != to:
        raise NotRaised(f"This run is {run.state.replace('_', ' ')} by now; the {to} stage does not follow any more.")
    run.wants = ""
    run.save(update_fields=["wants"])
    return run


@story
def want_no_more(run_id: uuid.UUID, *, actor: Actor, because: str) -> Run:
    """The harder stage that a run called for does not follow: people said no, nobody answered, or the run went another way."""
    run = lock(run_id)
    if run.wants:
        record("run.wants_no_more", run.ref, actor=actor, about=run.about, stage=run.wants, because=because)
        run.wants = ""
        run.save(update_fields=["wants"])
        if run.state == "partial" and not _holds_anything(run):
            _end(run, "fail", actor=actor, because=because)
    return run


def _holds_anything(run: Run) -> bool:
    """Whether anything that it cut stands, or may: otherwise the identity is free for another run."""
    return run.steps.filter(disruptive=True, state__in=["done", "partial", "needs_human", "verifying", "acting"]).exists()


@story
def stand_down(run_id: uuid.UUID, *, actor: Actor, because: str, keep: timedelta = timedelta(0)) -> Run:
    """A waiting run will not act: rejected, lapsed into release, or withdrawn. What its interim stage did is put back, after `keep`."""
    run = lock(run_id)
    if run.steps.exclude(state__in=["planned", "skipped"]).exists():
        begin_undo(run, actor=actor, because=because, at=clock.now() + keep)
    else:
        _leave_out_planned(run, because=because)
        _end(run, "withdraw", actor=actor, because=because)
    return run


@story
def undo(run_id: uuid.UUID, *, actor: Actor, reason: str, early: bool = False) -> Run:
    """Put everything back; in levels, where the playbook says so. NotUndoable unless the run is contained, partial, failed or waits for a
    person; `early`: or has not come to rest yet."""
    run, reason = lock(run_id), masking.in_text(reason)
    if run.state == "reinstating":
        return run
    if run.state == "undoing":
        if _is_kept(run):
            record("run.undo_requested", run.ref, actor=actor, about=run.about, reason=reason)
            run.undo_reason, run.undo_by, run.undo_at = reason, str(actor), clock.now()
            run.save(update_fields=["undo_reason", "undo_by", "undo_at"])
            make_due(run)
        return run
    if run.state not in (moves.UNDOABLE | UNRESTED if early else moves.UNDOABLE):
        raise NotUndoable(f"This run is {run.state.replace('_', ' ')}; only a run that acted and came to rest can be undone.")
    record("run.undo_requested", run.ref, actor=actor, about=run.about, reason=reason)
    try:
        with attempt():
            begin_undo(run, actor=actor, because=reason, at=clock.now(), move="reinstate" if comes_in_levels(run) else "undo")
    except IntegrityError:  # a failed run left the identity free, and another one took it
        raise AlreadyLive("This identity is under another run by now. Undo that one first.") from None
    return run


@story
def accept(run_id: uuid.UUID, *, actor: Actor, reason: str) -> Run:
    """A person leaves as it is what did not end whole: nothing more is done about it, and the identity is free for another run."""
    run, reason = lock(run_id), masking.in_text(reason)
    if run.state == "accepted":
        return run
    if run.state not in moves.ACCEPTABLE:
        raise NotAcceptable(f"This run is {run.state.replace('_', ' ')}; only what is partial or needs a person is accepted as it is.")
    steps = list(run.steps.select_for_update().order_by("seq"))
    left = [{"measure": step.measure, "state": step.state, "said": step.said, "left": step.left, "diff": step.diff} for step in steps]
    record("run.accepted", run.ref, actor=actor, about=run.about, reason=reason, steps=left)
    _end(run, "accept", actor=actor, because=reason)
    run.steps.update(was_sealed=None, next_at=None)  # nothing will be put back, so no secret is kept for it
    run.next_at = clock.now()  # targets forget what they keep for it (forgetting.py)
    run.save(update_fields=["next_at"])
    nudges.wake_worker(FORGET, run.id)
    return run


@story
def retry(run_id: uuid.UUID, *, actor: Actor) -> Run:
    """What a run was set aside for is put right: what waits for a person is tried again, looking before it acts."""
    run = lock(run_id)
    if why := why_not_again(run):
        raise NotRepeatable(why)
    record("run.retried", run.ref, actor=actor, about=run.about)
    run.finished_at = None
    move_on(run, "retry", actor=actor, fields=["finished_at"])
    for step in run.steps.select_for_update().filter(state="needs_human").exclude(stage="interim"):
        step.state, step.next_at = moves.STEP.after(step.state, "intend"), clock.now()
        step.save(update_fields=["state", "next_at"])
    make_due(run)
    return run


def why_not_again(run: Run) -> str:
    """Why trying again is not for this run; empty when it is."""
    if not moves.RUN.allows(run.state, "retry"):
        return f"This run is {run.state.replace('_', ' ')}; only one that needs a person can be tried again."
    if run.undo_at is not None:
        return "This run was being undone. Undo it again instead."
    if because := boundary.withdrawn(run):
        return because
    if not run.plan.get(run.stage):
        return "No connector can carry this plan out, so there is nothing to try again."
    return ""


@story
def hasten(run_id: uuid.UUID, *, because: str) -> None:
    """What is kept for a while after a lapse makes way: something new is to be decided."""
    run = lock(run_id)
    if run.state == "undoing" and _is_kept(run):
        record("run.hastened", run.ref, actor=SYSTEM, about=run.about, because=because)
        make_due(run)


def _is_kept(run: Run) -> bool:
    """What was done while people decided still stands for a while, and nothing of it was put back yet."""
    if boundary.GOES_ON in run.because or run.next_at is None or run.next_at <= clock.now():
        return False
    return not run.steps.filter(state__in=["undoing", "undone"]).exists()


def lock(run_id: uuid.UUID) -> Run:
    try:
        return Run.objects.select_for_update(of=("self",)).select_related("playbook").get(pk=run_id)
    except Run.DoesNotExist:
        raise NoSuchRun("There is no such run.") from None


# -- from the engine ---------------------------------------------------------------------------------------------------------------------


def claim(run_id: uuid.UUID, *, executor: str) -> Ticket | None:
    """Take the lease of a due run that nobody holds. None when there is nothing to claim: a doubled nudge costs one query.

    `crash_count` goes up here and back to zero with every outcome, so it stays up only where workers die. The third death sets the run
    aside for a person. Under a kill switch that stops everything nothing is claimed, and nobody is struck.
    """
    if switch.stops_everything():
        _hold_back(run_id)
        return None
    with transaction.atomic():
        run = Run.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=run_id).first()
        if run is None or not _claimable(run, clock.now()):
            return None
        run.fence += 1
        run.lease_owner, run.last_executor = worker_name(), executor
        run.lease_until = clock.now() + LEASE
        run.crash_count += 1
        run.save(update_fields=["fence", "lease_owner", "last_executor", "lease_until", "crash_count"])
        crashpoint("runs.claim.before_commit")
    ticket = Ticket(run.id, run.fence, run.lease_owner, executor)
    if run.crash_count > STRIKES:
        because = f"{run.crash_count - 1} workers died on it. A person has to look before it goes on."
        if run.state == "waiting":  # its hold is that person
            wait(ticket, until=None, because=because, verify=False, seen=run)
        else:
            give_up(ticket, because=because)
        return None
    return ticket


@story
def _hold_back(run_id: uuid.UUID) -> None:
    """It looks again in a moment; on record once."""
    run = Run.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=run_id).first()
    if run is None or not _claimable(run, clock.now()):
        return
    if run.because != boundary.NOTHING:
        record("run.waiting", run.ref, actor=SYSTEM, about=run.about, because=boundary.NOTHING)
    run.because, run.next_at = boundary.NOTHING, clock.now() + boundary.LOOK_AGAIN
    run.save(update_fields=["because", "next_at"])


def _claimable(run: Run, now: datetime) -> bool:
    return (
        run.state in moves.WORKABLE
        and run.engine_version <= ENGINE_VERSION
        and run.next_at is not None
        and run.next_at <= now
        and (run.lease_until is None or run.lease_until <= now)
    )


def fenced(ticket: Ticket, *, seen: Run | None = None) -> Run:
    """The run, locked, if the lease is still this worker's. LeaseLost otherwise: another one has it, or may take it any moment.

    With `seen`, the run as its driver read it: Turned if an answer, a lapse or another detection has changed it since. An outcome is
    written either way; what is to be done next is not.
    """
    run = lock(ticket.run_id)
    if run.fence != ticket.fence or run.lease_until is None or run.lease_until <= clock.now():
        raise LeaseLost
    if seen is not None and (run.state, run.stage, run.next_at) != (seen.state, seen.stage, seen.next_at):
        raise Turned
    return run


def renew(ticket: Ticket) -> bool:
    """Another LEASE from now. False when it is lost."""
    try:
        with transaction.atomic():
            run = fenced(ticket)
            run.lease_until = clock.now() + LEASE
            run.save(update_fields=["lease_until"])
            crashpoint("runs.renew.before_commit")
    except LeaseLost:
        return False
    return True


@story
def begin(ticket: Ticket, *, seen: Run) -> Run:
    """The first outside call of a released run is near."""
    run = fenced(ticket, seen=seen)
    move_on(run, "begin", actor=SYSTEM)
    return run


@story
def finish(ticket: Ticket, move: str, *, because: str, seen: Run) -> bool:
    """The run makes `move`, or climbs to its hard stage where the soft one did not hold and the playbook says so. True: it goes on."""
    run = fenced(ticket, seen=seen)
    if move == "undo":
        begin_undo(run, actor=SYSTEM, because=because, at=clock.now())
        return True
    if move in {"leave_partial", "fail"} and (follows := after_soft(run.stage, run.plan, run.terms)) != "stop":
        return _climb(run, at_once=follows == "hard", because=because)
    if move == "finish_undo":
        record("run.gave_back", run.ref, actor=SYSTEM, about=run.about, **summary(receipt(run.steps.all())))
    if move == "contain":
        run.contained_at = clock.now()
        cuts = run.steps.filter(disruptive=True, state="done")
        levels = set(cuts.values_list("proof_level", flat=True))
        run.proof_level = "replayed" if levels == {"replayed"} else "introspected" if levels else ""
        run.wants = "hard" if offers_hard(run.stage, run.plan, run.terms) else run.wants
        _end(run, move, actor=SYSTEM, because=because, fields=["contained_at", "proof_level", "wants"])
        return False
    _end(run, move, actor=SYSTEM, because=because)
    return False


def _climb(run: Run, *, at_once: bool, because: str) -> bool:
    """The hard stage at once; or the run rests, and people are asked for it (containment/ladder.py)."""
    if at_once:
        raise_stage(run.pk, to="hard", because=f"the soft stage did not hold: {because}")
        return True
    run.wants = "hard"
    _end(run, "leave_partial", actor=SYSTEM, because=f"{because}{PEOPLE_ARE_ASKED}", fields=["wants"])
    return False


@story
def give_up(ticket: Ticket, *, because: str) -> None:
    run = fenced(ticket)
    _end(run, "give_up", actor=SYSTEM, because=because)


@story
def wait(ticket: Ticket, *, until: datetime | None, because: str, verify: bool, seen: Run) -> None:
    """Nothing to do before `until` (None: not before somebody else changes the run). The lease goes back."""
    run = fenced(ticket, seen=seen)
    if verify and run.state == "running":
        move_on(run, "verify", actor=SYSTEM)
    if because and because != run.because:
        record("run.waiting", run.ref, actor=SYSTEM, about=run.about, because=because)
    run.because, run.next_at, run.lease_until, run.crash_count = because, until, None, 0
    run.save(update_fields=["because", "next_at", "lease_until", "crash_count"])


# -- the arrows --------------------------------------------------------------------------------------------------------------------------


def _create(
    playbook: PlaybookVersion,
    identity: Ref,
    case: Ref,
    decision: Ref,
    target: Mapping[str, Any],
    plan: Mapping[str, Any],
    plan_digest: str,
    stage: str,
    terms: Mapping[str, Any],
) -> Run:
    run = Run(
        playbook=playbook,
        identity_ref=str(identity),
        case_ref=str(case),
        decision_ref=str(decision),
        target=dict(target),
        plan=dict(plan),
        plan_digest=plan_digest,
        terms=dict(terms),
        stage=stage,
        engine_version=ENGINE_VERSION,
        created_at=clock.now(),
    )
    try:
        with attempt():
            run.save(force_insert=True)
    except IntegrityError:
        raise AlreadyLive("This identity is under a live run already.") from None
    return run


def move_on(run: Run, move: str, *, actor: Actor, because: str = "", fields: list[str] | None = None) -> None:
    was, run.state = run.state, moves.RUN.after(run.state, move)
    run.because = because
    run.save(update_fields=["state", "because", *(fields or [])])
    record("run.moved", run.ref, actor=actor, about=run.about, was=was, state=run.state, because=because)


def _end(run: Run, move: str, *, actor: Actor, because: str, fields: list[str] | None = None) -> None:
    """A move after which nothing is due: the run rests, or is over."""
    state, now = moves.RUN.after(run.state, move), clock.now()
    run.next_at, run.lease_until, run.crash_count, run.finished_at, run.residual_until = None, None, 0, now, None
    lasts_s = float(run.terms.get("lasts_s") or 0) if state in {"contained", "partial"} else 0
    run.lasts_until = now + timedelta(seconds=lasts_s) if lasts_s else None
    if state not in moves.LIVE:
        ControlClaim.objects.filter(run=run).delete()  # whoever holds the same controls gives them back
    ended = ["next_at", "lease_until", "crash_count", "finished_at", "residual_until", "lasts_until"]
    move_on(run, move, actor=actor, because=because, fields=[*ended, *(fields or [])])


def comes_in_levels(run: Run) -> bool:
    """Whether what it cut is given back one level after the other. What failed cut nothing, so that there is nothing to take slowly."""
    return bool(run.terms.get("reinstatement")) and moves.RUN.allows(run.state, "reinstate") and _failed_levels(run) < LEVELS_FAIL


def _failed_levels(run: Run) -> int:
    """Steps of its way back that a target refused, or that a person had to be asked about."""
    if run.state != "needs_human":
        return 0
    levels = Step.objects.filter(run=run, stage__startswith=RETURN, journal__direction="forward", journal__outcome__in=NOT_TAKEN)
    return levels.distinct().count()


def begin_undo(run: Run, *, actor: Actor, because: str, at: datetime, move: str = "undo") -> None:
    """A worker that is in the middle of a step settles it first and then turns round: perform and undo never overlap."""
    run.undo_reason, run.undo_by, run.undo_at, run.next_at = because, str(actor), clock.now(), at
    run.lasts_until, run.level = None, 0
    fields = ["undo_reason", "undo_by", "undo_at", "next_at", "lasts_until", "level"]
    move_on(run, move, actor=actor, because=because, fields=fields)
    if move == "reinstate":
        add_steps(run, stage_of(1), run.terms["reinstatement"][0]["steps"])
    for step in run.steps.select_for_update().filter(state="needs_human"):
        step.state, step.next_at = moves.STEP.after(step.state, "undo"), None
        step.save(update_fields=["state", "next_at"])
    nudges.wake_worker(DRIVE, run.id)


def _leave_out_planned(run: Run, *, because: str) -> None:
    """Steps that did not begin never will."""
    for step in run.steps.select_for_update().filter(state="planned"):
        step.state, step.said = moves.STEP.after(step.state, "skip"), because
        step.save(update_fields=["state", "said"])
        facts = {"measure": step.measure, "state": step.state, "said": because}
        record("step.settled", step.ref, actor=SYSTEM, about=[run.ref, *run.about], **facts)


def _add_steps(run: Run, stage: str) -> None:
    add_steps(run, stage, run.plan.get(stage, []))


def add_steps(run: Run, stage: str, rendered: Sequence[Mapping[str, Any]]) -> None:
    """After those that are there. The Run is locked."""
    last = run.steps.order_by("-seq").values_list("seq", flat=True).first() or 0
    Step.objects.bulk_create(
        Step(
            run=run,
            seq=last + index,
            stage=stage,
            measure=step["measure"],
            connector=step["connector"],
            parameters=step["parameters"],
            timeout_s=step["timeout_s"],
            on_failure=step["on_failure"],
            disruptive=step["disruptive"],
            effect=step["effect"],
            on_ambiguous=step["on_ambiguous"],
            inverse=step["inverse"],
            settle_s=step["settle_s"],
        )
        for index, step in enumerate(rendered, start=1)
    )


def make_due(run: Run) -> None:
    run.next_at = clock.now()
    run.save(update_fields=["next_at"])
    nudges.wake_worker(DRIVE, run.id)
