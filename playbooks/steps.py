"""Steps: intend, see, settle. A Step changes here and nowhere else; each function is one short transaction behind the fence.

engine.py makes the outside calls between them, where no transaction is open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, QuerySet

from audit import clock
from audit.record import record, story
from connectors.base import Artefact, Effect, EffectClass, Measure, Proof, ProofLevel, State
from core.actor import SYSTEM
from evidence import vault
from playbooks import boundary, circuit, claims, library, runs, told
from playbooks.domain import troubles
from playbooks.domain.backward import ATTEMPTS, pause_before_another_undo
from playbooks.domain.moves import STEP
from playbooks.domain.step_view import StepView
from playbooks.models import Attempt, Run, Step
from playbooks.refusals import EvidenceFirst
from playbooks.runs import Ticket

HARMLESS_TWICE = frozenset({EffectClass.KEYED, EffectClass.NATURAL})
CONVINCING = frozenset({ProofLevel.REPLAYED, ProofLevel.INTROSPECTED})
LOOKED = "looked"  # an attempt that looked and waits: nothing went out
STOPPED = "stopped"  # an attempt that was called off before its call: nothing went out
GIVEN_UP = "given_up"  # an attempt after which there is no other: a person has to look
FOR_A_PERSON = ("rejected", "foreign", "blind", GIVEN_UP)  # outcomes of an undo after which its step waits for a person
EVIDENCE_S = 2.0  # how long a cut waits for evidence where the playbook does not say
LOOKS_EVERY = timedelta(seconds=1)
NOTHING_DONE = (LOOKED, STOPPED, "unavailable", troubles.LOCKED_OUT)  # outcomes of an attempt of which it is known that it did nothing
LOOKS = 3  # that must find an effect missing before it is brought about a second time
PROBE_EVERY_S = (0.3, 0.7, 1, 2, 5)


def views(run: Run) -> list[StepView]:
    """The steps of a run, as what is next is asked of them."""
    patience = patience_with_evidence(run)
    return [view(step, patience) for step in run.steps.all()]


def patience_with_evidence(run: Run) -> timedelta:
    """How long a cut of this run waits for evidence."""
    return timedelta(0) if is_waived(run) else evidence_time(run)


def is_waived(run: Run) -> bool:
    """Whether the playbook says in writing that its cuts wait for no evidence. What is not there at the first try is lost then."""
    return bool(library.document(run.playbook.text).evidence_waiver)


def evidence_time(run: Run) -> timedelta:
    return timedelta(seconds=float(run.terms.get("evidence_s", EVIDENCE_S)))


def view(step: Step, patience: timedelta = timedelta(seconds=EVIDENCE_S)) -> StepView:
    taking = step.measure == Measure.EVIDENCE_PRESERVE and step.started_at is not None
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
        preserve_until=step.started_at + patience if taking and step.started_at else None,
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
    """Commit the intent before anything goes out. Turned if the run is not as its driver saw it: nothing begins after a person said no.
    Stopped where the kill switch, a withdrawn playbook or an open circuit forbids it, EvidenceFirst where evidence is still missing. That
    an attempt without an answer is repeated goes into the journal, not on record."""
    run, step = _locked(ticket, seq, seen=seen)
    boundary.heed(run, step, direction)
    knocked = circuit.enter(step) if circuit.waits(step, direction) else None
    if direction == "forward" and step.disruptive and _misses_evidence(run, step):
        raise EvidenceFirst(f"{step.measure} does not begin before its evidence is preserved, lost or waived.")
    now = knocked or clock.now()  # a try is known by the moment of its intent
    claims.enter(run, step, direction, now)
    was, step.state = step.state, STEP.after(step.state, "undo" if direction == "undo" else "intend")
    repeats = was == step.state and _was_without_answer(step, direction)
    step.attempts = step.attempts + 1
    step.started_at = step.started_at or now
    step.next_at = None
    step.save(update_fields=["state", "attempts", "started_at", "next_at"])
    _journal(ticket, step, direction, "intent", now)
    if repeats:
        return step
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
    has had its time; an attempt without an outcome is all that such a worker leaves behind. On the way forward it does no harm that some
    effects meet themselves; an undo would be overtaken by any of them."""
    run, step = _locked(ticket, seq, seen=seen)
    ended = step.journal.filter(kind="outcome").values("n")
    last = step.journal.filter(kind="intent").exclude(n__in=ended).order_by("-at").first()
    if last is None or (direction == "forward" and step.effect in HARMLESS_TWICE):
        return False
    over, now = last.at + timedelta(seconds=step.timeout_s), clock.now()
    if over <= now or last.at > now:  # from before the clock was set back: it has had its time (setback.py)
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
    told.is_proven(run, step)
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
        told.is_proven(run, step)
    _alive(run)
    return step


