"""One account, two workflows: the closed books are the audit's daily bread, and the daily report never looked at them."""

from __future__ import annotations

from trial.scenarios.base import Access, Outcome, Scenario, database_role, identity
from trial.scenarios.through_api import Answer, Holdfast, visit

NAME = "one-account-two-workflows"
BOOKS = {"kind": "table", "id": "reports.month_end"}


def run(access: Access) -> Outcome:
    with visit(access) as holdfast:
        audit = _reads_the_books(holdfast, "rep-audit")
        daily = _reads_the_books(holdfast, "rep-daily")
    return Outcome(
        NAME,
        [
            f"Reported that rep-audit read reports.month_end with the password of reports_shared. New to it: {_new(audit)}.",
            f"Reported the same of rep-daily, with the same password. New to it: {_new(daily)}.",
        ],
        ["Compare the two decisions: first_access stands in the second alone, because each workflow has a baseline of its own."],
        daily,
    )


def _reads_the_books(holdfast: Holdfast, session: str) -> Answer:
    return holdfast.detect(
        NAME,
        title=f"{session} read the closed books",
        severity="low",
        confidence=0.5,
        identity=identity("reports_shared"),
        session={"id": session},
        credential=database_role("reports_shared"),
        action={"name": "data.read", "count": 1},
        resource=BOOKS,
    )


def _new(answer: Answer) -> str:
    found = (answer.get("decision") or {}).get("signals", [])
    return "yes" if any(one["code"] == "first_access" and one["strength"] > 0 for one in found) else "no"


SCENARIO = Scenario(
    NAME,
    "One account, two workflows",
    "The audit report and the daily report share one account, and both read the closed books. "
    "For the audit that is daily bread; for the daily report it is the first time, and the decision says so.",
    "watch",
    run,
)
