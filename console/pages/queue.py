"""The queue: what needs a decision, and one hold in full. The same page at / and at the address of a hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from approvals import requests
from approvals.models import GroupMember, Hold
from audit import clock
from console import filters, paging, refusals, said
from console.context import rail
from console.controls import Control, control
from console.deeds import page_or_part, reason_of, tried
from console.filters import Filter
from console.frame import counts, fragment, needing_a_person, set_aside, show
from console.views_of import answering, calls, groups, sources
from console.views_of import holds as shown_holds
from console.views_of import queue as lines
from console.views_of.calls import CallCard
from console.views_of.groups import STATES, GroupCard
from console.views_of.holds import HoldCard
from console.views_of.queue import CaseRow, HoldRow, SetAsideRow
from containment import budget, cases, flow, grouped
from containment.models import BudgetAlarm, Identity, Source
from containment.models.identity import KINDS
from core.actor import Actor
from core.refs import Ref
from core.refusals import Refusal

MOST = 200
SOON = timedelta(minutes=5)
FILTERS = {"all": "All", "mine": "Mine", "agents": "AI agents", "soon": "Under 5 min"}
MEMBER_FILTERS = [
    Filter("q", "About", filters.by("name__icontains"), "search", placeholder="Identity"),
    Filter("state", "State", filters.by("state"), options=[(state, words) for state, (words, _) in STATES.items()]),
    Filter("kind", "Kind", filters.by("kind"), options=filters.words(KINDS)),
]
Card = HoldCard | GroupCard | CallCard


@dataclass(frozen=True, slots=True)
class Queue:
    """`shown` is the filter that is on; `more` how many open holds did not fit."""

    rows: list[HoldRow]
    people: list[CaseRow]
    aside: list[SetAsideRow]
    retrying: Control
    shown: str
    filters: dict[str, str]
    more: int
    alarms: list[BudgetAlarm]
    observing: list[Source]

    @property
    def people_count(self) -> int:
        return len(self.people) + len(self.aside)


class AnswerForm(forms.Form):
    word = forms.ChoiceField(choices=[(word, word) for word in ("approve", "reject", "extend")])
    plan_digest = forms.CharField(max_length=80, required=False)
    seen_requests = forms.CharField(max_length=400, required=False)
    deadline = forms.CharField(max_length=40, required=False)
    reason = forms.CharField(max_length=2000, required=False, error_messages={"max_length": "A reason has at most 2000 characters."})

    def clean_seen_requests(self) -> frozenset[UUID]:
        try:
            return frozenset(UUID(word) for word in self.cleaned_data["seen_requests"].split())
        except ValueError:
            return frozenset()

    def clean_deadline(self) -> datetime | None:
        text = self.cleaned_data["deadline"]
        try:
            return datetime.fromisoformat(text) if text else None
        except ValueError:
            raise forms.ValidationError("That is not a moment.", code="invalid") from None


@allowed("read")
@require_safe
def queue(request: ActorRequest) -> HttpResponse:
    found = queue_for(request)
    if request.htmx and request.GET.get("part") == "list":
        return fragment(request, "holds/_list.html", {"queue": found})
    first = _card(found.rows[0].id, request.actor) if found.rows else None
    return show(request, "holds/page.html", {"queue": found, "card": first, "asked": request.GET.get("ask"), "showing": "list"})


@allowed("read")
@require_safe
def hold(request: ActorRequest, hold_id: UUID) -> HttpResponse:
    card = _card(hold_id, request.actor)
    if request.htmx and request.GET.get("part") == "card":
        return fragment(request, _template(card), {"card": card})
    return _page(request, card)


@allowed("read")
@require_safe
def members(request: ActorRequest, hold_id: UUID) -> HttpResponse:
    """Everybody whom a grouped hold asks about, in the order in which they joined it."""
    found = get_object_or_404(Hold, pk=hold_id, grouped=True)
    rows, bar = filters.narrowed(found.members.all(), MEMBER_FILTERS, request.GET)
    turned = paging.turn(rows, request.GET, by=("seq",), newest_first=False)
    facts = {
        "card": groups.card(found, request.actor),
        "turned": turned,
        "bar": bar,
        "lines": groups.lines(turned.rows, found, request.actor),
    }
    return page_or_part(request, "holds/members.html", "holds/_members.html", facts)


@allowed("hold.answer")
@require_POST
def ask_alone(request: ActorRequest, hold_id: UUID, member_id: UUID) -> HttpResponse:
    said = "It is asked about by itself now. This is its own plan."
    alone = tried(request, lambda: grouped.ask_alone(member_id, actor=request.actor), said=said)
    return redirect("hold", alone.pk) if alone else redirect("hold_members", hold_id)


@allowed("hold.answer")
@require_POST
def answer_hold(request: ActorRequest, hold_id: UUID) -> HttpResponse:
    form = AnswerForm(request.POST)
    refusal: Refusal | None = None if form.is_valid() else refusals.of_form(form)
    if refusal is None:
        refusal = refusals.caught(lambda: _say(hold_id, form.cleaned_data, request.actor))
    if refusal is None and not request.htmx:
        messages.success(request, _heard(form.cleaned_data["word"], hold_id))
        return redirect("hold", hold_id)
    card = _card(hold_id, request.actor)
    status = refusals.status_of(refusal)
    if not request.htmx:
        return _page(request, card, refusal=refusal, status=status)
    answered = fragment(request, _template(card), {"card": card, "refusal": refusal, "just_now": True}, status=status)
    return answered if refusal else refusals.notice(answered, f"{card.name}: {_heard(form.cleaned_data['word'], hold_id)}")


@allowed("hold.answer")
@require_POST
def revoke(request: ActorRequest, hold_id: UUID, request_id: UUID) -> HttpResponse:
    """An approval of one call counts no more."""
    tried(request, lambda: requests.revoke(request_id, reason_of(request), actor=request.actor), said="The approval counts no more.")
    return redirect("hold", hold_id)


@allowed("case.judge")
@require_POST
def try_again(request: ActorRequest, detection_id: UUID) -> HttpResponse:
    tried(request, lambda: cases.try_again(detection_id, actor=request.actor), said="It is judged again.")
    return redirect("queue")


@allowed("read")
@require_safe
def rail_again(request: ActorRequest) -> HttpResponse:
    """The links of the rail with fresh counts, for the page at `at`."""
    return fragment(request, "console/_rail.html", {"rail": rail(request.GET.get("at", "/"), counts())})


def queue_for(request: ActorRequest) -> Queue:
    shown = request.GET.get("show", "all")
    shown = shown if shown in FILTERS else "all"
    open_holds = list(Hold.objects.filter(state="open").order_by("deadline"))
    keeps = _filter(shown, request.actor, open_holds)
    kept = [one for one in open_holds if keeps(one)]
    people = lines.people_rows(needing_a_person()) if shown == "all" else []
    aside = lines.set_aside_rows(set_aside()[:MOST]) if shown == "all" else []
    retrying = control(request.actor, "case.judge")
    alarms = budget.alarms(clock.now())
    more = max(0, len(kept) - MOST)
    return Queue(_rows(kept[:MOST]), people, aside, retrying, shown, FILTERS, more, alarms, sources.observing())


def _filter(shown: str, viewer: Actor, holds: list[Hold]) -> Callable[[Hold], bool]:
    match shown:
        case "mine":
            return lambda one: answering.may_answer(one, viewer)
        case "agents":
            keys = [Ref.parse(one.identity_ref).id for one in holds if one.identity_ref]
            agents = {f"identity:{key}" for key in Identity.objects.filter(pk__in=keys, kind="ai_agent").values_list("pk", flat=True)}
            among = set(GroupMember.objects.filter(hold__in=holds, kind="ai_agent", state="waiting").values_list("hold", flat=True))
            return lambda one: one.identity_ref in agents or one.pk in among
        case "soon":
            soon = clock.now() + SOON
            return lambda one: one.deadline < soon
    return lambda one: True


def _card(hold_id: UUID, viewer: Actor) -> Card:
    found = Hold.objects.filter(pk=hold_id).first()
    if found is not None and found.asks_about_a_call:
        return calls.card(found, viewer)
    return groups.card(found, viewer) if found is not None and found.grouped else shown_holds.hold(hold_id, viewer)


def _template(card: Card) -> str:
    return "holds/_group.html" if card.is_group else "holds/_call.html" if card.is_call else "holds/_card.html"


def _rows(holds: list[Hold]) -> list[HoldRow]:
    """In the order of their deadlines, groups among the others."""
    told = [*lines.hold_rows([one for one in holds if not one.grouped]), *groups.rows([one for one in holds if one.grouped])]
    return sorted(told, key=lambda row: row.deadline)


def _page(request: ActorRequest, card: Card, *, refusal: Refusal | None = None, status: int = 200) -> HttpResponse:
    facts: dict[str, Any] = {
        "queue": queue_for(request),
        "card": card,
        "refusal": refusal,
        "asked": request.GET.get("ask"),
        "showing": "detail",
    }
    return show(request, "holds/page.html", facts, status=status)


def _say(hold_id: UUID, form: dict[str, Any], actor: Actor) -> None:
    if form["word"] == "extend":
        flow.extend_hold(hold_id, actor=actor, reason=form["reason"], seen_deadline=form["deadline"])
    else:
        flow.answer_hold(
            hold_id,
            form["word"],
            actor=actor,
            seen_digest=form["plan_digest"],
            reason=form["reason"],
            seen_requests=form["seen_requests"],
        )


def _heard(word: str, hold_id: UUID) -> str:
    words = said.words(Hold.objects.get(pk=hold_id))
    return "ten more minutes" if word == "extend" else f"your “{words[word]}” is on record"


urlpatterns = [
    path("", queue, name="queue"),
    path("rail/", rail_again, name="rail"),
    path("holds/<uuid:hold_id>/", hold, name="hold"),
    path("holds/<uuid:hold_id>/answer/", answer_hold, name="answer_hold"),
    path("holds/<uuid:hold_id>/members/", members, name="hold_members"),
    path("holds/<uuid:hold_id>/members/<uuid:member_id>/alone/", ask_alone, name="ask_alone"),
    path("holds/<uuid:hold_id>/approvals/<uuid:request_id>/revoke/", revoke, name="revoke_approval"),
    path("detections/<uuid:detection_id>/try-again/", try_again, name="try_detection_again"),
]
