"""A risk policy version as people read it: all its members, what it can never reach, what it changes and whose word it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count

from console import why
from console.controls import Control, control
from containment import backtests, policies, policy_approvals, shadow
from containment.domain import risk
from containment.domain.facts import USUAL_DRIVE, Drive, Kind, Sensitivity
from containment.domain.policy import RiskPolicy
from containment.domain.scope_rules import Match, Operand, Rule
from containment.domain.tightening import Change
from containment.models import Backtest, PolicyApproval, RiskPolicyVersion, ShadowDifference
from containment.policy_approvals import Approval
from containment.ramp import Light
from core.actor import Actor
from core.refusals import BadInput

TONES = {"draft": "warn", "shadow": "accent", "in_force": "ok", "superseded": "quiet"}
WAYS = {"tighter": "hot", "looser": "ok", "neutral": "quiet"}
BOUNDS_MOST = 60  # threshold rules that have a table of cells of their own


@dataclass(frozen=True, slots=True)
class Cell:
    """The highest risk that this can reach, and the stage that lies within it: none, soft or hard."""

    most: float
    stage: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """What identities of one kind can reach at most, whatever is found: actions down, sensitivities across. `key` names the thresholds."""

    kind: str
    key: str
    words: str
    soft: float
    hard: float
    rows: Sequence[tuple[str, Sequence[Cell]]]
    never_soft: int
    never_hard: int
    cells: int


@dataclass(frozen=True, slots=True)
class Lamp:
    """A light of the ramp for one kind in one environment."""

    place: str
    lights: Sequence[Light]


@dataclass(frozen=True, slots=True)
class Word:
    """What it takes to put a version in force, for one viewer. `backtest`: the last one of this text, finished or not; `lack`: what this
    viewer has not seen of one yet."""

    base: RiskPolicyVersion | None
    changes: Sequence[tuple[Change, str]]
    needed: int
    missing: int
    given: Sequence[PolicyApproval]
    untested: bool
    backtest: Backtest | None
    has_seen: bool
    lack: str
    lamps: Sequence[Lamp]
    may_approve: Control


@dataclass(frozen=True, slots=True)
class Card:
    version: RiskPolicyVersion
    tone: str
    trouble: str
    policy: RiskPolicy | None
    mode: str
    modes: Sequence[tuple[str, str]]
    thresholds: Sequence[tuple[str, float, float]]
    weights: Sequence[tuple[str, float]]
    numbers: Sequence[tuple[str, Sequence[tuple[str, object]]]]
    rules: Sequence[tuple[Rule, str]]
    matrices: Sequence[Matrix]
    sensitivities: Sequence[str]
    word: Word | None
    approvals: Sequence[PolicyApproval]
    differences: int
    judged: int
    new_chains: Sequence[str]
    may_shadow: Control
    may_draft: Control


def card(version: RiskPolicyVersion, viewer: Actor) -> Card:
    try:
        policy, trouble = policies.document(version.text), ""
    except BadInput as refusal:
        policy, trouble = None, refusal.sentence
    weights = policy.weights.items() if policy else ()
    return Card(
        version=version,
        tone=TONES.get(version.state, "quiet"),
        trouble=trouble,
        policy=policy,
        mode=str(policy.default_mode) if policy else "",
        modes=_modes(policy) if policy else [],
        thresholds=_thresholds(policy) if policy else [],
        weights=sorted(((why.label_of(code), weight) for code, weight in weights), key=lambda pair: -pair[1]),
        numbers=_numbers(policy) if policy else [],
        rules=[(rule, _rule(rule)) for rule in policy.scope.rules] if policy else [],
        matrices=matrices(policy) if policy else [],
        sensitivities=list(map(str, Sensitivity)),
        word=_word(version, policy, viewer) if policy and version.state in ("draft", "shadow") else None,
        approvals=list(version.approvals.filter(base=version.supersedes).select_related("person")) if version.in_force_at else [],
        differences=ShadowDifference.objects.filter(version=version).count() if version.shadow_since else 0,
        judged=shadow.judged_count(version),
        new_chains=policy_approvals.new_chains(policy) if policy and version.state in ("draft", "shadow") else [],
        may_shadow=control(viewer, "policy.author" if viewer.may("policy.author") else "policy.approve"),
        may_draft=control(viewer, "policy.author"),
    )


def _word(version: RiskPolicyVersion, policy: RiskPolicy, viewer: Actor) -> Word:
    approval = policy_approvals.what_it_takes(version)
    untested = not policy_approvals.has_history()
    lack = backtests.missing(version.digest, by=UUID(viewer.principal)) if viewer.is_person else ""
    has_seen = viewer.is_person and not lack
    lamps = [Lamp(cell.place, ramp_lights) for cell, ramp_lights in policy_approvals.lights_of(version, policy, approval, viewer=viewer)]
    return Word(
        base=approval.base,
        changes=[(change, WAYS[change.way]) for change in approval.changes],
        needed=approval.needed,
        missing=approval.missing,
        given=approval.given,
        untested=untested,
        backtest=backtests.latest(version.digest),
        has_seen=has_seen,
        lack=lack,
        lamps=lamps,
        may_approve=control(viewer, "policy.approve", unless=_against(version, approval, viewer, untested or has_seen, lamps)),
    )


def _against(version: RiskPolicyVersion, approval: Approval, viewer: Actor, tested: bool, lamps: Sequence[Lamp]) -> str:
    """What stands against this viewer's approval although their role allows it."""
    if str(version.author_id) == viewer.principal:
        return f"You wrote {version}. Somebody else has to approve it."
    if any(str(one.person_id) == viewer.principal for one in approval.given):
        return "You have approved it. It waits for somebody else."
    if not tested:
        return "Open a finished backtest of exactly this text first."
    if any(not light.green for lamp in lamps for light in lamp.lights):
        return "It enforces what is only observed today, and not every light below is green."
    return ""


