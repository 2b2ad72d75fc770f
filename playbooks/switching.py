"""Turning the kill switch. On, or harder, by one person and at once; off, or milder, by two: one asks, another agrees.

Whoever acts reads the row itself (switch.py), so what is committed here holds in every process with its next step. Rooms further up that
keep work back meanwhile name in `milder` what they wake again.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from accounts import actors
from audit import clock
from audit.record import record, story
from core import masking
from core.actor import Actor
from core.refs import Ref
from core.refusals import BadInput, Fault
from playbooks.models import KillSwitch
from playbooks.models.switch import HARDNESS
from playbooks.refusals import AlreadyAsked, AskChanged, NothingAsked, NotMilder, NotYourSwitch, TakesTwo
from playbooks.switch import Position

ON, OFF = "killswitch.on", "killswitch.off"
REF = Ref.to("killswitch", 1)
LONGEST_REASON = 2000
WORDS: dict[str, str] = {"off": "off", "no_new": "no new containment", "nothing": "nothing"}

milder: list[Callable[[], None]] = []  # called in the story that makes it milder, after the row is written


@story
def turn(position: Position, because: str, *, actor: Actor) -> KillSwitch:
    """On, or from “no new containment” to “nothing”. The reason may be empty: at three in the morning the click comes first. Where it
    stands there already nothing changes. What was asked of another person before is void."""
    _must_be_a_person(actor, ON)
    because, row = _checked(because), _locked()
    if row.position == position:
        return row
    if HARDNESS[position] < HARDNESS[row.position]:
        raise TakesTwo(f"It is at “{WORDS[row.position]}”. Switching it to “{WORDS[position]}” takes two people: ask, and another agrees.")
    row.position, row.because, row.by_id, row.at = position, because, _key(actor), clock.now()
    _forget_what_was_asked(row)
    row.save()
    record("killswitch.set", REF, actor=actor, position=WORDS[position], reason=because or "no reason was given")
    return row


@story
def ask_lift(to: Position, because: str, *, actor: Actor) -> KillSwitch:
    """Ask for a milder position. It changes nothing before another person agrees."""
    _must_be_a_person(actor, OFF)
    because, row = _checked(because), _locked()
    if not because:
        raise BadInput([Fault("because", "required", "Say why it may be switched so: another person reads it, and agrees or not.")])
    if HARDNESS[to] >= HARDNESS[row.position]:
        raise NotMilder(f"It is at “{WORDS[row.position]}” already." if to == row.position else f"“{WORDS[to]}” is not milder.")
    if row.is_asked and (row.lift_to, row.lift_by_id) != (to, _key(actor)):
        raise AlreadyAsked(f"{row.lift_by} has asked for “{WORDS[row.lift_to]}” already. Agree to that, or have it withdrawn first.")
    if not row.is_asked:
        row.lift_to, row.lift_because, row.lift_by_id, row.lift_at = to, because, _key(actor), clock.now()
        row.save()
        record("killswitch.lift_asked", REF, actor=actor, position=WORDS[to], reason=because)
    return row


@story
def withdraw_lift(*, actor: Actor) -> KillSwitch:
    """Whoever asked no longer does."""
    _must_be_a_person(actor, OFF)
    row = _asked()
    if row.lift_by_id != _key(actor):
        raise NotYourSwitch(f"Only {row.lift_by}, who asked, withdraws it. Whoever does not agree leaves it as it is.")
    record("killswitch.lift_withdrawn", REF, actor=actor, position=WORDS[row.lift_to])
    _forget_what_was_asked(row)
    row.save()
    return row


@story
def lift(actor: Actor, *, seen: str = "") -> KillSwitch:
    """Another person agrees, and it is so. `seen`: what was asked for on their screen."""
    _must_be_a_person(actor, OFF)
    row = _asked()
    if row.lift_by_id == _key(actor):
        raise NotYourSwitch("You asked for it, so somebody else has to agree.")
    if seen and seen != row.lift_to:
        raise AskChanged(f"By now “{WORDS[row.lift_to]}” is asked for. Read it again, then agree or not.")
    if row.lift_by is None or not row.lift_by.is_active or not actors.of_person(row.lift_by).may(OFF):
        raise AskChanged(f"{row.lift_by} may not switch it off any more. Somebody else has to ask.")
    was, row.position = row.position, row.lift_to
    row.because, row.by_id, row.at = row.lift_because, _key(actor), clock.now()
    row.save()  # who asked stays in the row: the database compares the two
    asked_by, reason = str(row.lift_by), row.lift_because
    record("killswitch.lifted", REF, actor=actor, position=WORDS[row.position], was=WORDS[was], asked_by=asked_by, reason=reason)
    for wake in milder:
        wake()
    return row


def _locked() -> KillSwitch:
    KillSwitch.objects.get_or_create(id=1)
    return KillSwitch.objects.select_for_update(of=("self",)).select_related("lift_by").get(id=1)


def _asked() -> KillSwitch:
    row = _locked()
    if not row.is_asked:
        raise NothingAsked(f"Nobody asks for another position. It is at “{WORDS[row.position]}”.")
    return row


def _key(actor: Actor) -> UUID:
    return UUID(actor.principal)


def _forget_what_was_asked(row: KillSwitch) -> None:
    row.lift_to, row.lift_because, row.lift_by, row.lift_at = "", "", None, None


def _must_be_a_person(actor: Actor, permission: str) -> None:
    if not (actor.is_person and actor.may(permission)):
        raise NotYourSwitch("The kill switch is turned by people who may do so, each with a session of their own.")


def _checked(because: str) -> str:
    if len(because) > LONGEST_REASON:
        raise BadInput([Fault("because", "too_long", f"At most {LONGEST_REASON} characters.")])
    return masking.in_text(because.strip())
