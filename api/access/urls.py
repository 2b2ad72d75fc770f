"""The routes that agent runtimes and gateways ask."""

from __future__ import annotations

from django.urls import path

from api.access import evaluation, metadata, requests

urlpatterns = [
    path("access/v1/evaluation", evaluation.evaluation, name="access-evaluation"),
    path("access/v1/evaluations", evaluation.evaluations, name="access-evaluations"),
    path("access/v1/requests", requests.submit, name="access-requests"),
    path("access/v1/requests/<str:handle>", requests.status, name="access-request"),
    path("access/v1/requests/<str:handle>/cancel", requests.cancel, name="access-request-cancel"),
    path(".well-known/authzen-configuration", metadata.metadata, name="access-metadata"),
]
