"""Groups: one hold that asks about many runs. Joining, leaving, closing the list, and what is left to do once people have answered.

Called by containment.flow, inside its story and with the Run locked already; the group is locked here. While a group gathers, its list
grows at the end, and each member's `list_digest` names the list up to and including it. So an answer says exactly how much of the list was
on the screen: the list closes there (`close_list`), whoever came later waits in the next group, and nothing runs that was not read. A list
also closes by itself, after half of its patience. Who leaves makes the list smaller and needs no new answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import ceil
from uuid import UUID

from django.db import IntegrityError
from django.db.models.functions import Now

from accounts import actors
from accounts.models import Person
from accounts.roles import roles_with
from approvals import holds, requests
from approvals.domain import lapse as lapses
from approvals.domain import quorum
from approvals.domain.moves import MEMBER
from approvals.domain.quorum import Terms
from approvals.models import GroupMember, Hold
from approvals.refusals import AlreadyEnded, PlanChanged
from audit import clock
from audit.record import attempt, record, story
from core.actor import SYSTEM, Actor
from core.digest import digest
from core.ids import uuid7
from core.refs import Ref

Reviewed = Callable[[int, Mapping[str, str]], Terms]  # quorum, who never counts -> terms

QUORUM = 2
MOST_MEMBERS = 5000
RETRY_AFTER = timedelta(seconds=30)
LONGEST_RETRY = timedelta(hours=1)
STRIKES = 3  # attempts that end in nothing before it is written down
TITLE = "More to contain than the budget allows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A run that waits, and what people are shown of it. `never` and `quorum` are what its own hold would have said; `team`: who answers
    for its environment, by name; empty where everybody who answers holds does."""

    run_ref: str
    case_ref: str
    identity_ref: str
    name: str
    kind: str
    environment: str
    team: str = ""
    title: str
    because: str
    risk: float
    plan_digest: str
    versions: Mapping[str, str] = field(default_factory=dict)
    never: Mapping[str, str] = field(default_factory=dict)
    quorum: int = 1


@dataclass(frozen=True, slots=True)
class Closed:
    """A list that was closed before its end: who came after that, and the hold that asks about them."""

    later: Hold
    run_refs: Sequence[str]


@story
def join(candidate: Candidate, *, reviewers: Reviewed, patience: timedelta, because: str) -> Hold | None:
    """The group that now asks about this run as well, or None where too few people could answer it then: ask about this one by itself.

    `reviewers` says whom a new group asks: as many people as it takes can answer it, wherever there are that many.
    """
    hold, last = _gathering(candidate, reviewers, patience, because)
    before = hold.as_terms()
    terms = _with(before, candidate)
    newly_barred = set(candidate.never) - set(before.never)
    if newly_barred and last > hold.plan["after"] and _could_answer(newly_barred) and not enough(terms):
        return None
    member = GroupMember(
        hold=hold,
        seq=last + 1,
        run_ref=candidate.run_ref,
        case_ref=candidate.case_ref,
        identity_ref=candidate.identity_ref,
        name=candidate.name,
        kind=candidate.kind,
        environment=candidate.environment,
        title=candidate.title,
        because=candidate.because,
        risk=candidate.risk,
        plan_digest=candidate.plan_digest,
        list_digest=link(hold.plan_digest, candidate.run_ref, candidate.plan_digest),
        asks={"quorum": candidate.quorum, "never": dict(candidate.never), "versions": dict(candidate.versions)},
        joined_at=clock.now(),
    )
    hold.plan_digest = member.list_digest
    if terms != before:
        hold.terms = terms.to_json()
    hold.save(update_fields=["plan_digest"] if terms == before else ["plan_digest", "terms"])
    member.save(force_insert=True)
    record("group.joined", hold.ref, actor=SYSTEM, about=member.about, name=member.name, seq=member.seq, list_digest=member.list_digest)
    return hold


