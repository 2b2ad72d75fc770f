"""A backtest over decisions that were really made: it agrees with each of them under the same policy, and carries on when workers die."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit import clock
from audit.models import AuditEntry
from containment import backtests, exceptions, flow, policies
from containment.domain.policy import Mode, shipped_text
from containment.models import Backtest, BacktestSlice, Decision, DecisionGist, Identity, RiskPolicyVersion, Source
from containment.sweep import Sweeper
from core.digest import digest_of_bytes
from core.refusals import BadInput, Forbidden, Refusal
from playbooks.models import Run
from tests import again, cast, make

pytestmark = pytest.mark.django_db(transaction=True)

MONTH = timedelta(days=30)
LOUD = shipped_text().replace("{kind: service_account, soft: 40, hard: 70}", "{kind: service_account, soft: 90, hard: 95}")


def everything_that_can_be_decided() -> list[Decision]:
    """One of each: contain, covered, watch, hold for a designated session, protected, under a ceiling, thin, exempt, seen again, a hold
    for what is new within the cool-off, only observed, and held for a spent budget."""
    again.scene("everything that can be decided", _decided)
    return list(Decision.objects.order_by("decided_at"))


def _decided() -> None:
    make.house()
    for name in ("etl", "quiet", "payments", "safe", "low", "guessed", "spared", "undone", "spent"):
        make.identity(name)
    made = [make.detected("etl"), make.detected("etl", action={"name": "token.mint"}, claims=["token_mint"])]
    made.append(make.detected("quiet", severity="low", confidence=0.2, claims=[], action={"name": "data.read"}))
    make.session(Identity.objects.get(subject="payments"), "pay-1", workflow="payments")
    make.designation(Identity.objects.get(subject="payments"), "pay-1")
    made.append(make.detected("payments", session=None))
    Identity.objects.filter(subject="safe").update(protected=True)
    made.append(make.detected("safe"))
    Source.objects.filter(name="edr-prod").update(ceiling="hold")
    made.append(make.detected("low"))
    Source.objects.filter(name="edr-prod").update(ceiling="contain")
    inside = {"environment": "prod", "source_ip": "10.0.0.9"}
    made.append(make.detected("guessed", claims=["first_access", "volume", "cross_system"], confidence=1.0, context=inside))
    spare("spared")
    made.append(make.detected("spared"))
    held = make.hold_of(made[3])
    flow.answer_hold(held.pk, "reject", actor=cast.person("omar"), seen_digest=held.plan_digest, reason="a rehearsal")
    Run.objects.filter(decisions=made[3]).update(state="withdrawn", next_at=None)
    made.append(make.detected("payments", session=None))
    made.append(make.detected("payments", session=None, claims=["unexpected_secret_read", "identity_violation"]))
    assert len(made) == Decision.objects.count()


def spare(subject: str) -> None:
    now = clock.now()
    asked = exceptions.ask(
        scope={"identity": str(Identity.objects.get(subject=subject).pk)},
        reason="a drill",
        ticket="",
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        budget_count=5,
        budget_risk=500,
        actor=cast.person("ines"),
    )
    exceptions.sign(asked.pk, actor=cast.person("mara"))


def in_force(text: str) -> None:
    """Another policy from now on, so that decisions under several stand in the history."""
    RiskPolicyVersion.objects.filter(state="in_force").update(state="superseded")
    RiskPolicyVersion.objects.create(
        version=RiskPolicyVersion.objects.count() + 1,
        text=text,
        digest=digest_of_bytes(text.encode()),
        state="in_force",
        shipped=True,
        drafted_at=clock.now(),
        in_force_at=clock.now(),
    )


def backtest_of(text: str, **more) -> Backtest:
    asked = backtests.ask(text, since=clock.now() - MONTH, actor=cast.person("enzo"), **more)
    while backtests.drive(asked.pk):
        pass
    asked.refresh_from_db()
    return asked


def test_under_the_same_policy_every_stored_decision_comes_out_the_same():
    made = everything_that_can_be_decided()
    assert {decision.verdict for decision in made} == {"contain", "covered", "watch", "hold", "exempt"}
    assert {decision.sentence for decision in made} >= {0, 1, 2, 3, 4, 5, 6, 8}
    assert {decision.waterfall["choice"]["hold_reason"] for decision in made} >= {"protected", "payment", "ceiling", "thin"}
    found = backtest_of(policies.in_force().text)
    assert found.state == "done"
    assert found.result["same"] == found.result["events"] == Decision.objects.count() == DecisionGist.objects.count()
    assert found.result["flips"] == {}
    assert found.whole


@pytest.mark.parametrize(
    ("text", "verdict", "sentence"),
    [
        (shipped_text(Mode.OBSERVE), "watch", 8),
        (shipped_text().replace("{per_source_hour: 60, per_day: 200", "{per_source_hour: 0, per_day: 0"), "hold", 7),
    ],
)
def test_what_was_only_observed_or_held_for_the_budget_comes_out_the_same(text, verdict, sentence):
    make.house()
    in_force(text)
    make.identity("etl")
    decision = make.detected("etl")
    assert (decision.verdict, decision.sentence) == (verdict, sentence)
    found = backtest_of(text)
    assert found.result["same"] == 1


def test_decisions_without_a_gist_are_judged_in_full_with_the_same_result():
    everything_that_can_be_decided()
    with_gists = backtest_of(LOUD).result
    DecisionGist.objects.filter(verdict__in=["watch", "contain", "exempt"]).delete()
    without = backtest_of(LOUD).result
    assert without["in_full"] > with_gists["in_full"]
    assert without | {"in_full": 0} == with_gists | {"in_full": 0}
    assert without["flips"]["contain hard > watch"] >= 1


def test_a_long_history_is_cut_into_slices_and_no_identitys_day_in_two(monkeypatch):
    everything_that_can_be_decided()
    whole = backtest_of(LOUD).result
    monkeypatch.setattr(backtests, "MOST_PER_SLICE", 3)
    asked = backtests.ask(LOUD, since=clock.now() - MONTH, actor=cast.person("enzo"))
    backtests.drive(asked.pk, turn_s=0)
    assert BacktestSlice.objects.filter(backtest=asked).count() > 2
    assert BacktestSlice.objects.filter(backtest=asked, tally__isnull=False).count() == 1
    while backtests.drive(asked.pk, turn_s=0):
        pass
    asked.refresh_from_db()
    assert (asked.state, asked.done) == ("done", asked.events)
    assert asked.result == whole
    assert not BacktestSlice.objects.exists()


def test_a_slice_that_a_killed_worker_left_is_taken_up_when_its_time_has_passed(monkeypatch):
    everything_that_can_be_decided()
    asked = backtests.ask(LOUD, since=clock.now() - MONTH, actor=cast.person("enzo"))
    with monkeypatch.context() as patched:
        patched.setattr(backtests, "_tally", killed)
        with pytest.raises(KeyboardInterrupt):
            backtests.drive(asked.pk)
    assert not backtests.drive(asked.pk)  # it is out: whoever has it may still be at work
    asked.refresh_from_db()
    assert asked.state == "running"
    time_passes()
    assert backtests.due(5) == [asked.pk]
    backtests.drive(asked.pk)
    asked.refresh_from_db()
    assert asked.state == "done"


def killed(*_):
    raise KeyboardInterrupt


def time_passes() -> None:
    passed = clock.now() - timedelta(seconds=1)
    Backtest.objects.update(next_at=passed)
    BacktestSlice.objects.update(next_at=passed)


def test_a_slice_that_came_back_too_late_is_not_counted_twice():
    everything_that_can_be_decided()
    asked = backtests.ask(LOUD, since=clock.now() - MONTH, actor=cast.person("enzo"))
    backtests._begin(asked.pk)
    slow = backtests._claim(asked.pk)
    assert slow is not None
    time_passes()
    backtests.drive(asked.pk)
    backtests._settle(slow, {"events": 99, "unreadable": 0})
    asked.refresh_from_db()
    assert asked.done == asked.events == Decision.objects.count()


def test_a_slice_that_stops_every_worker_ends_the_backtest_with_a_reason(monkeypatch):
    everything_that_can_be_decided()
    asked = backtests.ask(LOUD, since=clock.now() - MONTH, actor=cast.person("enzo"))

    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(backtests, "_tally", broken)
    for _ in range(backtests.STRIKES + 1):
        backtests.drive(asked.pk)
        time_passes() if Backtest.objects.filter(pk=asked.pk, state="running").exists() else None
    asked.refresh_from_db()
    assert (asked.state, asked.next_at) == ("failed", None)
    assert "stopped 3 workers" in asked.trouble
    assert AuditEntry.objects.filter(verb="backtest.failed").count() == 1


@pytest.mark.parametrize(("broken", "says"), [("_parts", "could not be begun"), ("finish", "could not be put together")])
def test_a_backtest_that_cannot_begin_or_end_lets_others_by_and_ends_with_a_reason(monkeypatch, broken, says):
    everything_that_can_be_decided()
    asked = backtests.ask(LOUD, since=clock.now() - MONTH, actor=cast.person("enzo"))
    other = backtests.ask(LOUD, since=clock.now() - MONTH, actor=cast.person("enzo"))
    time_passes()
    tried = []

    def breaks(*_):
        tried.append(1)
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(backtests, broken, breaks)
        for _ in range(backtests.STRIKES + 1):
            assert not backtests.drive(asked.pk)
            assert not backtests.drive(asked.pk)  # at once, it is left alone
            assert backtests.due(1) == [other.pk]
            Backtest.objects.filter(pk=asked.pk, next_at__isnull=False).update(next_at=clock.now() - timedelta(seconds=1))
    asked.refresh_from_db()
    assert (asked.state, asked.next_at, len(tried)) == ("failed", None, backtests.STRIKES)
    assert says in asked.trouble
    assert not BacktestSlice.objects.filter(backtest=asked).exists()
    backtests.drive(other.pk)
    other.refresh_from_db()
    assert other.state == "done"


def test_a_text_that_todays_rules_refuse_ends_with_that_reason():
    everything_that_can_be_decided()
    asked = backtests.ask(LOUD, since=clock.now() - MONTH, actor=cast.person("enzo"))
    Backtest.objects.update(policy_text="version: 1")
    assert not backtests.drive(asked.pk)
    asked.refresh_from_db()
    assert (asked.state, "refused by the rules of today" in asked.trouble) == ("failed", True)


def test_facts_that_cannot_be_read_any_more_are_counted_and_left_out():
    everything_that_can_be_decided()
    lost = Decision.objects.filter(verdict="contain").values("pk")[:1]
    Decision.objects.filter(pk__in=lost).update(facts={"now": "yesterday"})
    found = backtest_of(LOUD)
    assert found.result["unreadable"] == 1
    assert found.result["events"] == Decision.objects.count() - 1
    assert found.done == found.events


def test_with_the_broker_down_a_sweeper_works_on_it_beside_its_rounds():
    everything_that_can_be_decided()
    asked = backtests.ask(LOUD, since=clock.now() - MONTH, actor=cast.person("enzo"))
    sweeper = Sweeper("sweeper@test")
    sweeper._backtests()
    assert sweeper.aside is None  # a nudged worker has a moment to begin
    time_passes()
    sweeper._backtests()
    beside: threading.Thread | None = sweeper.aside
    if beside is not None:
        beside.join(timeout=60)
    asked.refresh_from_db()
    assert asked.state == "done"


def test_a_backtest_changes_nothing_but_its_own_rows_and_the_audit_trail():
    everything_that_can_be_decided()
    before = fingerprint_of_everything()
    backtest_of(LOUD)
    assert fingerprint_of_everything() == before


def fingerprint_of_everything() -> dict[str, int]:
    own = ("backtest", "backtest_slice", "backtest_seen", "audit_")
    tables = [name for name in connection.introspection.table_names() if not name.startswith(own)]
    with connection.cursor() as cursor:
        found = {}
        for table in tables:
            cursor.execute(f"SELECT coalesce(sum(hashtext(t::text)::bigint), 0) FROM {table} t")
            found[table] = cursor.fetchone()[0]
    return found


def test_only_who_opened_a_finished_backtest_of_this_very_text_has_seen_it():
    everything_that_can_be_decided()
    enzo, mara = cast.person("enzo"), cast.person("mara")
    by = UUID(enzo.principal)
    asked = backtests.ask(LOUD, since=clock.now() - timedelta(days=7), actor=enzo)
    digest = asked.policy_digest
    backtests.opened(asked.pk, actor=enzo)
    assert not backtests.seen(digest, by=by, days=1)  # not done yet
    backtests.drive(asked.pk)
    assert not backtests.seen(digest, by=by, days=1)
    backtests.opened(asked.pk, actor=enzo)
    assert backtests.seen(digest, by=by)  # all the history there is
    assert not backtests.seen(digest, by=by, days=1)  # which is less than a day of it
    assert not backtests.seen(digest, by=UUID(mara.principal))
    assert not backtests.seen(digest_of_bytes(b"another"), by=by)
    assert backtests.latest(digest) == asked
    Decision.objects.update(decided_at=clock.now() - timedelta(days=6, hours=23))
    assert backtests.seen(digest, by=by, days=6)
    assert not backtests.seen(digest, by=by, days=7)
    Backtest.objects.update(whole=False)
    assert not backtests.seen(digest, by=by)


@pytest.mark.parametrize("name", ["ines", "wren", "ada"])
def test_who_has_no_say_in_policies_asks_for_none(name):
    make.house()
    with pytest.raises(Forbidden):
        backtests.ask(LOUD, since=clock.now() - MONTH, actor=cast.person(name))
    assert not Backtest.objects.exists()


def test_a_text_that_is_no_policy_or_a_time_turned_round_is_refused():
    make.house()
    with pytest.raises(BadInput):
        backtests.ask("version: 1", since=clock.now() - MONTH, actor=cast.person("enzo"))
    with pytest.raises(Refusal, match="before its end"):
        backtests.ask(LOUD, since=clock.now() + MONTH, actor=cast.person("enzo"))


# -- the commands -------------------------------------------------------------------------------------------------------------------------


def test_the_command_says_what_would_have_been_different(tmp_path, capsys):
    everything_that_can_be_decided()
    file = tmp_path / "louder.yaml"
    file.write_text(LOUD)
    call_command("backtest", policy=file, since="30d", processes=1, by="enzo")
    said = capsys.readouterr().out
    assert "contain hard → watch" in said
    assert ", under 90." in said
    call_command("backtest", policy=file, since="2020-01-01", until="2020-02-01", processes=1, json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["events"], found["whole_history"]) == (0, False)
    assert Backtest.objects.order_by("made_at").values_list("made_by__username", flat=True).first() == "enzo"


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("version: 1", {}, "is no policy"),
        (LOUD, {"since": "yesterday"}, "neither a span"),
        (LOUD, {"by": "nobody"}, "Nobody signs in as nobody"),
    ],
)
def test_the_command_complains_in_a_sentence(tmp_path, text, options, says):
    make.house()
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(CommandError, match=says):
        call_command("backtest", policy=file, processes=1, **options)


def test_stored_decisions_replay_to_the_same_digests_and_the_first_that_does_not_is_named(capsys):
    made = everything_that_can_be_decided()
    in_force(LOUD)
    make.detected("quiet")
    call_command("replay")
    assert f"{len(made) + 1} decisions judged again: every digest is the same." in capsys.readouterr().out
    Decision.objects.filter(pk=made[0].pk).update(facts=made[0].facts | {"session": "another"})
    call_command("replay", limit=2)
    with pytest.raises(SystemExit) as ended:
        call_command("replay")
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert str(made[0].pk) in said
    assert "digest: stored 'sha256:" in said
