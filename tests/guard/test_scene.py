"""However many sessions an agent has ended, a call reads only those that it lives in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection

from guard import scene
from tests import make
from tests.guard import stage

pytestmark = pytest.mark.django_db
ENDED = 100_000


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(inner for one in plan.get("Plans", ()) for inner in nodes(one))]


def test_a_call_of_an_agent_with_a_hundred_thousand_ended_sessions_reads_none_of_them() -> None:
    make.house()
    _, live = stage.agent()
    asked = {"provider": "holdfast", "subject": "clerk", "session": "run-1", "source": "guard", "resource_kind": "", "resource": ""}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO session (id, external_id, identity_id, credential_id, role, workflow, tenant, environment, drive, origin, intent,
                claimed, gate, gate_because, gate_allows, gate_key, gate_before, registered_by, started_at, last_seen_at, ended_at)
            SELECT gen_random_uuid(), 'ended-' || number, identity_id, credential_id, role, workflow, tenant, environment, drive, origin,
                intent, claimed, 'ended', '', gate_allows, '', gate_before, registered_by, started_at, last_seen_at, now()
            FROM session, generate_series(1, %s) AS number WHERE id = %s
            """,
            [ENDED, live.pk],
        )
        cursor.execute("ANALYZE session")
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {scene._SCENE}", asked | {"principal": "p", "request": ""})
        said = cursor.fetchone()[0]
    plan = json.loads(said) if isinstance(said, str) else said
    of_sessions = [
        one for one in nodes(plan[0]["Plan"]) if one.get("Relation Name") == "session" or "session_by" in str(one.get("Index Name"))
    ]
    read = [one["Actual Rows"] + one.get("Rows Removed by Filter", 0) for one in of_sessions]
    assert read, "it looks for the session"
    assert max(read) <= 10, [(one["Node Type"], one.get("Index Name"), one["Actual Rows"]) for one in of_sessions]
    used = {one.get("Index Name") for one in of_sessions}
    assert "live_session_by_identity" in used, used
