"""Gists: the short form of every decision, kept in the story that makes it. Backtests weigh by them."""

from __future__ import annotations

from uuid import UUID

from containment.domain.facts import Facts
from containment.domain.gist import gist_of
from containment.domain.policy import RiskPolicy
from containment.models import Decision, DecisionGist


def keep(decision: Decision, facts: Facts, policy: RiskPolicy) -> None:
    """Right after the decision was saved."""
    DecisionGist.objects.create(
        decision=decision,
        decided_at=decision.decided_at,
        identity=UUID(facts.identity.id),
        source=facts.detection.source.name if facts.detection else "",
        verdict=decision.verdict,
        stage=decision.stage,
        sentence=decision.sentence,
        risk=round(float(decision.risk) * 10),
        gist=gist_of(facts, policy),
    )