def counts(version: RiskPolicyVersion) -> list[tuple[str, int]]:
    """How many differences there are of each sort: what was decided → what this version would have."""
    both = ("decision__verdict", "decision__stage", "decision__would_have", "verdict", "stage", "would_have", "trouble")
    rows = ShadowDifference.objects.filter(version=version).values_list(*both).annotate(count=Count("pk")).order_by("-count")
    return [
        (
            f"{_said(verdict, stage, would_have)} → {'could not judge' if trouble else _said(shadow_verdict, shadow_stage, shadow_would)}",
            count,
        )
        for verdict, stage, would_have, shadow_verdict, shadow_stage, shadow_would, trouble, count in rows
    ]


def _said(verdict: str, stage: str, would_have: str) -> str:
    return ", ".join(filter(None, (verdict, stage, f"otherwise {would_have}" if would_have else "")))


def matrices(policy: RiskPolicy) -> list[Matrix]:
    """One for each kind, and one more for each drive and environment whose thresholds are its own."""
    found = []
    for kind in Kind:
        named = {(rule.drive, rule.environment) for rule in policy.threshold_rules if rule.kind is kind} | {(None, "")}
        for drive, environment in sorted(named, key=lambda one: (one[0] or "", one[1])):
            rows: dict[str, dict[Sensitivity, risk.Cell]] = {}
            for cell in risk.cells(policy, drive, environment):
                if cell.kind is kind:
                    rows.setdefault(cell.action, {})[cell.sensitivity] = cell
            found.append(_matrix(policy, kind, drive, environment, rows))
    return found[:BOUNDS_MOST]


def _matrix(
    policy: RiskPolicy, kind: Kind, drive: Drive | None, environment: str, actions: Mapping[str, Mapping[Sensitivity, risk.Cell]]
) -> Matrix:
    bounds = policy.thresholds(kind, drive or USUAL_DRIVE[kind], environment)
    cells = [cell for row in actions.values() for cell in row.values()]
    more = [f"driven by {drive}" if drive else "", f"in {environment}" if environment else ""]
    return Matrix(
        kind=str(kind),
        key="~".join(filter(None, (kind, drive, environment))),
        words=" ".join(filter(None, more)) or "usually",
        soft=bounds.soft,
        hard=bounds.hard,
        rows=[(action, [_cell(row[sensitivity]) for sensitivity in Sensitivity if sensitivity in row]) for action, row in actions.items()],
        never_soft=sum(not cell.reaches_soft for cell in cells),
        never_hard=sum(not cell.reaches_hard for cell in cells),
        cells=len(cells),
    )


