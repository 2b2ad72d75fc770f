"""Exceptions: asking for one, and another person's word on it. What it would have spared is on the page before anybody signs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from approvals import grants
from approvals.models import ExceptionGrant
from audit import clock
from console import controls, frame, paging
from console.deeds import faults_of, reason_of, tried
from console.views_of import exceptions as shown
from console.views_of.things import is_id
from containment import exceptions, flow
from containment.domain.families import FAMILIES, SOURCE_CLAIM
from containment.models import Credential, Identity, Session
from core.refusals import BadInput, Fault, Refusal

ROWS = ExceptionGrant.objects.select_related("requester", "granter")
TABS = {
    "asked": ("Asked", ["asked"]),
    "in-force": ("In force", ["granted"]),
    "ended": ("Ended", ["refused", "withdrawn", "revoked", "ended"]),
}
SPANS = {"1": "1 hour", "8": "8 hours", "24": "24 hours", "168": "7 days"}
SIGNALS = [(code, code.replace("_", " ")) for code in sorted(FAMILIES) if code != SOURCE_CLAIM]
MOST_SUGGESTED = 300


class AskForm(forms.Form):
    """What is to be spared, why, for how long and how much of it. Empty parts of the scope are not looked at."""

    identity = forms.CharField(required=False, max_length=300)
    session = forms.CharField(required=False, max_length=300)
    credential = forms.CharField(required=False, max_length=300)
    action = forms.CharField(required=False, max_length=300)
    resource = forms.CharField(required=False, max_length=300)
    signals = forms.MultipleChoiceField(required=False, choices=SIGNALS)
    tenant = forms.CharField(required=False, max_length=300)
    reason = forms.CharField(max_length=grants.LONGEST_TEXT)
    ticket = forms.CharField(required=False, max_length=200)
    starts_at = forms.DateTimeField(required=False)
    span = forms.ChoiceField(required=False, choices=[("", ""), *SPANS.items()])
    ends_at = forms.DateTimeField(required=False)
    budget_count = forms.IntegerField(min_value=1, max_value=grants.MOST_TIMES)
    budget_risk = forms.DecimalField(min_value=0, max_digits=9, decimal_places=1)

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if not said.get("span") and not said.get("ends_at") and "ends_at" not in self.errors:
            self.add_error("ends_at", "Say when it ends, or choose how long it lasts.")
        if said.get("span") and said.get("ends_at"):
            self.add_error("ends_at", "Say either when it ends or how long it lasts.")
        return said


@allowed("read")
@require_safe
def exceptions_list(request: ActorRequest) -> HttpResponse:
    """Opens on what waits for a signature, else on what is in force."""
    asked = ROWS.filter(state="asked").count()
    tab = request.GET.get("tab", "")
    if tab not in TABS:
        tab = "asked" if asked else "in-force"
    turned = paging.turn(ROWS.filter(state__in=TABS[tab][1]), request.GET)
    facts = {
        "tab": tab,
        "tabs": [(name, words, ROWS.filter(state__in=states).count()) for name, (words, states) in TABS.items()],
        "turned": turned,
        "lines": shown.lines(turned.rows, now=clock.now()),
        "may_ask": controls.control(request.actor, "exception.ask"),
    }
    return frame.show(request, "exceptions/list.html", facts)


@allowed("read")
@require_safe
def exception(request: ActorRequest, grant_id: UUID) -> HttpResponse:
    found = get_object_or_404(ROWS, pk=grant_id)
    facts = {"it": shown.card(found, request.actor, now=clock.now()), "grant": found, "asked": request.GET.get("ask", "")}
    return frame.show(request, "exceptions/exception.html", facts)


@allowed("exception.ask")
@require_http_methods(["GET", "HEAD", "POST"])
def ask(request: ActorRequest) -> HttpResponse:
    form = AskForm(request.POST) if request.method == "POST" else AskForm(initial=_prefilled(request))
    faults: list[tuple[str, str]] = []
    if form.is_bound and form.is_valid():
        try:
            asked = _ask(form.cleaned_data, request)
        except Refusal as refusal:
            faults = faults_of(refusal)
        else:
            messages.success(request, "Asked. It spares nothing until somebody else signs it.")
            return redirect("exception", asked.pk)
    elif form.is_bound:
        faults = [(name, str(error)) for name, errors in form.errors.items() for error in errors]
    facts = {
        "form": form,
        "faults": faults,
        "spans": SPANS,
        "signals": SIGNALS,
        "longest": exceptions.LONGEST.days,
        "suggestions": Identity.objects.filter(merged_into__isnull=True)[:MOST_SUGGESTED],
    }
    return frame.show(request, "exceptions/ask.html", facts, status=422 if faults else 200)


@allowed("exception.grant")
@require_POST
def grant(request: ActorRequest, grant_id: UUID) -> HttpResponse:
    tried(request, lambda: exceptions.sign(grant_id, actor=request.actor), said="Signed. It is in force from its start to its end.")
    return redirect("exception", grant_id)


@allowed("exception.grant")
@require_POST
def refuse(request: ActorRequest, grant_id: UUID) -> HttpResponse:
    tried(request, lambda: grants.refuse(grant_id, reason_of(request), actor=request.actor), said="Refused.")
    return redirect("exception", grant_id)


@allowed("exception.grant")
@require_POST
def revoke(request: ActorRequest, grant_id: UUID) -> HttpResponse:
    said = "Revoked. What it had spared is judged again now."
    tried(request, lambda: flow.revoke_grant(grant_id, reason_of(request), actor=request.actor), said=said)
    return redirect("exception", grant_id)


@allowed("exception.ask")
@require_POST
def withdraw(request: ActorRequest, grant_id: UUID) -> HttpResponse:
    tried(request, lambda: grants.withdraw(grant_id, actor=request.actor), said="Withdrawn.")
    return redirect("exception", grant_id)


def _prefilled(request: HttpRequest) -> dict[str, Any]:
    """What the address says: `?identity=0190…&action=data.export` comes from the page of that thing."""
    given: dict[str, Any] = {name: request.GET.get(name, "") for name in AskForm.base_fields if name != "signals"}
    given["signals"] = request.GET.getlist("signals")
    if is_id(given["identity"]) and (identity := Identity.objects.filter(pk=given["identity"]).first()):
        given["identity"] = str(identity)
    return given | {"budget_count": given["budget_count"] or 1, "budget_risk": given["budget_risk"] or 100}


def _ask(said: Mapping[str, Any], request: ActorRequest) -> ExceptionGrant:
    starts_at: datetime = said["starts_at"] or clock.now()
    ends_at: datetime = starts_at + timedelta(hours=int(said["span"])) if said["span"] else said["ends_at"]
    return exceptions.ask(
        scope=_scope(said),
        reason=said["reason"],
        ticket=said["ticket"],
        starts_at=starts_at,
        ends_at=ends_at,
        budget_count=said["budget_count"],
        budget_risk=said["budget_risk"],
        actor=request.actor,
    )


def _scope(said: Mapping[str, Any]) -> dict[str, Any]:
    """Names that people write become the ids that a scope holds. A name that fits nothing, or two things, is a fault."""
    scope = {name: said[name].strip() for name in ("action", "resource", "tenant") if said[name].strip()}
    faults: list[Fault] = []
    identity = _identity(said["identity"].strip(), faults)
    if identity:
        scope["identity"] = str(identity.pk)
    theirs = {"identity": identity} if identity else {}
    users = {"uses__identity": identity} if identity else {}
    _add(scope, faults, "session", said["session"], Session.objects.filter(**theirs), Q(external_id=said["session"].strip()))
    _add(scope, faults, "credential", said["credential"], Credential.objects.filter(**users).distinct(), Q(name=said["credential"].strip()))
    if said["signals"]:
        scope["signals"] = sorted(said["signals"])
    if faults:
        raise BadInput(faults)
    return scope


def _identity(text: str, faults: list[Fault]) -> Identity | None:
    if not text:
        return None
    provider, _, subject = text.partition("/")
    wanted = Q(pk=text) if is_id(text) else Q(provider=provider, subject=subject)
    found = Identity.objects.filter(wanted).first()
    if found is None:
        faults.append(Fault("identity", "unknown", f"There is no identity {text}. Write it as provider/subject."))
    return found


def _add(scope: dict[str, Any], faults: list[Fault], name: str, text: str, rows: Any, by_name: Q) -> None:
    text = text.strip()
    if not text:
        return
    found = list(rows.filter(Q(pk=text) if is_id(text) else by_name)[:2])
    if len(found) == 1:
        scope[name] = str(found[0].pk)
    elif found:
        faults.append(Fault(name, "ambiguous", f"There are several called {text}. Name the identity too."))
    else:
        faults.append(Fault(name, "unknown", f"There is no {name} {text} here."))


urlpatterns = [
    path("exceptions/", exceptions_list, name="exceptions"),
    path("exceptions/ask/", ask, name="ask_exception"),
    path("exceptions/<uuid:grant_id>/", exception, name="exception"),
    path("exceptions/<uuid:grant_id>/grant/", grant, name="grant_exception"),
    path("exceptions/<uuid:grant_id>/refuse/", refuse, name="refuse_exception"),
    path("exceptions/<uuid:grant_id>/revoke/", revoke, name="revoke_exception"),
    path("exceptions/<uuid:grant_id>/withdraw/", withdraw, name="withdraw_exception"),
]
