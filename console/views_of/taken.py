"""What was taken before a cut, and what somebody lifted after it, as the page of a case shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from console.views_of import things
from console.views_of.things import Thing
from containment import minted, taken
from containment.models import Case
from playbooks.models import Run

KINDS = {"secret_read": "Secret read", "grant_made": "Right given", "session_elsewhere": "Session elsewhere", "minted": "Credential made"}
TONES = {"open": "hot", "standing": "hot", "cut": "ok", "cleared": "", "accepted": "warn"}
ICONS = {"secret_read": "key", "grant_made": "user-shield", "session_elsewhere": "world", "minted": "key"}


@dataclass(frozen=True, slots=True)
class Line:
    """`opens`: the identity's credential or the session that it leads to. `may_settle`: by a form on this page."""

    id: UUID
    kind: str
    icon: str
    said: str
    at: datetime
    state: str
    tone: str
    opens: Thing | None
    because: str
    by: str
    settled_at: datetime | None
    is_open: bool
    may_settle: bool


@dataclass(frozen=True, slots=True)
class Lifted:
    measure: str
    said: str
    at: datetime
    healed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Loot:
    """Everything that got away, oldest first, and what of the cut was lifted outside since."""

    lines: Sequence[Line]
    open: int
    lifted: Sequence[Lifted]
    gone: int


def of_case(case_id: UUID) -> Loot:
    case = Case.objects.select_related("identity").get(pk=case_id)
    lines = sorted([*_taken(case), *_minted(case)], key=lambda line: line.at)
    lifted = _lifted(case)
    return Loot(lines, sum(line.is_open for line in lines), lifted, sum(one.healed_at is None for one in lifted))


def _taken(case: Case) -> list[Line]:
    found = taken.of_case(case)
    names = things.named(line.about_ref for line in found if line.about_ref)
    return [
        Line(
            id=line.pk,
            kind=KINDS[line.kind],
            icon=ICONS[line.kind],
            said=line.said,
            at=line.first_at,
            state=line.state,
            tone=TONES[line.state],
            opens=names.get(line.about_ref),
            because=line.because,
            by=line.settled_by_name,
            settled_at=line.settled_at,
            is_open=line.state == "open",
            may_settle=line.state == "open" and case.state != "closed",
        )
        for line in found
    ]


def _minted(case: Case) -> list[Line]:
    standing = {line.pk for line in minted.left_standing(case)}
    lines = []
    for line in minted.of_case(case):
        state = "open" if line.pk in standing else "cut" if line.state == "standing" else line.state
        word = "" if line.vouched else ", a claim"
        lines.append(
            Line(
                id=line.pk,
                kind=KINDS["minted"],
                icon=ICONS["minted"],
                said=f"{line.session.external_id} made {line.credential} (told by {line.told_by}{word})",
                at=line.told_at,
                state=state,
                tone=TONES[state],
                opens=None,
                because=line.because,
                by=line.settled_by_name,
                settled_at=line.settled_at,
                is_open=state == "open",
                may_settle=False,
            )
        )
    return lines


def _lifted(case: Case) -> list[Lifted]:
    runs = Run.objects.filter(case_ref=str(case.ref)).exclude(drifted=[]).order_by("created_at").values_list("drifted", flat=True)[:20]
    return [
        Lifted(
            line["measure"],
            line["said"],
            datetime.fromisoformat(line["at"]),
            datetime.fromisoformat(line["healed_at"]) if line.get("healed_at") else None,
        )
        for drifted in runs
        for line in drifted
    ]
