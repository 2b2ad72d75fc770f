"""cross_system: a session moves from one system to another, and no approved workflow joins the two."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding


def cross_system(facts: Facts) -> Finding | None:
    """Only what we know ourselves excuses a move: an approved join, or having moved so before."""
    before = facts.trail[-1].system if facts.trail else ""
    here = facts.resource.system if facts.resource else ""
    if facts.action is None or not before or not here or before == here:
        return None
    evidence: dict[str, object] = {"from": before, "to": here}
    if workflow := _joined_by(facts, before, here):
        because = f"The workflow {workflow} joins {before} and {here}."
        return Finding(code="cross_system", strength=0.0, because=because, evidence=evidence | {"workflow": workflow})
    baseline = facts.baseline
    if baseline is None or baseline.systems_joined is None:
        return None
    evidence |= {"baseline": baseline.of, "moves": baseline.moves}
    if baseline.systems_joined:
        because = f"{baseline.whose} has moved between {before} and {here} before."
        return Finding(code="cross_system", strength=0.0, because=because, evidence=evidence)
    return Finding(
        code="cross_system",
        strength=1.0,
        because=(
            f"It moved from {before} to {here}, which no approved workflow joins; "
            f"in {baseline.moves} steps on {baseline.move_days} days it never did."
        ),
        evidence=evidence,
        observations=baseline.moves,
        days=baseline.move_days,
    )


def _joined_by(facts: Facts, one: str, other: str) -> str:
    """The approved workflow at work here that joins the two. Of sessions that nobody vouches for, none counts."""
    vouched = [session.workflow for session in facts.suspects if session.workflow and not session.discovered]
    names = vouched or facts.identity.workflows
    workflows = [workflow for name in dict.fromkeys(names) if (workflow := facts.workflow(name)) is not None]
    return next((workflow.name for workflow in workflows if any({one, other} <= set(join) for join in workflow.joins)), "")
