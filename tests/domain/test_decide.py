"""The ten sentences, each where it wins, and the two caps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from containment.domain.decide import SENTENCES, Cap, Choice, Verdict
from containment.domain.facts import (
    ActionFacts,
    BusinessClass,
    Ceiling,
    CoolOffFacts,
    CredentialUser,
    DetectionFacts,
    EventFacts,
    Facts,
    Finding,
    GrantFacts,
    HistoryFacts,
    Kind,
    Reach,
    RunFacts,
    Sensitivity,
    SessionFacts,
    Severity,
    Stage,
    UseFacts,
)
from containment.domain.policy import HoldReason, Mode, ModeRule, RiskPolicy
from tests.domain.facts_of import (
    CARD_TOKENS,
    DAY,
    EDR,
    ETL,
    ETL_CREDENTIAL,
    ETL_SESSION,
    HOUR,
    INSIDE,
    LEAKED,
    MINUTE,
    NOW,
    OUTSIDE,
    PAY_MAIN,
    PAYMENTS_DESIGNATION,
    SHIPPED,
    detection,
    judged,
    leaked,
    payments,
    reports,
    sample,
    trainer,
)

HARD, SOFT = Stage.HARD, Stage.SOFT
MILD: dict[str, Any] = {"action": ActionFacts(name="data.read")}  # the sample as a plain read: between soft and hard
GRANT = GrantFacts(id="g-1", starts_at=NOW - DAY, ends_at=NOW + HOUR)
NO = CoolOffFacts(at=NOW - 10 * MINUTE, codes=frozenset({"unexpected_secret_read", "identity_violation"}))
PROTECTED = replace(ETL, protected=True, protected_because="break-glass")
FIRST_ACCESS = Finding(code="first_access", strength=1, because="never before", observations=29)
THIN: dict[str, Any] = {  # four baseline signals with 29 observations each lift it over soft, and nothing else would
    "detection": None,
    "action": ActionFacts(name="admin.call"),
    "observed": tuple(replace(FIRST_ACCESS, code=code) for code in ("first_access", "volume", "tool_chain", "cross_system")),
    "identity": replace(ETL, kind=Kind.AI_AGENT, workflows=(), reach=Reach.ESTATE, discovered=True, first_seen_at=NOW - 2 * DAY),
}


def choice(facts: Facts, policy: RiskPolicy = SHIPPED) -> Choice:
    return judged(facts, policy).choice


def ceiling(top: Ceiling, **changes: Any) -> DetectionFacts:
    return detection(source=replace(EDR, ceiling=top), **changes)


def dated(received_after: timedelta, oldest: int | None, **changes: Any) -> DetectionFacts:
    return detection(source=replace(EDR, max_age_seconds=oldest, **changes), occurred_at=NOW - received_after, received_at=NOW)


@pytest.mark.parametrize(
    ("facts", "verdict", "caps"),
    [
        (dated(2 * HOUR, 7200), Verdict.CONTAIN, ()),  # to the second as old as it may be
        (dated(2 * HOUR + timedelta(seconds=1), 7200), Verdict.HOLD, (Cap.AGE,)),
        (dated(400 * DAY, None), Verdict.CONTAIN, ()),
        (dated(-5 * MINUTE, None), Verdict.CONTAIN, ()),
        (dated(-5 * MINUTE - timedelta(seconds=1), None), Verdict.HOLD, (Cap.AGE,)),
        (dated(3 * HOUR, 7200, ceiling=Ceiling.WATCH), Verdict.WATCH, (Cap.CEILING,)),
        (dated(HOUR, None, observes_because="It went over."), Verdict.WATCH, (Cap.SOURCE,)),
        (dated(3 * HOUR, 7200, observes_because="It went over."), Verdict.WATCH, (Cap.AGE, Cap.SOURCE)),
    ],
)
def test_what_a_source_may_bring_about_depends_on_dates_and_limits_too(facts, verdict, caps):
    won = choice(sample(detection=facts))
    assert (won.verdict, won.capped_by) == (verdict, caps)
    assert won.would_have in (None, Verdict.CONTAIN)
    assert (won.would_have is None) == (not caps)


def test_a_source_that_only_observes_raises_no_run_and_spends_no_exception():
    facts = detection(source=replace(EDR, observes_because="It went over."))
    assert not choice(sample(detection=facts, run=RunFacts(id="r", stage=SOFT))).raises
    assert choice(sample(detection=facts, grants=(GRANT,))).verdict is Verdict.WATCH


def test_there_are_ten_sentences():
    assert len(SENTENCES) == 10


# every row satisfies its own sentence and some later ones; the first wins
@pytest.mark.parametrize(
    ("sentence", "facts", "verdict", "stage"),
    [
        (0, sample(run=RunFacts(id="r", stage=HARD), identity=PROTECTED, grants=(GRANT,)), Verdict.COVERED, HARD),
        (1, sample(resource=replace(CARD_TOKENS, sensitivity=Sensitivity.LOW), identity=PROTECTED, grants=(GRANT,)), Verdict.WATCH, None),
        (2, sample(identity=PROTECTED, grants=(GRANT,), history=HistoryFacts(cool_off=NO)), Verdict.HOLD, HARD),
        (3, sample(grants=(GRANT,), history=HistoryFacts(cool_off=NO), budget_left=0), Verdict.EXEMPT, None),
        (4, payments(history=HistoryFacts(cool_off=NO), budget_left=0), Verdict.WATCH, None),
        (5, payments(budget_left=0), Verdict.HOLD, HARD),
        (7, sample(budget_left=0), Verdict.HOLD, HARD),
        (8, sample(), Verdict.CONTAIN, HARD),
        (9, sample(**MILD), Verdict.CONTAIN, SOFT),
    ],
)
def test_the_first_true_sentence_wins(sentence, facts, verdict, stage):
    won = choice(facts)
    assert (won.sentence, won.verdict, won.stage) == (sentence, verdict, stage)


class TestCovered:
    def test_a_harder_case_raises_a_soft_run(self):
        won = choice(sample(run=RunFacts(id="r-1", stage=SOFT)))
        assert (won.run, won.raises, won.stage) == ("r-1", True, HARD)

    @pytest.mark.parametrize(
        "changes",
        [
            {"run": RunFacts(id="r", stage=HARD)},
            MILD,
            {"identity": PROTECTED},
            {"budget_left": 0},
            {"grants": (GRANT,)},
            {"detection": ceiling(Ceiling.HOLD)},
        ],
        ids=["as hard already", "not harder", "protected", "no budget", "exempt", "ceiling"],
    )
    def test_nothing_raises_a_run_that_would_not_itself_have_contained_harder(self, changes):
        assert not choice(sample(**{"run": RunFacts(id="r", stage=SOFT)} | changes)).raises

    @pytest.mark.parametrize("state", ["undoing", "needs_human", "waiting"])
    def test_a_run_that_cannot_rise_is_not_said_to(self, state):
        won = choice(sample(run=RunFacts(id="r", stage=SOFT, state=state, waiting=state == "waiting")))
        assert (won.verdict, won.raises, won.stage) == (Verdict.COVERED, False, SOFT)
        assert "rises" not in won.because

    def test_a_run_that_was_set_aside_covers_nobody_in_silence(self):
        won = choice(sample(run=RunFacts(id="r", stage=SOFT, state="needs_human")))
        assert (won.verdict, won.retries, won.raises) == (Verdict.COVERED, True, False)
        assert "a person has to look" in won.because

    @pytest.mark.parametrize("changes", [MILD, {"detection": ceiling(Ceiling.HOLD)}, {"budget_left": 0}], ids=["mild", "ceiling", "budget"])
    def test_a_run_that_was_set_aside_is_tried_again_only_by_what_would_have_contained(self, changes):
        won = choice(sample(**{"run": RunFacts(id="r", stage=SOFT, state="needs_human")} | changes))
        expected = changes is MILD and won.would_have is Verdict.CONTAIN
        assert (won.retries, "a person has to look" in won.because) == (expected, True)

    @pytest.mark.parametrize(
        ("changes", "again", "stays"),
        [
            ({}, True, False),
            ({"detection": ceiling(Ceiling.WATCH)}, False, False),
            ({"detection": ceiling(Ceiling.HOLD)}, False, True),
            ({"identity": PROTECTED}, False, True),
            ({"budget_left": 0}, False, True),
            ({"kill_switch": "no_new"}, False, False),
            ({"grants": (GRANT,)}, False, False),
        ],
        ids=["by itself", "watch ceiling", "hold ceiling", "protected", "no budget", "kill switch", "exempt"],
    )
    def test_what_comes_back_is_cut_again_only_by_what_would_have_contained_by_itself(self, changes, again, stays):
        run = RunFacts(id="r", stage=HARD, state="reinstating", returning=True)
        won = choice(sample(**{"run": run} | changes))
        assert (won.verdict, won.contains_again, won.stays, won.spends) == (Verdict.COVERED, again, stays, again)

    def test_what_comes_back_is_not_cut_again_in_observe_mode(self):
        won = choice(sample(run=RunFacts(id="r", stage=HARD, state="reinstating", returning=True)), SHIPPED.in_mode(Mode.OBSERVE))
        assert (won.contains_again, won.stays) == (False, False)

    def test_what_would_be_held_raises_nothing(self):
        assert not choice(payments(run=RunFacts(id="r", stage=SOFT))).raises

    def test_a_quiet_case_joins_as_well(self):
        won = choice(sample(run=RunFacts(id="r", stage=SOFT), resource=replace(CARD_TOKENS, sensitivity=Sensitivity.LOW)))
        assert (won.verdict, won.would_have, won.spends) == (Verdict.COVERED, Verdict.WATCH, False)


class TestProtected:
    @pytest.mark.parametrize(
        "facts", [sample(identity=PROTECTED), leaked(credential=replace(LEAKED, protected=True)), leaked(identity=PROTECTED)]
    )
    def test_two_people_are_asked_and_only_evidence_is_taken(self, facts):
        won = choice(facts)
        assert (won.verdict, won.hold_reason, won.evidence_only) == (Verdict.HOLD, HoldReason.PROTECTED, True)
        assert not won.spends


class TestExempt:
    @pytest.mark.parametrize(
        "scope",
        [
            {"identity": "i-etl"},
            {"session": "s-77"},
            {"credential": "c-etl"},
            {"action": "secret.read", "resource": "vault.card_tokens"},
            {"signals": frozenset({"unexpected_secret_read", "identity_violation"})},
            {"times_left": 1, "risk_left": 85.5},
        ],
    )
    def test_a_grant_spares_what_lies_in_its_scope(self, scope):
        won = choice(sample(grants=(replace(GRANT, **scope),)))
        assert (won.verdict, won.grant, won.would_have, won.would_have_stage) == (Verdict.EXEMPT, "g-1", Verdict.CONTAIN, HARD)

    @pytest.mark.parametrize(
        "scope",
        [
            {"identity": "i-other"},
            {"session": "s-1"},
            {"credential": "c-other"},
            {"action": "data.read"},
            {"resource": "vault.other"},
            {"tenant": "acme"},
            {"signals": frozenset({"unexpected_secret_read"})},
            {"times_left": 0},
            {"risk_left": 85.4},
            {"ends_at": NOW},
            {"starts_at": NOW + MINUTE},
        ],
    )
    def test_it_spares_nothing_outside_scope_time_or_budget(self, scope):
        assert choice(sample(grants=(replace(GRANT, **scope),))).verdict is Verdict.CONTAIN

    def test_a_tenant_that_only_the_message_names_is_not_spared(self):
        grant = replace(GRANT, tenant="acme")
        assert choice(sample(grants=(grant,))).verdict is Verdict.CONTAIN
        assert choice(sample(grants=(grant,), sessions=(replace(ETL_SESSION, tenant="acme"),))).verdict is Verdict.EXEMPT

    def test_conclusive_evidence_is_not_spared(self):
        assert choice(leaked(grants=(GRANT,))).verdict is Verdict.CONTAIN

    def test_what_would_have_been_a_hold_is_recorded_as_one(self):
        assert choice(payments(grants=(GRANT,))).would_have is Verdict.HOLD


class TestCoolOff:
    def test_the_same_signals_are_seen_again(self):
        won = choice(sample(history=HistoryFacts(cool_off=NO)))
        assert (won.verdict, won.sentence, won.seen_again) == (Verdict.WATCH, 4, True)

    def test_a_new_signal_asks_a_person_again(self):
        old = replace(NO, codes=frozenset({"unexpected_secret_read"}))
        won = choice(sample(history=HistoryFacts(cool_off=old)))
        assert (won.verdict, won.hold_reason) == (Verdict.HOLD, HoldReason.COOL_OFF)
        assert "identity_violation" in won.because

    def test_conclusive_evidence_asks_a_person_again(self):
        old = replace(NO, codes=frozenset({"credential_exposed", "identity_violation"}))
        assert choice(leaked(history=HistoryFacts(cool_off=old))).hold_reason is HoldReason.COOL_OFF

    @pytest.mark.parametrize("change", [{"at": NOW - HOUR}, {"at": NOW - HOUR - MINUTE}, {"at": NOW + MINUTE}])
    def test_it_ends_on_the_hour(self, change):
        assert choice(sample(history=HistoryFacts(cool_off=replace(NO, **change)))).verdict is Verdict.CONTAIN

    def test_a_later_generation_has_its_own_cause(self):
        assert choice(sample(generation=1, history=HistoryFacts(cool_off=NO))).verdict is Verdict.CONTAIN
        assert choice(sample(generation=1, history=HistoryFacts(cool_off=replace(NO, generation=1)))).seen_again


FOREIGN = SessionFacts(id="psql", identity="i-pay", credential="c-pay", workflow="adhoc", origin=OUTSIDE, discovered=True)


class TestOthersInside:
    def test_a_payment_is_held_with_the_interim_stage(self):
        won = choice(payments())
        assert (won.hold_reason, won.interim, won.patience) == (HoldReason.PAYMENT, True, 15 * MINUTE)
        assert [one.session for one in won.bystanders] == ["pay-main"]
        assert won.spends

    def test_a_foreign_session_beside_it_is_cut_at_once(self):
        won = choice(payments(sessions=(PAY_MAIN, FOREIGN)))
        assert (won.verdict, won.at_once) == (Verdict.HOLD, ("psql",))
        assert [one.session for one in won.bystanders] == ["pay-main"]

    @pytest.mark.parametrize(
        "pretender",
        [
            replace(FOREIGN, workflow="payments", origin=INSIDE),
            replace(PAY_MAIN, id="psql", origin=OUTSIDE),
        ],
        ids=["claims the workflow", "comes from elsewhere"],
    )
    def test_who_only_pretends_to_be_critical_is_cut_at_once(self, pretender):
        assert choice(payments(sessions=(PAY_MAIN, pretender))).at_once == ("psql",)

    def test_a_designation_holds_while_its_session_reconnects(self):
        won = choice(payments(sessions=()))
        assert (won.verdict, won.hold_reason, [one.name for one in won.bystanders]) == (Verdict.HOLD, HoldReason.PAYMENT, ["payments"])

    def test_a_plan_that_would_spare_the_designated_session_need_not_wait(self):
        spared = replace(PAY_MAIN, cut_by=frozenset())
        assert choice(payments(sessions=(spared, FOREIGN))).verdict is Verdict.CONTAIN

    def test_without_budget_the_hold_opens_and_nothing_is_cut_by_itself(self):
        won = choice(payments(sessions=(PAY_MAIN, FOREIGN), budget_left=0))
        assert (won.verdict, won.interim, won.at_once, won.spends) == (Verdict.HOLD, False, (), False)

    def test_one_of_three_workflows_misbehaves_and_is_cut_alone(self):
        won = choice(reports())
        assert (won.hold_reason, won.at_once) == (HoldReason.SHARED_CREDENTIAL, ("r-monthly",))
        assert {one.session for one in won.bystanders} == {"r-daily", "r-audit-export"}

    def test_the_workflow_that_a_detection_names_without_a_session_is_cut_alone_too(self):
        facts = reports(session="", detection=detection(session_named="", claimed_workflow="daily", source_ip=INSIDE))
        assert choice(facts).at_once == ("r-daily",)

    def test_while_nobody_knows_which_workflow_it_is_all_are_held(self):
        facts = reports(session="", detection=detection(session_named="", claimed_workflow="", source_ip=INSIDE))
        assert (choice(facts).at_once, len(choice(facts).bystanders)) == ((), 3)

    def test_another_identity_that_uses_the_credential_is_named_though_it_is_not_connected(self):
        other = CredentialUser(identity="i-bi", identity_name="bi_reader")
        won = choice(sample(credential=replace(ETL_CREDENTIAL, users=(*ETL_CREDENTIAL.users, other))))
        assert (won.verdict, won.at_once, [one.name for one in won.bystanders]) == (Verdict.HOLD, ("s-77",), ["bi_reader"])

    def test_another_identitys_session_is_never_cut_at_once(self):
        other = SessionFacts(id="s-bi", identity="i-bi", credential="c-etl", workflow="bi", origin=INSIDE)
        won = choice(sample(sessions=(ETL_SESSION, other)))
        assert (won.verdict, won.at_once) == (Verdict.HOLD, ("s-77",))

    def test_a_long_job_waits_longer(self):
        won = choice(trainer())
        assert (won.hold_reason, won.patience) == (HoldReason.LONG_RUNNING_JOB, 30 * MINUTE)

    def test_the_most_delicate_class_names_the_hold(self):
        job = replace(PAYMENTS_DESIGNATION, id="d-2", business_class=BusinessClass.LONG_RUNNING_JOB)
        both = (replace(PAY_MAIN, id="job", designation=job), PAY_MAIN)
        assert choice(payments(sessions=both)).hold_reason is HoldReason.PAYMENT

    def test_an_exposed_credential_shortens_the_patience(self):
        exposed = replace(LEAKED, id="c-pay", users=())
        won = choice(payments(credential=exposed))
        assert (won.hold_reason, won.patience) == (HoldReason.PAYMENT, 5 * MINUTE)

    def test_an_exposed_shared_credential_is_held_for_a_shorter_time_too(self):
        shared = replace(LEAKED, users=(CredentialUser(identity="i-etl", workflow="ingest"), CredentialUser(identity="i-bi")))
        won = choice(leaked(credential=shared))
        assert (won.hold_reason, won.patience) == (HoldReason.SHARED_CREDENTIAL, 5 * MINUTE)


class TestThin:
    def test_what_rests_on_too_little_history_asks_a_person(self):
        won = choice(sample(**THIN, workflows=(), sessions=(), session="", credential=None))
        assert (won.sentence, won.verdict, won.hold_reason, won.interim) == (6, Verdict.HOLD, HoldReason.THIN, False)

    def test_the_same_with_a_long_history_is_contained(self):
        long = tuple(replace(one, observations=5000) for one in THIN["observed"])
        facts = sample(**THIN | {"observed": long}, workflows=(), sessions=(), session="", credential=None)
        assert choice(facts).verdict is Verdict.CONTAIN

    def test_a_claim_of_a_baseline_that_we_do_not_know_asks_a_person(self):
        loud = detection(claims=("volume", "tool_chain", "first_access", "cross_system"), source_ip=INSIDE, severity=Severity.CRITICAL)
        facts = sample(detection=loud, action=ActionFacts(name="admin.call"), sessions=(), identity=replace(ETL, kind=Kind.AI_AGENT))
        assert choice(facts).sentence == 6


class TestBudget:
    def test_a_spent_budget_holds_all_of_them_as_one_group(self):
        won = choice(sample(budget_left=0))
        assert (won.hold_reason, won.grouped, won.interim, won.spends) == (HoldReason.BUDGET, True, False, False)

    def test_a_policy_without_a_budget_has_none_to_spend(self):
        assert choice(sample(budget_left=99), replace(SHIPPED, budget=None)).hold_reason is HoldReason.BUDGET


class TestContain:
    def test_a_new_identity_gets_soft_at_most(self):
        new = replace(ETL, discovered=True, first_seen_at=NOW - 23 * HOUR)
        assert (choice(sample(identity=new)).sentence, choice(sample(identity=new)).stage) == (8, SOFT)

    def test_after_a_day_it_gets_hard(self):
        assert choice(sample(identity=replace(ETL, discovered=True, first_seen_at=NOW - DAY))).stage is HARD

    def test_conclusive_evidence_is_hard_on_a_new_identity_too(self):
        assert choice(leaked(identity=replace(ETL, discovered=True, first_seen_at=NOW))).stage is HARD

    def test_the_soft_stage_offers_the_hard_one(self):
        assert choice(sample(**MILD)).offers_hard
        assert not choice(sample()).offers_hard


class TestCaps:
    @pytest.mark.parametrize(
        ("facts", "top", "verdict", "would_have"),
        [
            (sample(detection=ceiling(Ceiling.CONTAIN)), "contain", Verdict.CONTAIN, None),
            (sample(detection=ceiling(Ceiling.HOLD)), "hold", Verdict.HOLD, Verdict.CONTAIN),
            (sample(detection=ceiling(Ceiling.WATCH)), "watch", Verdict.WATCH, Verdict.CONTAIN),
            (payments(detection=ceiling(Ceiling.WATCH, source_ip=INSIDE)), "watch", Verdict.WATCH, Verdict.HOLD),
        ],
    )
    def test_a_source_brings_about_no_more_than_its_ceiling(self, facts, top, verdict, would_have):
        assert (choice(facts).verdict, choice(facts).would_have) == (verdict, would_have)

    def test_a_hold_under_a_ceiling_keeps_its_stage_for_the_person_who_approves(self):
        won = choice(sample(detection=ceiling(Ceiling.HOLD)))
        assert (won.stage, won.hold_reason, won.sentence, won.capped_by) == (HARD, HoldReason.CEILING, 8, (Cap.CEILING,))

    def test_under_a_hold_ceiling_no_interim_stage_runs_by_itself(self):
        won = choice(payments(detection=ceiling(Ceiling.HOLD, source_ip=INSIDE), sessions=(PAY_MAIN, FOREIGN)))
        assert (won.verdict, won.hold_reason, won.spends) == (Verdict.HOLD, HoldReason.PAYMENT, False)

    @pytest.mark.parametrize(
        ("facts", "would_have", "stage"),
        [
            (sample(), Verdict.CONTAIN, HARD),
            (payments(), Verdict.HOLD, HARD),
            (sample(identity=PROTECTED), Verdict.HOLD, HARD),
            (sample(grants=(GRANT,)), Verdict.EXEMPT, None),
            (sample(detection=ceiling(Ceiling.HOLD)), Verdict.CONTAIN, HARD),
        ],
    )
    def test_in_observe_mode_it_is_recorded_as_would_have(self, facts, would_have, stage):
        won = choice(facts, SHIPPED.in_mode(Mode.OBSERVE))
        assert (won.verdict, won.would_have, won.would_have_stage, won.spends) == (Verdict.WATCH, would_have, stage, False)
        assert Cap.OBSERVE in won.capped_by

    def test_a_mode_holds_for_its_kind_and_environment_only(self):
        rule = ModeRule(Mode.OBSERVE, Kind.SERVICE_ACCOUNT, "staging")
        policy = replace(SHIPPED, mode_rules=(rule,))
        assert choice(sample(), policy).verdict is Verdict.CONTAIN
        assert choice(sample(identity=replace(ETL, environment="staging")), policy).verdict is Verdict.WATCH

    def test_observing_joins_a_live_run_and_never_raises_it(self):
        won = choice(sample(run=RunFacts(id="r", stage=SOFT)), SHIPPED.in_mode(Mode.OBSERVE))
        assert (won.verdict, won.raises, won.stage) == (Verdict.COVERED, False, SOFT)


class TestSmallestCut:
    """Where one cut is enough the smallest is taken; else the fewest; among as few, the least honest work."""

    @pytest.mark.parametrize(
        ("suspicious", "level", "names"),
        [
            ((), "session", ("s-77",)),
            ((EventFacts(session="s-78", workflow="ingest", credential="c-etl"),), "workflow", ("ingest",)),
            ((EventFacts(session="s-9", workflow="backfill", credential="c-etl"),), "credential", ("c-etl",)),
            ((EventFacts(session="s-9", workflow="backfill", credential="c-2"),), "identity", ("i-etl",)),
            ((EventFacts(credential="c-etl"),), "credential", ("c-etl",)),
        ],
    )
    def test_it_refuses_every_suspicious_event_with_the_fewest_cuts(self, suspicious, level, names):
        cut = judged(sample(history=HistoryFacts(suspicious=suspicious))).cut
        assert (cut.level, cut.names) == (level, names)

    def test_a_leaked_credential_is_not_stopped_by_ending_a_session(self):
        assert judged(leaked(session="s-77")).cut.level == "credential"

    def test_it_counts_the_honest_work_of_others_that_it_refuses(self):
        use = (
            UseFacts(session="s-1", workflow="backfill", credential="c-etl", events=40),
            UseFacts(session="s-77", workflow="ingest", credential="c-etl", events=900),
            UseFacts(session="s-2", workflow="other", credential="c-2", events=7),
        )
        history = HistoryFacts(suspicious=(EventFacts(credential="c-etl"),), use=use)
        cut = judged(sample(history=history)).cut
        assert (cut.level, cut.refuses) == ("credential", 40)
