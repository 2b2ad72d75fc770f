"""Judge: facts and a policy go in, a Judgement comes out. The one way into judgement for containment.flow, the guard and replays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from containment.domain.conclusive import Conclusive, conclusive
from containment.domain.cut import Cut, Level, smallest_cut
from containment.domain.decide import Choice, Question, Verdict, decide
from containment.domain.facts import Facts, Stage
from containment.domain.families import Pattern, pattern_of
from containment.domain.policy import Mode, RiskPolicy
from containment.domain.risk import Waterfall, weigh
from containment.domain.signals import Fired, fired
from core import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is stored with a decision. `choice` is what to do; `waterfall` how the risk came about; `digest` covers the facts, the policy's
    digest and all of this, so that the same facts under the same policy have the same one, whichever door they came through."""

    choice: Choice
    waterfall: Waterfall
    conclusive: tuple[Conclusive, ...]
    cut: Cut
    pattern: Pattern
    mode: Mode
    policy_version: int
    policy_digest: str
    digest: str = ""

    @property
    def verdict(self) -> Verdict:
        return self.choice.verdict

    @property
    def stage(self) -> Stage | None:
        return self.choice.stage

    @property
    def because(self) -> str:
        return self.choice.because

    @property
    def risk(self) -> float:
        return self.waterfall.risk


def question_of(facts: Facts, policy: RiskPolicy) -> Question:
    """What decide is asked, for callers that need no more than its answer: a backtest of many."""
    signals = fired(facts, policy)
    return Question(facts=facts, policy=policy, waterfall=weigh(facts, signals, policy), conclusive=conclusive(facts, signals, policy))


def judge(facts: Facts, policy: RiskPolicy) -> Judgement:
    signals = fired(facts, policy)
    waterfall = weigh(facts, signals, policy)
    settled = conclusive(facts, signals, policy)
    question = Question(facts=facts, policy=policy, waterfall=waterfall, conclusive=settled)
    heaviest_first = sorted(waterfall.signals, key=lambda signal: -signal.decibans)
    judgement = Judgement(
        choice=decide(question),
        waterfall=waterfall,
        conclusive=settled,
        cut=_cut(question, signals),
        pattern=pattern_of(signal.code for signal in heaviest_first if signal.strength > 0),
        mode=policy.mode(facts.identity.kind, facts.identity.environment),
        policy_version=policy.version,
        policy_digest=policy.digest,
    )
    return replace(judgement, digest=digest.digest_of_sparse({"facts": facts, "judgement": judgement}))


def _cut(question: Question, signals: Sequence[Fired]) -> Cut:
    credential = question.facts.credential
    if credential is None:
        return smallest_cut(question.facts, credential_is_out=False)
    out = any(signal.ours and signal.code in ("credential_exposed", "honeytoken") for signal in signals)
    cut = smallest_cut(question.facts, credential_is_out=out)
    return Cut(Level.CREDENTIAL, (credential.id,)) if question.credential_only and cut.level is not Level.CREDENTIAL else cut
