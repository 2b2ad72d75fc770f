"""How long one judgement takes: an event with twenty signals, with and without the digest that covers it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from bench.judge.play import shipped
from bench.report import percentile, table
from containment.domain.conclusive import conclusive
from containment.domain.decide import Question, decide
from containment.domain.facts import (
    ActionFacts,
    ArgumentFacts,
    CallFacts,
    DetectionFacts,
    Drive,
    Facts,
    Finding,
    IdentityFacts,
    IntentFacts,
    Kind,
    ResourceFacts,
    SessionFacts,
    Severity,
    SourceFacts,
    ToolRule,
)
from containment.domain.families import FAMILIES, SOURCE_CLAIM
from containment.domain.judge import judge
from containment.domain.risk import weigh
from containment.domain.signals import fired
from core import digest

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
ROUNDS = 2_000


def busy() -> Facts:
    """Everything fires at once: the nineteen signals of ours and the claim of a source."""
    codes = [code for code in FAMILIES if code != SOURCE_CLAIM]
    arguments = (ArgumentFacts(name="to", value="ines@acme.test", kind="address", in_untrusted=True), ArgumentFacts(name="body"))
    return Facts(
        now=NOW,
        identity=IdentityFacts(id="i", kind=Kind.AI_AGENT, provider="bench", subject="agent", environment="prod"),
        detection=DetectionFacts(
            id="d", source=SourceFacts(name="edr"), occurred_at=NOW, severity=Severity.HIGH, confidence=0.9, claims=tuple(codes[:3])
        ),
        action=ActionFacts(name="message.send"),
        resource=ResourceFacts(id="mail"),
        session="s",
        sessions=(SessionFacts(id="s", identity="i", drive=Drive.AUTONOMOUS),),
        observed=tuple(Finding(code=code, strength=0.5, because="It was seen.", evidence={"n": 1}) for code in codes),
        budget_left=10,
        call=CallFacts(tool="mail.forward", writes=True, arguments=arguments),
        intent=IntentFacts(has_task=True, tools=(ToolRule(name="mail.send", writes=True),), environments=("prod",)),
    )


def measured() -> str:
    facts, policy = busy(), shipped()
    known = replace(judge(facts, policy), digest="")
    calm = replace(facts, observed=(), detection=None, call=replace(facts.call, tool="mail.send", arguments=()) if facts.call else None)

    def without_digest() -> None:
        signals = fired(facts, policy)
        waterfall = weigh(facts, signals, policy)
        settled = conclusive(facts, signals, policy)
        decide(Question(facts=facts, policy=policy, waterfall=waterfall, conclusive=settled))

    rows = [
        _row("signals, risk and decision", without_digest),
        _row("the digest over facts and judgement", lambda: digest.digest_of_sparse({"facts": facts, "judgement": known})),
        _row("judge(), whole", lambda: judge(facts, policy)),
        _row("judge() of an ordinary call, on which nothing fires", lambda: judge(calm, policy)),
    ]
    said = f"One event with all {len(known.waterfall.signals)} signals, {ROUNDS} times, time of the processor:"
    return f"{said}\n\n{table(['what', 'least', 'p50', 'p99'], rows)}"


def _row(name: str, work: Callable[[], object]) -> list[str]:
    took = []
    gc.disable()
    for _ in range(ROUNDS):
        began = time.thread_time()
        work()
        took.append(time.thread_time() - began)
    gc.enable()
    return [name, f"{min(took) * 1e6:.0f} µs", f"{percentile(took, 0.5) * 1e6:.0f} µs", f"{percentile(took, 0.99) * 1e6:.0f} µs"]
