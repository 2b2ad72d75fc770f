"""Is it alive, may it be sent work, and how much is there of everything. Open to all: nothing here names anybody.

Alive means that this process answers. Ready means that what arrives now will be decided: migrated, a policy and playbooks in force, a
sweeper that breathes, and in the trial its access file and estate. The broker is only ever a hint, so it is not asked.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from accounts.allowed import public
from api import metrics
from audit import clock
from containment.models import Heartbeat, RiskPolicyVersion
from playbooks.models import PlaybookVersion

BREATH = timedelta(seconds=10)


@public
@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    return HttpResponse("alive\n", content_type="text/plain")


@public
@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 with every check true, else 503 with the ones that are not."""
    checks = {name: _passes(check) for name, check in _checks().items()}
    ready = all(checks.values())
    return JsonResponse({"ready": ready, "checks": checks}, status=200 if ready else 503)


@public
@never_cache
@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(metrics.text(), content_type=CONTENT_TYPE_LATEST)


def _checks() -> dict[str, Callable[[], bool]]:
    ours = {"migrated": _migrated, "policy": _policy, "playbooks": _playbooks, "sweeper": _sweeper}
    if not settings.TRIAL:
        return ours
    ours["access"] = (settings.HOME / "access.json").exists
    return ours if settings.TRIAL_EMPTY else ours | {"estate": lambda: "postgres" in settings.CONNECTORS}


def _passes(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except (DatabaseError, OSError):
        return False


_seen_migrated = False


def _migrated() -> bool:
    """Asked of the database until it was so once: a running process does not become unmigrated."""
    global _seen_migrated
    if not _seen_migrated:
        executor = MigrationExecutor(connection)
        _seen_migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _seen_migrated


def _policy() -> bool:
    return RiskPolicyVersion.objects.filter(state="in_force").exists()


def _playbooks() -> bool:
    return PlaybookVersion.objects.filter(state="in_force").exists()


def _sweeper() -> bool:
    return Heartbeat.objects.filter(kind="sweeper", at__gt=clock.now() - BREATH).exists()
