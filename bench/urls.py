"""Every address of the product, and an empty view that goes through the same server and the same middleware. See bench/guard.py."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from accounts.allowed import public


@public
@csrf_exempt
def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"{}", content_type="application/json")


urlpatterns = [path("", include("config.urls")), path("bench/empty", empty)]
