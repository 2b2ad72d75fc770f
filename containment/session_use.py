"""What a session used: its budgets counted exactly, and where it has seen which values, so that every call can be compared with its intent.

The guard asks `facts(lock=True)` before a call, charges what it lets pass, and learns the result afterwards; a detection or a feed tells of
a call that happened, and `hear` does all three where its teller may, else it only compares. Values are kept as fingerprints under a key of
the session alone, and go when it ends. The row of SessionUse is locked after Identity, Budget and Case, right after that of its Session,
and before Run; those of a session before those of the ones that work for it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from containment import documents
from containment.domain import intent, values
from containment.domain.event import Event
from containment.domain.facts import BoundRule, CallFacts, IntentFacts
from containment.domain.intent import Seen
from containment.models import Session, SessionMark, SessionUse, Source, WorkDocument
from core.actor import Actor
from core.digest import plain

PERIODS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1), "session": None}
COUNTED = ("calls", "writes", "bytes", "money")
MOST_MARKS_OF_A_TEXT = 2_000
MOST_MARKS = 20_000
MOST_PLACES = 20_000  # those that its calls went to, in room of their own: what a session reads must not make it forget where it wrote
BELIEVED = 0.5  # a source that is trusted less teaches no session anything, whoever owns its token
KEPT_AFTER_LAST_SIGN = timedelta(days=1)
TIDIED_AT_ONCE = 50
DEEPEST = 8  # so many sessions may one work for, each for the next
Places = Callable[[], frozenset[str]]
_NOBODY: Mapping[UUID, SessionUse] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Approved:
    """What a session declared, and the profile in force that it lies inside. No document: none is in force, and nothing is approved.
    `above`: the sessions that it works for, from the first of them down: it may do no more than they, and uses up what they may use."""

    declared: Mapping[str, Any]
    document: WorkDocument | None
    above: tuple[Above, ...] = ()

    @property
    def profile(self) -> Mapping[str, Any]:
        return self.document.body if self.document else {}

    @property
    def says_anything(self) -> bool:
        return bool(self.declared) or self.document is not None or any(one.approved.says_anything for one in self.above)


@dataclass(frozen=True, slots=True)
class Above:
    """A session that another one works for, and what was approved for it by itself."""

    session: Session
    approved: Approved


@dataclass(frozen=True, slots=True)
class Told:
    """A call and the intent of its session, as they stood before it. `intent` None: nobody approved anything for this session. `targets`:
    the places that it goes to, each as one mark."""

    call: CallFacts
    intent: IntentFacts | None
    targets: frozenset[str] = frozenset()


def approved_for(session: Session) -> Approved:
    """Where a session declared nothing, the profile in force for its workflow is its intent, or else its parent's. Only a workflow of the
    inventory counts."""
    above = tuple(Above(one, _of_its_own(one)) for one in ancestors(session))
    mine = _of_its_own(session)
    if not mine.says_anything and above:
        nearest = [one.approved.document for one in above if one.approved.document is not None]
        mine = Approved({}, nearest[-1] if nearest else None)
    return replace(mine, above=above)


def _of_its_own(session: Session) -> Approved:
    name = str(session.intent.get("profile") or session.workflow)
    return Approved(session.intent, documents.in_force(name) if name else None)


def ancestors(session: Session) -> list[Session]:
    """The sessions that it works for, the first of them first. As many as there may be, and one more."""
    found: list[Session] = []
    above = session.parent_id
    while above is not None and len(found) <= DEEPEST:
        parent = Session.objects.select_related("identity").get(pk=above)
        found.insert(0, parent)
        above = parent.parent_id
    return found


def begin(session: Session, texts: Iterable[str]) -> None:
    """What the task says, and the values that were declared with it, are named by the task from now on."""
    use = _locked(session)
    for text in texts:
        _remember(session, use, values.marks_in(text), Seen.TASK)
    _save(use)


def facts(session: Session, event: Event, *, now: datetime, lock: bool = False) -> Told:
    """The call of `event` beside its session's intent, with what is used so far. `lock`: nobody else counts until the transaction ends, so
    that a budget of ten lets ten pass, its own and those of the sessions that it works for."""
    approved = approved_for(session)
    uses = {one.pk: _locked(one) if lock else _unlocked(one) for one in (*(above.session for above in approved.above), session)}
    return compared(uses[session.pk], approved, event, now=now, seen=lambda marks: _seen(session, marks), above=uses)


def compared(
    use: SessionUse,
    approved: Approved,
    event: Event,
    *,
    now: datetime,
    seen: intent.Look,
    above: Mapping[UUID, SessionUse] = _NOBODY,
) -> Told:
    """The same, of rows that somebody read already. `seen` says where the session has seen values; it is asked once. `above`: what the
    sessions have used that it works for."""
    rules, bounds = intent.tool_rules(approved.profile.get("tools", ())), _bounds(approved)
    said = intent.read_call(event.tool, event.arguments, rules=rules, bounds=bounds)
    call = intent.call_facts(
        event.tool,
        event.arguments,
        rules=rules,
        bounds=bounds,
        writes=event.writes,
        size=event.bytes,
        money=event.money or None,
        seen=seen,
        said=said,
    )
    if not approved.says_anything:
        return Told(call, None, said.targets)
    mine = _meant(approved, _used(use, approved, lambda: said.targets, call.new_targets, now))
    over = [_above(one, above.get(one.session.pk) or _unlocked(one.session), said.targets, now) for one in approved.above]
    return Told(call, intent.under(mine, over), said.targets)


def charge(session: Session, event: Event, call: CallFacts, *, now: datetime) -> None:
    """Count a call that happens: in every window, and its targets as touched. Whatever a session uses, those that it works for use."""
    approved = approved_for(session)
    targets = targets_of(event, approved)
    for one in (*(above.session for above in approved.above), session):
        use = _locked(one)
        touched = count(use, event, call, targets, now=now, seen=_seen(one, targets))
        use.marks += _write(one, touched, Seen.TOUCHED, now)
        _save(use)


def count(
    use: SessionUse, event: Event, call: CallFacts, targets: Collection[str], *, now: datetime, seen: Mapping[str, Seen]
) -> list[str]:
    """The same in memory: the windows as they are afterwards, and the places to be written down. Nothing is read or written."""
    takes = {"calls": 1, "writes": 0 if call.writes is False else 1, "bytes": call.bytes, "money": call.money}
    for period in PERIODS:
        window = _window(use, period, now)
        for what in COUNTED:
            window[what] = window.get(what, 0) + takes[what] * event.count
        use.windows[period] = window
    return _touch(use, targets, seen)


def charge_bytes(session: Session, moved: int, *, now: datetime) -> None:
    """What a call that was counted turned out to move beyond what was said before."""
    for one in (*ancestors(session), session):
        use = _locked(one)
        for period in PERIODS:
            window = _window(use, period, now)
            window["bytes"] = window.get("bytes", 0) + moved
            use.windows[period] = window
        _save(use)


def learn(session: Session, event: Event) -> None:
    """What the call returned: where a later argument may come from."""
    if not event.returned:
        return
    use = _locked(session)
    rules = intent.tool_rules(approved_for(session).profile.get("tools", ()))
    standing = intent.standing_of_result(event.tool, event.arguments, rules, lambda marks: _seen(session, marks))
    for text in event.returned:
        _remember(session, use, values.marks_in(text), standing)
    _save(use)


def may_teach(session: Session, source: Source, actor: Actor) -> bool:
    """Whose word counts for what a session did and what its tools returned: the party's that registered it, and a feed's that is set up to
    tell what identities do. Anybody else could make a value trusted, or use up what the session may."""
    if source.teaches:
        return True
    return bool(actor.principal) and session.registered_by == actor.principal and source.trust >= BELIEVED


def hear(session: Session, event: Event, *, source: Source, actor: Actor, now: datetime) -> Told:
    """A call that somebody tells of. What a stranger says is compared with the intent, and neither counted nor remembered."""
    return note(session, event, now=now) if may_teach(session, source, actor) else facts(session, event, now=now)


def note(session: Session, event: Event, *, now: datetime) -> Told:
    """A call that happened: what it was beside its intent, counted and learned."""
    told = facts(session, event, now=now, lock=True)
    charge(session, event, told.call, now=now)
    learn(session, event)
    return told


@dataclass(frozen=True, slots=True)
class Standing:
    """A session with what it was approved for, how much of that is gone, and whether its memory is full."""

    session: Session
    intent: IntentFacts
    remembers: int
    full_at: datetime | None


def standings(sessions: Iterable[Session], *, now: datetime) -> list[Standing]:
    """Of those for which anything was approved. Two queries for all, one for each that has a budget of targets, and a few for each that
    works for another one."""
    wanted = list(sessions)
    names = {str(session.intent.get("profile") or session.workflow) for session in wanted} - {""}
    found = WorkDocument.objects.filter(state="in_force", name__in=names).order_by("-kind")  # a profile before a workflow of that name
    bodies = {document.name: document for document in found}
    uses = SessionUse.objects.in_bulk([session.pk for session in wanted])
    made = []
    for session in wanted:
        approved = Approved(session.intent, bodies.get(str(session.intent.get("profile") or session.workflow)))
        if session.parent_id is not None:
            approved = approved_for(session)
        use = uses.get(session.pk) or SessionUse(session=session)
        if approved.says_anything:
            mine = _meant(approved, _used(use, approved, frozenset, 0, now))
            above = [_above(one, _unlocked(one.session), frozenset(), now) for one in approved.above]
            made.append(Standing(session, intent.under(mine, above), use.marks, use.full_at))
    return made


def kept(told: Told) -> dict[str, Any]:
    """As a detection keeps it: what gather reads back."""
    return {"call": plain(told.call), "intent": plain(told.intent) if told.intent else None}


def forget(session: Session) -> None:
    """The session is over: its counts stay, what it has seen goes."""
    use = _locked(session)
    if whole := use.windows.get("session"):
        whole["beyond"] = whole.get("beyond", 0) + whole.pop("places", 0)
    use.marks = 0
    _save(use)
    SessionMark.objects.filter(session=session).delete()


def tidy(*, now: datetime) -> int:
    """Forget what sessions have seen that went away without ending. Each by itself: a call of one does not wait for all."""
    before = now - KEPT_AFTER_LAST_SIGN
    gone = Session.objects.filter(use__marks__gt=0, last_seen_at__lt=before).values_list("pk", flat=True)
    return sum(_tidied(key, before) for key in gone[:TIDIED_AT_ONCE])


@transaction.atomic
def _tidied(key: UUID, before: datetime) -> bool:
    rows = Session.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
    session = rows.filter(pk=key, last_seen_at__lt=before).first()
    if session is not None:
        forget(session)
    return session is not None


def _meant(approved: Approved, used: Mapping[str, float]) -> IntentFacts:
    document = approved.document
    return intent.intent_of(
        approved.declared,
        approved.profile,
        name=document.name if document else "",
        version=document.version if document else 0,
        used=used,
    )


def _above(one: Above, use: SessionUse, targets: frozenset[str], now: datetime) -> IntentFacts:
    """What a session above may do, with what this call is to it. No intent of its own limits nothing."""
    seen = _seen(one.session, targets)
    new = sum(not seen.get(target, Seen.NOWHERE) & Seen.TOUCHED for target in targets)
    meant = _meant(one.approved, _used(use, one.approved, lambda: targets, new, now))
    budgets = tuple(replace(budget, new_targets=new if budget.what == "targets" else None) for budget in meant.budgets)
    return replace(meant, budgets=budgets, of=f"the session {one.session.external_id}, which it works for,")


# -- counting -----------------------------------------------------------------------------------------------------------------------------


def _locked(session: Session) -> SessionUse:
    """Whoever counts may pause the session afterwards, and whoever ends it counts: both lock the session first."""
    Session.objects.select_for_update(no_key=True).values_list("pk").get(pk=session.pk)
    SessionUse.objects.bulk_create([SessionUse(session=session)], ignore_conflicts=True)
    return SessionUse.objects.select_for_update().get(session=session)


def _unlocked(session: Session) -> SessionUse:
    return SessionUse.objects.filter(session=session).first() or SessionUse(session=session)


def _save(use: SessionUse) -> None:
    use.save(update_fields=["windows", "marks", "full_at"])


def _window(use: SessionUse, period: str, now: datetime) -> dict[str, Any]:
    """The window that `now` falls into. One begins with its first call, and the next one with the first call after it is over."""
    window = use.windows.get(period, {})
    length = PERIODS[period]
    if window and length is not None and now - datetime.fromisoformat(window["from"]) >= length:
        window = {}
    return dict(window) or {"from": now.isoformat()}


def _used(use: SessionUse, approved: Approved, targets: Places, new_targets: int, now: datetime) -> dict[str, float]:
    """How much of each budget went before. `targets`: those of the call at hand, which count as touched by it."""
    used: dict[str, float] = {}
    for period in PERIODS:
        window = _window(use, period, now)
        used |= {f"{what}_per_{period}": float(window.get(what, 0)) for what in COUNTED}
        used[f"targets_per_{period}"] = 0.0
    for name in {*approved.declared.get("budgets", {}), *approved.profile.get("budgets", {})}:
        if name.startswith("targets_per_"):
            window = _window(use, name.removeprefix("targets_per_"), now)
            began = datetime.fromisoformat(window["from"])
            used[name] = float(window.get("beyond", 0)) + float(_distinct(use.session, began, targets()) - new_targets)
    return used


def _distinct(session: Session, began: datetime, targets: Collection[str]) -> int:
    """How many places the session has gone to since then, those of this call among them."""
    mine = set(fingerprints(session, targets).values())
    touched = SessionMark.objects.filter(session=session, touched_at__gte=began)
    return touched.exclude(mark__in=mine).count() + len(mine)


def targets_of(event: Event, approved: Approved) -> frozenset[str]:
    """The places that a call goes to, each as one mark."""
    rule = intent.rule_for(event.tool, intent.tool_rules(approved.profile.get("tools", ())))
    return intent.read(event.arguments, rule.kinds if rule else ()).targets


def _bounds(approved: Approved) -> tuple[BoundRule, ...]:
    profile = intent.bound_rules(approved.profile.get("bounds", {}), approved=True)
    above = (replace(bound, approved=False) for one in approved.above for bound in _bounds(one.approved))
    return (*profile, *intent.bound_rules(approved.declared.get("bounds", {}), approved=False), *above)


# -- remembering --------------------------------------------------------------------------------------------------------------------------


def _seen(session: Session, marks: Collection[str]) -> Mapping[str, Seen]:
    """One query for all of them."""
    if not marks:
        return {}
    names = {fingerprint: mark for mark, fingerprint in fingerprints(session, marks).items()}
    rows = SessionMark.objects.filter(session=session, mark__in=list(names)).values_list("mark", "seen")
    return {names[bytes(mark)]: Seen(seen) for mark, seen in rows}


def _remember(session: Session, use: SessionUse, marks: Collection[str], standing: Seen) -> None:
    room = min(MOST_MARKS_OF_A_TEXT, MOST_MARKS - (use.marks - _places(use)))
    kept = sorted(marks, key=lambda mark: (mark.isalpha(), len(mark) < 3, mark))[: max(0, room)]  # what tells most comes first
    if len(kept) < len(marks) and room < MOST_MARKS_OF_A_TEXT and use.full_at is None:
        use.full_at = session.last_seen_at
    use.marks += _write(session, kept, standing, None)


def _touch(use: SessionUse, targets: Collection[str], seen: Mapping[str, Seen]) -> list[str]:
    """Where a call went. New places for which there is no room are counted instead: each counts as new again the next time."""
    known = [target for target in sorted(targets) if seen.get(target, Seen.NOWHERE) & Seen.TOUCHED]
    new = sorted({*targets} - {*known})
    kept = new[: max(0, MOST_PLACES - _places(use))]
    if kept:
        use.windows["session"]["places"] = _places(use) + len(kept)
    beyond = len(new) - len(kept)
    for period in PERIODS if beyond else ():
        use.windows[period]["beyond"] = use.windows[period].get("beyond", 0) + beyond
    return [*known, *kept]


def _places(use: SessionUse) -> int:
    """How many of its marks are places. Counted in the window that never begins anew."""
    return int(use.windows.get("session", {}).get("places", 0))


def _write(session: Session, marks: Collection[str], standing: Seen, touched_at: datetime | None) -> int:
    """Says how many of them are new."""
    if not marks:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO session_mark (session_id, mark, seen, touched_at)
            SELECT %s, mark, %s, %s FROM unnest(%s::bytea[]) AS mark
            ON CONFLICT (session_id, mark) DO UPDATE
            SET seen = session_mark.seen | excluded.seen, touched_at = coalesce(excluded.touched_at, session_mark.touched_at)
            RETURNING (xmax = 0)
            """,
            [session.pk, int(standing), touched_at, sorted(fingerprints(session, marks).values())],
        )
        return sum(new for (new,) in cursor.fetchall())


def fingerprints(session: Session, marks: Iterable[str]) -> dict[str, bytes]:
    key = _key(session.pk)
    return {mark: hashlib.blake2b(mark.encode("utf-8", "surrogatepass"), key=key, digest_size=16).digest() for mark in marks}


@lru_cache(maxsize=2_000)
def _key(session: UUID) -> bytes:
    return hmac.digest(settings.SEAL_KEY, b"holdfast-session-marks-v1" + session.bytes, "sha256")