@story
def not_probed(ticket: Ticket, seq: int, *, said: str, until: datetime) -> None:
    """Nobody could ask. That says nothing about the target, so its time to show the cut is no shorter for it, for as long as people leave
    it so."""
    run, step = _locked(ticket, seq)
    now = clock.now()
    if step.verify_until is not None and now - (step.started_at or now) < troubles.PATIENCE:
        step.verify_until += until - now
    step.next_at, step.proof = until, step.proof | {"said": said}
    step.save(update_fields=["verify_until", "next_at", "proof"])
    _alive(run)


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
    """The attempt did not come to an end that we know. outcome: unavailable, locked_out, ambiguous, unexpected, rejected,
    foreign, blind."""
    run, step = _locked(ticket, seq)
    now = clock.now()
    tries, since = _without_answer(step, direction, now)
    undo_tries = may_have_reached(step) if direction == "undo" else 0
    follows = _follows(step, outcome, direction, attempts=undo_tries or _called(step, direction).count(), without_answer=now - since)
    pause: float | None = troubles.pause_s(outcome, tries=tries, retry_after=retry_after)
    if direction == "undo" and outcome in claims.UNKNOWN:
        pause = pause_before_another_undo(undo_tries, outcome=outcome, retry_after=retry_after)
        if pause is None:
            follows, outcome = "give_up", GIVEN_UP
            said = f"{said} Putting it back was tried {ATTEMPTS} times and failed each time. A person has to look."
    match follows:
        case "again" if pause is not None:
            step.next_at = now + timedelta(seconds=pause)
        case "lose":
            step.state, step.settled_at = STEP.after(step.state, "lose"), now
            record("evidence.lost", step.ref, actor=SYSTEM, about=[run.ref, *run.about], name=step.measure, because=said)
        case "fail":
            step.state, step.settled_at = STEP.after(step.state, "fail"), now
        case "give_up":
            step.state, step.diff = STEP.after(step.state, "give_up"), dict(diff or {}) or None
            if outcome in troubles.NO_ANSWER:
                said, outcome = f"{said} It has been so since {since:%Y-%m-%d %H:%M} UTC. A person has to look.", GIVEN_UP
    if outcome == troubles.LOCKED_OUT and step.measure == Measure.EVIDENCE_PRESERVE:
        step.started_at = None  # its time begins when somebody can be asked
    if said != step.said or follows != "again":
        record("step.troubled", step.ref, actor=SYSTEM, about=[run.ref, *run.about], measure=step.measure, outcome=outcome, said=said)
    step.said = said
    step.save()
    _journal(ticket, step, direction, "outcome", now, outcome=outcome, said=said)
    _alive(run)
    return step


@story
def call_off(ticket: Ticket, seq: int, *, direction: str, because: str) -> None:
    """The attempt ended before its call: nothing went out, and nothing is in doubt."""
    _, step = _locked(ticket, seq)
    _journal(ticket, step, direction, "outcome", clock.now(), outcome=STOPPED, said=because)


def doubt_ends(step: Step) -> datetime | None:
    """Until when an earlier call that got no sure answer may still take effect, where a second one would cost something: for as long as the
    measure says that its effect may take to be seen, and until LOOKS in a row did not show it: one may show what was so before."""
    if step.effect != EffectClass.OBSERVABLE:
        return None
    last = _last_doubt(step)
    if last is None:
        return None
    looked = step.journal.filter(direction="forward", outcome=LOOKED, at__gt=last).count() + 1
    ends = _settled_by(step, last)
    return ends if looked >= LOOKS else max(ends, clock.now() + LOOKS_EVERY)


