"""Sources: what may reach us and how much of it counts; and how often each source and each signal was right."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from audit import clock
from console import controls, frame, paging
from console.deeds import faults_of, reason_of, tried
from console.views_of import sources as shown
from containment import limits, verdicts
from containment.domain.facts import Ceiling
from containment.models import Source
from containment.models.identity import KINDS
from core.refusals import Refusal

ROWS = Source.objects.select_related("meter")
CEILINGS = {
    "watch": "Record only: its word alone does nothing",
    "hold": "Ask at most: a person decides",
    "contain": "Contain: what the policy says is done",
}
CHANGED = "Changed. It counts from the next message."
MOST_COUNTED = 500
MOST_PROVIDERS = 50


class SourceForm(forms.Form):
    """What a source may bring about. Ages are in hours, because people think so."""

    name = forms.CharField(required=False, max_length=100)
    trust = forms.FloatField(min_value=0, max_value=1)
    ceiling = forms.ChoiceField(choices=[(str(word), str(word)) for word in Ceiling])
    kinds = forms.MultipleChoiceField(required=False, choices=[(kind, kind) for kind in KINDS])
    providers = forms.CharField(required=False, max_length=2000)
    rate_per_minute = forms.IntegerField(min_value=1, max_value=1_000_000)
    budget_per_hour = forms.IntegerField(min_value=0, max_value=1_000_000)
    max_age_hours = forms.FloatField(required=False, min_value=1 / 60, max_value=24 * 3650)
    teaches = forms.BooleanField(required=False)

    def clean_providers(self) -> list[str]:
        """One per line or between commas."""
        text = str(self.cleaned_data["providers"]).replace("\n", ",")
        found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        if len(found) > MOST_PROVIDERS or any(len(one) > 100 for one in found):
            raise forms.ValidationError(f"At most {MOST_PROVIDERS} providers, of at most 100 characters each.", code="too_many")
        return found

    def wanted(self) -> dict[str, Any]:
        said = dict(self.cleaned_data)
        said.pop("name")
        hours = said.pop("max_age_hours")
        return {**said, "max_age_seconds": round(hours * 3600) if hours is not None else None}


@allowed("read")
@require_safe
def sources(request: ActorRequest) -> HttpResponse:
    turned = paging.turn(ROWS.all(), request.GET, by=("name",), newest_first=False)
    facts = {
        "turned": turned,
        "lines": shown.lines(turned.rows, now=clock.now()),
        "asked_for_more": shown.asked_for_more(),
        "may_edit": controls.control(request.actor, "connector.edit"),
    }
    return frame.show(request, "sources/list.html", facts)


@allowed("read")
@require_safe
def source(request: ActorRequest, source_id: UUID) -> HttpResponse:
    return _page(request, get_object_or_404(ROWS, pk=source_id))


@allowed("connector.edit")
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: ActorRequest) -> HttpResponse:
    usual = {name: getattr(Source(), name) for name in ("trust", "ceiling", "rate_per_minute", "budget_per_hour")}
    form = SourceForm(request.POST) if request.method == "POST" else SourceForm(initial=usual)
    faults: list[tuple[str, str]] = []
    if form.is_bound and form.is_valid():
        try:
            made = limits.add(form.cleaned_data["name"], form.wanted(), actor=request.actor)
        except Refusal as refusal:
            faults = faults_of(refusal)
        else:
            waits = " It brings about nothing until a second person confirmed its ceiling." if limits.waiting(made) else ""
            messages.success(request, f"Set up. An administrator issues a token that speaks for it.{waits}")
            return redirect("source", made.pk)
    elif form.is_bound:
        faults = _faults(form)
    facts = {"form": form, "faults": faults, "ceilings": CEILINGS, "kinds": KINDS}
    return frame.show(request, "sources/add.html", facts, status=422 if faults else 200)


@allowed("connector.edit")
@require_POST
def change(request: ActorRequest, source_id: UUID) -> HttpResponse:
    found = get_object_or_404(ROWS, pk=source_id)
    form = SourceForm(request.POST)
    if not form.is_valid():
        return _page(request, found, form=form, faults=_faults(form))
    _, waits = limits.parts(found, form.wanted())
    said = "What gives it more waits for a second person. The rest counts from the next message." if waits else CHANGED
    tried(request, lambda: limits.change(source_id, form.wanted(), actor=request.actor), said=said)
    return redirect("source", source_id)


@allowed(limits.CONFIRMS)
@require_POST
def confirm(request: ActorRequest, source_id: UUID, ask_id: UUID) -> HttpResponse:
    seen = request.POST.get("seen_digest", "")
    said = "Confirmed. It counts from the next message."
    tried(request, lambda: limits.confirm(ask_id, seen_digest=seen, actor=request.actor), said=said)
    return redirect("source", source_id)


@allowed(limits.CONFIRMS)
@require_POST
def refuse(request: ActorRequest, source_id: UUID, ask_id: UUID) -> HttpResponse:
    return _turned_down(request, source_id, ask_id, said="Refused. Its limits stay as they are.")


@allowed("connector.edit")
@require_POST
def take_back(request: ActorRequest, source_id: UUID, ask_id: UUID) -> HttpResponse:
    return _turned_down(request, source_id, ask_id, said="Taken back. Its limits stay as they are.")


def _turned_down(request: ActorRequest, source_id: UUID, ask_id: UUID, *, said: str) -> HttpResponse:
    tried(request, lambda: limits.refuse(ask_id, reason_of(request), actor=request.actor), said=said)
    return redirect("source", source_id)


@allowed("connector.edit")
@require_POST
def observe(request: ActorRequest, source_id: UUID) -> HttpResponse:
    said = "It only observes from now on."
    tried(request, lambda: limits.observe(source_id, reason_of(request), actor=request.actor), said=said)
    return redirect("source", source_id)


@allowed("connector.edit")
@require_POST
def let_act(request: ActorRequest, source_id: UUID) -> HttpResponse:
    said = "It acts again. What came meanwhile stays as it was decided."
    tried(request, lambda: limits.let_act(source_id, reason_of(request), actor=request.actor), said=said)
    return redirect("source", source_id)


@allowed("read")
@require_safe
def counted(request: ActorRequest) -> HttpResponse:
    facts = {
        "signals": shown.counted(verdicts.SIGNAL, most=MOST_COUNTED),
        "by_source": shown.counted(verdicts.SOURCE, most=MOST_COUNTED),
    }
    return frame.show(request, "sources/verdicts.html", facts)


def _page(
    request: ActorRequest, found: Source, *, form: SourceForm | None = None, faults: list[tuple[str, str]] | None = None
) -> HttpResponse:
    form = form or SourceForm(initial=_as_typed(found))
    facts = {
        "it": shown.card(found, request.actor, now=clock.now()),
        "source": found,
        "form": form,
        "faults": faults or [],
        "ceilings": CEILINGS,
        "kinds": KINDS,
        "asked": request.GET.get("ask", ""),
    }
    return frame.show(request, "sources/source.html", facts, status=422 if faults else 200)


def _as_typed(source: Source) -> dict[str, Any]:
    kept = ("trust", "ceiling", "kinds", "rate_per_minute", "budget_per_hour", "teaches")
    age = source.max_age_seconds
    typed = {name: getattr(source, name) for name in kept}
    return {**typed, "providers": ", ".join(source.providers), "max_age_hours": f"{age / 3600:g}" if age is not None else ""}


def _faults(form: forms.Form) -> list[tuple[str, str]]:
    return [(name, str(error)) for name, errors in form.errors.items() for error in errors]


urlpatterns = [
    path("sources/", sources, name="sources"),
    path("sources/add/", add, name="add_source"),
    path("sources/verdicts/", counted, name="verdicts"),
    path("sources/<uuid:source_id>/", source, name="source"),
    path("sources/<uuid:source_id>/change/", change, name="change_source"),
    path("sources/<uuid:source_id>/asks/<uuid:ask_id>/confirm/", confirm, name="confirm_source"),
    path("sources/<uuid:source_id>/asks/<uuid:ask_id>/refuse/", refuse, name="refuse_source"),
    path("sources/<uuid:source_id>/asks/<uuid:ask_id>/back/", take_back, name="take_source_back"),
    path("sources/<uuid:source_id>/observe/", observe, name="observe_source"),
    path("sources/<uuid:source_id>/act/", let_act, name="let_source_act"),
]