@story
def leave(run_ref: str, because: str, *, actor: Actor) -> GroupMember | None:
    """The run waits for its group no longer. None where it is in no group that is still open."""
    hold_id = GroupMember.objects.filter(run_ref=run_ref, state="waiting").values_list("hold", flat=True).first()
    hold = Hold.objects.select_for_update(of=("self",)).filter(pk=hold_id).first() if hold_id else None
    if hold is None or not hold.is_open:
        return None
    member = GroupMember.objects.select_for_update(of=("self",)).filter(run_ref=run_ref, state="waiting").first()
    if member is None:
        return None
    if member.hold_id != hold.pk:
        raise AlreadyEnded("The list was closed just now, and this one waits in the next. Try again.")
    settle(member, "leave", because=because, actor=actor)
    if not hold.members.filter(state="waiting").exists():
        holds.withdraw(hold.pk, "Nobody in it needs an answer any more.", actor=SYSTEM)
    return member


@story
def close_list(hold_id: UUID, seen_digest: str) -> Closed | None:
    """Nobody joins this list any more; whoever joined after what was seen waits in the next group. None where nobody did.

    PlanChanged where nobody who was seen still waits. A digest that names no list of this group changes nothing: answering refuses it.
    """
    hold = Hold.objects.select_for_update(of=("self",)).filter(pk=hold_id, grouped=True).first()
    if hold is None or not hold.gathers or not hold.is_open or hold.deadline <= clock.now():
        return None
    seen = hold.members.filter(list_digest=seen_digest).first()
    if seen is None:
        return None
    waiting = list(hold.members.filter(state="waiting").order_by("seq"))
    kept, later = [one for one in waiting if one.seq <= seen.seq], [one for one in waiting if one.seq > seen.seq]
    if not kept:
        raise PlanChanged("Nobody on the list that you read needs an answer any more. Read it again.", plan_digest=hold.plan_digest)
    hold.gathers, hold.plan_digest, hold.terms = False, seen.list_digest, _only(hold.as_terms(), kept).to_json()
    hold.save(update_fields=["gathers", "plan_digest", "terms"])
    record("group.closed", hold.ref, actor=SYSTEM, members=len(kept), later=len(later), list_digest=seen.list_digest)
    if not later:
        return None
    following = _open(
        _only(hold.as_terms(), later),
        patience=hold.patience,
        because=hold.because,
        team=hold.asks_team,
        after=later[-1].seq,
        reads=later[-1].list_digest,
    )
    GroupMember.objects.filter(pk__in=[one.pk for one in later]).update(hold=following)
    requests.follow_group(following, [one.run_ref for one in later])
    return Closed(following, [one.run_ref for one in later])


def of_run(run_ref: str) -> GroupMember | None:
    """The place of a run in a group that is still open."""
    return GroupMember.objects.filter(run_ref=run_ref, state="waiting", hold__state="open").select_related("hold").first()


def due(limit: int) -> list[UUID]:
    """Members whose group has ended and whose run does not know yet. Found without a lock: lock the Run, then lock_due()."""
    return list(GroupMember.objects.filter(next_at__lte=Now()).order_by("next_at", "id").values_list("id", flat=True)[:limit])


def lock_due(member_id: UUID) -> GroupMember | None:
    """None where another worker was faster."""
    return (
        GroupMember.objects.select_for_update(of=("self",))
        .select_related("hold")
        .filter(pk=member_id, state="waiting", next_at__isnull=False)
        .first()
    )


@story
def settle(member: GroupMember, move: str, *, because: str, actor: Actor) -> None:
    """What was said about it is done, or it needs no answer any more. Its row is locked."""
    was, member.state = member.state, MEMBER.after(member.state, move)
    member.closed_at, member.closed_because, member.next_at = clock.now(), because, None
    member.save(update_fields=["state", "closed_at", "closed_because", "next_at"])
    ref = member.hold.ref
    record(f"group.{member.state}", ref, actor=actor, about=member.about, name=member.name, was=was, because=because)


@story
def begin(member_id: UUID) -> bool:
    """Count an attempt before it is made, and let the others go first: a member that kills workers holds up nobody. False where another
    worker was faster."""
    due = GroupMember.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=member_id, state="waiting", next_at__lte=Now())
    member = due.first()
    if member is None:
        return False
    member.strikes = min(member.strikes + 1, 1000)
    member.next_at = clock.now() + min(RETRY_AFTER * 2 ** min(member.strikes - 1, 10), LONGEST_RETRY)
    member.save(update_fields=["strikes", "next_at"])
    if member.strikes == STRIKES + 1:
        ref = Ref.to("hold", member.hold_id)
        record("group.struck", ref, actor=SYSTEM, about=member.about, name=member.name, attempts=STRIKES)
    return True


