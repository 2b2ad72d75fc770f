"""The one page of ours on the way in: a sign-in link shows a button, and the button signs in. Mail scanners and previews only look."""

from __future__ import annotations

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from accounts import links
from accounts.allowed import public
from accounts.models import Person


@public
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("secret")
def sign_in_link(request: HttpRequest, secret: str) -> HttpResponse:
    try:
        if request.method == "POST":
            return _sign_in(request, links.use(secret))
        page = render(request, "account/link.html", {"person": links.whose(secret)})
    except links.LinkSpent as refusal:
        page = render(request, "account/link.html", {"refusal": refusal.sentence}, status=410)
    add_never_cache_headers(page)
    return page


def _sign_in(request: HttpRequest, person: Person) -> HttpResponse:
    request.signed_in_by = "one-time link"  # type: ignore[attr-defined]
    login(request, person)
    if person.has_usable_password():
        return redirect(resolve_url("/"))
    return redirect(reverse("account_set_password"))
