"""What is asked again before every intent and every call, because it may have changed since: the lease, the kill switch, the playbook."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from audit import clock
from playbooks import switch
from playbooks.models import Run, Step
from playbooks.refusals import LeaseLost, Stopped

LOOK_AGAIN = timedelta(seconds=5)  # how often a run that the kill switch stopped looks whether it was lifted
GOES_ON = "This goes on by itself"  # what all say that only keep a run waiting
NOTHING = f"The kill switch stops everything. {GOES_ON} when the switch is lifted."
NO_NEW = f"The kill switch stops new containment. {GOES_ON} when the switch is lifted."
GIVES_BACK = "return-"  # stages that are performed forward on the way back


def heed(run: Run, step: Step, direction: str) -> None:
    """Stopped where this step may not go on. What gives back is stopped by nothing but the switch in its hardest position."""
    position = switch.position()
    if position == "nothing":
        raise Stopped(NOTHING)
    if direction != "forward" or step.stage.startswith(GIVES_BACK):
        return
    if position == "no_new" and step.disruptive:
        raise Stopped(NO_NEW)
    if because := withdrawn(run):
        raise Stopped(because, for_good=True)


def heed_now(run_id: UUID, fence: int, step: Step, direction: str) -> None:
    """The same right before a call, as the rows say now. A worker that was frozen since its intent, and has lost the run, calls nobody."""
    run = Run.objects.select_related("playbook").filter(pk=run_id, fence=fence).first()
    if run is None or run.lease_until is None or run.lease_until <= clock.now():
        raise LeaseLost
    heed(run, step, direction)


def withdrawn(run: Run) -> str:
    """Why this run's playbook was revoked as harmful; empty where it was not."""
    if run.playbook.state != "revoked":
        return ""
    return f"The playbook was withdrawn as harmful: {run.playbook.ended_because or 'no reason was given'}"
