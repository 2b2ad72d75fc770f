"""Sentences about plans, steps, runs and holds: what is true now, and what follows. Pure words; views_of/ asks, templates show.

Each says a fact that is on record. A measure that no sentence knows is named as it is, so that nothing is ever left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from approvals.models import Hold
from playbooks import returning
from playbooks.boundary import GOES_ON
from playbooks.domain.ladder import after_soft, offers_hard
from playbooks.models import Run, Step

DEEDS = {
    "session.pause": "Pause the session",
    "session.restrict": "Restrict the session",
    "session.terminate": "End the live sessions",
    "credential.revoke": "Revoke the credential",
    "credential.rotate": "Rotate the credential",
    "workload.isolate": "Refuse new connections",
    "identity.disable": "Disable the identity",
    "evidence.preserve": "Preserve the evidence",
    "job.checkpoint": "Save the job's progress",
    "notify": "Tell people",
}
FACTS = {
    "session.pause": "the session is paused",
    "session.restrict": "the session is restricted",
    "session.terminate": "live sessions are ended",
    "credential.revoke": "the credential is revoked",
    "credential.rotate": "the credential is rotated",
    "workload.isolate": "new connections are refused",
    "identity.disable": "the identity is disabled",
    "job.checkpoint": "the job's progress is saved",
}
PROOFS = {
    "replayed": "what worked before was tried again and is refused",
    "introspected": "the target's own record says unusable, looked at twice",
    "acknowledged": "the target said OK; nothing else shows it",
}
STAGES = {"interim": "While people decide", "soft": "Soft stage", "hard": "Hard stage"}
STATES_OF_STEPS = {
    "planned": "waits",
    "acting": "at work",
    "verifying": "proving",
    "done": "done",
    "partial": "not whole",
    "failed": "failed",
    "skipped": "not needed",
    "lost": "lost",
    "needs_human": "needs a person",
    "undoing": "being undone",
    "undone": "undone",
}
MARKS_OF_STEPS = {
    "planned": "waiting",
    "acting": "acting",
    "verifying": "acting",
    "undoing": "acting",
    "done": "done",
    "partial": "failed",
    "failed": "failed",
    "needs_human": "failed",
    "lost": "skipped",
    "skipped": "skipped",
    "undone": "undone",
}
TOOK_EFFECT = frozenset({"done", "partial", "verifying"})
REVOKING = frozenset({"credential.revoke", "credential.rotate", "identity.disable"})


def clock_time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%H:%M:%S} UTC"


def and_join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def deed(measure: str, parameters: Mapping[str, Any]) -> str:
    """One step of a plan, with what its parameters change about it."""
    words = DEEDS.get(measure, measure)
    if measure == "session.restrict":
        return f"Restrict it to {_allowed(parameters)}"
    if spared := _spared(parameters):
        return f"{words}, except {spared}"
    return words


UNPROVEN = {
    "hard": "If it does not hold, the hard stage follows at once.",
    "hold": "If it does not hold, people are asked for the hard stage.",
}


def terms(run: Run, *, stage: str) -> tuple[str, ...]:
    """What its plan says beside the steps, as far as it follows on an approval of this stage."""
    lines = []
    if lasts := float(run.terms.get("lasts_s") or 0):
        lines.append(f"It ends by itself {span(timedelta(seconds=lasts))} after it is contained.")
    if follows := UNPROVEN.get(after_soft(stage, run.plan, run.terms)):
        lines.append(follows)
    if offers_hard(stage, run.plan, run.terms):
        lines.append("If it holds, people are asked for the hard stage.")
    if levels := returning.levels(run):
        first = and_join([deed(step["measure"], step["parameters"]) for step in levels[0]["steps"]])
        more = f" and {len(levels) - 1} more" if len(levels) > 1 else ""
        lines.append(f"Put back, it comes in levels: {first[0].lower()}{first[1:]}{more}, each watched.")
    return tuple(lines)


def fact(measure: str, parameters: Mapping[str, Any]) -> str:
    """The same once it is done."""
    if measure == "session.restrict":
        return f"it is restricted to {_allowed(parameters)}"
    if measure == "session.terminate" and (spared := _spared(parameters)):
        return f"every session but {spared} is ended"
    return FACTS.get(measure, f"{measure} is done")


def _allowed(parameters: Mapping[str, Any]) -> str:
    return and_join([str(schema) for schema in parameters.get("schemas") or []]) or "reading"


def _spared(parameters: Mapping[str, Any]) -> str:
    spared = [origin.get("application") or origin.get("address") or "" for origin in parameters.get("spare") or []]
    return and_join(sorted({name for name in spared if name}))


def true_now(steps: Iterable[Step]) -> str:
    """What the interim stage has changed so far, and what it has not."""
    cuts = [step for step in steps if step.disruptive]
    done = [step for step in cuts if step.state in TOOK_EFFECT]
    if done:
        so = and_join([fact(step.measure, step.parameters) for step in done])
        return so if any(step.measure in REVOKING for step in done) else f"{so}; nothing is revoked yet"
    if any(step.state in {"planned", "acting"} for step in cuts):
        return "it is being restricted at this moment; nothing is revoked yet"
    if any(step.state == "undone" for step in cuts):
        return "what was restricted meanwhile is put back"
    return "nothing is stopped yet"


def at_zero(hold: Hold, *, restricted: bool, spared: str = "") -> str:
    """What follows when nobody answers, as the end of “If nobody answers by …,”. `spared`: why it is not contained by silence any more."""
    why = f", because {spared}" if spared else ""
    if hold.asks_for_more:
        return "nothing more follows, and what was cut stays cut"
    if hold.on_lapse == "contain" and not spared:
        return "it is contained"
    if hold.on_lapse != "escalate":
        return f"it is left running{_put_back(hold, restricted)}{why}"
    terms = hold.as_terms()
    following = terms.reviewers[terms.step + 1].name if terms.further else "the same people, once more,"
    end = "contained" if hold.in_the_end == "contain" and not spared else f"left running{why}"
    return f"{following} will be asked; if they are silent too, it is {end}"


def _put_back(hold: Hold, restricted: bool) -> str:
    if not restricted:
        return ""
    if hold.keep_interim:
        return f", and what is restricted now is put back {span(hold.keep_interim)} later"
    return ", and what is restricted now is put back"


def span(length: timedelta) -> str:
    minutes = round(length.total_seconds() / 60)
    return f"{minutes} minutes" if minutes % 60 or not minutes else f"{minutes // 60} h" if minutes > 60 else "60 minutes"


WORDS = {"approve": "contain now", "reject": "leave it running"}
WORDS_OF_MORE = {"approve": "go on to the hard stage", "reject": "leave it as it is"}
WORDS_OF_CALLS = {"approve": "allow this call", "reject": "refuse"}


def words(hold: Hold) -> Mapping[str, str]:
    """What people say to it."""
    return WORDS_OF_CALLS if hold.asks_about_a_call else WORDS_OF_MORE if hold.asks_for_more else WORDS


def after_no(hold: Hold, *, restricted: bool) -> str:
    """What follows where people say no."""
    if hold.asks_for_more:
        return "The hard stage does not follow, and what was cut stays cut."
    now = "What was restricted meanwhile is put back at once." if restricted else "Nothing is stopped."
    return f"{now} For an hour the same signals alone will not stop it again."


def ending(hold: Hold) -> tuple[str, str]:
    """Tone and sentence of a hold that is over: who ended it, when, and with which words."""
    at = clock_time(hold.closed_at) if hold.closed_at else ""
    said = f" “{hold.closed_because}”" if hold.closed_because else ""
    match hold.state:
        case "approved":
            return "ok", f"{hold.closed_by} said “{words(hold)['approve']}” at {at}.{said}"
        case "rejected":
            return "accent", f"{hold.closed_by} said “{words(hold)['reject']}” at {at}.{said}"
        case "lapsed":
            left = "it was left at the stage it had" if hold.asks_for_more else "it was left running"
            follows = "it was contained" if hold.lapsed_to == "contain" else left
            return "warn", f"Nobody answered in time; as announced, {follows} at {at}."
    word = {"withdrawn": "withdrawn", "superseded": "replaced by another"}.get(hold.state, hold.state)
    return "quiet", f"This hold was {word} at {at}: {_whole(hold.closed_because or 'nobody needs to answer any more')}"


def run_sentence(run: Run, steps: Sequence[Step], now: datetime) -> tuple[str, str]:
    """Tone and sentence of a run: how far it is, and what that rests on."""
    cuts = [step for step in steps if step.disruptive and step.state != "skipped"]
    match run.state:
        case "prepared" | "waiting":
            return "accent", f"Waits for a person: {true_now(steps)}."
        case "pending":
            return "accent", f"Released to act. {_because(run)}".strip()
        case "running":
            done = sum(step.state in TOOK_EFFECT for step in steps)
            return "accent", f"At work: {done} of {len(steps)} steps are done. {_because(run)}".strip()
        case "verifying":
            return "warn", _verifying(run, cuts, now)
        case "contained":
            return "ok", f"{_so(cuts)}. {_proof(run, cuts)}".strip()
        case "partial":
            left = [line for step in cuts for line in step.left]
            return "warn", f"Partly contained: {_whole(run.because or 'something could not be cut')} {_counted(left)}".strip()
        case "failed":
            return "hot", f"Nothing was contained: {_whole(run.because or 'no measure took effect')}"
        case "needs_human":
            return "hot", f"A person has to look: {_whole(run.because or 'the machine cannot go on by itself')}"
        case "undoing":
            if GOES_ON in run.because:
                return "warn", f"Being put back, and standing still: {_whole(run.because)}"
            if run.next_at is not None and run.next_at > now + timedelta(seconds=60):
                return "warn", f"Left running. What was restricted meanwhile is put back at {clock_time(run.next_at)}."
            return "warn", f"Being put back, in reverse order: {run.undo_reason or run.because}"
        case "reinstating":
            return "warn", _returning(run, now)
        case "undone":
            return "quiet", f"Everything that could be put back is as it was before: {run.undo_reason or run.because}"
        case "accepted":
            return "quiet", f"A person accepted it as it is: {_whole(run.because or 'nothing more is done about it')}"
        case "withdrawn":
            return "quiet", f"Nothing was done: {run.because or 'it was not wanted any more'}"
    return "quiet", run.state.replace("_", " ")


def stays(steps: Iterable[Step]) -> str:
    """What remains as it is once a person accepts a run that did not end whole."""
    cuts = [step for step in steps if step.disruptive and step.state not in {"planned", "skipped"}]
    named = [f"“{deed(step.measure, step.parameters)}” ({STATES_OF_STEPS.get(step.state, step.state)})" for step in cuts]
    if not named:
        return "Nothing was cut, and nothing will be. The identity is free for another run."
    return f"{and_join(named)} {'stays' if len(named) == 1 else 'stay'} as now; nothing is tried or put back any more."


def stage(name: str) -> str:
    """A stage as a heading."""
    if name.startswith("return-"):
        level, _, again = name.removeprefix("return-").partition("-")
        return f"On the way back, level {level}{', once what was looser had come back' if again else ''}"
    return STAGES.get(name, name)


def _returning(run: Run, now: datetime) -> str:
    if returning.stays(run):
        return f"It stays at level {run.level} of its way back until a person goes on: {_whole(run.because)}"
    if run.level and run.next_at is not None and run.next_at > now:
        return f"It comes back in levels: {run.because}, until {clock_time(run.next_at)}."
    why = _whole(run.undo_reason or "undo was asked for")
    return f"It comes back in levels: what is tighter is brought about before anything is given back. {why}"


def _because(run: Run) -> str:
    return _whole(f"{run.because[0].upper()}{run.because[1:]}") if run.because else ""


def _whole(said: str) -> str:
    """With one full stop at its end, whether whoever wrote it set one or not."""
    return f"{said.rstrip('. ')}."


def _so(cuts: Sequence[Step]) -> str:
    done = [fact(step.measure, step.parameters) for step in cuts if step.state == "done"]
    words = and_join(list(dict.fromkeys(done))) or "nothing had to be cut"
    return words[0].upper() + words[1:]


def _proof(run: Run, cuts: Sequence[Step]) -> str:
    at = f"since {clock_time(run.contained_at)}" if run.contained_at else ""
    level = PROOFS.get(run.proof_level, "")
    return f"Contained {at}, proven: {level}." if level else f"Contained {at}."


def _verifying(run: Run, cuts: Sequence[Step], now: datetime) -> str:
    until = max((step.residual_until for step in cuts if step.residual_until and step.residual_until > now), default=None)
    if until is not None:
        return f"Cut, and not over yet: access that was given before may live until {clock_time(until)}."
    return "Cut. Now it is proven that what should be dead is dead."


def _counted(left: Sequence[str]) -> str:
    return f"{len(left)} {'thing is' if len(left) == 1 else 'things are'} still open, listed below." if left else ""