def _settled_by(step: Step, called_at: datetime) -> datetime:
    """When the effect of a call shows, if it had one."""
    return called_at + timedelta(seconds=max(step.settle_s, step.timeout_s))


def _last_doubt(step: Step) -> datetime | None:
    """When the last call on the way forward went out of which nobody knows what became."""
    surely_nothing = step.journal.filter(outcome__in=[*NOTHING_DONE, "rejected"]).values("n")
    doubted = step.journal.filter(kind="intent", direction="forward").exclude(n__in=surely_nothing)
    if step.state == "acting":
        doubted = doubted.filter(n__lt=step.attempts)  # the attempt that asks
    found = doubted.order_by("-id").values_list("id", "at").first()
    if found is None:
        return None
    key, at = found
    now = clock.now()
    if at <= now:
        return at
    # From before the clock was set back: what it is given begins anew with the first attempt after that.
    return step.journal.filter(id__gt=key, at__lte=now).order_by("id").values_list("at", flat=True).first() or now


@story
def look_again(ticket: Ticket, seq: int, *, until: datetime) -> Step:
    """It is not so yet, and an earlier call may still bring it about: until then it is looked at, and not done a second time."""
    run, step = _locked(ticket, seq)
    now = clock.now()
    step.next_at = min(until, now + LOOKS_EVERY)
    step.said = f"An earlier call may still take effect until {until:%H:%M:%S} UTC. It is looked at, and not repeated before that."
    step.save(update_fields=["next_at", "said"])
    _journal(ticket, step, "forward", "outcome", now, outcome=LOOKED, said=step.said)
    _alive(run)
    return step


@story
def look_back_again(ticket: Ticket, seq: int, *, said: str, at: datetime) -> None:
    """It seems to be back already: that is looked at again before it is said."""
    run, step = _locked(ticket, seq)
    now = clock.now()
    step.next_at, step.said = at, f"{said.rstrip('.')}. It is looked at again, because nobody of ours put it back."
    step.save(update_fields=["next_at", "said"])
    _journal(ticket, step, "undo", "outcome", now, outcome=LOOKED, said=step.said)
    _alive(run)


@story
def lose(ticket: Ticket, seq: int, *, because: str, seen: Run) -> None:
    """Evidence that could not be had in time: what waits for it waits no longer."""
    run, step = _locked(ticket, seq, seen=seen)
    step.state, step.settled_at, step.next_at, step.said = STEP.after(step.state, "lose"), clock.now(), None, because
    step.save(update_fields=["state", "settled_at", "next_at", "said"])
    record("evidence.lost", step.ref, actor=SYSTEM, about=[run.ref, *run.about], name=step.measure, because=because)
    _alive(run)


@story
def skip(ticket: Ticket, seq: int, *, because: str, seen: Run) -> None:
    run, step = _locked(ticket, seq, seen=seen)
    step.state, step.said = STEP.after(step.state, "skip"), because
    step.save(update_fields=["state", "said"])
    record("step.settled", step.ref, actor=SYSTEM, about=[run.ref, *run.about], measure=step.measure, state=step.state, said=because)


@story
def undone(ticket: Ticket, seq: int, *, said: str, was_done: bool, left: Sequence[str] = ()) -> Step:
    """`was_done`: the connector put it back, but for what is `left`. Otherwise there was nothing of ours to put back, or it cannot be, and
    `said` says why."""
    run, step = _locked(ticket, seq)
    now = clock.now()
    if step.state != "undoing":
        step.state = STEP.after(step.state, "undo")
    step.state = STEP.after(step.state, "finish_undo")
    step.said, step.settled_at, step.next_at = said, now, None
    step.was_sealed = None  # a secret is kept no longer than undo needs it
    step.left = list(left)
    step.save()
    claims.give_back(run, step)
    if was_done:
        _journal(ticket, step, "undo", "outcome", now, outcome="undone", said=said)
        told.is_undone(run, step)
    record("step.undone", step.ref, actor=SYSTEM, about=[run.ref, *run.about], measure=step.measure, said=said)
    _alive(run)
    return step


def may_have_acted(step: Step) -> bool:
    """Whether an earlier attempt may have reached the target: any that was not called off before its call."""
    forward = step.journal.filter(direction="forward")
    return forward.filter(kind="intent").count() > forward.filter(outcome=STOPPED).count()


