"""Whose word a policy version takes: loosening one person, tightening two, and enforcing what was observed the ramp as well.

Nobody approves their own text. Going back to observing is the one exception: one person, at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from audit import clock
from audit.record import record, story
from containment import backtests, policies, ramp
from containment.domain.facts import Kind
from containment.domain.policy import Mode, RiskPolicy
from containment.domain.policy_text import with_mode
from containment.domain.tightening import Change, Way, changes, people_needed, turned_on
from containment.models import Decision, PolicyApproval, RiskPolicyVersion
from containment.refusals import ApprovedAlready, NotAcknowledged, NotAsShown, NotGreen, NotTested, OwnApproval
from core.actor import Actor
from core.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Approval:
    """What putting a version in force takes now, compared with the one in force. `cells` are enforced by it and observed today."""

    base: RiskPolicyVersion | None
    changes: tuple[Change, ...]
    needed: int
    given: Sequence[PolicyApproval]
    cells: tuple[tuple[Kind, str], ...]

    @property
    def missing(self) -> int:
        return max(0, self.needed - len(self.given))


@story
def approve(version_id: UUID, *, actor: Actor, seen_digest: str, acknowledged: bool, seen_base: UUID | None = None) -> RiskPolicyVersion:
    """One person's word for a draft; with the last one that it takes it is in force. `seen_base`: what they saw it compared with."""
    policies.must(actor, "policy.approve", "Policies are approved by people with the right to do so.")
    version = policies.locked(version_id)
    if str(version.author_id) == actor.principal:
        raise OwnApproval(f"You wrote {version}. Somebody else has to approve it.")
    if not policies.POLICY.allows(version.state, "approve"):
        raise Refusal(f"{version} is {version.state.replace('_', ' ')} already.")
    approval = what_it_takes(version)
    if version.digest != seen_digest:
        raise NotAsShown(f"{version} is not the text you read. Read it again, then approve.")
    if seen_base is not None and (approval.base is None or approval.base.pk != seen_base):
        raise NotAsShown("Another version came into force meanwhile, so that this one changes other things. Read them, then approve.")
    if any(str(one.person_id) == actor.principal for one in approval.given):
        raise ApprovedAlready(f"You approved {version} already. It waits for somebody else.")
    if not acknowledged:
        raise NotAcknowledged("Say that you have read what this policy can never reach.")
    return _approved(version, approval, actor)


def what_it_takes(version: RiskPolicyVersion) -> Approval:
    """A word counts for this text against the version in force now; what was said against an earlier one counts no more."""
    base = RiskPolicyVersion.objects.filter(state="in_force").exclude(pk=version.pk).first()
    old, new = policies.document(base.text) if base else None, policies.document(version.text)
    found = changes(old, new)
    given = list(PolicyApproval.objects.filter(version=version, base=base, digest=version.digest).select_related("person"))
    return Approval(base, found, people_needed(found), given, turned_on(old, new, ramp.environments(new)))


def cell(kind: Kind, environment: str, *, policy: RiskPolicy, version: RiskPolicyVersion | None = None, viewer: Actor) -> ramp.Cell:
    """A place on the ramp. The bar is that of the policy in force: no version lowers it for itself."""
    bar = policies.document(policies.in_force().text).ramp if RiskPolicyVersion.objects.filter(state="in_force").exists() else policy.ramp
    return ramp.Cell(
        kind=kind,
        environment=environment,
        budget=policy.budget,
        bar=bar,
        digest=version.digest if version else "",
        author=version.author_id if version else None,
        viewer=UUID(viewer.principal) if viewer.is_person else None,
        named=ramp.environments(policy),
    )


@story
def step_back(kind: Kind, environment: str, *, actor: Actor) -> RiskPolicyVersion:
    """This kind only observes here from now on: at once, on one person's word, without a backtest. It can do nothing but loosen."""
    policies.must(actor, "policy.approve", "Going back to observing takes somebody who approves policies.")
    policies.one_at_a_time()
    base = RiskPolicyVersion.objects.select_for_update(of=("self",)).get(pk=policies.in_force().pk)
    if policies.document(base.text).mode(kind, environment) is Mode.OBSERVE:
        raise Refusal(f"{_place(kind, environment)} is only observed already.")
    text = _changed(base, kind, environment, Mode.OBSERVE)
    if any(change.way is Way.TIGHTER for change in changes(policies.document(base.text), policies.document(text))):
        raise Refusal("This would contain more somewhere else. Draft a version instead.")
    version = policies.write(text, actor=actor, author_id=UUID(actor.principal), shipped=False)
    version.loosens_only, version.approver_id = True, UUID(actor.principal)
    policies.put_in_force(version, base, needed=1)
    record(
        "policy.stepped_back",
        version.ref,
        actor=actor,
        about=[base.ref],
        version=version.version,
        digest=version.digest,
        place=_place(kind, environment),
    )
    return version


