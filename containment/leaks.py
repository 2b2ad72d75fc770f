"""What became of a leak: how each credential of a report stands now. Reads only; exposures.py takes reports in and passes them on.

Cases are one per identity, so a leak is the group that joins them: each of its credentials leads to detections, and those to decisions,
runs and holds, which are where the truth is. Here it is only read together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Count

from containment.models import Case, Credential, Decision, Exposure, ExposureMember
from playbooks.domain.plan import cuts, narrowed

# How a credential stands, worst first: of several users, the one who needs most attention decides.
BUCKETS = {
    "needs_person": "a person has to see to it",
    "set_aside": "set aside; a person has to see to it",
    "held": "waits for an answer",
    "cutting": "being cut",
    "waiting": "not decided yet",
    "watched": "watched",
    "spared": "spared by an exception",
    "left": "left running by a person",
    "unused": "marked; nobody is known to use it",
    "cut": "cut",
    "replaced": "has a new secret",
    "unknown": "unknown here",
    "twice": "stands in the report already",
}
_IN_ORDER = list(BUCKETS)
FEW = 50  # so many lines of a report are looked at one by one in a list of reports
MOST_OF_A_CASE = 500
_OF_RUN = {
    "prepared": "held",
    "waiting": "held",
    "pending": "cutting",
    "running": "cutting",
    "verifying": "cutting",
    "contained": "cut",
    "accepted": "cut",
    "undoing": "left",
    "reinstating": "left",
    "undone": "left",
    "withdrawn": "left",
}


@dataclass(slots=True)
class Member:
    """One line of a report, with all that its detections led to. `status` is one of BUCKETS."""

    row: ExposureMember
    status: str = "waiting"
    said: str = ""
    decisions: list[Decision] = field(default_factory=list)
    detections: list[UUID] = field(default_factory=list)

    @property
    def runs(self) -> list[UUID]:
        return [one.run_id for one in self.decisions if one.run_id]

    @property
    def holds(self) -> list[UUID]:
        return [one.hold_id for one in self.decisions if one.hold_id]


def members(exposure: Exposure, rows: Iterable[ExposureMember] | None = None) -> list[Member]:
    """All lines of the report, or the given ones, in three questions."""
    kept = exposure.members.all() if rows is None else rows
    found = {row.pk: Member(row, said=row.said) for row in _with_credentials(kept)}
    links = ExposureMember.detections.through.objects.filter(exposuremember_id__in=list(found))
    of_detection: dict[UUID, Member] = {}
    for member_id, detection_id in links.values_list("exposuremember_id", "detection_id"):
        of_detection[detection_id] = found[member_id]
        found[member_id].detections.append(detection_id)
    decided = Decision.objects.filter(detection_id__in=list(of_detection)).defer("facts", "waterfall", "signals")
    whole = decided.select_related("run", "hold", "case", "detection__identity", "detection__credential")
    latest = {one.detection_id: one for one in whole.order_by("generation")}
    for detection_id, decision in latest.items():
        of_detection[detection_id].decisions.append(decision)
    for member in found.values():
        member.status = _status(member)
    return sorted(found.values(), key=lambda member: (member.row.place, str(member.row.pk)))


def overviews(exposures: Sequence[Exposure]) -> dict[UUID, dict[str, int]]:
    """How many stand how, of each report, in four questions however many there are. Of a report with more than FEW lines it says only how
    far it was passed on: what became of each is counted up on its own page."""
    lines = ExposureMember.objects.filter(exposure__in=exposures).values_list("exposure_id", "state").annotate(count=Count("pk"))
    found: dict[UUID, Counter[str]] = {one.pk: Counter() for one in exposures}
    for exposure_id, state, count in lines.order_by("exposure_id", "state"):
        found[exposure_id][state] = count
    few = [one for one in exposures if found[one.pk].total() <= FEW]
    for one in few:
        found[one.pk].clear()
    if few:
        for member in members(few[0], ExposureMember.objects.filter(exposure__in=few)):
            found[member.row.exposure_id][member.status] += 1
    return {key: {bucket: count[bucket] for bucket in (*_IN_ORDER, "passed_on") if count[bucket]} for key, count in found.items()}


def still_leaked(credential: Credential) -> bool:
    """It lies open, and nobody said since that it has a new secret."""
    exposed, replaced = credential.exposed_at, credential.rotated_at
    return exposed is not None and (replaced is None or replaced <= exposed)


def left_uncut(case: Case) -> list[str]:
    """Leaked credentials that the runs of this case leave as they are, because they cut another one alone. A person has to see to each:
    stop it and give it a new secret."""
    reported = Decision.objects.filter(
        case=case, run__isnull=False, detection__credential__isnull=False, detection__claims__contains=["credential_exposed"]
    ).defer("facts", "waterfall", "signals")
    newest = reported.select_related("run", "detection__credential").order_by("-decided_at")[:MOST_OF_A_CASE]
    latest: dict[UUID, Decision] = {}
    for decision in newest:
        latest.setdefault(decision.detection_id, decision)
    cut = {one.run.target.get("credential") for one in latest.values() if one.run and _OF_RUN.get(one.run.state) == "cut"}
    uncut: dict[UUID, str] = {}
    for decision in latest.values():
        credential = decision.detection.credential
        if credential is None or decision.verdict != "covered" or _covers(decision):
            continue
        if still_leaked(credential) and credential.name not in cut:
            uncut[credential.pk] = str(credential)
    return sorted(uncut.values())


def counts(listed: Sequence[Member]) -> dict[str, int]:
    """How many stand how, in the order of BUCKETS; those that are none left out."""
    found = Counter(member.status for member in listed)
    return {bucket: found[bucket] for bucket in _IN_ORDER if found[bucket]}


def _with_credentials(rows: Any) -> list[ExposureMember]:
    return list(rows.select_related("credential")) if hasattr(rows, "select_related") else list(rows)


def _status(member: Member) -> str:
    state = member.row.state
    if state in ("unknown", "twice", "set_aside"):
        return state
    if state == "waiting" or len(member.decisions) < len(member.detections):
        return min(["waiting", *map(_of_decision, member.decisions)], key=_IN_ORDER.index)
    if not member.detections:
        return "unused"
    return min(map(_of_decision, member.decisions), key=_IN_ORDER.index)


def _of_decision(decision: Decision) -> str:
    if decision.verdict == "watch":
        return "watched"
    if decision.verdict == "exempt":
        return "spared"
    if decision.run is None:
        return "needs_person"
    if decision.verdict == "covered" and not _covers(decision):
        credential = decision.detection.credential
        return "needs_person" if credential is None or still_leaked(credential) else "replaced"
    found = _OF_RUN.get(decision.run.state, "needs_person")
    return "replaced" if found == "left" and _has_a_new_secret(decision) else found


def _has_a_new_secret(decision: Decision) -> bool:
    credential = decision.detection.credential
    return credential is not None and credential.rotated_at is not None and not still_leaked(credential)


def _covers(decision: Decision) -> bool:
    """A run that cuts another credential alone leaves this one as it is."""
    assert decision.run is not None  # noqa: S101 - the caller looked
    plan, credential = decision.run.plan, decision.detection.credential
    alone = bool(cuts(plan, "hard")) and cuts(narrowed(plan), "hard") == cuts(plan, "hard")
    return not alone or credential is None or decision.run.target.get("credential") == credential.name
