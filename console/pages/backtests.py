"""Backtests: a policy tried on what was decided. Asking for one, watching it, reading what came out, and moving its thresholds."""

from __future__ import annotations

from datetime import timedelta
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
from console.deeds import faults_of
from console.pages import policy as policy_pages
from console.refusals import of_form
from console.views_of import backtests as shown
from console.views_of.things import is_id
from containment import backtests
from containment.domain.policy import Thresholds
from containment.domain.policy_text import with_thresholds
from containment.models import Backtest, RiskPolicyVersion
from core.refusals import Refusal

ROWS = Backtest.objects.select_related("version", "made_by").defer("policy_text", "result")
VERSIONS = RiskPolicyVersion.objects.defer("text")
MOST_VERSIONS = 50
SPANS = (("7", "7 days"), ("14", "14 days"), ("30", "30 days"), ("90", "90 days"), ("400", "all there is"))


class AskForm(forms.Form):
    """A saved version, or the text of a draft that nobody saved."""

    version = forms.UUIDField(required=False)
    text = forms.CharField(max_length=policy_pages.LONGEST, required=False, strip=False)
    days = forms.IntegerField(min_value=1, max_value=400, required=False)


@allowed("read")
@require_safe
def all_of_them(request: ActorRequest) -> HttpResponse:
    """`?version=` is the version that the form has chosen."""
    return _list(request, [])


@allowed("read")  # and the right to write or approve policies: backtests.ask looks
@require_POST
def ask(request: ActorRequest) -> HttpResponse:
    form = AskForm(request.POST)
    try:
        if not form.is_valid():
            raise of_form(form)
        asked = form.cleaned_data
        version = RiskPolicyVersion.objects.filter(pk=asked["version"]).first() if asked["version"] else None
        text = version.text if version else asked["text"].replace("\r\n", "\n")
        since = clock.now() - timedelta(days=asked["days"] or 30)
        made = backtests.ask(text, since=since, version=version, actor=request.actor)
    except Refusal as refusal:
        return _list(request, faults_of(refusal), status=422)
    return redirect("backtest", made.pk)


@allowed("read")
@require_safe
def backtest(request: ActorRequest, backtest_id: UUID) -> HttpResponse:
    """Opening what came out goes on record: a policy is approved by people who have seen what it would have done."""
    if request.GET.get("part") == "progress":
        it = get_object_or_404(ROWS, pk=backtest_id)
        answer = frame.fragment(request, "backtest/_progress.html", {"card": shown.card(it, request.actor, request.GET), "it": it})
        if it.state in ("done", "failed"):
            answer["HX-Refresh"] = "true"
        return answer
    it = backtests.opened(backtest_id, actor=request.actor) if request.method == "GET" else get_object_or_404(Backtest, pk=backtest_id)
    return frame.show(request, "backtest/backtest.html", {"card": shown.card(it, request.actor, request.GET), "it": it})


@allowed("policy.author")
@require_http_methods(["GET", "HEAD", "POST"])
def draft(request: ActorRequest, backtest_id: UUID) -> HttpResponse:
    """The tested text with the thresholds where the sliders stand, ready to be saved as the next version."""
    if request.method == "POST":
        return policy_pages.draft(request)
    it = get_object_or_404(Backtest.objects.select_related("version"), pk=backtest_id)
    if it.state != "done":
        messages.error(request, "This backtest is not done yet. Draft from it once it is.")
        return redirect("backtest", it.pk)
    found = shown.places(it.result["slider"], request.GET)
    wanted = {
        one.number: Thresholds(one.soft, one.hard)
        for one in found.sliders
        if f"soft_{one.number}" in request.GET and (one.soft, one.hard) != (round(one.was_soft), round(one.was_hard))
    }
    facts: dict[str, Any] = {"text": with_thresholds(it.policy_text, wanted), "faults": [], "base": it.version}
    return frame.show(request, "policy/draft.html", facts)


def _list(request: ActorRequest, faults: list[tuple[str, str]], *, status: int = 200) -> HttpResponse:
    chosen = request.POST.get("version") or request.GET.get("version", "")
    versions = list(VERSIONS[:MOST_VERSIONS])
    if is_id(chosen) and not any(str(one.pk) == chosen for one in versions):
        versions += VERSIONS.filter(pk=chosen)
    facts = {
        "turned": paging.turn(ROWS, request.GET),
        "versions": versions,
        "chosen": chosen,
        "days": request.POST.get("days", "30"),
        "spans": SPANS,
        "text": request.POST.get("text", ""),
        "faults": faults,
        "states": shown.STATES,
        "tones": shown.TONES,
        "may_ask": controls.control(request.actor, "policy.author") or controls.control(request.actor, "policy.approve"),
    }
    return frame.show(request, "backtest/list.html", facts, status=status)


urlpatterns = [
    path("backtests/", all_of_them, name="backtests"),
    path("backtests/ask/", ask, name="ask_backtest"),
    path("backtests/<uuid:backtest_id>/", backtest, name="backtest"),
    path("backtests/<uuid:backtest_id>/draft/", draft, name="draft_from_backtest"),
]
