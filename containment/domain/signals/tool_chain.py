"""tool_chain: two actions in a row that were never seen together, or a chain that the policy names as dangerous.

A chain that the policy names is dangerous whoever has done it how often: it rests on no baseline and is not thinned.
"""

from __future__ import annotations

from collections.abc import Sequence

from containment.domain.baseline import label
from containment.domain.facts import ActionFacts, Facts, Finding, StepFacts
from containment.domain.policy import RiskPolicy

CONSEQUENTIAL = 0.6  # the policy's consequence from which on an action is worth a second look; a tool that writes always is


def tool_chain(facts: Facts, policy: RiskPolicy) -> Finding | None:
    if facts.action is None:
        return None
    return _named(facts, facts.action, policy) or _unseen(facts, facts.action, policy)


def _named(facts: Facts, action: ActionFacts, policy: RiskPolicy) -> Finding | None:
    """The chain of the policy that ends in this action, and whose earlier actions this session took in that order."""
    for chain in policy.chains:
        steps = _followed(facts.trail, chain[:-1]) if chain[-1] == action.name else None
        if steps is None:
            continue
        done = [*(_told(step) for step in steps), _now(facts, action)]
        because = f"The policy names this chain as dangerous, and this session went through it: {', then '.join(done)}."
        return Finding(code="tool_chain", strength=1.0, because=because, evidence={"chain": list(chain), "steps": done, "named": True})
    return None


def _followed(trail: Sequence[StepFacts], chain: Sequence[str]) -> list[StepFacts] | None:
    """The steps that are `chain`, in this order, whatever lies between them."""
    steps = iter(trail)
    found = [next((step for step in steps if step.action == wanted), None) for wanted in chain]
    return [step for step in found if step is not None] if all(found) else None


def _unseen(facts: Facts, action: ActionFacts, policy: RiskPolicy) -> Finding | None:
    baseline = facts.baseline
    if baseline is None or baseline.pair_known is None or not facts.trail:
        return None
    before, now = facts.trail[-1], _step(facts, action)
    names = [label(before), label(now)]
    evidence = {"chain": names, "steps": [_told(before), _now(facts, action)], "named": False, "baseline": baseline.of}
    if baseline.pair_known:
        because = f"{baseline.whose} has done {names[1]} after {names[0]} before."
        return Finding(code="tool_chain", strength=0.0, because=because, evidence=evidence)
    if not any(_weighty(step, policy) for step in (before, now)):
        return None
    return Finding(
        code="tool_chain",
        strength=1.0,
        because=f"{baseline.whose} never did {names[1]} after {names[0]} in {baseline.pairs} steps on {baseline.pair_days} days.",
        evidence=evidence,
        observations=baseline.pairs,
        days=baseline.pair_days,
    )


def _weighty(step: StepFacts, policy: RiskPolicy) -> bool:
    return policy.consequence(step.action) >= CONSEQUENTIAL or bool(step.tool and step.writes)


def _step(facts: Facts, action: ActionFacts) -> StepFacts:
    call = facts.call
    return StepFacts(action=action.name, tool=call.tool if call else "", writes=call.writes if call else None)


def _told(step: StepFacts) -> str:
    return f"{label(step)} on {step.resource}" if step.resource else label(step)


def _now(facts: Facts, action: ActionFacts) -> str:
    named = label(_step(facts, action))
    return f"{named} on {facts.resource.id}" if facts.resource else named
