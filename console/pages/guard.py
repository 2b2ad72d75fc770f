"""The guard: every call that agents asked about, as it comes, and one call with both its sides. The same page for both."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console import controls, paging
from console.filters import LONGEST
from console.frame import fragment, show
from console.views_of import guard as shown
from console.views_of.guard import Stream
from console.views_of.things import is_id
from containment.models import Session
from guard.models import GuardCall

SIZE = 40  # each list is fetched again up to once a second


@allowed("read")
@require_safe
def calls(request: ActorRequest) -> HttpResponse:
    part = request.GET.get("part", "") if request.htmx else ""
    if part == "hour":
        return fragment(request, "guard/_hour.html", {"hour": shown.hour(closely=True)})
    stream = stream_for(request.GET, offered=part != "list")
    if part in {"list", "narrowed"}:
        answer = fragment(request, "guard/_list.html", {"stream": stream})
        if part == "narrowed":
            answer["HX-Push-Url"] = f"/guard/{stream.query}"
        return answer
    facts = {"stream": stream, "hour": shown.hour(closely=True), "showing": "list", "may_connect": _may_connect(request)}
    return show(request, "guard/page.html", facts)


@allowed("read")
@require_safe
def call(request: ActorRequest, call_id: UUID) -> HttpResponse:
    card = shown.card(get_object_or_404(GuardCall, pk=call_id))
    if request.htmx and request.GET.get("part") == "card":
        return fragment(request, "guard/_card.html", {"card": card})
    return show(request, "guard/page.html", {"stream": stream_for(request.GET), "card": card, "showing": "detail"})


def stream_for(query: QueryDict, *, offered: bool = True) -> Stream:
    """`offered`: with the choices of its filters, which a list that is only fetched again does not need."""
    chosen = _chosen(query)
    found = shown.narrow(GuardCall.objects.all(), **chosen)
    turned = paging.turn(found, query, size=SIZE)
    hour = shown.hour(agent=chosen["agent"], session=chosen["session"], tool=chosen["tool"])
    agents, tools = shown.options(chosen["agent"], chosen["tool"]) if offered else ([], [])
    session = Session.objects.filter(pk=chosen["session"]).first() if chosen["session"] else None
    return Stream(
        rows=shown.rows_of(turned.rows),
        hour=hour,
        shown=chosen["verdict"],
        agent=chosen["agent"],
        tool=chosen["tool"],
        session=chosen["session"],
        session_name=session.external_id if session else "",
        query=_address(chosen),
        further=_address(chosen, after=str(turned.rows[-1].pk)) if turned.further else "",
        first=_address(chosen) or "?" if turned.first else "",
        chips=_chips(chosen, hour),
        agents=agents,
        tools=tools,
    )


def _chosen(query: QueryDict) -> dict[str, str]:
    """What the address narrows by. What makes no sense narrows nothing."""
    said = {name: query.get(name, "").replace("\0", "").strip() for name in ("verdict", "agent", "tool", "session")}
    return {
        "verdict": said["verdict"] if said["verdict"] in shown.NARROWINGS else "",
        "agent": said["agent"] if is_id(said["agent"]) else "",
        "tool": said["tool"] if len(said["tool"]) <= 2 * LONGEST else "",
        "session": said["session"] if is_id(said["session"]) else "",
    }


def _chips(chosen: dict[str, str], hour: shown.Hour) -> list[tuple[str, str, int, str]]:
    """Verdict, words, how many in the last hour, address."""
    chips = [("", "All", hour.all), *((state, words, hour.counts[state]) for state, words in shown.VERDICTS.items())]
    if hour.defied or chosen["verdict"] == shown.DEFIED:
        chips.append((shown.DEFIED, shown.NARROWINGS[shown.DEFIED], hour.defied))
    return [(state, words, count, _address(chosen | {"verdict": state}) or "?") for state, words, count in chips]


def _address(chosen: dict[str, str], **more: str) -> str:
    said = {name: value for name, value in {**chosen, **more}.items() if value}
    return f"?{urlencode(said)}" if said else ""


def _may_connect(request: ActorRequest) -> Any:
    return controls.control(request.actor, "agent.connect")


urlpatterns = [
    path("guard/", calls, name="guard"),
    path("guard/calls/<uuid:call_id>/", call, name="guard_call"),
]
