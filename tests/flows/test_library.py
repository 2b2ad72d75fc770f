"""The life of a playbook: written by one, put in force by another, retired, or withdrawn as harmful; and what an upgrade does to it."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import AuditEntry
from containment.domain.facts import Kind
from core.refusals import BadInput, Refusal
from playbooks import library
from playbooks.domain.specs import DRIVES, PATTERNS
from playbooks.models import PlaybookVersion
from playbooks.refusals import LeavesNoPlaybook, NoPlaybook, NotInThatState, NotTheTextSeen, NotYourPlaybook, OwnApproval, TiedPlaybooks
from tests import cast

pytestmark = pytest.mark.django_db

OURS = """
name: {name}
kinds: [{kinds}]
drives: [{drives}]
pattern: {pattern}
stages:
  soft: [{{measure: evidence.preserve}}, {{measure: session.terminate}}]
  hard: [{{measure: evidence.preserve}}, {{measure: credential.revoke}}]
holds: {{default: {{on_lapse: release}}}}
"""


def ours(name: str = "ours", *, kinds: str = "human", drives: str = "", pattern: str = "any", more: str = "") -> str:
    return OURS.format(name=name, kinds=kinds, drives=drives, pattern=pattern) + more


def drafted(text: str) -> PlaybookVersion:
    return library.draft(text, actor=cast.person("enzo"))


def approved(text: str) -> PlaybookVersion:
    version = drafted(text)
    return library.approve(version.pk, actor=cast.person("mara"), seen_digest=version.digest)


def bound(kind: str, drive: str = "script", pattern: str = "any") -> str:
    return str(library.bind(kind=kind, drive=drive, pattern=pattern).version)


def verbs() -> list[str]:
    return list(AuditEntry.objects.filter(verb__startswith="playbook.").order_by("seq").values_list("verb", flat=True))


def test_a_playbook_lives_from_a_draft_to_its_retirement_and_all_of_it_is_on_record():
    first = approved(ours(kinds="human"))
    second = approved(ours(kinds="human", more="title: better\n"))
    first.refresh_from_db()
    assert (first.state, second.state, bound("human")) == ("superseded", "in_force", "ours v2")
    mara = cast.person("mara")
    library.retire(second.pk, actor=mara, because="people are contained elsewhere", confirmed=True)
    with pytest.raises(NoPlaybook):
        library.bind(kind="human", drive="human", pattern="any")
    second.refresh_from_db()
    assert (second.state, second.ended_because, str(second.ended_by_id)) == ("retired", "people are contained elsewhere", mara.principal)
    assert verbs() == ["playbook.drafted", "playbook.approved", "playbook.drafted", "playbook.approved", "playbook.retired"]


def test_nobody_is_left_without_a_playbook_by_an_oversight():
    version = approved(ours(kinds="human, workload"))
    approved(ours("people", kinds="human", drives="human, script"))
    with pytest.raises(LeavesNoPlaybook, match="contained for human driven by autonomous, workload"):
        library.retire(version.pk, actor=cast.person("mara"), because="too wide")
    version.refresh_from_db()
    assert version.state == "in_force"


def test_a_harmful_version_is_withdrawn_by_one_person_and_the_one_before_does_not_come_back_by_itself():
    first, second = approved(ours()), approved(ours(more="title: better\n"))
    library.revoke(second.pk, actor=cast.person("mara"), because="it locks the on-call account")
    first.refresh_from_db()
    assert first.state == "superseded"
    assert library.instead_of(second) == "No playbook is left for human: nothing can be contained there until one is approved."
    library.revoke(first.pk, actor=cast.person("mara"), because="the same line stands there")  # a run of it may stand
    approved(ours("people", kinds="human", drives="human"))
    said = library.instead_of(second)
    assert said.startswith("people v1 is bound now for human. No playbook is left for human driven by script or autonomous:")


def test_a_draft_is_dropped_and_nothing_else_is():
    version = drafted(ours())
    with pytest.raises(NotInThatState):
        library.revoke(version.pk, actor=cast.person("mara"), because="harmful")
    library.drop(version.pk, actor=cast.person("enzo"))
    with pytest.raises(NotInThatState):
        library.approve(version.pk, actor=cast.person("mara"), seen_digest=version.digest)
    with pytest.raises(NotInThatState):
        library.drop(approved(ours()).pk, actor=cast.person("enzo"))


@pytest.mark.parametrize(
    ("who", "digest", "refusal"),
    [("enzo", "", NotYourPlaybook), ("ines", "", NotYourPlaybook), ("lena", "", OwnApproval), ("mara", "sha256:other", NotTheTextSeen)],
)
def test_only_another_person_approves_and_only_the_text_on_screen(who: str, digest: str, refusal: type[Refusal]):
    from accounts import people
    from core.actor import SYSTEM

    people.add("lena", name="Lena", roles=["engineer", "manager"], actor=SYSTEM)
    version = library.draft(ours(), actor=_actor("lena"))
    with pytest.raises(refusal):
        library.approve(version.pk, actor=_actor(who), seen_digest=digest or version.digest)


def _actor(name: str) -> Any:
    from accounts import actors
    from accounts.models import Person

    return actors.of_person(Person.objects.get(username=name)) if name == "lena" else cast.person(name)


@pytest.mark.parametrize(
    ("one", "other", "tie"),
    [
        (ours("a"), ours("b"), True),
        (ours("a"), ours("b", kinds="workload"), False),
        (ours("a"), ours("b", drives="human"), False),
        (ours("a"), ours("b", pattern="stolen_session"), False),
        (ours("a", drives="human, script"), ours("b", drives="script"), True),
        (ours("a", drives="human"), ours("b", drives="script"), False),
    ],
)
def test_two_that_would_be_equally_specific_are_not_both_in_force(one: str, other: str, tie: bool):
    approved(one)
    if tie:
        with pytest.raises(TiedPlaybooks, match="a v1 is as specific"):
            approved(other)
    else:
        approved(other)


def test_a_draft_that_the_rules_of_today_refuse_is_not_approved():
    version = drafted(ours())
    text = version.text.replace("{measure: evidence.preserve}, ", "")
    PlaybookVersion.objects.filter(pk=version.pk).update(text=text)
    with pytest.raises(BadInput, match="line "):
        library.approve(version.pk, actor=cast.person("mara"), seen_digest=version.digest)


# -- what is shipped -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ships the given texts, as a version of ours would that has these and no others."""

    def ship(*texts: str) -> list[str]:
        for path in tmp_path.iterdir():
            path.unlink()
        for index, text in enumerate(texts):
            (tmp_path / f"{index}.yaml").write_text(text)
        monkeypatch.setattr(library, "SHIPPED", tmp_path)
        return [f"{version} {version.state}" for version in library.ship()]

    return ship


