"""drive_mismatch: a person at the wheel of a script's account, or the reverse."""

from __future__ import annotations

from containment.domain.facts import USUAL_DRIVE, Facts, Finding


def drive_mismatch(facts: Facts) -> Finding | None:
    drive, usual = facts.drive, USUAL_DRIVE[facts.identity.kind]
    if drive is None:
        return None
    vouched = not any(session.discovered for session in facts.suspects)
    workflows = [facts.workflow(session.workflow) for session in facts.suspects]
    approved = vouched and all(workflow is not None and drive in workflow.drives for workflow in workflows)
    evidence = {"drive": str(drive), "usual": str(usual)}
    if drive is usual or approved:
        because = f"It is driven as it should be ({drive})."
        return Finding(code="drive_mismatch", strength=0.0, because=because, evidence=evidence) if vouched else None
    because = f"The drive is {drive}; for a {facts.identity.kind.replace('_', ' ')} {usual} is usual."
    return Finding(code="drive_mismatch", strength=1.0, because=because, evidence=evidence)
