"""One session of an agent: what it is for, what it used, what its gate says and why, and its calls as they come."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from audit import clock
from console.deeds import reason_of, tried
from console.frame import fragment, show
from console.views_of import sessions as shown
from containment.models import Session
from guard import pausing

ROWS = Session.objects.select_related("identity", "credential", "parent__identity")


@allowed("read")
@require_safe
def session(request: ActorRequest, session_id: UUID) -> HttpResponse:
    found = get_object_or_404(ROWS, pk=session_id)
    facts = {"it": shown.card(found, request.actor, now=clock.now()), "session": found, "asked": request.GET.get("ask", "")}
    if request.htmx and request.GET.get("part") == "card":
        return fragment(request, "sessions/_card.html", facts)
    return show(request, "sessions/page.html", facts)


@allowed(pausing.OPENS)
@require_POST
def reopen(request: ActorRequest, session_id: UUID) -> HttpResponse:
    """Let a session go on that the guard paused."""
    found = get_object_or_404(Session, pk=session_id)
    said = f"{found.external_id[:60]} may go on. Its next call is judged as every other."
    tried(request, lambda: pausing.reopen(session_id, actor=request.actor, reason=reason_of(request)), said=said)
    return redirect("session", session_id)


urlpatterns = [
    path("sessions/<uuid:session_id>/", session, name="session"),
    path("sessions/<uuid:session_id>/reopen/", reopen, name="reopen_session"),
]
