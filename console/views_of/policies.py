"""A risk policy version as people read it: where it acts, from which risk on, and what it can never reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console import why
from console.controls import Control, control
from containment import policies
from containment.domain import risk
from containment.domain.facts import Kind, Sensitivity
from containment.domain.policy import RiskPolicy
from containment.models import RiskPolicyVersion
from core.actor import Actor
from core.refusals import BadInput

TONES = {"draft": "warn", "in_force": "ok", "superseded": "quiet"}


@dataclass(frozen=True, slots=True)
class Cell:
    """The highest risk that this can reach, and the stage that lies within it: none, soft or hard."""

    most: float
    stage: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """What identities of one kind can reach at most, whatever is found: actions down, sensitivities across."""

    kind: str
    soft: float
    hard: float
    rows: Sequence[tuple[str, Sequence[Cell]]]
    never_soft: int
    never_hard: int
    cells: int


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
    numbers: Sequence[tuple[str, Sequence[tuple[str, float]]]]
    matrices: Sequence[Matrix]
    sensitivities: Sequence[str]
    may_approve: Control
    may_draft: Control


def card(version: RiskPolicyVersion, viewer: Actor) -> Card:
    try:
        policy, trouble = policies.document(version.text), ""
    except BadInput as refusal:
        policy, trouble = None, refusal.sentence
    own = f"You wrote {version}. Somebody else has to approve it." if str(version.author_id) == viewer.principal else ""
    return Card(
        version=version,
        tone=TONES.get(version.state, "quiet"),
        trouble=trouble,
        policy=policy,
        mode=str(policy.default_mode) if policy else "",
        modes=_modes(policy) if policy else [],
        thresholds=_thresholds(policy) if policy else [],
        weights=sorted(((why.label_of(code), weight) for code, weight in policy.weights.items()), key=lambda pair: -pair[1])
        if policy
        else [],
        numbers=_numbers(policy) if policy else [],
        matrices=matrices(policy) if policy else [],
        sensitivities=list(map(str, Sensitivity)),
        may_approve=control(viewer, "policy.approve", unless=own),
        may_draft=control(viewer, "policy.author"),
    )


def matrices(policy: RiskPolicy) -> list[Matrix]:
    found: dict[Kind, dict[str, dict[Sensitivity, risk.Cell]]] = {}
    for cell in risk.cells(policy):
        found.setdefault(cell.kind, {}).setdefault(cell.action, {})[cell.sensitivity] = cell
    return [_matrix(policy, kind, actions) for kind, actions in found.items()]


def _matrix(policy: RiskPolicy, kind: Kind, actions: Mapping[str, Mapping[Sensitivity, risk.Cell]]) -> Matrix:
    bounds = policy.thresholds(kind, None, "")
    cells = [cell for row in actions.values() for cell in row.values()]
    return Matrix(
        kind=str(kind),
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


def _numbers(policy: RiskPolicy) -> list[tuple[str, Sequence[tuple[str, float]]]]:
    def listed(values: Mapping[str, float]) -> list[tuple[str, float]]:
        return [(str(name).replace("_", " "), value) for name, value in values.items()]

    return [
        ("Before any signal, decibans", listed({str(kind): value for kind, value in policy.priors.items()})),
        ("Consequence of the action", [(name, value) for name, value in policy.consequences.items()]),
        ("Sensitivity of the resource", listed({str(name): value for name, value in policy.sensitivities.items()})),
        ("Reach of the identity", listed({str(name): value for name, value in policy.reach.items()})),
    ]
