"""Cases: what people make of them. A verdict says what it was; closing says that nothing of it is left open.

A case opens in flow.py, with the first decision that leads to something.
"""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet

from approvals.models import Answer, GroupMember, Hold
from audit import clock, nudges
from audit.record import record, story
from containment import leaks, minted, taken, verdicts
from containment.flow import DECIDE
from containment.models import Case, Detection
from containment.refusals import CaseClosed, NoSuchDetection, NotSetAside, NotYetSettled, OnlyApprover
from core import masking
from core.actor import Actor
from core.refusals import BadInput, Fault, Missing
from playbooks.models import Run

VERDICTS = {
    "true_positive": "It was what it looked like",
    "benign": "It was harmless",
    "harmless_but_right_to_stop": "It was harmless, and right to stop",
}
LONGEST_REASON = 2000
AT_REST = ("contained", "failed", "undone", "accepted", "withdrawn")


@story
def judge(case_id: UUID, verdict: str, reason: str, *, actor: Actor) -> Case:
    """What it was. As long as the case is open a verdict may be given anew; every one stays on record."""
    case = _open(case_id)
    faults = []
    if verdict not in VERDICTS:
        faults.append(Fault("verdict", "unknown", f"Must be one of {', '.join(VERDICTS)}."))
    if not reason.strip():
        faults.append(Fault("reason", "required", "Say what it rests on."))
    if len(reason) > LONGEST_REASON:
        faults.append(Fault("reason", "too_long", f"At most {LONGEST_REASON} characters."))
    if faults:
        raise BadInput(faults, sentence=" ".join(fault.detail for fault in faults))
    case.verdict, case.verdict_reason = verdict, masking.in_text(reason.strip())
    verdicts.count(case)
    case.save(update_fields=["verdict", "verdict_reason", "counted"])
    record("case.judged", case.ref, actor=actor, about=[case.identity.ref], verdict=verdict.replace("_", " "), reason=case.verdict_reason)
    return case


@story
def try_again(detection_id: UUID, *, actor: Actor) -> Detection:
    """A detection that was set aside, because workers died on it, is judged as if it had just arrived."""
    detection = Detection.objects.select_for_update(of=("self",)).select_related("identity").filter(pk=detection_id).first()
    if detection is None:
        raise NoSuchDetection("There is no such detection.")
    if detection.state != "quarantined":
        raise NotSetAside(f"This detection is {detection.state}; only one that was set aside is tried again.")
    detection.state, detection.next_at, detection.crash_count = "received", clock.now(), 0
    detection.save(update_fields=["state", "next_at", "crash_count"])
    record("detection.reopened", detection.ref, actor=actor, about=[detection.identity.ref], because="a person wants it tried again")
    nudges.wake_worker(DECIDE, detection.pk)
    return detection


def close(case_id: UUID, *, actor: Actor) -> Case:
    """Nothing is left open, and somebody other than the only approver has looked. A cut that stands goes on standing. What was taken is
    looked for once more before, in a story of its own: it stays on the page when the case is not closed because of it."""
    taken.gather(case_id)
    return _close(case_id, actor=actor)


@story
def _close(case_id: UUID, *, actor: Actor) -> Case:
    case = _open(case_id)
    if left := open_items(case):
        raise NotYetSettled(f"This case cannot be closed yet: {', '.join(left)}.")
    if approvers(case) == {actor.principal}:
        raise OnlyApprover("You alone approved what was done here. Somebody else has to look before it is closed.")
    case.state, case.closed_at = "closed", clock.now()
    verdicts.count(case)
    case.save(update_fields=["state", "closed_at", "counted"])
    record("case.moved", case.ref, actor=actor, about=[case.identity.ref], was="open", state="closed", verdict=case.verdict)
    return case


def open_items(case: Case) -> list[str]:
    """What keeps the case open, in words; empty when it may be closed."""
    left = [] if case.verdict else ["it has no verdict"]
    if Hold.objects.filter(case_ref=str(case.ref), state="open").exists() or _in_a_group(case, state="waiting").exists():
        left.append("a hold waits for an answer")
    if Run.objects.filter(case_ref=str(case.ref)).exclude(wants="").exists():
        left.append("people are to be asked for the hard stage")
    unsettled = Run.objects.filter(case_ref=str(case.ref)).exclude(state__in=AT_REST).values_list("state", flat=True)
    left += [f"a run is {state.replace('_', ' ')}" for state in unsettled.order_by("state").distinct()]
    left += [
        f"{line.credential} was made by the contained session {line.session.external_id} (told by {line.told_by}"
        f"{'' if line.vouched else ', a claim'}): cut it, or say that it is cleared or accepted"
        for line in minted.left_standing(case)
    ]
    left += [f"{line.said}: say whether it was cut, is cleared or accepted" for line in taken.left_open(case)]
    return left + [
        f"{name} leaked and no run cuts it: stop it by hand, then say on the page of the leak that it was replaced"
        for name in leaks.left_uncut(case)
    ]


def approvers(case: Case) -> set[str]:
    """The principals who said “contain now” in this case."""
    groups = _in_a_group(case, state="followed").values_list("hold", flat=True)
    about = Q(hold__case_ref=str(case.ref)) | Q(hold__in=groups)
    return set(Answer.objects.filter(about, word="approve").values_list("principal", flat=True))


def _in_a_group(case: Case, *, state: str) -> QuerySet[GroupMember]:
    return GroupMember.objects.filter(case_ref=str(case.ref), state=state)


def _open(case_id: UUID) -> Case:
    case = Case.objects.select_for_update(of=("self",)).select_related("identity").filter(pk=case_id).first()
    if case is None:
        raise Missing("There is no such case.")
    if case.state == "closed":
        raise CaseClosed(f"This case was closed at {case.closed_at:%Y-%m-%d %H:%M:%S} UTC.")
    return case
