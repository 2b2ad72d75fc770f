"""Many at once: the runs of a policy version, a source, a playbook or a stretch of time are undone together, by the word of two people.

One asks: the list is frozen, with a digest. Another reads that list and agrees to that digest. From then on each member is due work, one
story for each, found by the sweepers whatever died in between: its run is undone as a person would (so it gets the usual cool-off), and
looked at until it is known what became of it. Nothing here counts towards a limit: it only gives back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.models import Count, Q, QuerySet

from accounts import actors
from audit import clock
from audit.record import attempt, record, story
from containment import flow
from containment.models import Decision, MassUndo, MassUndoMember
from containment.refusals import AlreadySettled, ListChanged, NoSuchMassUndo, NotThePerson
from core import masking
from core.actor import SYSTEM, Actor
from core.digest import digest
from core.refs import Ref
from core.refusals import BadInput, Fault, Refusal
from playbooks import switch
from playbooks.domain.moves import UNDOABLE
from playbooks.domain.receipt import receipt, summary
from playbooks.models import Run
from playbooks.runs import UNRESTED

log = logging.getLogger(__name__)

UNDOES = "run.undo"
MOST = 2_000
AT_A_TIME = 25  # members that one turn begins with
LOOKED_AT = 500  # members that one turn looks at
LOOK_AGAIN, LATER = timedelta(seconds=1), timedelta(seconds=10)
LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Picks:
    """What the runs have in common; at least one of it. `playbook`: a name, or one version of it as in `service-account v3`. `since` and
    `until`: when they began."""

    policy_version: int | None = None
    source: str = ""
    playbook: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        said = {"policy_version": self.policy_version, "source": self.source, "playbook": self.playbook}
        said |= {"since": self.since.isoformat() if self.since else "", "until": self.until.isoformat() if self.until else ""}
        return {name: value for name, value in said.items() if value not in (None, "")}


@dataclass(frozen=True, slots=True)
class Preview:
    runs: Sequence[Run]
    digest: str


# -- asking ------------------------------------------------------------------------------------------------------------------------------


def preview(picks: Picks) -> Preview:
    """What would be on the list now. BadInput where it is nothing, or too much to read."""
    found = list(_picked(picks)[: MOST + 1])
    if len(found) > MOST:
        raise BadInput([Fault("picks", "too_many", f"These are more than {MOST:,} runs. Narrow it down, and undo the rest after that.")])
    return Preview(found, _digest(picks, found))


@story
def ask(picks: Picks, reason: str, *, actor: Actor, seen_digest: str = "") -> MassUndo:
    """Freeze the list. Nothing is undone before another person agrees to it. `seen_digest`: of the preview that was on the screen."""
    _must_undo(actor)
    reason = _checked(reason)
    seen = preview(picks)
    if not seen.runs:
        raise BadInput([Fault("picks", "nothing", "No run that could be undone fits.")])
    if seen_digest and seen_digest != seen.digest:
        raise ListChanged("Meanwhile other runs fit. Read the list again, then ask.", digest=seen.digest)
    asked = MassUndo.objects.create(
        picks=picks.as_json(), reason=reason, digest=seen.digest, requester_id=UUID(actor.principal), asked_at=clock.now()
    )
    MassUndoMember.objects.bulk_create(
        MassUndoMember(mass_undo=asked, run_ref=str(run.ref), identity_ref=run.identity_ref) for run in seen.runs
    )
    record("mass_undo.asked", asked.ref, actor=actor, count=len(seen.runs), reason=reason, picks=asked.picks, digest=asked.digest)
    return asked


@story
def approve(key: UUID, *, actor: Actor, seen_digest: str) -> MassUndo:
    """Another person agrees to exactly this list. The same person and digest again: nothing more happens."""
    _must_undo(actor)
    asked = _locked(key)
    if str(asked.requester_id) == actor.principal:
        raise NotThePerson("You asked for it, so somebody else has to agree.")
    if asked.state == "approved" and (str(asked.approver_id), asked.digest) == (actor.principal, seen_digest):
        return asked
    if asked.state != "asked":
        raise AlreadySettled(f"It is {asked.state} already{f', by {asked.approver}' if asked.approver else ''}.")
    if seen_digest != asked.digest:
        raise ListChanged("That is not the list that was asked for. Read it again, then agree or not.", digest=asked.digest)
    if not asked.requester.is_active or not actors.of_person(asked.requester).may(UNDOES):
        raise NotThePerson(f"{asked.requester}, who asked, may not undo runs any more. Somebody else has to ask.")
    now = clock.now()
    asked.state, asked.approver_id, asked.approved_at = "approved", UUID(actor.principal), now
    asked.save(update_fields=["state", "approver", "approved_at"])
    count = asked.members.update(next_at=now)
    record("mass_undo.approved", asked.ref, actor=actor, count=count, asked_by=str(asked.requester), digest=asked.digest)
    return asked


@story
def withdraw(key: UUID, *, actor: Actor) -> MassUndo:
    """Called off, before it is agreed to or after: what has not begun stays contained."""
    _must_undo(actor)
    asked = _locked(key)
    if asked.state == "withdrawn":
        return asked
    if asked.state == "done":
        raise AlreadySettled("It is done already.")
    left = asked.members.filter(state="waiting").update(state="refused", said=f"{actor.name} called it off.", next_at=None)
    asked.state, asked.ended_at = "withdrawn", clock.now()
    asked.save(update_fields=["state", "ended_at"])
    record("mass_undo.withdrawn", asked.ref, actor=actor, count=left)
    return asked


# -- what is due -------------------------------------------------------------------------------------------------------------------------


def go_on() -> int:
    """A sweeper's turn: look at what is under way, begin with some more, and close what is over. Under a kill switch that stops everything
    nothing is begun; what is under way waits in the engine."""
    now = clock.now()
    due = MassUndoMember.objects.filter(next_at__lte=now).order_by("next_at", "id")
    moving = list(due.filter(state="undoing").values_list("pk", "run_ref")[:LOOKED_AT])
    waiting = list(due.filter(state="waiting").values_list("pk", flat=True)[:AT_A_TIME])
    if waiting and switch.stops_everything():
        waiting = []
    begun = sum(_tried(key) for key in waiting)
    return begun + _look(moving) + _close_what_is_over()


@story
def follow(member_id: int) -> bool:
    """One member: its run is asked to undo, or looked at. False where another worker has it, or it is not due."""
    rows = MassUndoMember.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=member_id, next_at__lte=clock.now())
    member = rows.select_related("mass_undo__requester", "mass_undo__approver").first()
    if member is None:
        return False
    run_id = UUID(Ref.parse(member.run_ref).id)
    if member.state == "waiting":
        try:
            with attempt():
                flow.undo_run(run_id, actor=_speaking(member.mass_undo), reason=_reason(member.mass_undo), early=True)
        except Refusal as refusal:
            _settle(member, "refused", refusal.sentence)
            return True
        member.state = "undoing"
    state, said = _became(Run.objects.get(pk=run_id))
    if state:
        _settle(member, state, said)
    else:
        member.next_at, member.said = clock.now() + LOOK_AGAIN, said
        member.save(update_fields=["state", "next_at", "said"])
    return True


def _look(moving: Sequence[tuple[int, str]]) -> int:
    """Only those whose run has come to an end are worth a story; the others are looked at again."""
    ids = {key: UUID(Ref.parse(run_ref).id) for key, run_ref in moving}
    states = dict(Run.objects.filter(pk__in=ids.values()).values_list("pk", "state"))
    over = [key for key, run_id in ids.items() if states.get(run_id) not in ("undoing", "reinstating")]
    still = [key for key in ids if key not in set(over)]
    slow = [key for key in still if states[ids[key]] == "reinstating"] if not switch.stops_everything() else still
    now = clock.now()
    MassUndoMember.objects.filter(pk__in=set(still) - set(slow)).update(next_at=now + LOOK_AGAIN)
    MassUndoMember.objects.filter(pk__in=slow).update(next_at=now + LATER)
    return sum(_tried(key) for key in over)


def _tried(key: int) -> bool:
    """A bug that one member meets must not keep the others waiting."""
    try:
        return follow(key)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("one of many to undo failed; the others go on")
        MassUndoMember.objects.filter(pk=key, next_at__isnull=False).update(next_at=clock.now() + LATER)
        return False


def _became(run: Run) -> tuple[str, str]:
    """What became of an undo; no state while it is under way."""
    match run.state:
        case "undone" | "withdrawn":
            rest = summary(receipt(run.steps.all()))["rest"]
            return "undone", "" if rest == "nothing is missing" else f"{rest}."
        case "undoing" | "reinstating":
            return "", "It comes back in stages." if run.state == "reinstating" else run.because
    step = run.steps.filter(state="needs_human", journal__outcome="foreign").order_by("seq").first()
    if step is not None:
        return "drifted", f"{step.measure}: {step.said}"
    return "refused", f"It is {run.state.replace('_', ' ')}: {run.because}" if run.because else f"It is {run.state.replace('_', ' ')}."


def _settle(member: MassUndoMember, state: str, said: str) -> None:
    member.state, member.said, member.next_at = state, said, None
    member.save(update_fields=["state", "said", "next_at"])
    about = [Ref.parse(member.run_ref), Ref.parse(member.identity_ref)]
    record("mass_undo.followed", member.mass_undo.ref, actor=SYSTEM, about=about, state=state, said=said or "everything is as it was")


def _close_what_is_over() -> int:
    over = MassUndo.objects.filter(state="approved").exclude(members__next_at__isnull=False).values_list("pk", flat=True)
    return sum(_close(key) for key in list(over[:10]))


@story
def _close(key: UUID) -> bool:
    row = MassUndo.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=key, state="approved").first()
    if row is None or row.members.filter(next_at__isnull=False).exists():
        return False
    row.state, row.ended_at = "done", clock.now()
    row.save(update_fields=["state", "ended_at"])
    counted = counts(row)
    undone, drifted, refused = (counted.get(state, 0) for state in ("undone", "drifted", "refused"))
    record("mass_undo.done", row.ref, actor=SYSTEM, undone=undone, drifted=drifted, refused=refused)
    return True


def counts(row: MassUndo) -> Mapping[str, int]:
    return counts_of([row])[row.pk]


def counts_of(rows: Sequence[MassUndo]) -> Mapping[UUID, Mapping[str, int]]:
    """What became of how many, for each of these in one look."""
    found: dict[UUID, dict[str, int]] = {row.pk: {} for row in rows}
    grouped = MassUndoMember.objects.filter(mass_undo__in=found).order_by().values_list("mass_undo", "state").annotate(Count("pk"))
    for key, state, count in grouped:
        found[key][state] = count
    return found


# -- the list ----------------------------------------------------------------------------------------------------------------------------


def _picked(picks: Picks) -> QuerySet[Run]:
    if not picks.as_json():
        raise BadInput([Fault("picks", "missing", "Name at least one: a policy version, a source, a playbook, or a stretch of time.")])
    rows = Run.objects.filter(state__in=UNDOABLE | UNRESTED).select_related("playbook")
    if picks.playbook:
        name, _, version = picks.playbook.rpartition(" v")
        exact = Q(playbook__name=name, playbook__version=int(version)) if name and version.isascii() and version.isdigit() else Q(pk=None)
        rows = rows.filter(Q(playbook__name=picks.playbook) | exact)
    if picks.since:
        rows = rows.filter(created_at__gte=picks.since)
    if picks.until:
        rows = rows.filter(created_at__lte=picks.until)
    if picks.policy_version is not None or picks.source:
        began = Decision.objects.filter(verdict__in=["contain", "hold"], run__isnull=False)
        if picks.policy_version is not None:
            began = began.filter(policy__version=picks.policy_version)
        if picks.source:
            began = began.filter(detection__source__name=picks.source)
        rows = rows.filter(pk__in=began.values("run_id"))
    return rows.order_by("created_at", "id")


def _digest(picks: Picks, runs: Sequence[Run]) -> str:
    return digest({"picks": picks.as_json(), "runs": [{"run": str(run.ref), "plan_digest": run.plan_digest} for run in runs]})


def _locked(key: UUID) -> MassUndo:
    row = MassUndo.objects.select_for_update(of=("self",)).select_related("requester", "approver").filter(pk=key).first()
    if row is None:
        raise NoSuchMassUndo("There is no such undo of many.")
    return row


def _speaking(row: MassUndo) -> Actor:
    """It was a person's word that undoes them, so the usual cool-off follows: of the two, whoever agreed."""
    assert row.approver is not None  # noqa: S101 - a constraint keeps it
    return actors.of_person(row.approver)


def _reason(row: MassUndo) -> str:
    return f"{row.reason} (one of many; {row.requester} asked, {row.approver} agreed)"


def _must_undo(actor: Actor) -> None:
    if not (actor.is_person and actor.may(UNDOES)):
        raise NotThePerson("Many runs are undone by two people who may undo one, each with a session of their own.")


def _checked(reason: str) -> str:
    if not reason.strip():
        raise BadInput([Fault("reason", "required", "Say why they should be undone: whoever agrees reads it.")])
    if len(reason) > LONGEST_REASON:
        raise BadInput([Fault("reason", "too_long", f"At most {LONGEST_REASON} characters.")])
    return masking.in_text(reason.strip())
