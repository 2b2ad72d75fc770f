"""A history to measure with: decisions of many identities over a month, each judged by the real judgement on facts of its own.

Most of it is everyday work with small oddities, as it is in an estate; some comes near the thresholds, and a little is contained or held.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from containment.domain.decide import Choice, decide
from containment.domain.facts import (
    ActionFacts,
    BaselineFacts,
    Drive,
    Facts,
    Kind,
    RateFacts,
    ResourceFacts,
    RunFacts,
    Sensitivity,
    Severity,
    Stage,
)
from containment.domain.gist import gist_of
from containment.domain.judge import question_of
from containment.domain.policy import RiskPolicy
from containment.domain.risk import Waterfall
from tests.domain import facts_of

IDENTITIES = 5_000
EVERYDAY = ("data.read", "data.write", "tool.call", "network.connect", "session.start", "data.export")
KINDS = (Kind.SERVICE_ACCOUNT, Kind.WORKLOAD, Kind.HUMAN, Kind.CI_PIPELINE, Kind.AI_AGENT)


@dataclass(frozen=True)
class Made:
    at: datetime
    facts: Facts
    choice: Choice
    waterfall: Waterfall
    gist: str


def decisions(count: int, policy: RiskPolicy, *, seed: int, until: datetime, days: int) -> Iterator[Made]:
    """In the order of time. The same seed makes the same history."""
    chance = random.Random(seed)  # noqa: S311 - a history, no secret
    for number in range(count):
        at = until - timedelta(days=days) * (1 - number / count) + timedelta(microseconds=number)
        facts = facts_at(chance, at)
        question = question_of(facts, policy)
        yield Made(at, facts, decide(question), question.waterfall, gist_of(facts, policy))


def facts_at(chance: random.Random, at: datetime) -> Facts:
    share = chance.random()
    kind = next(make for bound, make in MIX if share < bound)
    facts = kind(chance)
    number = chance.randrange(IDENTITIES)
    key = str(UUID(int=(0x7000 << 64) | (0x8000 << 48) | number * 7919))
    was = facts.identity.id
    detection = facts.detection and replace(
        facts.detection, id=f"d-{number}-{at.timestamp():.0f}", occurred_at=at - timedelta(seconds=chance.randrange(60))
    )
    return replace(
        facts,
        now=at,
        identity=replace(facts.identity, id=key, subject=f"{facts.identity.subject}-{number}"),
        detection=detection,
        sessions=tuple(replace(one, identity=key) if one.identity == was else one for one in facts.sessions),
        credential=facts.credential
        and replace(
            facts.credential,
            users=tuple(replace(user, identity=key) if user.identity == was else user for user in facts.credential.users),
        ),
        budget_left=200,
    )


def _baseline(chance: random.Random, events: int, known: bool) -> BaselineFacts:
    upper = round(chance.uniform(5, 60), 1)
    busy = chance.random() < 0.06
    rates = tuple(
        RateFacts(
            window=window,
            count=round(upper * (chance.uniform(1, 3) if busy else chance.uniform(0.1, 0.9)), 1),
            usual=round(upper / 2, 1),
            upper=upper,
            observations=events,
            days=min(60, events // 40),
        )
        for window in ("minute", "hour", "day")
    )
    return BaselineFacts(
        events=events, days=min(60, events // 40), resource_known=known, rates=rates, pair_known=chance.random() < 0.97, pairs=events
    )


def _everyday(chance: random.Random) -> Facts:
    """Somebody's usual work, reported by a detector that is not sure of itself."""
    kind = chance.choice(KINDS)
    facts = facts_of.sample()
    usual = {Kind.HUMAN: Drive.HUMAN, Kind.AI_AGENT: Drive.AUTONOMOUS}.get(kind, Drive.SCRIPT)
    detection = facts_of.detection(
        severity=chance.choice((Severity.LOW, Severity.LOW, Severity.MEDIUM)),
        confidence=round(chance.uniform(0.05, 0.7), 2),
        claims=(),
        source_ip=facts_of.INSIDE,
    )
    return replace(
        facts,
        identity=replace(facts.identity, kind=kind, subject=str(kind)),
        detection=detection,
        action=ActionFacts(name=chance.choice(EVERYDAY), count=chance.randrange(1, 40)),
        resource=ResourceFacts(id=f"sales.t{chance.randrange(300)}", kind="table", sensitivity=chance.choice(tuple(Sensitivity))),
        sessions=tuple(replace(one, drive=usual) for one in facts.sessions),
        baseline=_baseline(chance, chance.randrange(0, 4000), chance.random() < 0.9),
    )


def _odd(chance: random.Random) -> Facts:
    """A claim that our facts cannot settle: anywhere between quiet and soft."""
    facts = _everyday(chance)
    claims = tuple(chance.sample(("first_access", "volume", "cross_system", "session_ttl", "drive_mismatch", "role_confusion"), 3))
    assert facts.detection is not None  # noqa: S101 - everyday work is reported
    detection = replace(facts.detection, claims=claims, severity=Severity.HIGH, confidence=round(chance.uniform(0.6, 1.0), 2))
    return replace(facts, detection=detection, action=ActionFacts(name=chance.choice(("data.export", "code.execute", "data.write"))))


def _of(made: Callable[..., Facts], lowest: float = 0.6) -> Callable[[random.Random], Facts]:
    def facts(chance: random.Random) -> Facts:
        its = made()
        sure = its.detection and replace(its.detection, confidence=round(chance.uniform(lowest, 1.0), 3))
        return replace(its, detection=sure)

    return facts


def _covered(chance: random.Random) -> Facts:
    return replace(
        _everyday(chance), run=RunFacts(id="0190a000-0000-7000-8000-000000000001", stage=chance.choice(tuple(Stage)), state="contained")
    )


# share of the history up to and including this kind, and what makes it
MIX: tuple[tuple[float, Callable[[random.Random], Facts]], ...] = (
    (0.915, _everyday),
    (0.975, _odd),
    (0.985, _covered),
    (0.990, _of(facts_of.sample, 0.2)),
    (0.993, _of(facts_of.payments)),
    (0.995, _of(facts_of.reports)),
    (0.997, _of(facts_of.trainer, 0.3)),
    (0.998, _of(facts_of.leaked)),
    (1.001, lambda chance: replace(facts_of.agent(), baseline=_baseline(chance, chance.randrange(4000), known=True))),
)
