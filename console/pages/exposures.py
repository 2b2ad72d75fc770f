"""Exposures: what was reported leaked, and how each credential of it stands now."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console import controls, frame, paging
from console.deeds import reason_of, tried
from console.views_of import exposures as shown
from containment import exposures as room
from containment.models import Exposure

ROWS = Exposure.objects.select_related("source")


@allowed("read")
@require_safe
def exposures(request: ActorRequest) -> HttpResponse:
    turned = paging.turn(ROWS.all(), request.GET, size=20)  # each is counted up from its credentials
    return frame.show(request, "exposures/list.html", {"turned": turned, "lines": shown.lines(turned.rows)})


@allowed("read")
@require_safe
def exposure(request: ActorRequest, exposure_id: UUID) -> HttpResponse:
    found = get_object_or_404(ROWS, pk=exposure_id)
    status = request.GET.get("status", "")
    turned = paging.turn(found.members.select_related("credential"), request.GET, by=("place", "id"), newest_first=False)
    facts = {
        "exposure": found,
        "it": shown.card(found, turned.rows, status=status),
        "turned": turned,
        "may_replace": controls.control(request.actor, "inventory.edit"),
        "asked": request.GET.get("ask", ""),
    }
    return frame.show(request, "exposures/exposure.html", facts)


@allowed("inventory.edit")
@require_POST
def replaced(request: ActorRequest, exposure_id: UUID, credential_id: UUID) -> HttpResponse:
    said = "Noted. From now on the leak says nothing about who uses it."
    tried(request, lambda: room.replaced(credential_id, reason_of(request), actor=request.actor), said=said)
    return redirect("exposure", exposure_id)


urlpatterns = [
    path("exposures/", exposures, name="exposures"),
    path("exposures/<uuid:exposure_id>/", exposure, name="exposure"),
    path("exposures/<uuid:exposure_id>/<uuid:credential_id>/replaced/", replaced, name="replaced_credential"),
]