def test_a_new_shipped_version_follows_the_shipped_one_and_waits_where_people_run_their_own(shipped: Any):
    assert shipped(ours("person"), ours("robot", kinds="workload")) == ["person v1 in_force", "robot v1 in_force"]
    approved(ours("robot", kinds="workload", more="title: as we do it\n"))
    newer = [ours("person", more="title: newer\n"), ours("robot", kinds="workload", more="title: newer\n")]
    assert shipped(*newer) == ["person v2 in_force", "robot v3 draft"]
    assert (bound("human"), bound("workload")) == ("person v2", "robot v2")
    assert shipped(*newer) == []
    assert shipped(newer[0], ours("robot", kinds="workload", more="title: newest\n")) == ["robot v4 draft"]
    assert PlaybookVersion.objects.get(name="robot", version=3).state == "dropped"


def test_a_new_shipped_playbook_takes_over_from_shipped_ones_alone(shipped: Any):
    shipped(ours("person"))
    assert shipped(ours("person"), ours("leak", pattern="exposed_credential")) == ["leak v1 in_force"]
    assert bound("human", pattern="exposed_credential") == "leak v1"
    approved(ours("mine", drives="human"))
    assert shipped(ours("stolen", pattern="stolen_session")) == ["stolen v1 draft"]
    assert shipped(ours("by-hand", drives="human")) == ["by-hand v1 draft"]  # it would tie
    assert bound("human", "human", "stolen_session") == "mine v1"


def test_what_somebody_took_out_of_force_is_not_shipped_back(shipped: Any):
    shipped(ours("person"))
    version = PlaybookVersion.objects.get()
    library.revoke(version.pk, actor=cast.person("mara"), because="it hurts")
    assert shipped(ours("person", more="title: newer\n")) == ["person v2 draft"]
    assert shipped(ours("by-hand", drives="human")) == ["by-hand v1 draft"]


def test_every_kind_drive_and_pattern_has_one_shipped_playbook_and_no_tie():
    assert {version.state for version in library.ship()} == {"in_force"}
    for kind in Kind:
        for drive in DRIVES:
            for pattern in PATTERNS:
                assert {"soft", "hard"} <= set(library.bind(kind=str(kind), drive=drive, pattern=pattern).document.stages)
