"""Connectors: who each is in its system, what it can and cannot do there, and whom it asks to protect."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from connectors import registry
from console import frame
from console.deeds import reason_of, tried
from console.views_of import connectors as shown
from containment import protection, readiness
from containment.models import ProtectionProposal
from core.refusals import Refusal


@allowed("read")
@require_safe
def connectors(request: ActorRequest) -> HttpResponse:
    return frame.show(request, "connectors/list.html", {"lines": shown.lines()})


@allowed("read")
@require_safe
def connector(request: ActorRequest, provider: str) -> HttpResponse:
    found = registry.connector_for(provider)
    if found is None:
        raise Http404
    asked = request.GET.get("ask", "")
    return frame.show(request, "connectors/connector.html", {"it": shown.card(provider, found, request.actor), "asked": asked})


@allowed("connector.edit")
@require_POST
def check(request: ActorRequest, provider: str) -> HttpResponse:
    """Ask it now. Whoever waits does so for a few seconds; a slower answer comes to the page by itself."""
    try:
        answered = readiness.check_now(provider, actor=request.actor)
    except Refusal as refusal:
        messages.error(request, refusal.sentence)
        return redirect("connectors")
    said = "It was asked; what it said stands here." if answered else "It takes its time. What it says comes to this page by itself."
    messages.success(request, said)
    return redirect("connector", provider)


@allowed("protected.edit")
@require_POST
def agree(request: ActorRequest, proposal_id: UUID) -> HttpResponse:
    asked = get_object_or_404(ProtectionProposal, pk=proposal_id)
    tried(request, lambda: protection.agree(proposal_id, actor=request.actor), said=f"{asked.subject} is protected from now on.")
    return redirect("connector", asked.provider)


@allowed("protected.edit")
@require_POST
def decline(request: ActorRequest, proposal_id: UUID) -> HttpResponse:
    asked = get_object_or_404(ProtectionProposal, pk=proposal_id)
    said = f"{asked.subject} may be contained without two people, unless it is the last administrator."
    tried(request, lambda: protection.decline(proposal_id, reason_of(request), actor=request.actor), said=said)
    return redirect("connector", asked.provider)


urlpatterns = [
    path("connectors/", connectors, name="connectors"),
    path("connectors/proposals/<uuid:proposal_id>/agree/", agree, name="agree_to_protect"),
    path("connectors/proposals/<uuid:proposal_id>/decline/", decline, name="decline_to_protect"),
    path("connectors/<str:provider>/", connector, name="connector"),
    path("connectors/<str:provider>/check/", check, name="check_connector"),
]
