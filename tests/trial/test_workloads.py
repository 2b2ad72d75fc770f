"""The workloads: they do their work, each under its own name, and wait quietly while the estate says no."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.base import Measure, Step, Target
from connectors.postgres import PostgresConnector
from tests.trial.door import Door
from tests.trial.helpers import ask, do, eventually
from trial.estate import Estate
from trial.workloads.__main__ import STATUS, all_workloads, keep_running
from trial.workloads.base import Workload
from trial.workloads.ingest import Ingest
from trial.workloads.mail_sink import MailSink
from trial.workloads.payments import Payments
from trial.workloads.reports import AdHocReport, AuditReport, DailyReport
from trial.workloads.telling import AT_ONCE, MOST_KEPT, Deed, Feed
from trial.workloads.telling import TOKEN as ACTIVITY_TOKEN
from trial.workloads.training import Training

Start = Callable[..., Workload]


@pytest.mark.parametrize("kind", [Ingest, Payments, DailyReport, AuditReport, AdHocReport, Training])
def test_a_session_is_known_by_its_name(built: Estate, working: Start, kind: type[Workload]) -> None:
    workload = working(kind, built)
    eventually(lambda: workload.status.worked)
    assert (
        eventually(
            lambda: ask(
                built,
                "SELECT usename::text || ' from ' || host(client_addr) FROM pg_stat_activity WHERE application_name = %s",
                kind.session,
            )
        )
        == f"{kind.role} from 127.0.0.1"
    )


def test_every_payment_is_booked_reconnects_included(built: Estate, working: Start) -> None:
    do(built, "TRUNCATE payments.ledger")
    payments = working(Payments, built)
    eventually(lambda: payments.status.connections >= 3)
    first, last, booked = _ledger(built)
    assert booked == last - first + 1
    assert payments.status.given_up == 0


def test_a_payment_that_met_a_closed_door_is_booked_when_it_opens(built: Estate, working: Start) -> None:
    do(built, "TRUNCATE payments.ledger")
    payments = working(Payments, built)
    eventually(lambda: payments.status.worked >= 1)
    do(built, "REVOKE INSERT ON payments.ledger FROM payments_writer")
    eventually(lambda: payments.status.state == "refused")
    do(built, "GRANT INSERT ON payments.ledger TO payments_writer")
    before = payments.status.worked
    eventually(lambda: payments.status.worked >= before + 2)
    first, last, booked = _ledger(built)
    assert booked == last - first + 1  # the seconds before the closed door, behind it, and after


def test_a_session_that_is_cut_comes_back_when_it_may(built: Estate, working: Start) -> None:
    ingest = working(Ingest, built)
    eventually(lambda: ingest.status.worked)
    do(
        built,
        "ALTER ROLE etl_reader NOLOGIN",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'etl_reader'",
    )
    try:
        eventually(lambda: "not permitted to log in" in (ingest.status.last_error or ""))
    finally:
        do(built, "ALTER ROLE etl_reader LOGIN")
    before = ingest.status.worked
    eventually(lambda: ingest.status.worked > before)


def test_an_ad_hoc_session_that_was_ended_does_not_come_back_by_itself(built: Estate, working: Start) -> None:
    adhoc, daily = working(AdHocReport, built), working(DailyReport, built)
    eventually(lambda: adhoc.status.worked and daily.status.worked)
    do(built, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rep-adhoc'")
    eventually(lambda: adhoc.status.state == "refused")
    before = daily.status.worked
    eventually(lambda: daily.status.worked >= before + 4)
    assert ask(built, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rep-adhoc'") == 0


def test_a_training_job_goes_on_from_its_last_checkpoint(built: Estate, working: Start) -> None:
    training = working(Training, built)
    eventually(lambda: ask(built, "SELECT count(*) FROM models.checkpoints"))

    def came_again() -> bool:
        do(built, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'train-7'")
        return training.status.connections >= 2

    eventually(came_again, seconds=120)
    assert ask(built, "SELECT max(step) FROM models.checkpoints") <= eventually(lambda: ask(built, "SELECT step FROM models.progress"))


def test_a_training_job_saves_itself_when_it_is_asked_to(built: Estate, working: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names that the trial configures."""
    monkeypatch.setattr("trial.workloads.training.A_CHECKPOINT_EVERY", 3600.0)
    training = working(Training, built)
    eventually(lambda: training.status.worked >= 2)
    connector = PostgresConnector(
        dsn=built.dsn, checkpoints={"trainer": {"call": "models.checkpoint", "newest": "models.newest_checkpoint"}}
    )
    step = Step(Measure.JOB_CHECKPOINT, Target("postgres", "workload", "trainer", "0190a5b0-0000-7000-8000-00000000000a"))
    assert connector.preflight(step).can
    was = connector.look(step)
    assert not connector.probe(step, key="once", was=was).dead
    assert connector.perform(step, key="once", was=was).changed
    assert connector.probe(step, key="once", was=was).dead
    eventually(lambda: not ask(built, "SELECT bool_or(wants_checkpoint) FROM models.jobs"))


