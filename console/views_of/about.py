"""Whom a card is about, what was reported, and why it was decided so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.safestring import SafeString

from console import why
from console.pictures import waterfall
from containment.models import Decision, Identity


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a card is about."""

    name: str
    subject: str
    kind: str
    url: str
    owner: str
    protected: bool

    @classmethod
    def of(cls, identity: Identity) -> Subject:
        return cls(
            name=identity.label,
            subject=str(identity),
            kind=identity.kind,
            url=f"/identities/{identity.pk}/",
            owner=identity.owner_team,
            protected=identity.protected,
        )


@dataclass(frozen=True, slots=True)
class WhyCard:
    """A decision's reasons, so that anybody can do the sum again."""

    url: str
    verdict: str
    stage: str
    because: str
    policy: str
    risk: float
    soft: float
    hard: float
    picture: SafeString
    dismissed: tuple[why.Dismissed, ...]
    conclusive: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, decision: Decision) -> WhyCard:
        return cls(
            url=f"/decisions/{decision.pk}/",
            verdict=decision.verdict,
            stage=decision.stage,
            because=decision.because,
            policy=f"policy version {decision.policy.version}",
            risk=float(decision.risk),
            soft=float(decision.soft),
            hard=float(decision.hard),
            picture=waterfall(why.waterfall_of(decision)),
            dismissed=why.dismissed(decision),
            conclusive=why.conclusive(decision),
            digest=decision.digest,
        )


@dataclass(frozen=True, slots=True)
class SeenCard:
    """What was reported, and by whom."""

    title: str
    source: str
    at: datetime
    severity: str
    confidence: float
    facts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, decision: Decision) -> SeenCard:
        detection = decision.detection
        resource = f"{detection.resource.kind} {detection.resource.key}" if detection.resource else ""
        times = f", {detection.action_count} times" if detection.action_count > 1 else ""
        facts = (
            ("Did", f"{detection.action}{times}" if detection.action else "nothing yet that was seen"),
            ("On", resource),
            ("Session", detection.named_session),
            ("Workflow, it says", detection.named_workflow),
            ("From", str(detection.context.get("source_ip", ""))),
            ("Environment", str(detection.context.get("environment", ""))),
            ("Tenant", str(detection.context.get("tenant", ""))),
        )
        return cls(
            title=detection.title,
            source=detection.source.name,
            at=detection.occurred_at,
            severity=detection.severity,
            confidence=detection.confidence,
            facts=tuple((name, value) for name, value in facts if value),
        )
