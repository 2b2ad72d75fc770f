"""Search: names and ids that the viewer may read. Options for the palette while one types; a page of its own without script."""

from __future__ import annotations

from django.http import HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console.deeds import page_or_part
from console.views_of import found

LONGEST = 200


@allowed("read")
@require_safe
def search(request: ActorRequest) -> HttpResponse:
    text = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST]
    facts = {"q": text, "groups": found.groups(text, request.actor)}
    return page_or_part(request, "search/page.html", "search/_options.html", facts)


urlpatterns = [path("search/", search, name="search")]