@story
def draft_enforcing(kind: Kind, environment: str, *, actor: Actor) -> RiskPolicyVersion:
    """The text in force with one mode changed: this kind is enforced in this environment."""
    policies.must(actor, "policy.author", "Policies are written by people with the right to do so.")
    base = policies.in_force()
    if policies.document(base.text).mode(kind, environment) is Mode.ENFORCE:
        raise Refusal(f"{_place(kind, environment)} is enforced already.")
    return policies.write(_changed(base, kind, environment, Mode.ENFORCE), actor=actor, author_id=UUID(actor.principal), shipped=False)


def lights_of(
    version: RiskPolicyVersion, policy: RiskPolicy, approval: Approval, *, viewer: Actor
) -> list[tuple[ramp.Cell, tuple[ramp.Light, ...]]]:
    """The lights of everything that this version would begin to enforce, as they stand for this viewer."""
    cells = [cell(kind, environment, policy=policy, version=version, viewer=viewer) for kind, environment in approval.cells]
    return [(one, ramp.lights(one)) for one in cells]


def new_chains(policy: RiskPolicy) -> list[str]:
    """Chains that this policy names and the one in force does not. Of what a session did, only the last steps and those of the chains in
    force are kept, so that these are found less often on history, and in the shadow, than they would be in force."""
    in_force = RiskPolicyVersion.objects.filter(state="in_force").first()
    named = policies.document(in_force.text).chains if in_force else ()
    return [" → ".join(chain) for chain in policy.chains if chain not in named]


def has_history() -> bool:
    """Whether anything was decided yet that a version could be tried on."""
    return Decision.objects.exists()


# -- inside --------------------------------------------------------------------------------------------------------------------------------


def _approved(version: RiskPolicyVersion, approval: Approval, actor: Actor) -> RiskPolicyVersion:
    person = UUID(actor.principal)
    history = has_history()
    if history and (lack := backtests.missing(version.digest, by=person)):
        raise NotTested(f"You have not seen what {version} would have done. {lack} Run one, open it when it is done, then approve.")
    _refuse_unless_green(version, approval, actor)
    PolicyApproval.objects.create(
        version=version, base=approval.base, person_id=person, digest=version.digest, untested=not history, at=clock.now()
    )
    facts: dict[str, Any] = {"version": version.version, "digest": version.digest, "untested": not history}
    missing = approval.missing - 1
    if missing > 0:
        record("policy.agreed", version.ref, actor=actor, **facts, missing=missing)
        return version
    version.approver_id = person
    policies.put_in_force(version, approval.base, needed=approval.needed)
    record("policy.approved", version.ref, actor=actor, about=[approval.base.ref if approval.base else None], **facts)
    return version


def _refuse_unless_green(version: RiskPolicyVersion, approval: Approval, actor: Actor) -> None:
    policy = policies.document(version.text)
    lacks = [
        fault
        for kind, environment in approval.cells
        for fault in ramp.lacking(cell(kind, environment, policy=policy, version=version, viewer=actor))
    ]
    if lacks:
        where = ", ".join(dict.fromkeys(_place(*one) for one in approval.cells))
        raise NotGreen(lacks, f"{version} would enforce {where}, and not everything is green yet: {lacks[0].detail}")


def _changed(base: RiskPolicyVersion, kind: Kind, environment: str, mode: Mode) -> str:
    try:
        return with_mode(base.text, kind, environment, mode)
    except ValueError as trouble:
        raise Refusal(f"The text of {base} could not be changed by itself ({trouble}). Draft the next version by hand.") from None


def _place(kind: Kind, environment: str) -> str:
    return f"{kind.replace('_', ' ')} in {environment or 'any other environment'}".replace("ai agent", "AI agent")
