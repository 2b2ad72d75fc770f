"""Every address: how people come in, what programs ask, and the console's pages."""

from __future__ import annotations

from django.conf import settings
from django.urls import include, path

urlpatterns = [
    path("accounts/", include("accounts.urls")),
    path("", include("api.urls")),
    path("", include("console.urls")),
    *([path("", include("trial.urls"))] if settings.TRIAL else []),
]
