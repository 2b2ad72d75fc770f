"""A grouped hold as its viewer may see it: how many, which kinds and where, the highest risks, and what either answer would do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, QuerySet

from approvals.models import GroupMember, Hold
from audit import clock
from console import said, timelines
from console.controls import Control
from console.timelines import Moment
from console.views_of import answering as people
from console.views_of.answering import AnswerLine
from console.views_of.queue import HoldRow
from containment.models import Decision
from core.actor import Actor
from core.refs import Ref
from playbooks import switch

MOST_SHOWN = 8
OF_MEMBERS = ("group.joined", "group.left", "group.followed")  # hundreds; the list of members says each
STATES = {"waiting": ("waits", "accent"), "followed": ("done", "ok"), "left": ("left", "quiet")}


@dataclass(frozen=True, slots=True)
class Line:
    """One member, with its links."""

    id: UUID
    name: str
    kind: str
    environment: str
    title: str
    because: str
    risk: float
    soft: float
    hard: float
    identity_url: str
    case_url: str
    state: str
    tone: str
    said: str
    plan_digest: str
    alone: Control


@dataclass(frozen=True, slots=True)
class Counted:
    words: str
    count: int


@dataclass(frozen=True, slots=True)
class GroupCard:
    id: UUID
    live: str
    name: str
    title: str
    because: str
    is_open: bool
    gathers: bool
    gathers_until: datetime | None
    deadline: datetime
    total: float
    follows: str
    tone: str
    ended: str
    plan_digest: str
    waiting: int
    followed: int
    left: int
    kinds: tuple[Counted, ...]
    environments: tuple[Counted, ...]
    plans: tuple[Counted, ...]
    highest: tuple[Line, ...]
    timeline: tuple[Moment, ...]
    answers: tuple[AnswerLine, ...]
    quorum: int
    missing: int
    waits_for: str
    answering: Control
    extending: Control
    is_group: bool = True
    is_call: bool = False
    stopped: str = ""

    @property
    def rejecting(self) -> dict[str, str]:
        """What the form of “leave them running” carries beside the reason."""
        return {"word": "reject", "plan_digest": self.plan_digest}


def card(found: Hold, viewer: Actor) -> GroupCard:
    terms = found.as_terms()
    answers = list(found.answers.select_related("person"))
    seen = _seen(found)
    states = dict(seen.order_by().values_list("state").annotate(count=Count("pk")))
    waiting = states.get("waiting", 0)
    asked = waiting if found.is_open else waiting + states.get("followed", 0)
    members = seen.exclude(state="left")
    answering = people.answering(found, terms, answers, viewer)
    tone, ended = _ending(found, states)
    return GroupCard(
        id=found.pk,
        live=str(found.ref),
        name=named(asked),
        title=found.title,
        because=found.because,
        is_open=found.is_open,
        stopped=switch.said_no() if found.is_open else "",
        gathers=found.gathers and found.gathers_until is not None and clock.now() < found.gathers_until,
        gathers_until=found.gathers_until,
        deadline=found.deadline,
        total=(found.deadline - found.opened_at).total_seconds(),
        follows=said.at_zero(found, restricted=False).replace("it is", "all of them are"),
        tone=tone,
        ended=ended,
        plan_digest=found.plan_digest,
        waiting=waiting,
        followed=states.get("followed", 0),
        left=states.get("left", 0),
        kinds=_counted(members, "kind"),
        environments=_counted(members, "environment"),
        plans=_plans(found),
        highest=tuple(lines(members.order_by("-risk", "seq")[:MOST_SHOWN], found, viewer)),
        timeline=timelines.of([str(found.ref)], without=OF_MEMBERS),
        answers=tuple(AnswerLine(str(answer.person), answer.word, answer.at, answer.reason) for answer in answers),
        quorum=terms.quorum,
        missing=max(0, terms.quorum - sum(answer.word == "approve" for answer in answers)),
        waits_for=said.and_join([group.name for group in terms.asked]),
        answering=answering,
        extending=people.extending(found, answering),
    )


def _seen(found: Hold) -> QuerySet[GroupMember]:
    """The list that the digest on the page names: who joins while it is put together is not on it yet."""
    last = found.members.filter(list_digest=found.plan_digest).values_list("seq", flat=True).first()
    return found.members.all() if last is None else found.members.filter(seq__lte=last)


def named(count: int) -> str:
    return f"{count:,} {'identity' if count == 1 else 'identities'}"


def lines(members: Iterable[GroupMember], found: Hold, viewer: Actor) -> list[Line]:
    """With the thresholds that each was judged by."""
    rows = list(members)
    runs = [UUID(Ref.parse(one.run_ref).id) for one in rows]
    decided = Decision.objects.filter(run__in=runs, verdict="hold").values_list("run", "soft", "hard")
    thresholds = {f"run:{run}": (float(soft), float(hard)) for run, soft, hard in decided}
    alone = _alone(found, viewer)
    return [_line(one, *thresholds.get(one.run_ref, (0.0, 100.0)), alone=alone) for one in rows]


def _line(one: GroupMember, soft: float, hard: float, *, alone: Control) -> Line:
    state, tone = STATES[one.state]
    return Line(
        id=one.pk,
        name=one.name,
        kind=one.kind,
        environment=one.environment,
        title=one.title,
        because=one.because,
        risk=float(one.risk),
        soft=soft,
        hard=hard,
        identity_url=f"/identities/{Ref.parse(one.identity_ref).id}/",
        case_url=f"/cases/{Ref.parse(one.case_ref).id}/",
        state=state,
        tone=tone,
        said=one.closed_because,
        plan_digest=one.plan_digest,
        alone=alone if one.state == "waiting" else Control(False),
    )


def _alone(found: Hold, viewer: Actor) -> Control:
    """Taking one out takes a person who may answer; having answered the whole does not stand in the way."""
    return Control(found.is_open and people.may_answer(found, viewer))


def _counted(members: QuerySet[GroupMember], name: str) -> tuple[Counted, ...]:
    found = members.order_by().values_list(name).annotate(count=Count("pk")).order_by("-count", name)
    return tuple(Counted(str(value).replace("_", " ") or "unknown", count) for value, count in found[:MOST_SHOWN])


def _plans(found: Hold) -> tuple[Counted, ...]:
    """Which playbooks would run, at which stage, on how many."""
    rows = Decision.objects.filter(hold=found, run__state="waiting") if found.is_open else Decision.objects.filter(hold=found)
    counted = rows.order_by().values_list("playbook", "stage").annotate(count=Count("run", distinct=True)).order_by("-count")
    return tuple(Counted(f"{playbook}, {said.STAGES.get(stage, stage).lower()}", count) for playbook, stage, count in counted[:MOST_SHOWN])


def _ending(found: Hold, states: dict[str, int]) -> tuple[str, str]:
    if found.is_open:
        return "", ""
    tone, sentence = said.ending(found)
    sentence = sentence.replace("it was", "all of them were")
    done, left = states.get("followed", 0), states.get("waiting", 0)
    return tone, f"{sentence} Done for {done:,} of {done + left:,}." if found.state in {"approved", "rejected", "lapsed"} else sentence


def rows(holds: Sequence[Hold]) -> list[HoldRow]:
    """Groups as rows of the queue: how many wait, their commonest kind, their highest risk."""
    return [_row(one) for one in holds]


def _row(found: Hold) -> HoldRow:
    members = found.members.filter(state="waiting").order_by()
    kinds = list(members.values_list("kind").annotate(count=Count("pk")).order_by("-count"))
    highest = members.order_by("-risk").values_list("risk", flat=True).first()
    return HoldRow(
        id=found.pk,
        url=f"/holds/{found.pk}/",
        name=named(sum(count for _, count in kinds)),
        kind=kinds[0][0] if kinds else "",
        what=found.title,
        deadline=found.deadline,
        total=(found.deadline - found.opened_at).total_seconds(),
        risk=float(highest or 0),
        soft=0,
        hard=0,
    )
