"""Many at once, as people read it: what was picked, who agreed, and what became of each run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from console.controls import Control, control
from console.views_of.things import Thing, named
from containment import mass_undo
from containment.models import MassUndo, MassUndoMember
from core.actor import Actor
from core.refs import Ref
from playbooks.models import Run

TONES = {"asked": "warn", "approved": "accent", "done": "ok", "withdrawn": "quiet"}
WORDS = {"asked": "waits for a second person", "approved": "under way", "done": "done", "withdrawn": "called off"}
MEMBERS = {  # in the order of who has to look
    "drifted": ("changed by somebody else: a person has to look", "hot"),
    "refused": ("not undone", "warn"),
    "waiting": ("not begun", "quiet"),
    "undoing": ("being undone", "accent"),
    "undone": ("undone", "ok"),
}
FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = ("identity", "run", "playbook", "contained_at", "became", "said")


@dataclass(frozen=True, slots=True)
class Line:
    identity: Thing
    run: Run | None
    run_url: str
    state: str
    words: str
    tone: str
    said: str


@dataclass(frozen=True, slots=True)
class Count:
    state: str
    words: str
    tone: str
    count: int


@dataclass(frozen=True, slots=True)
class Card:
    row: MassUndo
    words: str
    tone: str
    picks: Sequence[tuple[str, str]]
    counts: Sequence[Count]
    of: int
    known: float
    may_agree: Control
    may_call_off: Control
    live: str


def cards(rows: Sequence[MassUndo], viewer: Actor) -> list[Card]:
    counted = mass_undo.counts_of(rows)
    return [card(row, viewer, counted[row.pk]) for row in rows]


def card(row: MassUndo, viewer: Actor, counted: Mapping[str, int] | None = None) -> Card:
    found = mass_undo.counts(row) if counted is None else counted
    of = sum(found.values())
    own = "You asked for it, so somebody else has to agree." if str(row.requester_id) == viewer.principal else ""
    over = sum(found.get(state, 0) for state in ("undone", "drifted", "refused"))
    return Card(
        row=row,
        words=WORDS[row.state],
        tone=TONES[row.state],
        picks=picks(row.picks),
        counts=[Count(state, words, tone, found[state]) for state, (words, tone) in MEMBERS.items() if state in found],
        of=of,
        known=100 * over / of if of else 100.0,
        may_agree=control(viewer, mass_undo.UNDOES, unless=own),
        may_call_off=control(viewer, mass_undo.UNDOES),
        live=f"mass_undo:{row.pk}",
    )


def picks(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = {"policy_version": "policy version", "since": "began after", "until": "began before"}
    return [(names.get(name, name), _moment(str(value)) if name in ("since", "until") else str(value)) for name, value in said.items()]


def lines(members: Iterable[MassUndoMember]) -> list[Line]:
    listed = list(members)
    runs = _runs(member.run_ref for member in listed)
    identities = named(member.identity_ref for member in listed)
    return [
        _line(runs.get(member.run_ref), member.run_ref, identities[member.identity_ref], member.state, member.said) for member in listed
    ]


def previewed(runs: Sequence[Run]) -> list[Line]:
    identities = named(run.identity_ref for run in runs)
    return [_line(run, str(run.ref), identities[run.identity_ref], "waiting", "") for run in runs]


def as_csv(row: MassUndo) -> str:
    """The whole list. What a spreadsheet would take for a formula is kept a text."""
    written = io.StringIO()
    out = csv.writer(written)
    out.writerow(COLUMNS)
    for line in lines(row.members.order_by("id")):
        contained = line.run.contained_at.isoformat() if line.run and line.run.contained_at else ""
        run = (str(line.run.pk), str(line.run.playbook)) if line.run else ("", "")
        out.writerow(_kept_a_text(one) for one in (line.identity.name, *run, contained, line.state, line.said))
    return written.getvalue()


def _kept_a_text(value: str) -> str:
    return f"'{value}" if value.startswith(FORMULA) else value


def _runs(refs: Iterable[str]) -> dict[str, Run]:
    rows = Run.objects.filter(pk__in=[UUID(Ref.parse(ref).id) for ref in refs]).select_related("playbook").defer("plan", "target", "terms")
    return {str(run.ref): run for run in rows}


def _line(run: Run | None, run_ref: str, identity: Thing, state: str, said: str) -> Line:
    words, tone = MEMBERS[state]
    return Line(identity, run, f"/runs/{Ref.parse(run_ref).id}/", state, words, tone, said)


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