def test_the_status_file_tells_what_each_workload_last_did(built: Estate, home: Path) -> None:
    stop = threading.Event()
    feed = Feed("http://127.0.0.1:1", home, stop)
    running = threading.Thread(target=keep_running, args=[all_workloads(built, stop), [MailSink(built, home, stop)], feed, home, stop])
    running.start()
    try:
        said = eventually(lambda: _whole_status(home))
    finally:
        stop.set()
        running.join(20)
    assert {status["state"] for status in said.values()} == {"working"}


def test_a_workload_that_dies_of_a_bug_is_noticed(built: Estate, home: Path) -> None:
    class Broken(Ingest):
        def run(self) -> None:
            """Ends at once."""

    stop = threading.Event()
    assert keep_running([Broken(built, stop), DailyReport(built, stop)], [], Feed("http://127.0.0.1:1", home, stop), home, stop) is False
    stop.set()


# --- the activity feed

READ = Deed("etl_reader", "etl-main", "data.read", "ingest.batches")
BOOKING = Deed("payments_writer", "pay-main", "data.write", "payments.ledger")


@pytest.fixture
def feed(home: Path, holdfast: Door) -> Iterator[Feed]:
    (home / ACTIVITY_TOKEN).write_text(json.dumps({"token": "hf_activity"}))
    yield Feed(holdfast.url, home, threading.Event())
    (home / ACTIVITY_TOKEN).unlink()


def test_what_a_session_did_is_told_once_with_how_often(feed: Feed, holdfast: Door) -> None:
    for deed in (READ, BOOKING, READ, READ):
        feed.note(deed)
    feed.send()
    feed.send()
    told = [(one["identity"]["subject"], one["session"]["id"], one["action"]["name"], one["action"]["count"]) for one in holdfast.told]
    assert told == [("etl_reader", "etl-main", "data.read", 3), ("payments_writer", "pay-main", "data.write", 1)]


def test_what_holdfast_did_not_take_is_told_again_under_the_same_id(feed: Feed, holdfast: Door) -> None:
    feed.note(READ)
    holdfast.takes_activity = False
    feed.send()
    assert feed.public() == {"sent": 0, "waiting": 1, "lost": 0, "trouble": "Holdfast says 503"}
    refused = list(holdfast.refused)
    feed.note(BOOKING)
    holdfast.takes_activity = True
    feed.send()
    assert [one["id"] for one in holdfast.told[:1]] == [one["id"] for one in refused]
    assert feed.public() == {"sent": 2, "waiting": 0, "lost": 0, "trouble": None}


def test_while_nobody_answers_a_bounded_number_is_kept_and_the_newest_of_them(home: Path, holdfast: Door, feed: Feed) -> None:
    away = Feed("http://127.0.0.1:1", home, threading.Event())
    for number in range(MOST_KEPT + AT_ONCE):
        away.note(Deed("etl_reader", "etl-main", "data.read", f"t.{number}"))
    away.send()
    said = away.public()
    assert (said["waiting"], said["lost"]) == (MOST_KEPT, AT_ONCE)
    assert "gives no answer" in said["trouble"]


def test_what_can_never_be_read_is_not_told_for_ever(feed: Feed, holdfast: Door) -> None:
    holdfast.reads_activity = False
    feed.note(READ)
    feed.send()
    assert feed.public() == {"sent": 0, "waiting": 0, "lost": 1, "trouble": "Holdfast says 422"}


def test_every_workload_tells_what_it_does(built: Estate, working: Start) -> None:
    told: list[Deed] = []
    for kind in (Ingest, Payments, DailyReport, AuditReport, AdHocReport, Training):
        working(kind, built).tell = told.append
    expected = {
        ("etl-main", "data.read", "ingest.batches"),
        ("pay-main", "data.write", "payments.ledger"),
        ("rep-daily", "data.read", "reports.sales"),
        ("rep-audit", "data.read", "reports.sales"),
        ("rep-adhoc", "data.read", "reports.sales"),
        ("train-7", "data.write", "models.progress"),
    }
    eventually(lambda: expected <= {(deed.session, deed.action, deed.table) for deed in told})


def _ledger(estate: Estate) -> tuple[int, int, int]:
    """The first and the last second in the ledger, and how many rows it has."""
    with estate.administer() as connection:
        seconds = [row[0] for row in connection.execute("SELECT extract(epoch FROM due_at)::bigint FROM payments.ledger ORDER BY 1")]
    return seconds[0], seconds[-1], len(seconds)


def _whole_status(home: Path) -> dict[str, dict[str, object]] | None:
    """The status once every workload has said something."""
    path = home / STATUS
    if not path.exists():
        return None
    said = {each["session"]: each for each in json.loads(path.read_text())["workloads"]}
    return said if len(said) == 6 and all(each["state"] != "starting" for each in said.values()) else None
