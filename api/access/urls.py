"""The routes that agent runtimes and gateways ask."""

from __future__ import annotations

from django.urls import path

from api.access import evaluation, metadata

urlpatterns = [
    path("access/v1/evaluation", evaluation.evaluation, name="access-evaluation"),
    path("access/v1/evaluations", evaluation.evaluations, name="access-evaluations"),
    path(".well-known/authzen-configuration", metadata.metadata, name="access-metadata"),
]
