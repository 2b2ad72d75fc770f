"""How the product itself is: what must always be true, heartbeats, due work, the chain. Looked at every hour, and when somebody asks."""

from __future__ import annotations

from django.http import HttpResponse
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from audit.record import record, story
from console import controls, frame
from console.views_of import health as shown
from containment import invariants
from containment.models import InvariantCheck
from core.actor import Actor
from core.refs import Ref

ALL = Ref("invariants", "main")
PATIENCE_S = 2.0  # for one question, while somebody waits for the page


@allowed("read")
@require_safe
def health(request: ActorRequest) -> HttpResponse:
    return _page(request)


@allowed("audit.verify")
@require_POST
def check(request: ActorRequest) -> HttpResponse:
    """Look now. That somebody asked is on record, with what was found."""
    _checked(request.actor)
    return _page(request)


def _page(request: ActorRequest) -> HttpResponse:
    facts = {"it": shown.health(), "may_check": controls.control(request.actor, "audit.verify")}
    if request.htmx:
        return frame.fragment(request, "health/_found.html", facts)
    return frame.show(request, "health/page.html", facts)


@story
def _checked(actor: Actor) -> InvariantCheck:
    kept = invariants.check(timeout_s=PATIENCE_S)
    broken = [name for name, rows in kept.found.items() if not invariants.is_silence(rows)]
    silent = len(kept.found) - len(broken)
    found = f"{len(broken)} broken ({', '.join(broken)})" if broken else "all hold"
    record("invariants.checked", ALL, actor=actor, found=f"{found}, {silent} could not be asked" if silent else found, took_ms=kept.took_ms)
    return kept


urlpatterns = [path("health/", health, name="health"), path("health/check/", check, name="check_health")]