def _cell(cell: risk.Cell) -> Cell:
    return Cell(cell.most, "hard" if cell.reaches_hard else "soft" if cell.reaches_soft else "none")


def _modes(policy: RiskPolicy) -> list[tuple[str, str]]:
    """Each rule: for whom, and whether it acts there."""
    named = []
    for rule in policy.mode_rules:
        who = str(rule.kind or "every kind").replace("_", " ")
        named.append((f"{who} in {rule.environment}" if rule.environment else who, str(rule.mode)))
    return named


def _thresholds(policy: RiskPolicy) -> list[tuple[str, float, float]]:
    rows = []
    for rule in policy.threshold_rules:
        who = [
            str(rule.kind).replace("_", " "),
            f"driven by {rule.drive}" if rule.drive else "",
            f"in {rule.environment}" if rule.environment else "",
        ]
        rows.append((", ".join(filter(None, who)), rule.thresholds.soft, rule.thresholds.hard))
    return rows


def _numbers(policy: RiskPolicy) -> list[tuple[str, Sequence[tuple[str, object]]]]:
    """Every other member, under the heading that it belongs to."""
    budget, trust = policy.budget, policy.trust
    return [
        ("Before any signal, decibans", [*_listed(policy.priors), *_members(policy.posture)]),
        (
            "Containment budget",
            _members(budget) if budget else [("none", "nothing is contained without a person")],
        ),
        (
            "Patience, minutes",
            [
                *((name, _minutes(span)) for name, span in _listed(policy.patience)),
                ("exposed credential", _minutes(policy.exposed_patience)),
            ],
        ),
        (
            "History",
            [
                ("a baseline counts as known from", f"{policy.minimum.events} events on {policy.minimum.days} days"),
                ("thinning", policy.thinning),
                ("cool-off after a person's no, minutes", _minutes(policy.cool_off)),
                ("soft at most for a discovered identity, hours", f"{policy.discovered_soft / timedelta(hours=1):g}"),
            ],
        ),
        ("Dangerous chains", [(" → ".join(chain), "") for chain in policy.chains] or [("none", "")]),
        ("Consequence of the action", [(name, value) for name, value in policy.consequences.items()]),
        (
            "Sensitivity of the resource",
            [*_listed(policy.sensitivities), ("not classified, counts as", policy.unknown_sensitivity.replace("_", " "))],
        ),
        ("Reach of the identity", [*_listed(policy.reach), ("not known, counts as", policy.unknown_reach.replace("_", " "))]),
        (
            "What a claim weighs",
            [*_listed(policy.severities), ("trust, token of its own", trust.bound), ("trust, any other token", trust.unbound)]
            + [(f"trust in {name}", value) for name, value in trust.sources.items()],
        ),
        ("Odds", [("count up to, decibans", policy.odds_at_most)]),
        ("Before anything is enforced", _members(policy.ramp)),
    ]


def _listed(values: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    return [(str(name).replace("_", " "), value) for name, value in values.items()]


def _members(record: Any) -> list[tuple[str, object]]:
    return [(one.name.replace("_", " "), getattr(record, one.name)) for one in fields(record)]


def _minutes(span: timedelta) -> str:
    return f"{span / timedelta(minutes=1):g}"


def _rule(rule: Rule) -> str:
    """`who kind ai_agent; may not tool:send_*; on kind mail; where …`"""
    parts = [
        f"who {_match(rule.who)}" if rule.who != Match() else "anybody",
        f"{rule.word} {', '.join(rule.actions)}",
        f"with {_values(rule.how)}" if rule.how else "",
        f"on {_match(rule.on)}" if rule.on != Match() else "",
        *(f"where {_side(one.left)} {one.operator} {_side(one.right)}" for one in rule.where),
    ]
    return "; ".join(filter(None, parts))


def _match(match: Match) -> str:
    kinds = f"kind {', '.join(match.kinds)}" if match.kinds else ""
    ids = ", ".join(match.ids)
    return " ".join(filter(None, (kinds, ids, _values(match.properties))))


def _values(properties: Mapping[str, Sequence[object]]) -> str:
    return ", ".join(f"{name} = {' or '.join(map(str, values))}" for name, values in properties.items())


def _side(operand: Operand) -> str:
    return ".".join(operand.path) if operand.path else repr(operand.value)
