"""The routes of the API, and the three that a platform asks."""

from __future__ import annotations

from django.urls import include, path

from api import docs, health
from api.v1 import activity, backtests, cases, detections, exceptions, exposures, guard, holds, policies, reads, runs, sessions, sources

v1 = [
    path("detections", detections.Detections.as_view(), name="api-detections"),
    path("detections/batch", detections.Batch.as_view(), name="api-detections-batch"),
    path("detections/<uuid:key>", reads.OneDetection.as_view(), name="api-detection"),
    path("activity", activity.Feed.as_view(), name="api-activity"),
    path("decisions", reads.Decisions.as_view(), name="api-decisions"),
    path("decisions/<uuid:key>", reads.OneDecision.as_view(), name="api-decision"),
    path("cases", reads.Cases.as_view(), name="api-cases"),
    path("cases/<uuid:key>", reads.OneCase.as_view(), name="api-case"),
    path("cases/<uuid:key>/verdict", cases.JudgeCase.as_view(), name="api-case-verdict"),
    path("runs", reads.Runs.as_view(), name="api-runs"),
    path("runs/<uuid:key>", reads.OneRun.as_view(), name="api-run"),
    path("runs/<uuid:key>/undo", runs.UndoRun.as_view(), name="api-run-undo"),
    path("runs/<uuid:key>/accept", runs.AcceptRun.as_view(), name="api-run-accept"),
    path("holds", reads.Holds.as_view(), name="api-holds"),
    path("holds/<uuid:key>", reads.OneHold.as_view(), name="api-hold"),
    path("holds/<uuid:key>/members", holds.HoldMembers.as_view(), name="api-hold-members"),
    path("holds/<uuid:key>/members/<uuid:member>/alone", holds.AskAlone.as_view(), name="api-hold-member-alone"),
    path("holds/<uuid:key>/answer", holds.AnswerHold.as_view(), name="api-hold-answer"),
    path("identities", reads.Identities.as_view(), name="api-identities"),
    path("identities/<uuid:key>", reads.OneIdentity.as_view(), name="api-identity"),
    path("exceptions", exceptions.Exceptions.as_view(), name="api-exceptions"),
    path("exceptions/<uuid:key>", exceptions.OneException.as_view(), name="api-exception"),
    path("exceptions/<uuid:key>/grant", exceptions.GrantException.as_view(), name="api-exception-grant"),
    path("exceptions/<uuid:key>/refuse", exceptions.RefuseException.as_view(), name="api-exception-refuse"),
    path("exceptions/<uuid:key>/revoke", exceptions.RevokeException.as_view(), name="api-exception-revoke"),
    path("policies", policies.Policies.as_view(), name="api-policies"),
    path("policies/check", policies.CheckPolicy.as_view(), name="api-policy-check"),
    path("policies/<uuid:key>", policies.OnePolicy.as_view(), name="api-policy"),
    path("policies/<uuid:key>/approve", policies.ApprovePolicy.as_view(), name="api-policy-approve"),
    path("backtests", backtests.Backtests.as_view(), name="api-backtests"),
    path("backtests/<uuid:key>", backtests.OneBacktest.as_view(), name="api-backtest"),
    path("sessions", sessions.Sessions.as_view(), name="api-sessions"),
    path("sessions/<str:key>", sessions.OneSession.as_view(), name="api-session"),
    path("exposures", exposures.Exposures.as_view(), name="api-exposures"),
    path("exposures/<uuid:key>", exposures.OneExposure.as_view(), name="api-exposure"),
    path("sources", sources.Sources.as_view(), name="api-sources"),
    path("sources/<uuid:key>", sources.OneSource.as_view(), name="api-source"),
    path("guard/calls", guard.GuardCalls.as_view(), name="api-guard-calls"),
    path("guard/calls/<uuid:key>", guard.OneGuardCall.as_view(), name="api-guard-call"),
    path("verdicts", sources.Verdicts.as_view(), name="api-verdicts"),
    path("audit", reads.AuditTrail.as_view(), name="api-audit"),
]

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics_page, name="metrics"),
    path("api/schema/", docs.schema, name="api-schema"),
    path("api/docs/", docs.docs, name="api-docs"),
    path("api/v1/", include(v1)),
    path("", include("api.access.urls")),
]
