"""Decisions: what was decided about whom, newest first; and one with everything that it rests on."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console import filters, frame, paging
from console.deeds import page_or_part
from console.filters import Filter
from console.views_of import decisions as shown
from console.views_of.things import is_id
from containment.domain.decide import Verdict
from containment.models import Decision, Source
from containment.models.identity import KINDS

ROWS = Decision.objects.select_related("detection__identity", "detection__resource", "detection__source", "policy")
PAGE, PART = "decisions/list.html", "decisions/_found.html"


@allowed("read")
@require_safe
def decisions(request: ActorRequest) -> HttpResponse:
    rows = ROWS.all()
    detection = request.GET.get("detection", "")
    if is_id(detection):
        rows = rows.filter(detection_id=detection)
    rows, bar = filters.narrowed(rows, _filters(), request.GET)
    turned = paging.turn(rows, request.GET)
    return page_or_part(request, PAGE, PART, {"turned": turned, "bar": bar, "lines": shown.lines(turned.rows)})


@allowed("read")
@require_safe
def decision(request: ActorRequest, decision_id: UUID) -> HttpResponse:
    found = get_object_or_404(
        ROWS.select_related("detection__session", "detection__credential", "case", "run", "hold", "grant"), pk=decision_id
    )
    others = Decision.objects.filter(detection=found.detection).exclude(pk=found.pk).order_by("generation")
    return frame.show(request, "decisions/decision.html", {"it": shown.whole(found), "decision": found, "others": others})


def _filters() -> list[Filter]:
    sources = [(name, name) for name in Source.objects.values_list("name", flat=True)]
    return [
        Filter("q", "About", _about, "search", placeholder="Identity, title, action, resource or id"),
        Filter("verdict", "Verdict", filters.by("verdict"), options=filters.words(sorted(map(str, Verdict)))),
        Filter("kind", "Kind", filters.by("detection__identity__kind"), options=filters.words(KINDS)),
        Filter("source", "Source", filters.by("detection__source__name"), options=sources),
    ]


def _about(rows: QuerySet[Decision], value: str) -> QuerySet[Decision]:
    if is_id(value):
        return rows.filter(Q(pk=value) | Q(detection_id=value) | Q(detection__identity_id=value))
    looked_at = ("identity__subject", "identity__name", "title", "action", "resource__key", "external_id")
    wanted = Q()
    for column in looked_at:
        wanted |= Q(**{f"detection__{column}__icontains": value})
    return rows.filter(wanted)


urlpatterns = [
    path("decisions/", decisions, name="decisions"),
    path("decisions/<uuid:decision_id>/", decision, name="decision"),
]
