"""What the containment budget does not cover: one ask about all of it, answered by two people, carried out one by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, connection

from approvals import groups, holds
from approvals.models import GroupMember, Hold
from approvals.refusals import AlreadyEnded, NotYours, PlanChanged
from audit import clock
from audit.models import AuditEntry
from connectors import registry
from containment import cases, flow, grouped, inventory, policy_approvals
from containment.domain import policy as documents
from containment.domain.facts import Kind
from containment.domain.policy import Mode
from containment.gate import Gate
from containment.models import ContainmentSpend, Decision, Identity, RiskPolicyVersion
from core.actor import SYSTEM
from core.digest import digest
from embedded.postgres import Postgres
from playbooks.models import Run
from tests import cast, make
from tests.approvals.rows import person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def a_database_that_can_be_cut(estate: Postgres) -> Iterator[None]:
    registry.configure(settings.CONNECTORS | {"postgres": {"use": "postgres", "dsn": estate.dsn("estate")}}, gate=Gate())
    yield
    registry.configure(settings.CONNECTORS, gate=Gate())


def house(budget: int | None) -> None:
    """The shipped policy, but with so many automatic containments per hour and source; None: without a budget."""
    make.house()
    shipped = documents.shipped_text(Mode.ENFORCE)
    line = next(line for line in shipped.splitlines() if line.startswith("budget:"))
    text = shipped.replace(line, "" if budget is None else line.replace("per_source_hour: 60", f"per_source_hour: {budget}"))
    RiskPolicyVersion.objects.update(state="superseded")
    RiskPolicyVersion.objects.create(
        version=2, text=text, digest=digest(text), shipped=True, state="in_force", drafted_at=clock.now(), in_force_at=clock.now()
    )


def reported(*names: str) -> list[Decision]:
    for name in names:
        if not Identity.objects.filter(subject=name).exists():
            make.identity(name)
    return [make.detected(name) for name in names]


def answer(hold: Hold, word: Any, *people: str, seen: str = "") -> None:
    for name in people:
        flow.answer_hold(hold.pk, word, actor=cast.person(name), seen_digest=seen or hold.plan_digest, reason="seen")


def group() -> Hold:
    return Hold.objects.get(grouped=True, state="open")


def names(hold: Hold, state: str = "waiting") -> list[str]:
    return list(hold.members.filter(state=state).order_by("seq").values_list("name", flat=True))


def follow() -> None:
    while keys := groups.due(50):
        for key in keys:
            grouped.follow_due(key)


def run_states(*decisions: Decision) -> list[str]:
    return [Run.objects.get(pk=make.run_of(one).pk).state for one in decisions]


def test_over_the_budget_everything_is_one_ask():
    house(2)
    decisions = reported("a", "b", "c", "d", "e")
    assert [one.verdict for one in decisions] == ["contain", "contain", "hold", "hold", "hold"]
    assert {one.hold_id for one in decisions[2:]} == {group().pk}
    assert names(group()) == ["c", "d", "e"]
    assert run_states(*decisions[2:]) == ["waiting"] * 3
    assert Run.objects.filter(steps__stage="interim").count() == 0
    assert ContainmentSpend.objects.count() == 2


def test_without_a_budget_nothing_is_contained_by_itself():
    house(None)
    assert [one.verdict for one in reported("a", "b")] == ["hold", "hold"]
    assert names(group()) == ["a", "b"]


def test_two_people_release_all_of_it_and_each_run_once():
    house(1)
    decisions = reported("a", "b", "c")
    answer(group(), "approve", "ines")
    assert run_states(*decisions[1:]) == ["waiting", "waiting"]
    hold = group()
    answer(hold, "approve", "omar")
    assert Hold.objects.get(pk=hold.pk).state == "approved"
    assert run_states(*decisions[1:]) == ["waiting", "waiting"]
    follow()
    follow()
    assert run_states(*decisions[1:]) == ["pending", "pending"]
    assert AuditEntry.objects.filter(verb="run.released").count() == 2
    assert AuditEntry.objects.filter(verb="group.followed").count() == 2
    assert ContainmentSpend.objects.count() == 1


def test_the_same_person_twice_is_one_person():
    house(0)
    reported("a")
    answer(group(), "approve", "ines", "ines")
    assert group().is_open


def test_the_requester_does_not_count():
    house(0)
    reported("a")
    with pytest.raises(NotYours):
        answer(group(), "approve", "enzo")


def test_one_no_leaves_all_of_it_running_and_cools_each_of_them_off():
    house(0)
    decisions = reported("a", "b")
    answer(group(), "reject", "ines")
    follow()
    assert run_states(*decisions) == ["withdrawn", "withdrawn"]
    again = make.detected("a")
    assert (again.verdict, again.sentence) == ("watch", 4)
    assert reported("c")[0].verdict == "hold"


def test_silence_asks_further_and_never_contains():
    house(0)
    decisions = reported("a")
    assert (group().on_lapse, group().in_the_end) == ("escalate", "release")
    make.deadline_passed(group())
    assert flow.lapse_hold(group().pk).lapsed_to == "escalated"
    make.deadline_passed(group())
    assert flow.lapse_hold(Hold.objects.get(grouped=True).pk).lapsed_to == "release"
    follow()
    assert run_states(*decisions) == ["withdrawn"]


def test_what_was_on_the_screen_is_what_runs_and_later_ones_wait_in_the_next_group():
    house(0)
    early = reported("a", "b")
    seen = group()
    late = reported("c", "d")
    answer(seen, "approve", "ines", seen=seen.plan_digest)
    first = Hold.objects.get(pk=seen.pk)
    assert (first.plan_digest, first.gathers, names(first)) == (seen.plan_digest, False, ["a", "b"])
    following = Hold.objects.get(gathers=True)
    assert names(following) == ["c", "d"]
    assert set(Decision.objects.filter(pk__in=[one.pk for one in late]).values_list("hold", flat=True)) == {following.pk}
    reported("e")
    assert names(following) == ["c", "d", "e"]
    answer(first, "approve", "omar", seen=seen.plan_digest)
    follow()
    assert run_states(*early, *late) == ["pending", "pending", "waiting", "waiting"]
    following.refresh_from_db()
    answer(following, "approve", "ines", "omar")
    follow()
    assert run_states(*late) == ["pending", "pending"]


def test_whoever_read_another_list_than_the_first_reads_again():
    house(0)
    reported("a")
    seen_by_ines = group()
    reported("b")
    seen_by_omar = group()
    answer(seen_by_ines, "approve", "ines")
    with pytest.raises(PlanChanged):
        answer(seen_by_ines, "approve", "omar", seen=seen_by_omar.plan_digest)
    answer(seen_by_ines, "approve", "omar")
    assert Hold.objects.get(pk=seen_by_ines.pk).state == "approved"


def test_a_digest_of_no_list_is_refused_and_closes_nothing():
    house(0)
    reported("a", "b")
    with pytest.raises(PlanChanged):
        answer(group(), "approve", "ines", seen="sha256:" + "0" * 64)
    assert group().gathers


def test_somebody_who_may_not_answer_closes_no_list():
    house(0)
    reported("a")
    seen = group()
    reported("b")
    with pytest.raises(NotYours):
        answer(seen, "approve", "wren", seen=seen.plan_digest)
    assert names(group()) == ["a", "b"]
    assert group().gathers


def test_a_list_closes_by_itself_after_half_of_its_patience():
    house(0)
    reported("a")
    first = group()
    assert first.gathers_until is not None
    assert first.gathers_until - first.opened_at == (first.deadline - first.opened_at) / 2 == timedelta(minutes=15)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE hold DISABLE TRIGGER a_hold_is_kept")
        cursor.execute("UPDATE hold SET gathers_until = clock_timestamp()")
        cursor.execute("ALTER TABLE hold ENABLE TRIGGER a_hold_is_kept")
    reported("b")
    assert names(first) == ["a"]
    assert names(Hold.objects.get(gathers=True)) == ["b"]


def test_with_budget_again_a_member_is_contained_and_leaves_the_group():
    house(1)
    reported("a")
    waits = reported("b", "c")
    ContainmentSpend.objects.all().delete()
    assert (make.detected("b").verdict, make.detected("b").run_id) == ("covered", waits[0].run_id)
    assert run_states(*waits) == ["pending", "waiting"]
    assert (names(group()), names(group(), "left")) == (["c"], ["b"])


def test_a_group_that_everybody_left_is_withdrawn():
    house(1)
    reported("a")
    reported("b")
    hold = group()
    ContainmentSpend.objects.all().delete()
    make.detected("b")
    assert Hold.objects.get(pk=hold.pk).state == "withdrawn"


def test_who_left_needs_no_new_answer():
    house(1)
    reported("a")
    waits = reported("b", "c")
    answer(group(), "approve", "ines")
    ContainmentSpend.objects.all().delete()
    make.detected("b")
    answer(group(), "approve", "omar")
    follow()
    assert run_states(*waits) == ["pending", "pending"]
    assert AuditEntry.objects.filter(verb="run.released", subject=f"run:{waits[0].run_id}").count() == 1


def test_one_who_became_protected_meanwhile_is_asked_about_by_itself():
    house(0)
    waits = reported("a", "b")
    inventory.protect(Identity.objects.get(subject="a").pk, "break glass", actor=cast.person("ada"))
    answer(group(), "approve", "ines", "omar")
    follow()
    assert run_states(*waits) == ["waiting", "pending"]
    alone = Hold.objects.get(run_ref=f"run:{waits[0].run_id}", state="open")
    assert (alone.reason_class, alone.as_terms().quorum, alone.on_lapse) == ("protected", 2, "release")
    assert Decision.objects.get(pk=waits[0].pk).hold_id == alone.pk
    answer(alone, "approve", "ines", "omar")
    assert run_states(waits[0]) == ["pending"]


def test_one_of_many_is_asked_about_by_itself():
    house(0)
    waits = reported("a", "b")
    member = GroupMember.objects.get(name="a")
    with pytest.raises(NotYours):
        grouped.ask_alone(member.pk, actor=cast.person("wren"))
    alone = grouped.ask_alone(member.pk, actor=cast.person("ines"))
    assert (alone.plan_digest, alone.as_terms().quorum) == (Run.objects.get(pk=make.run_of(waits[0]).pk).plan_digest, 2)
    assert names(group()) == ["b"]
    with pytest.raises(AlreadyEnded):
        grouped.ask_alone(member.pk, actor=cast.person("ines"))
    answer(alone, "approve", "ines", "omar")
    assert run_states(*waits) == ["pending", "waiting"]


def test_an_identity_is_not_merged_away_from_under_its_ask():
    house(0)
    reported("a")
    other = make.identity("z")
    with pytest.raises(inventory.UnderContainment):
        inventory.merge(Identity.objects.get(subject="a").pk, other.pk, actor=cast.person("enzo"), because="one and the same")


def test_agents_of_all_who_could_answer_do_not_lock_the_group():
    house(0)
    reported("a")
    for owner in ("ines", "omar", "mara"):
        make.identity(f"agent-of-{owner}", provider="agents", kind="ai_agent", owner_id=cast.person(owner).principal)
    message = {"session": None, "credential": None}
    decisions = [
        make.detected(name, identity={"kind": "ai_agent", "provider": "agents", "subject": name}, **message)
        for name in ("agent-of-ines", "agent-of-omar", "agent-of-mara")
    ]
    inside = [one.hold_id == group().pk for one in decisions]
    assert inside == [True, False, False]
    assert groups.enough(group().as_terms())
    assert {make.hold_of(one).as_terms().quorum for one in decisions} == {2}


def test_a_case_with_a_member_that_waits_stays_open_and_knows_its_approvers():
    house(0)
    waits = reported("a")
    case = waits[0].case
    assert case is not None
    assert "a hold waits for an answer" in cases.open_items(case)
    answer(group(), "approve", "ines", "omar")
    follow()
    assert cases.approvers(case) == {cast.person("ines").principal, cast.person("omar").principal}


def test_the_database_refuses_what_would_break_a_group():
    house(0)
    reported("a", "b")
    member = GroupMember.objects.get(name="a")
    changes: list[dict[str, Any]] = [{"plan_digest": "other"}, {"run_ref": "run:other"}, {"asks": {}}]
    for change in changes:
        with pytest.raises(IntegrityError, match="frozen"):
            GroupMember.objects.filter(pk=member.pk).update(**change)
    with pytest.raises(IntegrityError, match="final"):
        GroupMember.objects.all().delete()
    holds.withdraw(group().pk, "not wanted", actor=SYSTEM)
    follow()
    with pytest.raises(IntegrityError, match="settled"):
        GroupMember.objects.filter(pk=member.pk).update(state="waiting", closed_at=None)
    with pytest.raises(IntegrityError, match="takes no members"):
        GroupMember.objects.create(**{field.attname: getattr(member, field.attname) for field in member._meta.fields if field.name != "id"})


def test_each_team_is_asked_about_its_own_environment():
    house(0)
    cast.person("ines")
    dora, dirk = person("dora", teams=("soc-dev",)), person("dirk", teams=("soc-dev",))
    make.identity("d", environment="dev"), make.identity("p", environment="prod"), make.identity("q", environment="prod")
    in_dev, in_prod, later = (make.detected(name) for name in "dpq")
    assert in_dev.hold_id != in_prod.hold_id == later.hold_id
    dev, prod = make.hold_of(in_dev), Hold.objects.get(pk=make.hold_of(in_prod).pk)
    with pytest.raises(NotYours):
        flow.answer_hold(prod.pk, "approve", actor=dora, seen_digest=prod.plan_digest)
    for who in (dora, dirk):
        flow.answer_hold(dev.pk, "approve", actor=who, seen_digest=dev.plan_digest)
    answer(prod, "approve", "ines", "omar")
    follow()
    assert run_states(in_dev, in_prod, later) == ["pending"] * 3


def test_a_group_keeps_the_team_that_it_asks():
    house(0)
    reported("a")
    with pytest.raises(IntegrityError, match="frozen"):
        Hold.objects.update(asks_team="others")


def test_a_member_that_nobody_saw_the_end_of_lets_the_others_go_first():
    house(0)
    waits = reported("a", "b")
    answer(group(), "approve", "ines", "omar")
    first, second = groups.due(10)
    for strike in range(groups.STRIKES + 1):
        assert groups.begin(first)  # and its worker dies
        assert groups.due(10) == [second]
        assert not groups.begin(first)
        due = GroupMember.objects.get(pk=first).next_at
        assert due is not None
        wait = due - clock.now()
        assert groups.RETRY_AFTER * 2**strike - timedelta(seconds=10) < wait <= groups.RETRY_AFTER * 2**strike
        GroupMember.objects.filter(pk=first).update(next_at=clock.now())
    assert AuditEntry.objects.filter(verb="group.struck").count() == 1
    follow()
    assert run_states(*waits) == ["pending", "pending"]


def test_silence_about_what_is_only_observed_by_now_says_so():
    house(0)
    make.identity("a", environment="prod")
    waits = reported("a")
    hold = group()
    policy_approvals.step_back(Kind.SERVICE_ACCOUNT, "prod", actor=cast.person("mara"))
    for _ in range(2):
        make.deadline_passed(hold)
        flow.lapse_hold(hold.pk)
    follow()
    assert run_states(*waits) == ["withdrawn"]
    assert "every service account in prod is only observed by now" in hold.members.get().closed_because
