"""intent_tool: a session called a tool outside its approved set. In full for one that changes something or may; less for one that reads.
Where tools were approved once and none is left, every one is outside in full."""

from __future__ import annotations

from containment.domain.facts import CallFacts, Facts, Finding, IntentFacts
from containment.domain.intent import rule_for

READS = 0.4


def intent_tool(facts: Facts) -> Finding | None:
    """Compared with all that hold at once; what speaks loudest is said."""
    call, intent = facts.call, facts.intent
    if call is None or intent is None:
        return None
    found = [_beside(call, layer) for layer in intent.layers if layer.tools or layer.tools_declared]
    return max(found, key=lambda finding: finding.strength, default=None)


def _beside(call: CallFacts, intent: IntentFacts) -> Finding:
    whose = intent.of or "this session"
    rule = rule_for(call.tool, intent.tools)
    evidence = {"tool": call.tool, "writes": call.writes, "approved": len(intent.tools), "profile": intent.profile}
    if rule is None:
        does = {True: "changes things", False: "reads", None: "may change things"}[call.writes]
        said = f"{call.tool} is not among the tools that {whose} was approved for, and {does}."
        return Finding(
            code="intent_tool", strength=READS if call.writes is False and intent.tools else 1.0, because=said, evidence=evidence
        )
    if call.writes and not rule.writes:
        said = f"{call.tool} was approved for {whose} to read with, and this call changes something."
        return Finding(code="intent_tool", strength=1.0, because=said, evidence=evidence)
    return Finding(code="intent_tool", strength=0.0, because=f"{call.tool} is approved for {whose}.", evidence=evidence)
