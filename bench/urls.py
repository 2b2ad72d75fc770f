"""Every address of the product, and an empty view, through all of Django's middleware or behind the guard's door. See guard.py."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from accounts.allowed import public


@public
@csrf_exempt
def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"{}", content_type="application/json")


urlpatterns = [path("", include("config.urls")), path("bench/empty", empty), path("access/v1/bench/empty", empty)]
