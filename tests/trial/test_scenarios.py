"""The scenarios: what they do really happens, in sessions that the estate can tell apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.trial.helpers import ask, do, eventually
from trial.agent.planner import ACCOUNTS
from trial.estate import Estate
from trial.outside import Intruder
from trial.scenarios import ALL, ScenarioTrouble
from trial.scenarios.foreign import from_outside
from trial.scenarios.long_job import have_a_token_minted
from trial.scenarios.papers import Entry, last_call, last_mail
from trial.scenarios.poisoned_document import THEIRS, nothing_got_out, the_chain
from trial.scenarios.rogue_agent import what_follows
from trial.scenarios.shared_credential import read_the_vault
from trial.workloads.base import Workload
from trial.workloads.reports import AdHocReport
from trial.workloads.training import Training

CARDS = "SELECT customer, token FROM vault.card_tokens"


@pytest.fixture
def access(built: Estate) -> dict[str, object]:
    return {"url": "http://127.0.0.1:1", "tokens": {"detections": "hf_x"}, "estate": {"dsn": built.dsn, "roles": dict(built.passwords)}}


def test_the_incidents_are_there_and_say_what_to_expect() -> None:
    assert {name: scenario.expect for name, scenario in ALL.items()} == {
        "leaked-secret": "contain",
        "stolen-secret": "contain",
        "payment-flow": "hold",
        "shared-credential": "hold",
        "shared-credential-alone": "contain",
        "long-job": "hold",
        "poisoned-document": "contain",
        "ordinary-document": "watch",
        "large-booking": "hold",
        "rogue-agent": "contain",
        "one-account-two-workflows": "watch",
        "undo-and-again": "hold",
    }
    assert all(scenario.story.count(". ") == 1 for scenario in ALL.values())  # two sentences


def noted(tool: str, to: str, answer: str) -> Entry:
    return Entry("inv-1", tool, f"{to}, as the document new-terms asks", answer, "", "", "")


NOTE, SECRET, MAIL = ("mail.send", f"a note to {ACCOUNTS}"), ("secrets.read", "the secret payout-key"), ("mail.send", f"it to {THEIRS}")


@pytest.mark.parametrize(
    ("answers", "otherwise"),
    [
        (("done", "denied", "failed"), "mail.send was failed"),  # it was allowed, and the mail server did not take it
        (("done", "denied", "done"), "mail.send was done"),
        (("done", "done", "denied"), "secrets.read was done"),
        (("done", "denied", "unanswered"), "mail.send was unanswered"),
        (("failed", "denied", "denied"), "did not go out"),
    ],
)
def test_the_poisoned_document_shows_nothing_unless_every_step_of_it_was_denied(answers: tuple[str, ...], otherwise: str) -> None:
    entries = [noted(*what, answer) for what, answer in zip((NOTE, SECRET, MAIL), answers, strict=True)]
    with pytest.raises(ScenarioTrouble, match=otherwise):
        the_chain(entries)
    assert len(the_chain([noted(*NOTE, "done"), noted(*SECRET, "denied"), noted(*MAIL, "denied")])) == 2


def test_the_poisoned_document_shows_nothing_while_the_mail_server_takes_nothing(built: Estate) -> None:
    do(built, "INSERT INTO agents.calls (session, tool, writes, about) VALUES ('a-test', 'documents.read', false, 'terms.txt')")
    try:
        with built.administer() as estate, pytest.raises(ScenarioTrouble, match="takes nothing now"):
            nothing_got_out(estate, "terms.txt", last_call(estate), last_mail(estate))
    finally:
        do(built, "TRUNCATE agents.calls")


@pytest.mark.parametrize(("verdict", "says"), [("contain", "being paused"), ("hold", "People are asked"), ("watch", "Nothing is done")])
def test_what_to_watch_after_the_rogue_agent_is_what_was_decided(verdict: str, says: str) -> None:
    assert says in what_follows(verdict, "inv-1")


def test_an_intruder_comes_from_another_address_reads_and_stays_until_cut(built: Estate) -> None:
    intruder = Intruder(built, "etl_reader", name="psql", reads=CARDS)
    intruder.arrive()
    assert intruder.rows == 250
    seen = ask(built, "SELECT host(client_addr) FROM pg_stat_activity WHERE usename = 'etl_reader' AND application_name = 'psql'")
    assert seen == intruder.origin == "127.0.0.2"
    assert not intruder.is_cut
    do(built, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'psql'")
    assert intruder.wait_until_cut(10)
    assert "terminating connection" in (intruder.said or "")


def test_an_intruder_that_leaves_was_not_cut(built: Estate) -> None:
    intruder = Intruder(built, "etl_reader", name="psql", reads=CARDS)
    intruder.arrive()
    intruder.leave()
    assert not intruder.is_cut
    eventually(lambda: ask(built, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql'") == 0)


def test_an_intruder_who_loses_its_rights_feels_it_on_its_open_session(built: Estate) -> None:
    intruder = Intruder(built, "payments_writer", name="psql", reads=CARDS)
    intruder.arrive()
    do(built, "REVOKE SELECT ON vault.card_tokens FROM payments_writer")
    try:
        eventually(lambda: intruder.refused)
        assert not intruder.is_cut
    finally:
        do(built, "GRANT SELECT ON vault.card_tokens TO payments_writer")
        intruder.leave()


def test_a_contained_account_cannot_be_misused_again(built: Estate, access: dict[str, object]) -> None:
    do(built, "ALTER ROLE etl_reader NOLOGIN")
    try:
        with pytest.raises(ScenarioTrouble, match="Undo its containment first"):
            from_outside(access, "etl_reader")
    finally:
        do(built, "ALTER ROLE etl_reader LOGIN")


def test_the_ad_hoc_report_reads_whatever_it_is_asked_for(
    built: Estate, access: dict[str, object], working: Callable[..., Workload]
) -> None:
    working(AdHocReport, built)
    assert read_the_vault(access) == 250
    do(built, "REVOKE SELECT ON vault.card_tokens FROM reports_shared")
    try:
        with pytest.raises(ScenarioTrouble, match="may not read"):
            read_the_vault(access)
    finally:
        do(built, "GRANT SELECT ON vault.card_tokens TO reports_shared")


def test_the_training_job_mints_one_token_when_its_setup_says_so(built: Estate, working: Callable[..., Workload]) -> None:
    minted = "SELECT count(*) FROM models.deploy_tokens WHERE minted_by = 'train-7'"
    before = ask(built, minted)
    training = working(Training, built)
    with built.administer() as estate:
        have_a_token_minted(estate)
    worked = training.status.worked
    eventually(lambda: training.status.worked >= worked + 3)
    assert ask(built, minted) == before + 1


@pytest.mark.parametrize("name", ["leaked-secret", "shared-credential"])
def test_without_holdfast_a_scenario_says_so_and_leaves_nobody_behind(
    built: Estate, access: dict[str, object], working: Callable[..., Workload], name: str
) -> None:
    working(AdHocReport, built)
    with pytest.raises(ScenarioTrouble, match="does not answer"):
        ALL[name].run(access)
    eventually(lambda: ask(built, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql'") == 0)
