"""The kill switch in words: where it stands, what works and what does not in each position, and what was done to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from audit.models import AuditEntry
from console.controls import Control, control
from console.views_of import audit as trail
from core.actor import Actor
from playbooks.models import KillSwitch
from playbooks.models.switch import HARDNESS, POSITIONS
from playbooks.switching import OFF, ON, REF

NAMES = {"off": "Off", "no_new": "No new containment", "nothing": "Nothing"}
TONES = {"off": "ok", "no_new": "warn", "nothing": "hot"}
SENTENCES = {
    "off": "Everything works as the policy and the playbooks say.",
    "no_new": "Nothing new is contained. Undo works, and so does giving back what was restricted while people decided.",
    "nothing": "Nothing goes out, in either direction: no containment, no undo. What is contained stays contained.",
}
YES, WAITS, NO = "works", "waits", "refused"
WORKS: Sequence[tuple[str, str, str]] = (  # what, at no_new, at nothing
    ("Detections come in and are judged, and each is on record", YES, YES),
    ("Containing, and asking people whether to: decided again once it is off", WAITS, WAITS),
    ("Runs that had begun to contain: they go on from where they stood once it is off", WAITS, WAITS),
    ("“Contain now” as the answer to a hold", NO, NO),
    ("“Leave it running” as the answer to a hold", YES, "on record; what was restricted comes back once it is off"),
    ("Deadlines: nothing ends because nobody answered; the next reviewers are asked, or the same once more", YES, YES),
    ("Undo, one by one and many at once", YES, WAITS),
    ("Evidence is taken by runs that are under way", YES, WAITS),
    ("Exceptions, approvals, reading, the audit trail", YES, YES),
    ("Guard: calls are judged, and what is outside an approved intent is denied", YES, YES),
    ("Guard: whatever was contained or paused stays refused", YES, YES),
    (
        "Guard: a session that leaves its intent is paused at once",
        "no: its calls are denied one by one",
        "no: its calls are denied one by one",
    ),
    ("Guard: a call that judgement would contain or hold", "denied", "denied"),
    ("Guard: people are asked about a call where a rule says so", YES, YES),
)
MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Stand:
    """`harder`: the positions that one person may turn it to; `softer`: those that take two."""

    position: str
    name: str
    tone: str
    sentence: str
    by: str
    at: datetime | None
    because: str
    asked: str
    asked_for: str
    asked_by: str
    asked_at: datetime | None
    asked_because: str

    @property
    def is_on(self) -> bool:
        return self.position != "off"

    @property
    def harder(self) -> list[tuple[str, str, str]]:
        return [(one, NAMES[one], SENTENCES[one]) for one in POSITIONS if HARDNESS[one] > HARDNESS[self.position]]

    @property
    def softer(self) -> list[tuple[str, str, str]]:
        return [(one, NAMES[one], SENTENCES[one]) for one in reversed(POSITIONS) if HARDNESS[one] < HARDNESS[self.position]]


@dataclass(frozen=True, slots=True)
class Card:
    stand: Stand
    may_turn: Control
    may_ask: Control
    may_agree: Control
    may_withdraw: bool
    works: Sequence[tuple[str, str, str]]
    told: Sequence[trail.Told]


def stand() -> Stand:
    row = KillSwitch.objects.select_related("by", "lift_by").first() or KillSwitch()
    return Stand(
        position=row.position,
        name=NAMES[row.position],
        tone=TONES[row.position],
        sentence=SENTENCES[row.position],
        by=str(row.by or ""),
        at=row.at,
        because=row.because,
        asked=row.lift_to if row.is_asked else "",
        asked_for=NAMES[row.lift_to] if row.is_asked else "",
        asked_by=str(row.lift_by) if row.is_asked else "",
        asked_at=row.lift_at if row.is_asked else None,
        asked_because=row.lift_because if row.is_asked else "",
    )


def card(viewer: Actor) -> Card:
    standing = stand()
    asker = KillSwitch.objects.values_list("lift_by_id", flat=True).first()
    own = bool(standing.asked) and str(asker) == viewer.principal
    return Card(
        stand=standing,
        may_turn=control(viewer, ON),
        may_ask=control(viewer, OFF),
        may_agree=control(viewer, OFF, unless="You asked for it, so somebody else has to agree." if own else ""),
        may_withdraw=own,
        works=WORKS,
        told=trail.told(AuditEntry.objects.filter(subject=str(REF)).order_by("-seq")[:MOST_TOLD]),
    )
