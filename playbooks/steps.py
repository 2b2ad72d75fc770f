"""Steps: intend, see, settle. A Step changes here and nowhere else; each function is one short transaction behind the fence.

engine.py makes the outside calls between them, where no transaction is open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from audit import clock
from audit.record import record, story
from connectors.base import Artefact, Effect, EffectClass, Proof, ProofLevel, State
from core.actor import SYSTEM
from evidence import vault
from playbooks import runs
from playbooks.domain.moves import STEP
from playbooks.domain.step_view import StepView
from playbooks.models import Attempt, Run, Step
from playbooks.runs import Ticket

HARMLESS_TWICE = frozenset({EffectClass.KEYED, EffectClass.NATURAL})
CONVINCING = frozenset({ProofLevel.REPLAYED, ProofLevel.INTROSPECTED})
BACKOFF_S = (1, 2, 4, 8, 15, 30)
PROBE_EVERY_S = (0.3, 0.7, 1, 2, 5)
PATIENCE_WITH_BUGS = 5  # unexpected failures of a connector before a person is asked


def view(step: Step) -> StepView:
    return StepView(
        seq=step.seq,
        state=step.state,
        disruptive=step.disruptive,
        stage=step.stage,
        on_failure=step.on_failure,
        inverse=step.inverse,
        seen=step.was is not None,
        was_contained=bool(step.was and step.was["contained"]),
        next_at=step.next_at,
    )


def state_before(step: Step) -> State | None:
    """What look saw before the first attempt, with its secret part opened; None before it was seen."""
    if step.was is None:
        return None
    secret = vault.open_secret(bytes(step.was_sealed), about=str(step.ref)) if step.was_sealed else {}
    return State(
        contained=step.was["contained"],
        public=step.was["public"],
        secret=secret,
        live_sessions=step.was["live_sessions"],
        account=step.was["account"],
    )


@story
def intend(ticket: Ticket, seq: int, *, seen: Run, direction: str = "forward") -> Step:
    """Commit the intent before anything goes out. Turned if the run is not as its driver saw it: nothing begins after a person said no."""
    run, step = _locked(ticket, seq, seen=seen)
    now = clock.now()
    step.state = STEP.after(step.state, "undo" if direction == "undo" else "intend")
    step.attempts = step.attempts + 1
    step.started_at = step.started_at or now
    step.next_at = None
    step.save(update_fields=["state", "attempts", "started_at", "next_at"])
    _journal(ticket, step, direction, "intent", now)
    record(
        "step.intended",
        step.ref,
        actor=SYSTEM,
        about=[run.ref, *run.about],
        measure=step.measure,
        target=run.target["subject"],
        attempt=step.attempts,
        direction=direction,
        parameters=step.parameters,
    )
    return step


@story
def postponed(ticket: Ticket, seq: int, *, seen: Run, direction: str = "forward") -> bool:
    """Whether a worker that lost the run may still have a call out that must not meet a second one. Then the step waits until the call
    has had its time; an attempt without an outcome is all that such a worker leaves behind."""
    run, step = _locked(ticket, seq, seen=seen)
    last = step.journal.order_by("-id").first()
    if last is None or last.kind != "intent" or step.effect in HARMLESS_TWICE:
        return False
    over = last.at + timedelta(seconds=step.timeout_s)
    if over <= clock.now():
        return False
    if direction == "undo":
        step.state = STEP.after(step.state, "undo")
    step.next_at, step.said = over, f"A call made at {last.at:%H:%M:%S} UTC may still be out. It is given its time before another one."
    step.save(update_fields=["state", "next_at", "said"])
    about = [run.ref, *run.about]
    record("step.troubled", step.ref, actor=SYSTEM, about=about, measure=step.measure, outcome="postponed", said=step.said)
    return True


@story
def see(ticket: Ticket, seq: int, state: State) -> Step:
    """Commit what is there before acting, so that undo never guesses. Its secret part is sealed."""
    run, step = _locked(ticket, seq)
    if step.was is None:
        step.was = {
            "contained": state.contained,
            "public": dict(state.public),
            "live_sessions": state.live_sessions,
            "account": state.account,
        }
        step.was_sealed = vault.seal_secret(dict(state.secret), about=str(step.ref)) if state.secret else None
        step.save(update_fields=["was", "was_sealed"])
        record("step.seen", step.ref, actor=SYSTEM, about=[run.ref, *run.about], measure=step.measure, contained=state.contained)
    return step


@story
def settle(ticket: Ticket, seq: int, effect: Effect | None, proof: Proof) -> Step:
    """The outcome of an attempt: proven, partial, or not yet. `effect` is None where it was done before (by us or by somebody else)."""
    run, step = _locked(ticket, seq)
    now = clock.now()
    if effect is not None:
        step.performed = True
        step.said = effect.said
        step.left = sorted({*step.left, *effect.left})
    elif not step.performed:
        step.performed = not (step.was and step.was["contained"])  # found done after a doubt: it was us, unless it was so before
        step.said = "it was so already" if not step.performed else "found done after the answer was lost"
    step.verify_until = step.verify_until or now + timedelta(seconds=step.settle_s)
    _weigh(run, step, proof, now)
    step.save()
    _journal(ticket, step, "forward", "outcome", now, outcome=step.state, said=step.said)
    record(
        "step.settled",
        step.ref,
        actor=SYSTEM,
        about=[run.ref, *run.about],
        measure=step.measure,
        state=step.state,
        said=step.said,
        left=step.left,
    )
    _alive(run)
    return step


@story
def prove(ticket: Ticket, seq: int, proof: Proof) -> Step:
    """Another probe of a step that was performed and not yet proven."""
    run, step = _locked(ticket, seq)
    was = step.state
    _weigh(run, step, proof, clock.now())
    step.save()
    if step.state != was:
        record(
            "step.settled",
            step.ref,
            actor=SYSTEM,
            about=[run.ref, *run.about],
            measure=step.measure,
            state=step.state,
            said=step.said,
            left=step.left,
        )
    _alive(run)
    return step


@story
def preserve(ticket: Ticket, seq: int, artefacts: Sequence[Artefact]) -> Step:
    """Evidence is sealed in the transaction that says it was."""
    run, step = _locked(ticket, seq)
    now = clock.now()
    for artefact in artefacts:
        vault.seal(
            artefact.name,
            artefact.media_type,
            artefact.content,
            run_ref=str(run.ref),
            case_ref=run.case_ref,
            identity_ref=run.identity_ref,
            actor=SYSTEM,
        )
    step.state = STEP.after(step.state, "prove")
    step.said = "1 artefact sealed" if len(artefacts) == 1 else f"{len(artefacts)} artefacts sealed"
    step.settled_at, step.performed = now, True
    step.save()
    _journal(ticket, step, "forward", "outcome", now, outcome=step.state, said=step.said)
    record("step.settled", step.ref, actor=SYSTEM, about=[run.ref, *run.about], measure=step.measure, state=step.state, said=step.said)
    _alive(run)
    return step


@story
def trouble(
    ticket: Ticket,
    seq: int,
    *,
    outcome: str,
    said: str,
    direction: str = "forward",
    retry_after: float | None = None,
    diff: Mapping[str, Any] | None = None,
) -> Step:
    """The attempt did not come to an end that we know. outcome: unavailable, ambiguous, unexpected, rejected, foreign, blind."""
    run, step = _locked(ticket, seq)
    now = clock.now()
    again = outcome in {"unavailable", "ambiguous"} or (outcome == "unexpected" and step.attempts < PATIENCE_WITH_BUGS)
    if direction == "forward" and not step.disruptive and step.on_failure == "continue":
        step.state, step.settled_at = STEP.after(step.state, "lose"), now
        record("evidence.lost", step.ref, actor=SYSTEM, about=[run.ref, *run.about], name=step.measure, because=said)
    elif again:
        pause = max(1.0, min(retry_after, 900.0)) if retry_after is not None else BACKOFF_S[min(step.attempts, len(BACKOFF_S)) - 1]
        step.next_at = now + timedelta(seconds=0.2 if outcome == "ambiguous" and step.attempts == 1 else pause)
    elif outcome == "rejected" and direction == "forward":
        step.state, step.settled_at = STEP.after(step.state, "fail"), now
    else:
        step.state, step.diff = STEP.after(step.state, "give_up"), dict(diff or {}) or None
    if said != step.said or not again:
        record("step.troubled", step.ref, actor=SYSTEM, about=[run.ref, *run.about], measure=step.measure, outcome=outcome, said=said)
    step.said = said
    step.save()
    _journal(ticket, step, direction, "outcome", now, outcome=outcome, said=said)
    _alive(run)
    return step


@story
def skip(ticket: Ticket, seq: int, *, because: str, seen: Run) -> None:
    run, step = _locked(ticket, seq, seen=seen)
    step.state, step.said = STEP.after(step.state, "skip"), because
    step.save(update_fields=["state", "said"])
    record("step.settled", step.ref, actor=SYSTEM, about=[run.ref, *run.about], measure=step.measure, state=step.state, said=because)


@story
def undone(ticket: Ticket, seq: int, *, said: str, was_done: bool) -> Step:
    """`was_done`: the connector put it back. Otherwise there was nothing of ours to put back, or it cannot be, and `said` says why."""
    run, step = _locked(ticket, seq)
    now = clock.now()
    if step.state != "undoing":
        step.state = STEP.after(step.state, "undo")
    step.state = STEP.after(step.state, "finish_undo")
    step.said, step.settled_at, step.next_at = said, now, None
    step.was_sealed = None  # a secret is kept no longer than undo needs it
    step.save()
    if was_done:
        _journal(ticket, step, "undo", "outcome", now, outcome="undone", said=said)
    record("step.undone", step.ref, actor=SYSTEM, about=[run.ref, *run.about], measure=step.measure, said=said)
    _alive(run)
    return step


def _weigh(run: Run, step: Step, proof: Proof, now: datetime) -> None:
    """Only a convincing proof with nothing left makes a step done. Until its settle time is over it may say "not yet"."""
    proven_before = step.proof_level
    step.proof = {"said": proof.said, "detail": dict(proof.detail), "level": str(proof.level), "at": now.isoformat()}
    step.proof_level = str(proof.level) if proof.dead else ""
    step.residual_until = proof.residual_until
    step.left = sorted({*step.left, *proof.left})
    convincing = proof.dead and (proof.level in CONVINCING or not step.disruptive)
    still_living = proof.residual_until is not None and proof.residual_until > now
    move = "verify"
    if convincing and not still_living:
        move = "leave_partial" if step.left else "prove"
    elif proof.dead and not convincing:
        step.left = sorted({*step.left, f"{step.measure}: only acknowledged by the target; nothing else shows it"})
        move = "leave_partial"
    elif step.verify_until is not None and now >= step.verify_until and not still_living:
        step.left = sorted({*step.left, proof.said})
        move = "leave_partial"
    step.state = STEP.after(step.state, move)
    if step.state == "verifying":
        probes = min(int((now - (step.started_at or now)).total_seconds()), len(PROBE_EVERY_S) - 1)
        step.next_at = now + timedelta(seconds=PROBE_EVERY_S[probes])
    else:
        step.next_at, step.settled_at = None, now
    if proof.dead and (step.state != "verifying" or step.proof_level != proven_before):  # once, not at every look until access ends
        record(
            "step.proven",
            step.ref,
            actor=SYSTEM,
            about=[run.ref, *run.about],
            measure=step.measure,
            level=str(proof.level),
            said=proof.said,
        )


def _locked(ticket: Ticket, seq: int, *, seen: Run | None = None) -> tuple[Run, Step]:
    run = runs.fenced(ticket, seen=seen)
    step = Step.objects.select_for_update(of=("self",)).get(run=run, seq=seq)
    step.run = run
    return run, step


def _alive(run: Run) -> None:
    """An outcome proves that the worker did not die of this run."""
    if run.crash_count:
        run.crash_count = 0
        run.save(update_fields=["crash_count"])


def _journal(ticket: Ticket, step: Step, direction: str, kind: str, at: datetime, *, outcome: str = "", said: str = "") -> None:
    Attempt.objects.create(
        step=step,
        n=step.attempts,
        direction=direction,
        kind=kind,
        at=at,
        fence=ticket.fence,
        worker=ticket.worker,
        executor=ticket.executor,
        outcome=outcome,
        said=said,
    )
