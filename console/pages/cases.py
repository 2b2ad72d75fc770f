"""Cases: the list, and one case with its runs, evidence, decisions and verdict. The same page at /cases/ and at the address of a case."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console import refusals
from console.frame import fragment, fresh, show
from console.views_of import cases as shown_cases
from console.views_of import queue, sessions
from console.views_of import taken as loot
from console.views_of.cases import CaseCard
from console.views_of.runs import PROLONG_BY
from containment import cases, taken
from containment.models import Case, Taken
from core.refusals import Missing, Refusal
from evidence import vault
from evidence.models import Artefact

PER_PAGE = 50
FILTERS = {"open": "Open", "closed": "Closed", "all": "All"}


class VerdictForm(forms.Form):
    verdict = forms.ChoiceField(
        choices=list(cases.VERDICTS.items()), error_messages={"required": "Choose what it was.", "invalid_choice": "Choose what it was."}
    )
    reason = forms.CharField(max_length=cases.LONGEST_REASON, error_messages={"required": "Say what the verdict rests on."})


class SettleForm(forms.Form):
    state = forms.ChoiceField(
        choices=list(taken.WORDS.items()), error_messages={"required": "Say what became of it.", "invalid_choice": "Say what became of it."}
    )
    reason = forms.CharField(max_length=taken.LONGEST_REASON, error_messages={"required": "Say what it rests on."})


@allowed("read")
@require_safe
def case_list(request: ActorRequest) -> HttpResponse:
    found = list_for(request)
    if request.htmx and request.GET.get("part") == "list":
        return fragment(request, "cases/_list.html", found)
    first = shown_cases.case(found["rows"][0].id, request.actor) if found["rows"] else None
    return show(request, "cases/page.html", found | _beside(first) | {"asked": request.GET.get("ask"), "showing": "list"})


@allowed("read")
@require_safe
def case(request: ActorRequest, case_id: UUID) -> HttpResponse:
    card = shown_cases.case(case_id, request.actor)
    if request.htmx and request.GET.get("part") == "card":
        return fragment(request, "cases/_card.html", _beside(card))
    return page(request, card)


@allowed("case.judge")
@require_POST
def judge(request: ActorRequest, case_id: UUID) -> HttpResponse:
    form = VerdictForm(request.POST)
    refusal: Refusal | None = None if form.is_valid() else refusals.of_form(form)
    if refusal is None:
        refusal = refusals.caught(lambda: cases.judge(case_id, **form.cleaned_data, actor=request.actor))
    return answered(request, case_id, refusal, done="your verdict is on record")


@allowed("case.judge")
@require_POST
def close(request: ActorRequest, case_id: UUID) -> HttpResponse:
    refusal = refusals.caught(lambda: cases.close(case_id, actor=request.actor))
    return answered(request, case_id, refusal, done="the case is closed")


@allowed("case.judge")
@require_POST
def settle(request: ActorRequest, case_id: UUID, line_id: UUID) -> HttpResponse:
    """Something that was taken: it was cut, is cleared, or accepted."""
    if not Taken.objects.filter(pk=line_id, case_id=case_id).exists():
        raise Missing("Nothing like that was found to be taken in this case.")
    form = SettleForm(request.POST)
    refusal: Refusal | None = None if form.is_valid() else refusals.of_form(form)
    if refusal is None:
        word, reason = form.cleaned_data["state"], form.cleaned_data["reason"]
        refusal = refusals.caught(lambda: taken.settle(line_id, word, reason, actor=request.actor))
    return answered(request, case_id, refusal, done="what became of it is on record")


@allowed("audit.export")
@require_safe
def evidence(request: ActorRequest, artefact_id: UUID) -> HttpResponse:
    """The content as a file. That it was handed over, and to whom, is on record before the first byte leaves."""
    artefact = Artefact.objects.filter(pk=artefact_id).first()
    if artefact is None:
        raise Missing("There is no such evidence.")
    response = HttpResponse(vault.open_(artefact_id, request.actor), content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=PurePath(artefact.name).name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    return fresh(response)


def answered(request: ActorRequest, case_id: UUID, refusal: Refusal | None, *, done: str) -> HttpResponse:
    """After something was asked for: the card again with what came of it; without htmx the page."""
    if refusal is None and not request.htmx:
        messages.success(request, f"{done[0].upper()}{done[1:]}.")
        return redirect("case", case_id)
    card = shown_cases.case(case_id, request.actor)
    status = refusals.status_of(refusal)
    if not request.htmx:
        return page(request, card, refusal=refusal, status=status)
    shown = fragment(request, "cases/_card.html", _beside(card) | {"refusal": refusal, "just_now": True}, status=status)
    return shown if refusal else refusals.notice(shown, f"{card.subject.name}: {done}")


def page(request: ActorRequest, card: CaseCard, *, refusal: Refusal | None = None, status: int = 200) -> HttpResponse:
    facts = list_for(request) | _beside(card) | {"refusal": refusal, "asked": request.GET.get("ask"), "showing": "detail"}
    return show(request, "cases/page.html", facts, status=status)


def list_for(request: ActorRequest) -> dict[str, Any]:
    shown = request.GET.get("show", "open")
    shown = shown if shown in FILTERS else "open"
    found = Case.objects.select_related("identity").order_by("-last_event_at")
    if shown != "all":
        found = found.filter(state="closed") if shown == "closed" else found.exclude(state="closed")
    pages: Page[Case] = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    return {"rows": queue.case_rows(list(pages)), "pages": pages, "shown": shown, "filters": FILTERS}


def _beside(card: CaseCard | None) -> dict[str, Any]:
    shown = {"sessions": sessions.of_case(card.id), "loot": loot.of_case(card.id)} if card else {}
    return {"card": card, "prolong_by": PROLONG_BY, "verdicts": cases.VERDICTS, "taken_words": taken.WORDS, **shown}


urlpatterns = [
    path("cases/", case_list, name="cases"),
    path("cases/<uuid:case_id>/", case, name="case"),
    path("cases/<uuid:case_id>/verdict/", judge, name="judge_case"),
    path("cases/<uuid:case_id>/close/", close, name="close_case"),
    path("cases/<uuid:case_id>/taken/<uuid:line_id>/", settle, name="settle_taken"),
    path("evidence/<uuid:artefact_id>/", evidence, name="evidence"),
]
