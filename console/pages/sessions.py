"""One session of an agent: what it is for, what it used, what its gate says and why, and its calls as they come."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from audit import clock
from console.frame import fragment, show
from console.views_of import sessions as shown
from containment.models import Session

ROWS = Session.objects.select_related("identity", "credential", "parent__identity")


@allowed("read")
@require_safe
def session(request: ActorRequest, session_id: UUID) -> HttpResponse:
    found = get_object_or_404(ROWS, pk=session_id)
    facts = {"it": shown.card(found, now=clock.now()), "session": found}
    if request.htmx and request.GET.get("part") == "card":
        return fragment(request, "sessions/_card.html", facts)
    return show(request, "sessions/page.html", facts)


urlpatterns = [
    path("sessions/<uuid:session_id>/", session, name="session"),
]
