"""A whole page in the shell: what every page is told beside its own facts. Fragments are rendered without it."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from accounts.actors import ActorRequest
from accounts.models import Person
from approvals.models import ExceptionGrant, Hold
from audit import clock
from console.context import rail
from console.views_of import connectors, switch
from containment.models import Case, Detection
from playbooks import returning
from playbooks.models import Run

NEED_A_PERSON = ("needs_human", "partial")


def show(request: ActorRequest, template: str, facts: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """Render `template` with the counts of the rail, the database's time, and what the viewer is."""
    roles = sorted(request.user.roles) if isinstance(request.user, Person) else []
    shared = {"server_now": clock.now(), "rail": rail(request.path, counts()), "rail_url": "/rail/", "viewer_role": ", ".join(roles)}
    shared |= {"kill_switch": switch.stand(), "refusing": connectors.refusing()}
    return fresh(render(request, template, shared | facts, status=status))


def fragment(request: ActorRequest, template: str, facts: dict[str, Any], *, status: int = 200) -> HttpResponse:
    return fresh(render(request, template, facts, status=status))


def fresh(response: HttpResponse) -> HttpResponse:
    """What a page says is true now; a copy that a browser kept is not."""
    add_never_cache_headers(response)
    return response


def counts() -> dict[str, int]:
    """What waits for somebody, by address."""
    return {
        "/": Hold.objects.filter(state="open").count() + needing_a_person().count() + set_aside().count(),
        "/exceptions/": ExceptionGrant.objects.filter(state="asked").count(),
    }


def needing_a_person() -> Any:
    """Runs that came to rest and are not whole, or stay at a level of their way back, as long as their case is open."""
    open_cases = [f"case:{key}" for key in Case.objects.exclude(state="closed").values_list("pk", flat=True)]
    return Run.objects.filter(Q(state__in=NEED_A_PERSON) | returning.staying(), case_ref__in=open_cases)


def set_aside() -> Any:
    """Detections that stopped their workers too often: nobody decides them until a person has them tried again."""
    return Detection.objects.filter(state="quarantined").select_related("identity", "source").order_by("-received_at")
