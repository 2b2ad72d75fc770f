"""Play: a trace goes call by call through the product's own judgement, with the shipped policy, as the guard would ask for each call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

from bench.judge.trace import Call, Trace
from containment.domain import intent, values
from containment.domain.decide import Verdict
from containment.domain.facts import ActionFacts, Drive, Facts, IdentityFacts, IntentFacts, Kind, ResourceFacts, SessionFacts, ToolRule
from containment.domain.intent import Seen
from containment.domain.judge import judge
from containment.domain.outside import outside
from containment.domain.policy import RiskPolicy, parse, shipped_text

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
AGENT = IdentityFacts(id="agent", kind=Kind.AI_AGENT, provider="bench", subject="agent")
SESSION = SessionFacts(id="session", identity="agent", drive=Drive.AUTONOMOUS)
ACTIONS = {True: "data.write", False: "data.read", None: "tool.call"}
TIERS = {Verdict.CONTAIN: 2, Verdict.HOLD: 1}


@cache
def shipped() -> RiskPolicy:
    return parse(shipped_text())


@dataclass(slots=True)
class Memory:
    """What a session has seen, as marks in memory; the product keeps keyed fingerprints of the same marks in rows."""

    marks: dict[str, Seen] = field(default_factory=dict)

    def learn(self, text: str, standing: Seen) -> None:
        for mark in values.marks_in(text):
            self.marks[mark] = self.marks.get(mark, Seen.NOWHERE) | standing

    def seen(self, marks: Collection[str]) -> Mapping[str, Seen]:
        return {mark: self.marks[mark] for mark in marks if mark in self.marks}


@dataclass(frozen=True, slots=True)
class Outcome:
    """`tier`: 2 contained, 1 held, 0 watched. `denied`: it lies outside the approved intent, whatever the risk."""

    tier: int
    risk: float
    denied: bool
    because: str


def play(trace: Trace, policy: RiskPolicy | None = None) -> list[Outcome]:
    """The verdict on each call, on its own: what came before is known to it, what was decided before is not."""
    memory = Memory()
    memory.learn(trace.task, Seen.TASK)
    approved = intent.tool_rules(trace.profile.get("tools", ()))
    meant = intent.intent_of(trace.declared, trace.profile, name="bench", version=1)
    outcomes = []
    for call in trace.calls:
        memory.learn(call.said, Seen.TASK)
        outcomes.append(_judged(facts_of(call, meant, approved, memory), policy or shipped()))
        memory.learn(call.returned, intent.standing_of_result(call.tool, call.arguments, approved, memory.seen))
    return outcomes


def facts_of(call: Call, meant: IntentFacts, approved: tuple[ToolRule, ...], memory: Memory) -> Facts:
    facts = intent.call_facts(
        call.tool, call.arguments, rules=approved, bounds=meant.bounds, writes=call.writes, environment=call.environment, seen=memory.seen
    )
    return Facts(
        now=NOW,
        identity=AGENT,
        action=ActionFacts(name=ACTIONS[facts.writes]),
        resource=ResourceFacts(id=call.resource) if call.resource else None,
        session=SESSION.id,
        sessions=(SESSION,),
        budget_left=1000,
        call=facts,
        intent=meant,
    )


def _judged(facts: Facts, policy: RiskPolicy) -> Outcome:
    judgement = judge(facts, policy)
    denied = outside(facts) is not None
    heaviest = max(judgement.waterfall.signals, key=lambda signal: signal.decibans, default=None)
    said = f"{heaviest.code}: {heaviest.because}" if heaviest else ""
    return Outcome(TIERS.get(judgement.verdict, 0), judgement.risk, denied, said)
