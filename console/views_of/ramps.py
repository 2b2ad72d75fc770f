"""The ramp as people read it: which kind of identity is enforced where, and what is missing before another one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.controls import Control, control
from containment import policies, policy_approvals, ramp
from containment.domain.facts import Kind
from containment.domain.policy import Mode, RiskPolicy
from containment.models import Identity, PreflightCheck, ProtectedConfirmation, RiskPolicyVersion
from containment.ramp import Light
from core.actor import Actor
from core.refusals import BadInput

MOST_DRAFTS = 20
MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Square:
    """One cell of the matrix. `draft`: a version that would enforce it and waits for approval."""

    kind: Kind
    environment: str
    mode: Mode
    chosen: bool
    draft: RiskPolicyVersion | None


@dataclass(frozen=True, slots=True)
class Ramp:
    """`checks`: what connectors last said about the chosen cell; `protected`: the list to confirm, its beginning where it is long.
    `open_holds`: how many identities of the cell wait for people now."""

    version: RiskPolicyVersion
    environments: Sequence[str]
    rows: Sequence[tuple[Kind, Sequence[Square]]]
    chosen: Square
    cell: ramp.Cell
    lights: Sequence[Light]
    checks: Sequence[PreflightCheck]
    protected: Sequence[Identity]
    protected_count: int
    confirmation: ProtectedConfirmation | None
    open_holds: int
    may_draft: Control
    may_step_back: Control
    may_try: Control
    may_confirm: Control


def show(kind: Kind, environment: str, viewer: Actor) -> Ramp:
    """Of the policy in force; NoPolicy without one."""
    version = policies.in_force()
    policy = policies.document(version.text)
    environments = [*ramp.environments(policy), ""]
    environment = environment if environment in environments else environments[0]
    waiting = _waiting(policy)
    rows = [
        (each, [_square(policy, each, where, chosen=(each, where) == (kind, environment), waiting=waiting) for where in environments])
        for each in Kind
    ]
    chosen = next(square for _, squares in rows for square in squares if square.chosen)
    draft, drafted = chosen.draft, policy
    if draft is not None:
        drafted = policies.document(draft.text)
    cell = policy_approvals.cell(kind, environment, policy=drafted, version=draft, viewer=viewer)
    protected = ramp.protected_list()
    is_enforced = chosen.mode is Mode.ENFORCE
    return Ramp(
        version=version,
        environments=environments,
        rows=rows,
        chosen=chosen,
        cell=cell,
        lights=ramp.lights(cell),
        checks=list(ramp.last_checks(cell).values()),
        protected=list(protected[:MOST_SHOWN]),
        protected_count=protected.count(),
        confirmation=ProtectedConfirmation.objects.select_related("person").first(),
        open_holds=ramp.open_holds(cell),
        may_draft=control(viewer, "policy.author", unless="It is enforced already." if is_enforced else ""),
        may_step_back=control(viewer, "policy.approve", unless="" if is_enforced else "It is only observed already."),
        may_try=control(viewer, next((one for one in ("policy.author", "connector.edit") if viewer.may(one)), "policy.approve")),
        may_confirm=control(viewer, "protected.edit"),
    )


def _waiting(policy: RiskPolicy) -> Sequence[tuple[RiskPolicyVersion, RiskPolicy]]:
    """Drafts that somebody could approve, newest first; one that today's rules refuse is left out."""
    found = []
    for version in RiskPolicyVersion.objects.filter(state__in=("draft", "shadow")).order_by("-version")[:MOST_DRAFTS]:
        try:
            found.append((version, policies.document(version.text)))
        except BadInput:
            continue
    return found


def _square(
    policy: RiskPolicy, kind: Kind, environment: str, *, chosen: bool, waiting: Sequence[tuple[RiskPolicyVersion, RiskPolicy]]
) -> Square:
    mode = policy.mode(kind, environment)
    draft = None
    if mode is Mode.OBSERVE:
        draft = next((version for version, drafted in waiting if drafted.mode(kind, environment) is Mode.ENFORCE), None)
    return Square(kind, environment, mode, chosen, draft)