def may_have_reached(step: Step) -> int:
    """Attempts to put it back that may have reached the target: all that were neither called off nor answered with "nothing was done". They
    count, whoever asked for it and when, until a person was asked to look: who asks for it after that has looked."""
    tried = _tried_back(step)
    return tried.filter(kind="intent").count() - tried.filter(outcome__in=NOTHING_DONE).count()


def looks_back_at(step: Step) -> datetime | None:
    """It was found as it had been before us, though we changed it, or may have: a target may show its former state for a while, and a call
    whose answer was lost may still take effect. When to look next; None where LOOKS in a row have said so, the last after all of that."""
    if not (step.performed or may_have_acted(step)):
        return None
    looked, now = _looked_back(step) + 1, clock.now()
    doubt = None if step.performed else _last_doubt(step)
    settled = _settled_by(step, doubt) if doubt else now
    if looked < LOOKS - 1:
        return now + LOOKS_EVERY
    return None if looked >= LOOKS and settled <= now else max(now + LOOKS_EVERY, settled)


def was_found_back(step: Step) -> bool:
    """Whether the try before this one found it back already."""
    return _looked_back(step) > 0


def _looked_back(step: Step) -> int:
    """Looks in a row that found it back, after the last try of which nobody knows what became."""
    tried = _tried_back(step)
    sure = tried.filter(outcome__in=NOTHING_DONE).values("n")
    unsure = tried.filter(kind="intent", n__lt=step.attempts).exclude(n__in=sure).order_by("-id").values_list("id", flat=True).first() or 0
    return tried.filter(outcome=LOOKED, id__gt=unsure).count()


def _tried_back(step: Step) -> QuerySet[Attempt]:
    asked = step.journal.filter(direction="undo", outcome__in=FOR_A_PERSON).order_by("-id").values_list("id", flat=True).first() or 0
    return step.journal.filter(direction="undo", id__gt=asked)


def _misses_evidence(run: Run, step: Step) -> bool:
    before = run.steps.filter(stage=step.stage, seq__lt=step.seq, measure=Measure.EVIDENCE_PRESERVE)
    return before.filter(state__in=["planned", "acting"]).exists() and not is_waived(run)


def _was_without_answer(step: Step, direction: str) -> bool:
    last = step.journal.order_by("-id").first()
    return last is not None and last.direction == direction and last.outcome in (*troubles.NO_ANSWER, LOOKED, STOPPED)


def _without_answer(step: Step, direction: str, now: datetime) -> tuple[int, datetime]:
    """How many attempts in a row, up to this one, have had no answer, and since when."""
    quiet = ("", *troubles.NO_ANSWER, STOPPED, LOOKED)
    heard = step.journal.exclude(outcome__in=quiet).order_by("-id").values_list("id", flat=True).first() or 0
    asked = list(_called(step, direction).filter(id__gt=heard).order_by("id").values_list("at", flat=True))
    return len(asked), asked[0] if asked else now


def _called(step: Step, direction: str) -> QuerySet[Attempt]:
    """The attempts that did more than look."""
    looked = step.journal.filter(outcome=LOOKED).values("n")
    return step.journal.filter(kind="intent", direction=direction).exclude(n__in=looked)


def _follows(step: Step, outcome: str, direction: str, *, attempts: int, without_answer: timedelta) -> troubles.Follows:
    return troubles.follows(
        outcome,
        forward=direction == "forward",
        disruptive=step.disruptive,
        evidence=step.measure == Measure.EVIDENCE_PRESERVE,
        on_failure=step.on_failure,
        attempts=attempts,
        without_answer=without_answer,
    )


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
        probes = min(max(0, int((now - (step.started_at or now)).total_seconds())), len(PROBE_EVERY_S) - 1)
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
    """An outcome proves that the worker did not die of this run. Until when access may live on is the latest that a probe found."""
    lives_on = run.steps.filter(state="verifying").aggregate(latest=Max("residual_until"))["latest"]
    if run.crash_count or run.residual_until != lives_on:
        run.crash_count, run.residual_until = 0, lives_on
        run.save(update_fields=["crash_count", "residual_until"])


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
