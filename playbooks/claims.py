"""Claims: who holds a control. Two runs that cut the same thing each have one, and only the last to go gives it back.

A control is a measure of a connector on a subject. A claim is taken with the intent to cut and ends when the step is given back, kept for
another run, or left to others by a person. Who comes after another run finds its cut and cuts nothing itself, so whoever goes first hands
over what was there before: then the last one can give it back, whichever it is.

One control, one actor: while a run is acting on a control, or may have a call out that puts it back, no other one begins there. All of it
happens under the control's own lock, the last in the order of locks.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Q

from audit.record import record, story
from connectors import optional, registry
from connectors.base import IRREVERSIBLE, Measure, State, Target
from connectors.base import Step as Call
from core.actor import SYSTEM
from evidence import vault
from playbooks import runs
from playbooks.domain.moves import LIVE, STEP, WORKABLE
from playbooks.domain.reinstating import held_stage_of, stage_of
from playbooks.domain.specs import OUR_GATE
from playbooks.models import Attempt, ControlClaim, Run, Step
from playbooks.refusals import Occupied, Turned
from playbooks.runs import Ticket

HOLDING = ("acting", "verifying", "done", "partial", "needs_human", "undoing")
STANDING = ("verifying", "done", "partial")
UNKNOWN = ("ambiguous", "unexpected")  # outcomes after which a call may still take effect
KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Control:
    connector: str
    subject: str
    measure: str

    @classmethod
    def of(cls, run: Run, step: Step) -> Control:
        """Our own gate knows identities, not subjects: the same name elsewhere is somebody else."""
        subject = run.target["identity"] if step.connector == OUR_GATE else run.target["subject"]
        return cls(step.connector, str(subject), step.measure)

    def lock(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", [f"{self.connector} {self.measure} {self.subject}"])

    def claims(self) -> list[ControlClaim]:
        """In the order in which they were taken, of runs that still live."""
        named = ControlClaim.objects.filter(connector=self.connector, subject=self.subject, measure=self.measure, run__state__in=LIVE)
        return list(named.select_related("run").order_by("id"))


def enter(run: Run, step: Step, direction: str, now: datetime) -> None:
    """Called in the story of an intent. Occupied where another run is at work on the control; Turned where the last one to go is not."""
    if not _is_held(step):
        return
    control = Control.of(run, step)
    control.lock()
    others = [claim for claim in control.claims() if claim.run_id != run.pk]
    if direction == "undo":
        if _holders(others, control):
            raise Turned
        return
    if step.state != "acting" and (other := _at_work(others, control)) is not None:
        raise Occupied(f"Run {other.run_id} is at work on the same control; it goes first.")
    ControlClaim.objects.get_or_create(
        run=run, connector=control.connector, subject=control.subject, measure=control.measure, defaults={"claimed_at": now}
    )


@story
def keep(ticket: Ticket, seq: int, *, seen: Run) -> bool:
    """Whether another run holds the same control. Then nothing is given back now: that run takes over what was there before. What stays and
    takes some of the same by another measure takes over its part, so that giving back the rest does not loosen it."""
    step = Step.objects.select_related("run").get(run_id=ticket.run_id, seq=seq)
    if not _is_held(step):
        return False
    control = Control.of(step.run, step)
    others = _other_runs(control, ticket.run_id)
    list(Run.objects.select_for_update(of=("self",)).filter(pk__in=[*others, ticket.run_id]).order_by("pk"))
    run = runs.fenced(ticket, seen=seen)
    beside = Q(run__in=[*others, run.pk], connector=step.connector, disruptive=True)
    steps = list(Step.objects.select_for_update(of=("self",)).select_related("run").filter(beside).order_by("pk"))
    mine = next(one for one in steps if one.pk == step.pk)
    control.lock()
    if _other_runs(control, ticket.run_id) != others:
        raise Turned
    claims = control.claims()
    holders = _holders([claim for claim in claims if claim.run_id != run.pk], control)
    if not holders:
        _share(
            mine,
            [one for one in steps if one.pk != mine.pk and one.state in STANDING and (one.run_id != run.pk or _is_new_level(run, one))],
        )
        return False
    if acting := next((one for one in holders if one.state == "acting" and one.run.state in WORKABLE and _is_out(one)), None):
        raise Occupied(f"Run {acting.run_id} is at work on the same control; it goes first.")
    _hand_over(mine, holders, {claim.run_id: claim.pk for claim in claims})
    _is_kept(run, mine, control, holders)
    return True


def _other_runs(control: Control, run_id: uuid.UUID) -> set[uuid.UUID]:
    """Live runs that hold anything of the same connector on the same subject."""
    claims = ControlClaim.objects.filter(connector=control.connector, subject=control.subject, run__state__in=LIVE)
    return set(claims.exclude(run=run_id).values_list("run_id", flat=True))


def _is_new_level(run: Run, step: Step) -> bool:
    return run.state == "reinstating" and step.stage in (stage_of(run.level + 1), held_stage_of(run.level + 1))


def _share(mine: Step, staying: list[Step]) -> None:
    """Only a connector knows what two of its measures have in common."""
    connector = registry.connector_for(mine.connector)
    if connector is None or mine.was is None or mine.was["contained"]:
        return
    for step in staying:
        was, theirs = _before(mine), _before(step)
        if was is None or theirs is None or step.inverse == IRREVERSIBLE:
            continue
        less, more = optional.hands_over(connector, _call(mine), was, _call(step), theirs)
        if more == theirs:
            continue
        _write(mine, less)
        step.performed = True
        _write(step, more)
        about = [step.run.ref, *step.run.about, mine.run.ref]
        record("step.inherited", step.ref, actor=SYSTEM, about=about, measure=mine.measure, run=str(mine.run_id))


def _call(step: Step) -> Call:
    return Call(measure=Measure(step.measure), target=Target(**step.run.target), parameters=step.parameters, deadline_s=step.timeout_s)


def _before(step: Step) -> State | None:
    if step.was is None:
        return None
    secret = vault.open_secret(bytes(step.was_sealed), about=str(step.ref)) if step.was_sealed else {}
    return State(step.was["contained"], step.was["public"], secret, step.was["live_sessions"], step.was["account"])


def _write(step: Step, state: State) -> None:
    assert step.was is not None  # noqa: S101 - it was read from there
    step.was = step.was | {"contained": state.contained, "public": dict(state.public)}
    step.was_sealed = vault.seal_secret(dict(state.secret), about=str(step.ref)) if state.secret else None
    step.save(update_fields=["was", "was_sealed", "performed"])


def give_back(run: Run, step: Step) -> None:
    """Called in the story that says the step is undone. The claim stays while another step of the run holds the control."""
    if not _is_held(step):
        return
    control = Control.of(run, step)
    if not run.steps.filter(connector=step.connector, measure=step.measure, state__in=HOLDING).exclude(pk=step.pk).exists():
        _drop(run, control)


def is_kept(step: Step) -> bool:
    return step.state == "undone" and step.said.startswith(f"{KEPT}:")


def _is_held(step: Step) -> bool:
    return step.disruptive and step.inverse != IRREVERSIBLE


def _holders(claims: list[ControlClaim], control: Control) -> list[Step]:
    """The step of each run through which it holds the control: the first, whose undo comes last. In the order of their claims."""
    found: dict[uuid.UUID, Step] = {}
    own = Step.objects.filter(
        run__in=[claim.run_id for claim in claims], connector=control.connector, measure=control.measure, state__in=HOLDING
    )
    for step in own.select_related("run").order_by("-seq"):
        found[step.run_id] = step
    return [found[claim.run_id] for claim in claims if claim.run_id in found]


def _at_work(claims: list[ControlClaim], control: Control) -> Step | None:
    """A step that acts, or whose last call to put it back may still be out. What only waits for another try makes way."""
    busy = Step.objects.filter(
        run__in=[claim.run_id for claim in claims if claim.run.state in WORKABLE],
        connector=control.connector,
        measure=control.measure,
        state__in=["acting", "undoing"],
    )
    for step in busy:
        if step.state == "acting" or _is_out(step, "undo"):
            return step
    return None


def _is_out(step: Step, direction: str = "forward") -> bool:
    """Whether its last call may still take effect: an intent without an outcome, or an outcome that nobody knows."""
    last = Attempt.objects.filter(step=step).order_by("-id").first()
    return last is not None and last.direction == direction and (last.kind == "intent" or last.outcome in UNKNOWN)


def _hand_over(mine: Step, holders: list[Step], order: dict[uuid.UUID, int]) -> None:
    """What was there before goes to the next run that cut after this one; else to one that found it cut and did nothing."""
    if mine.was is None or mine.was["contained"] or mine.state == "failed":
        return
    own = order.get(mine.run_id, 0)
    later = [step for step in holders if order[step.run_id] > own]
    heir = next(iter(later or [step for step in holders if not step.performed]), None)
    if heir is None:
        return
    if not heir.performed:
        heir.key = mine.key  # the effect that stands there is known to the target under this name
    heir.was = mine.was
    heir.was_sealed = None
    if mine.was_sealed:
        secret = vault.open_secret(bytes(mine.was_sealed), about=str(mine.ref))
        heir.was_sealed = vault.seal_secret(secret, about=str(heir.ref))
    heir.performed = True
    heir.save(update_fields=["key", "was", "was_sealed", "performed"])
    about = [heir.run.ref, *heir.run.about, mine.run.ref]
    record("step.inherited", heir.ref, actor=SYSTEM, about=about, measure=heir.measure, run=str(mine.run_id))


def _is_kept(run: Run, step: Step, control: Control, holders: list[Step]) -> None:
    names = ", ".join(str(one.run_id) for one in holders)
    if step.state != "undoing":
        step.state = STEP.after(step.state, "undo")
    step.state = STEP.after(step.state, "finish_undo")
    step.said = f"{KEPT}: run {names} holds it as well, and the last one to go gives it back"
    step.was_sealed, step.next_at = None, None
    step.save(update_fields=["state", "said", "was_sealed", "next_at"])
    _drop(run, control)
    record("step.undone", step.ref, actor=SYSTEM, about=[run.ref, *run.about], measure=step.measure, said=step.said)


def _drop(run: Run, control: Control) -> None:
    ControlClaim.objects.filter(run=run, connector=control.connector, subject=control.subject, measure=control.measure).delete()
