"""intent_tool: a session called a tool outside its approved set. In full for one that changes something or may; less for one that reads.
Where tools were approved once and none is left, every one is outside in full."""

from __future__ import annotations

from containment.domain.facts import Facts, Finding
from containment.domain.intent import rule_for

READS = 0.4


def intent_tool(facts: Facts) -> Finding | None:
    call, intent = facts.call, facts.intent
    if call is None or intent is None or not (intent.tools or intent.tools_declared):
        return None
    rule = rule_for(call.tool, intent.tools)
    evidence = {"tool": call.tool, "writes": call.writes, "approved": len(intent.tools), "profile": intent.profile}
    if rule is None:
        does = {True: "changes things", False: "reads", None: "may change things"}[call.writes]
        said = f"{call.tool} is not among the tools that this session was approved for, and {does}."
        return Finding(
            code="intent_tool", strength=READS if call.writes is False and intent.tools else 1.0, because=said, evidence=evidence
        )
    if call.writes and not rule.writes:
        said = f"{call.tool} was approved for this session to read with, and this call changes something."
        return Finding(code="intent_tool", strength=1.0, because=said, evidence=evidence)
    return Finding(code="intent_tool", strength=0.0, because=f"{call.tool} is approved for this session.", evidence=evidence)