def postpone(member_id: UUID) -> None:
    """It was refused, for a reason that passes: no strike."""
    GroupMember.objects.filter(pk=member_id, next_at__isnull=False).update(next_at=clock.now() + RETRY_AFTER, strikes=0)


def enough(terms: Terms) -> bool:
    """Could as many people answer as it takes?"""
    could = 0
    answerers = Person.objects.filter(is_active=True, role_grants__role__in=roles_with("hold.answer")).distinct()
    for person in answerers.prefetch_related("role_grants", "teams"):
        could += bool(quorum.admits(terms, actors.of_person(person)))
        if could >= terms.quorum:
            return True
    return False


def link(before: str, run_ref: str, plan_digest: str) -> str:
    """The digest of a list that gains one more: over the list before it, the run, and the digest of its plan."""
    return digest({"after": before, "run": run_ref, "plan": plan_digest})


def _gathering(candidate: Candidate, reviewers: Reviewed, patience: timedelta, because: str) -> tuple[Hold, int]:
    """The group of the same team that takes members, locked, and the number of its last one; a new group where there is none. An answer may
    close one while this waits for its lock, and open the next: then that one is found."""
    while True:
        hold = Hold.objects.select_for_update(of=("self",)).filter(gathers=True, asks_team=candidate.team).first()
        if hold is not None:
            last = hold.members.order_by("-seq").values_list("seq", flat=True).first() or hold.plan["after"]
            if _takes_more(hold, last):
                return hold, last
        try:
            with attempt():
                terms = reviewers(max(QUORUM, candidate.quorum), candidate.never)
                return _open(terms, patience=patience, because=because, team=candidate.team), 0
        except IntegrityError:
            continue


def _takes_more(hold: Hold, last: int) -> bool:
    """False, and closed, where its time to gather is over or its list is full."""
    now = clock.now()
    room = last - hold.plan["after"] < MOST_MEMBERS
    if room and hold.gathers_until is not None and now < min(hold.gathers_until, hold.deadline):
        return True
    hold.gathers = False
    hold.save(update_fields=["gathers"])
    record("group.closed", hold.ref, actor=SYSTEM, members=hold.members.filter(state="waiting").count(), later=0)
    return False


def _open(terms: Terms, *, patience: timedelta, because: str, team: str, after: int = 0, reads: str = "") -> Hold:
    """`after`, `reads`: the last number and the digest of its list, where it takes over members of another."""
    now, key = clock.now(), uuid7()
    hold = Hold.objects.create(
        id=key,
        run_ref="",
        case_ref="",
        identity_ref="",
        title=TITLE,
        because=because,
        reason_class="budget",
        plan={"after": after},
        plan_digest=reads or digest({"group": str(key)}),
        terms=terms.to_json(),
        opened_at=now,
        deadline=now + patience,
        patience_s=ceil(patience.total_seconds()),
        on_lapse=lapses.silence(terms, "escalate", "release"),
        in_the_end="release",
        extensions_max=holds.EXTENSIONS,
        grouped=True,
        gathers=True,
        gathers_until=now + patience / 2,
        asks_team=team,
    )
    record(
        "hold.opened",
        hold.ref,
        actor=SYSTEM,
        title=hold.title,
        reason_class=hold.reason_class,
        because=because,
        plan_digest=hold.plan_digest,
        deadline=hold.deadline,
        on_lapse=hold.on_lapse,
        quorum=terms.quorum,
        reviewers=[group.name for group in terms.asked],
    )
    return hold


def _with(terms: Terms, candidate: Candidate) -> Terms:
    return replace(terms, quorum=max(terms.quorum, candidate.quorum), never={**candidate.never, **terms.never})


def _only(terms: Terms, members: Sequence[GroupMember]) -> Terms:
    """The terms as these members alone ask for them."""
    never: dict[str, str] = {}
    for member in members:
        never |= member.asks["never"]
    return replace(terms, quorum=max(QUORUM, *(member.asks["quorum"] for member in members)), never=never)


def _could_answer(principals: set[str]) -> bool:
    keys = [key for key in principals if _is_uuid(key)]
    return Person.objects.filter(pk__in=keys, role_grants__role__in=roles_with("hold.answer")).exists()


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
