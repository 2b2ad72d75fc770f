"""The way back, where it takes time: levels that are watched, containments that end by themselves, and what contains again at once.

People's buttons, the engine and a sweeper's duty come in here; the steps move themselves, in steps.py, and what is next is asked of the
rows, in domain/reinstating.py.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import Q
from django.db.models.functions import Now

from audit import clock, nudges
from audit.record import record, story
from core import masking
from core.actor import CLOCK, SYSTEM, Actor
from core.refusals import Refusal
from playbooks import runs
from playbooks.domain.reinstating import held_stage_of, is_return, stage_of
from playbooks.domain.step_view import INTERIM, Action
from playbooks.models import Run, Step
from playbooks.refusals import MovedSince, NotProlongable, NotReturning
from playbooks.runs import DRIVE, Ticket

log = logging.getLogger(__name__)

LONGEST_AHEAD = timedelta(days=7)  # how far ahead of now a containment with a time limit may be prolonged
FOR_PEOPLE = timedelta(days=3650)  # a level that waits for a person goes on by itself no sooner
MOVES = frozenset({"watch", "contain_again"})  # what the engine finishes a stretch of the return with
FRESH = ("measure", "connector", "parameters", "timeout_s", "on_failure", "disruptive", "effect", "on_ambiguous", "inverse", "settle_s")


# -- levels ------------------------------------------------------------------------------------------------------------------------------


def levels(run: Run) -> list[Mapping[str, Any]]:
    return list(run.terms.get("reinstatement") or [])


def is_watched(run: Run) -> bool:
    """A level stands, and the next one is not begun."""
    if run.state != "reinstating" or run.level == 0 or run.next_at is None:
        return False
    steps = list(run.steps.all())
    last = max(steps, key=lambda step: step.seq)
    return last.stage == held_stage_of(run.level) and last.state != "undone" and all(step.state != "undoing" for step in steps)


@story
def add_level(ticket: Ticket, action: Action, *, seen: Run) -> None:
    """The steps of a level; once more, where what was undone may have taken with it what the level relied on."""
    run = runs.fenced(ticket, seen=seen)
    stage = held_stage_of(action.seq) if action.kind == "hold_level" else stage_of(action.seq)
    runs.add_steps(run, stage, levels(run)[action.seq - 1]["steps"])


def finish(ticket: Ticket, action: Action, *, seen: Run) -> bool:
    """A level stands and is watched, or it did not hold. True: there is more to do at once."""
    if action.move == "watch":
        _watch(ticket, seen=seen)
        return False
    _did_not_hold(ticket, action.because, seen=seen)
    return True


@story
def _watch(ticket: Ticket, *, seen: Run) -> None:
    run = runs.fenced(ticket, seen=seen)
    run.level += 1
    until = clock.now() + timedelta(seconds=float(levels(run)[run.level - 1].get("watch_s") or 0))
    run.next_at, run.lease_until, run.crash_count = until, None, 0
    run.because = f"level {run.level} of {len(levels(run))} stands and is watched"
    run.save(update_fields=["level", "next_at", "lease_until", "crash_count", "because"])
    record("run.level_stands", run.ref, actor=SYSTEM, about=run.about, level=run.level, of=len(levels(run)), until=until)


@story
def _did_not_hold(ticket: Ticket, because: str, *, seen: Run) -> None:
    _contain_again(runs.fenced(ticket, seen=seen), actor=SYSTEM, because=because)


@story
def next_level(run_id: uuid.UUID, *, actor: Actor, seen_level: int | None = None) -> Run:
    """A person has seen enough: the next level is given back now, or everything after the last one. `seen_level`: the one they watched."""
    run = runs.lock(run_id)
    if not is_watched(run):
        raise NotReturning("No level of this run is being watched, so there is none to go on from.")
    if seen_level is not None and seen_level != run.level:
        raise MovedSince(f"It moved since: level {run.level} is watched now, not level {seen_level}. Look at it, then go on.")
    record("run.level_hastened", run.ref, actor=actor, about=run.about, level=run.level)
    runs.make_due(run)
    return run


@story
def contain_again(run_id: uuid.UUID, *, actor: Actor, because: str) -> Run:
    """New evidence, or a person who does not like what they see: what was given back is cut again, at once."""
    run = runs.lock(run_id)
    if run.state != "reinstating":
        raise NotReturning(f"This run is {run.state.replace('_', ' ')}; only one that comes back in levels is contained again.")
    _contain_again(run, actor=actor, because=masking.in_text(because))
    return run


@story
def stay(run_id: uuid.UUID, *, because: str) -> Run:
    """A level that is watched is not the end of it: nothing looser is given back before a person goes on, contains again or gives back the
    rest."""
    run = runs.lock(run_id)
    if not is_watched(run):
        raise NotReturning("No level of this run is being watched, so there is none to stay at.")
    said, run.because = run.because, masking.in_text(because)
    run.next_at = clock.now() + FOR_PEOPLE
    run.save(update_fields=["next_at", "because"])
    if said != run.because:
        record("run.waiting", run.ref, actor=SYSTEM, about=run.about, because=run.because)
    return run


def staying() -> Q:
    """Runs at a level that waits for a person."""
    return Q(state="reinstating", next_at__gt=clock.now() + FOR_PEOPLE / 2)


def stays(run: Run) -> bool:
    return is_watched(run) and run.next_at is not None and run.next_at > clock.now() + FOR_PEOPLE / 2


@story
def give_back_the_rest(run_id: uuid.UUID, *, actor: Actor, reason: str) -> Run:
    """No level and no watch any more, or none at all: everything comes back now. Also where a level did not come to stand."""
    run = runs.lock(run_id)
    if run.state not in {"reinstating", "contained", "partial", "needs_human"}:
        raise NotReturning(f"This run is {run.state.replace('_', ' ')}; there is nothing of it to give back at once.")
    reason = masking.in_text(reason)
    record("run.undo_requested", run.ref, actor=actor, about=run.about, reason=reason)
    runs.begin_undo(run, actor=actor, because=reason, at=clock.now())
    return run


def _contain_again(run: Run, *, actor: Actor, because: str) -> None:
    """What was put back, or is being put back at this moment, is cut by steps of its own; what was not yet given back still stands."""
    run.level, run.next_at = 0, clock.now()
    run.undo_reason, run.undo_by, run.undo_at, run.finished_at, run.contained_at = "", "", None, None, None
    fields = ["level", "next_at", "undo_reason", "undo_by", "undo_at", "finished_at", "contained_at"]
    runs.move_on(run, "contain_again", actor=actor, because=because, fields=fields)
    record("run.contained_again", run.ref, actor=actor, about=run.about, because=because)
    cuts = [step for step in run.steps.select_for_update().order_by("seq") if step.disruptive and not _is_aside(step)]
    standing = [_spec(step) for step in cuts if step.state not in {"undone", "undoing", "skipped"}]
    for step in cuts:
        if step.state in {"undone", "undoing"} and _spec(step) not in standing:
            standing.append(_spec(step))
            runs.add_steps(run, step.stage, [_spec(step)])
        if step.state == "undoing":
            step.next_at = None  # it comes to its end first, without a pause
            step.save(update_fields=["next_at"])
    nudges.wake_worker(DRIVE, run.id)


def _is_aside(step: Step) -> bool:
    return step.stage == INTERIM or is_return(step.stage)


def _spec(step: Step) -> dict[str, Any]:
    return {name: getattr(step, name) for name in FRESH}


# -- an end by itself --------------------------------------------------------------------------------------------------------------------


@story
def prolong(run_id: uuid.UUID, *, by: timedelta, actor: Actor, reason: str, seen_until: datetime | None = None) -> Run:
    """It lasts longer than the playbook says, within bounds. `seen_until`: the end that the person saw, so that it is prolonged once."""
    run, now = runs.lock(run_id), clock.now()
    if run.lasts_until is None or run.state not in {"contained", "partial"} or run.lasts_until <= now:
        raise NotProlongable("This containment does not end by itself, or its end has begun.")
    if seen_until is not None and seen_until != run.lasts_until:
        raise MovedSince(f"It moved since: it lasts until {run.lasts_until:%Y-%m-%d %H:%M:%S} UTC now. Look again, then prolong it or not.")
    until = run.lasts_until + by
    if by <= timedelta(0) or until > now + LONGEST_AHEAD:
        raise NotProlongable(f"A containment can be made to last until {LONGEST_AHEAD.days} days from now at most.")
    run.lasts_until = until
    run.save(update_fields=["lasts_until"])
    record("run.prolonged", run.ref, actor=actor, about=run.about, until=until, reason=masking.in_text(reason))
    return run


def end_due(most: int = 20) -> int:
    """What a sweeper does several times a second: containments whose time is over are undone, as a person would. In no order, so that
    those that cannot be ended stand in nobody's way."""
    over = Run.objects.filter(lasts_until__lte=Now(), state__in=["contained", "partial"]).order_by("?")
    ended = 0
    for run_id in list(over.values_list("pk", flat=True)[:most]):
        try:
            ended += _ended(run_id)
        except Refusal as refusal:
            log.info("left for later: %s", refusal.sentence)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # a bug that one meets must not keep the others waiting
            log.exception("ending the containment of run %s failed; the others go on", run_id)
    return ended


@story
def _ended(run_id: uuid.UUID) -> bool:
    run = runs.lock(run_id)
    if run.lasts_until is None or run.lasts_until > clock.now() or run.state not in {"contained", "partial"}:
        return False
    record("run.time_over", run.ref, actor=CLOCK, about=run.about, until=run.lasts_until)
    runs.undo(run_id, actor=CLOCK, reason=f"its time was over at {run.lasts_until:%Y-%m-%d %H:%M:%S} UTC, as the playbook says")
    return True
