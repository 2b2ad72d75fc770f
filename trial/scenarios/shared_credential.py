"""One password, three reports: cutting the credential breaks the two that did nothing. Cutting one session does not."""

from __future__ import annotations

from typing import Any

from trial.estate import Estate
from trial.scenarios.base import Access, Outcome, Scenario, ScenarioTrouble, card_tokens, database_role, identity, report, wait_for
from trial.workloads.reports import AdHocReport


def run_whole(access: Access) -> Outcome:
    rows = read_the_vault(access)
    watch = ["The hold names the reports that share the password and would break with it."]
    return Outcome("shared-credential", [_happened(rows)], watch, _report(access, "shared-credential"))


def run_one_workflow(access: Access) -> Outcome:
    rows = read_the_vault(access)
    answer = _report(access, "shared-credential-alone", session={"id": AdHocReport.session, "workflow": "adhoc"})
    watch = ["rep-adhoc alone is cut; rep-daily and rep-audit go on."]
    return Outcome("shared-credential-alone", [_happened(rows)], watch, answer)


def read_the_vault(access: Access) -> int:
    """Somebody asks the ad hoc report for the cards, and its session reads them."""
    with Estate.of_access(access).administer() as estate:
        asked = estate.execute(
            "INSERT INTO reports.requests (asked_by, about) VALUES ('temp-analyst', 'vault.card_tokens') RETURNING id"
        ).fetchone()
        number = asked[0] if asked else 0

        def rows_read() -> int | None:
            row = estate.execute("SELECT coalesce(rows_read, -1) FROM reports.requests WHERE id = %s AND answered_at IS NOT NULL", [number])
            return next((found[0] for found in row), None)

        try:
            wait_for(
                lambda: rows_read() is not None, "rep-adhoc answers no requests now. Is reports_shared contained, or its session ended?"
            )
        finally:
            estate.execute("DELETE FROM reports.requests WHERE id = %s AND answered_at IS NULL", [number])
        rows = rows_read() or 0
    if rows < 0:
        raise ScenarioTrouble("rep-adhoc may not read vault.card_tokens now. Undo the containment of reports_shared first.")
    return rows


def _report(access: Access, name: str, **more: Any) -> Any:
    return report(
        access,
        name,
        title="Cards read by a report",
        claims=["unexpected_secret_read"],
        identity=identity("reports_shared"),
        credential=database_role("reports_shared"),
        action={"name": "secret.read", "count": 3},
        resource=card_tokens(),
        **more,
    )


def _happened(rows: int) -> str:
    return f"Somebody asked the ad hoc report for vault.card_tokens, and its session rep-adhoc read {rows} rows with the shared password."


WHOLE = Scenario(
    "shared-credential",
    "One password, three reports",
    "A report reads the card vault with a password that three reports share, and the detector cannot say which of them it was. "
    "Cutting the password would break all three, so Holdfast asks a person and names who else would be hit.",
    "hold",
    run_whole,
)
ONE_WORKFLOW = Scenario(
    "shared-credential-alone",
    "One password, three reports: the culprit is known",
    "The same reading of the vault, but the detector names the session rep-adhoc. "
    "Ending that one session harms nobody else, so Holdfast does it at once.",
    "contain",
    run_one_workflow,
)
