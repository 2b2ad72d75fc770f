"""The way back: what a run did is undone, one step after the other, in reverse order."""

from __future__ import annotations

from connectors.base import Connector, Effect, EffectClass, State
from connectors.base import Step as Call
from core.crashpoints import crashpoint
from playbooks import boundary, claims, steps
from playbooks.calls import call_of, connector_of, troubles
from playbooks.models import Run, Step
from playbooks.runs import Ticket


def undo(ticket: Ticket, run: Run, seq: int) -> None:
    """Intent, put back what is still ours, outcome."""
    if steps.postponed(ticket, seq, seen=run, direction="undo") or claims.keep(ticket, seq, seen=run):
        return
    step = run.steps.get(seq=seq)
    in_doubt = step.effect == EffectClass.BLIND and steps.may_have_reached(step) > 0
    step = steps.intend(ticket, seq, seen=run, direction="undo")
    connector, was = connector_of(step), steps.state_before(step)
    if connector is None or was is None:  # (what nobody looked at was not touched either: next_action lets it be)
        steps.trouble(ticket, seq, outcome="foreign", said=f"No connector acts on “{step.connector}” any more.", direction="undo")
        return
    if in_doubt:
        said = "It may have been put back, and trying again could do it twice. A person has to look."
        steps.trouble(ticket, seq, outcome="blind", said=said, direction="undo")
        return
    with troubles(ticket, step, "undo"):
        boundary.heed_now(ticket.run_id, ticket.fence, step, "undo")
        effect = _put_back(connector, call_of(run, step), step, was)
        if not effect.changed and (at := steps.looks_back_at(step)) is not None:
            steps.look_back_again(ticket, seq, said=effect.said, at=at)
            return
        steps.undone(ticket, seq, said=effect.said, was_done=True, left=effect.left)


def _put_back(connector: Connector, call: Call, step: Step, was: State) -> Effect:
    """Where it was found back already it is looked at first: a system that remembers our calls would only repeat its answer."""
    if steps.was_found_back(step):
        crashpoint("back.look.before_call")
        seen = connector.look(call)
        crashpoint("back.look.after_call")
        if not seen.contained:
            return Effect(changed=False, said="It is back already.")
    crashpoint("back.undo.before_call")
    effect = connector.undo(call, key=str(step.key), was=was)
    crashpoint("back.undo.after_call")
    return effect


def why_let_be(run: Run, seq: int) -> str:
    step = run.steps.get(seq=seq)
    if step.was is None:
        return "nothing was done, so there is nothing to put back"
    if step.was["contained"]:
        return "it was so before us; left as it is"
    return "cannot be put back: what was ended stays ended, and may begin anew"
