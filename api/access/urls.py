"""The routes that agent runtimes and gateways ask."""

from __future__ import annotations

from django.urls import path

from api.access import contained, evaluation, metadata, reports, requests

urlpatterns = [
    path("access/v1/evaluation", evaluation.evaluation, name="access-evaluation"),
    path("access/v1/evaluations", evaluation.evaluations, name="access-evaluations"),
    path("access/v1/requests", requests.submit, name="access-requests"),
    path("access/v1/requests/<str:handle>", requests.status, name="access-request"),
    path("access/v1/requests/<str:handle>/cancel", requests.cancel, name="access-request-cancel"),
    path("access/v1/contained", contained.contained, name="access-contained"),
    path("access/v1/reports", reports.reports, name="access-reports"),
    path(".well-known/authzen-configuration", metadata.metadata, name="access-metadata"),
]
