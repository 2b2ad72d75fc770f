"""What a playbook may say: every fault is named with its path, before anybody is asked to approve it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.base import Ability, EffectClass, Measure, OnAmbiguous
from containment.domain.policy import HoldReason
from core.digest import digest
from core.refusals import BadInput
from playbooks.domain.document import check, parse, stored
from playbooks.domain.plan import CannotPlan, narrowed_terms, plan_digest, render, terms
from playbooks.domain.specs import REASONS

SHIPPED = Path(__file__).parents[2] / "playbooks" / "shipped"
TARGET = {"provider": "somewhere", "subject": "etl", "facts": {}}
EVIDENCE = {"measure": "evidence.preserve"}
SPARING = {
    "measure": "session.restrict",
    "parameters": {"schemas": {"from": "target.must_go_on.schemas"}, "allow_new_sessions": {"from": "target.must_go_on.reconnect"}},
}


class Plainly(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def ability_of(connector: str, measure: Measure) -> Ability | None:
    if measure is Measure.IDENTITY_DISABLE:
        return None
    return Ability(EffectClass.NATURAL, OnAmbiguous.LOOK, "as it was", timedelta(0), "asked again")


def text(*, interim: list[dict[str, Any]] | None = None, soft: list[dict[str, Any]] | None = None, **changes: Any) -> str:
    stages = {"soft": soft or [EVIDENCE, {"measure": "session.terminate"}], "hard": [EVIDENCE, {"measure": "credential.revoke"}]}
    if interim is not None:
        stages["interim"] = [EVIDENCE, *interim]
    usual = {"name": "ours", "kinds": ["service_account"], "stages": stages, "holds": {"default": {"on_lapse": "release"}}}
    return yaml.dump(usual | changes, Dumper=Plainly)


def faults(playbook: str) -> list[tuple[str, str]]:
    with pytest.raises(BadInput) as refused:
        parse(playbook)
    return [(fault.path, fault.code) for fault in refused.value.faults]


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_shipped_may_be_said(path):
    assert parse(path.read_text()).hold_for("protected").quorum == 2


@pytest.mark.parametrize(
    ("playbook", "path", "code"),
    [
        (text(soft=[{"measure": "session.terminate"}]), "stages.soft[0].measure", "no_evidence_before"),
        (text(kinds=["ai_agent"], soft=[EVIDENCE, {"measure": "workload.isolate"}]), "stages.soft[1].measure", "unbearable"),
        (text(holds={"default": {"on_lapse": "contain", "quorum": 0}}), "holds.default.quorum", "invalid"),
        (text(holds={"default": {}}), "holds.default.on_lapse", "missing"),
        (text(holds={"default": {"on_lapse": "release"}, "paymnt": {"on_lapse": "release"}}), "holds.paymnt", "unknown"),
        (text(interim=[{"measure": "credential.revoke"}]), "stages.interim[1].measure", "touches_must_go_on"),
        (text(interim=[{"measure": "session.pause"}]), "stages.interim[1].measure", "touches_must_go_on"),
        (text(interim=[{"measure": "session.terminate"}]), "stages.interim[1].measure", "touches_must_go_on"),
        (text(interim=[{"measure": "session.restrict"}]), "stages.interim[1].measure", "touches_must_go_on"),
        (text(interim=[SPARING | {"on_failure": "undo"}]), "stages.interim[1].on_failure", "interim"),
        (text(soft=[EVIDENCE | {"timeout": "2h"}]), "stages.soft[0].timeout", "out_of_range"),
        (text(soft=[EVIDENCE | {"timeout": "0s"}]), "stages.soft[0].timeout", "out_of_range"),
        (
            text(soft=[EVIDENCE, {"measure": "session.terminate", "parameters": {"spare": {"from": "sessions.spare"}}}]),
            "stages.soft[1].parameters.spare",
            "unknown_field",
        ),
        (
            text(soft=[EVIDENCE, {"measure": "session.terminate", "parameters": {"spare": {"from": "target.spares"}}}]),
            "stages.soft[1].parameters.spare",
            "unknown_field",
        ),
    ],
)
def test_what_a_playbook_may_not_say(playbook, path, code):
    assert (path, code) in faults(playbook)


READING = {"measure": "session.restrict", "parameters": {"mode": "read_only"}, "watch": "10m"}


@pytest.mark.parametrize(
    ("terms", "path", "code"),
    [
        ({"lasts": "soon"}, "lasts", "invalid"),
        ({"lasts": "0s"}, "lasts", "out_of_range"),
        ({"lasts": "999h"}, "lasts", "out_of_range"),
        ({"ladder": {"unproven": "perhaps"}}, "ladder.unproven", "missing"),
        ({"ladder": {}}, "ladder.unproven", "missing"),
        ({"ladder": {"unproven": "hard", "proven": "hard"}}, "ladder.proven", "invalid"),
        ({"ladder": "hard"}, "ladder", "invalid"),
        ({"ladder": {"unproven": "hard", "doubtful": "stop"}}, "ladder.doubtful", "unknown"),
        ({"evidence_within": "2m"}, "evidence_within", "out_of_range"),
        ({"reinstatement": []}, "reinstatement", "invalid"),
        ({"reinstatement": [{"measure": "session.restrict"}]}, "reinstatement[0].watch", "missing"),
        ({"reinstatement": [READING | {"watch": "25h"}]}, "reinstatement[0].watch", "out_of_range"),
        ({"reinstatement": [READING, READING | {"until": "noon"}]}, "reinstatement[1].until", "unknown"),
        ({"reinstatement": [{"measure": "session.terminate", "watch": "1m"}]}, "reinstatement[0].measure", "does_not_stand"),
        ({"reinstatement": [{"measure": "workload.isolate", "watch": "1m"}], "kinds": ["human"]}, "reinstatement[0].measure", "unbearable"),
    ],
)
def test_what_a_playbook_may_not_say_beside_its_steps(terms, path, code):
    assert (path, code) in faults(text(**terms))


@pytest.mark.fault("G1")
def test_what_a_playbook_says_beside_its_steps_is_frozen_with_them():
    said = parse(
        text(
            lasts="4h",
            ladder={"unproven": "hold"},
            evidence_within="2s",
            reinstatement=[{"measure": "identity.disable", "watch": "30m"}, READING],
        )
    )
    frozen = terms(said, TARGET, ability_of)
    assert (frozen["lasts_s"], frozen["unproven"], frozen["evidence_s"]) == (14400, "hold", 2.0)
    assert [(level["watch_s"], [step["measure"] for step in level["steps"]]) for level in frozen["reinstatement"]] == [
        (600, ["session.restrict"])  # nobody can do the other one there, which keeps nobody from being cut
    ]
    assert frozen["reinstatement"][0]["steps"][0]["parameters"] == {"mode": "read_only"}
    assert narrowed_terms(frozen) == {"lasts_s": 14400, "unproven": "hold", "evidence_s": 2.0}


def test_a_playbook_that_says_nothing_beside_its_steps_keeps_the_digest_that_it_had():
    document = parse(text())
    assert terms(document, TARGET, ability_of) == {}
    plan: dict[str, list[object]] = {"soft": []}
    assert plan_digest(plan, TARGET, {}, playbook="p") == digest({"plan": plan, "target": TARGET, "versions": {"playbook": "p"}})
    assert plan_digest(plan, TARGET, {"lasts_s": 60}, playbook="p") != plan_digest(plan, TARGET, {}, playbook="p")


@pytest.mark.parametrize(
    ("playbook", "line", "path", "code"),
    [
        ("name: p\nkinds: [human]\nkinds: [workload]\n", 3, "kinds", "twice"),
        ("name: p\nstages: &s\n  soft: []\n", 2, "", "anchor"),
        ("name: p\n\tkinds: []\n", 2, "", "not_yaml"),
        ("name: p\nstages:\n  soft:\n    - measure: session.pause\n      timeout: 9m\n", 5, "stages.soft[0].timeout", "out_of_range"),
        ("name: p\nstages:\n  soft:\n    - measure: session.pause\n", 2, "stages.hard", "missing"),
        ("", 1, "playbook", "invalid"),
    ],
)
def test_a_fault_names_the_line_the_member_and_the_rule(playbook, line, path, code):
    found = check(playbook)[1]
    assert (line, path, code) in [(fault.line, fault.path, fault.code) for fault in found]
    with pytest.raises(BadInput, match=f"line {line}: ") as refused:
        parse(playbook)
    assert len(refused.value.faults) == len(found)


def test_a_text_that_was_approved_still_means_what_it_meant_after_a_rule_was_added():
    once = text(soft=[{"measure": "session.terminate"}])
    assert faults(once)
    assert [step.measure for step in stored(once).stages["soft"]] == ["session.terminate"]


@pytest.mark.parametrize(
    "step",
    [
        SPARING,
        {"measure": "session.terminate", "parameters": {"spare": {"from": "target.spare"}}},
    ],
)
def test_an_interim_stage_may_do_what_leaves_alone_what_must_go_on(step):
    assert len(parse(text(interim=[step])).stages["interim"]) == 2


def test_what_is_protected_takes_two_people_whatever_the_author_forgot():
    spec = parse(text(holds={"default": {"on_lapse": "contain"}})).hold_for("protected")
    assert (spec.quorum, spec.on_lapse, spec.then) == (2, "release", "release")


def test_people_are_asked_for_the_reasons_that_judgement_knows():
    assert set(REASONS) == {"default", *(reason.value for reason in HoldReason)}


SOON = "9999999999999h"
WAIVED = [{"measure": "session.terminate"}]


@pytest.mark.parametrize(
    ("playbook", "path", "code"),
    [
        (text(lasts=SOON), "lasts", "out_of_range"),
        (text(lasts="9" * 5000 + "h"), "lasts", "out_of_range"),
        (text(soft=[EVIDENCE | {"timeout": SOON}]), "stages.soft[0].timeout", "out_of_range"),
        (text(holds={"default": {"on_lapse": "release", "keep_interim": SOON}}), "holds.default.keep_interim", "out_of_range"),
        (text(soft=[EVIDENCE | {"parameters": {"x": {"from": []}}}]), "stages.soft[0].parameters.x", "unknown_field"),
        (text(soft=[EVIDENCE | {"connector": ["postgres"]}]), "stages.soft[0].connector", "invalid"),
        (text(soft=[EVIDENCE] * 51), "stages.soft", "too_many"),
        (text(name="Ours"), "name", "invalid"),
        (text(name="o" * 101), "name", "invalid"),
        (text(name="ours\n"), "name", "invalid"),
        (text(title=["Ours"]), "title", "invalid"),
        (text(kinds=["human", "human"]), "kinds[1]", "twice"),
        (text(kinds=["human"] * 50), "kinds", "too_many"),
        (text(holds={"default": {"on_lapse": "release", "quorum": 6}}), "holds.default.quorum", "out_of_range"),
        *[(text(soft=WAIVED, evidence_waiver=no), "evidence_waiver", "invalid") for no in (" ", True, ["x"], "-", None)],
    ],
)
def test_what_no_reader_may_stumble_over_is_a_fault(playbook, path, code):
    assert (path, code) in faults(playbook)


def test_a_waiver_says_why():
    assert parse(text(soft=WAIVED, evidence_waiver="this cluster keeps its own ledger")).evidence_waiver


@pytest.mark.parametrize(
    ("playbook", "path", "code"),
    [
        ('title: "a\\0b"', "title", "unstorable_character"),
        ("title: a\0b", "", "unstorable_character"),
        ("title: a\ud800b", "", "unstorable_character"),
        ('stages: {soft: [{parameters: {x: ["a\\0"]}}]}', "stages.soft[0].parameters.x[0]", "unstorable_character"),
        ('"a\\0b": x', "", "invalid"),
        (f"? {'a' * 300}\n: x", "", "invalid"),
        ("? [a]\n: x", "", "not_yaml"),
        ("title: !!timestamp x", "", "tag"),
        ("title: !!int ''", "", "tag"),
        ("<<: {title: x}", "<<", "merge"),
        ("title: 9999-99-99", "", "not_yaml"),
        ("\n" * 2000, "", "too_large"),
    ],
)
def test_what_cannot_be_stored_or_is_not_what_it_looks_like_is_a_fault(playbook, path, code):
    assert (path, code) in [(fault.path, fault.code) for fault in check(playbook)[1]]


def test_a_surrogate_that_yaml_spells_out_is_a_fault():
    assert check('title: "\\ud800"')[1]


def test_a_text_full_of_faults_names_the_first_hundred():
    many = "".join(f"member-{number}: x\n" for number in range(500))
    assert len(check(many)[1]) == 100
    assert len(check("a: 1\n" * 500)[1]) == 100


def test_a_step_that_says_nonsense_about_its_failure_stops_there_until_it_is_mended():
    document, found = check(text(soft=[EVIDENCE | {"on_failure": "con"}]))
    assert document is not None
    assert (document.stages["soft"][0].on_failure, [fault.path for fault in found]) == ("stop", ["stages.soft[0].on_failure"])


def no_evidence(connector: str, measure: Measure) -> Ability | None:
    return None if measure is Measure.EVIDENCE_PRESERVE else ability_of(connector, measure)


def test_evidence_that_nobody_can_take_stays_in_the_plan():
    rest = {"measure": "session.restrict", "on_failure": "continue"}
    document = parse(text(soft=[EVIDENCE | {"connector": "nowhere", "on_failure": "continue"}, rest, {"measure": "session.pause"}]))
    whole, lost = (render(document, TARGET, ability) for ability in (ability_of, no_evidence_in_soft))
    assert [(step["connector"], step["measure"]) for step in lost["soft"]] == [
        (step["connector"], step["measure"]) for step in whole["soft"]
    ]
    assert (lost["soft"][0]["disruptive"], lost["soft"][0]["on_failure"]) == (False, "continue")
    assert "no connector preserves evidence here" in lost["soft"][0]["probe"]
    assert lost["soft"][1:] == whole["soft"][1:]


def no_evidence_in_soft(connector: str, measure: Measure) -> Ability | None:
    return None if connector == "nowhere" else ability_of(connector, measure)


def test_evidence_that_must_be_had_keeps_the_plan_from_being_made_where_nobody_can_take_it():
    with pytest.raises(CannotPlan, match=r"evidence\.preserve"):
        render(parse(text()), TARGET, no_evidence)


GATE = {"measure": "session.restrict", "connector": "holdfast"}
PAUSED = {"measure": "session.pause", "watch": "5m"}
ENDED = {"soft": [EVIDENCE, {"measure": "session.terminate"}], "hard": [EVIDENCE, {"measure": "session.terminate"}]}
KEPT = {"soft": [EVIDENCE, {"measure": "credential.rotate", "parameters": {"deliver_to": "a/b", "keep_new": True}}], "hard": ENDED["hard"]}
RESTRICTED = {"soft": [EVIDENCE, {"measure": "session.restrict"}], "hard": [EVIDENCE, {"measure": "session.restrict"}]}


def test_our_gate_may_restrict_agents_while_people_decide_and_nobody_else():
    assert len(parse(text(kinds=["ai_agent"], interim=[GATE])).stages["interim"]) == 2
    for kinds in (["service_account"], ["ai_agent", "workload"]):
        assert ("stages.interim[1].measure", "touches_must_go_on") in faults(text(kinds=kinds, interim=[GATE]))


@pytest.mark.parametrize(
    ("measure", "parameters", "name", "code"),
    [
        ("session.restrict", {"mode": "reading"}, "mode", "invalid"),
        ("session.restrict", {"mode": {"from": "target.kind"}}, "mode", "invalid"),
        ("session.restrict", {"schema": ["payments"]}, "schema", "unknown"),
        ("session.restrict", {"schemas": "payments"}, "schemas", "invalid"),
        ("session.restrict", {"schemas": {"from": "target.spare"}}, "schemas", "invalid"),
        ("session.restrict", {"allow_new_sessions": "no"}, "allow_new_sessions", "invalid"),
        ("session.terminate", {"spare": [{"address": "local"}]}, "spare", "invalid"),
        ("credential.rotate", {"deliver_to": {"from": "target.sessions"}}, "deliver_to", "invalid"),
        ("credential.rotate", {"deliver_to": "a/b", "keep_new": 1}, "keep_new", "invalid"),
        ("session.pause", {"mode": "read_only"}, "mode", "unknown"),
    ],
)
def test_a_parameter_is_one_that_the_measure_takes(measure, parameters, name, code):
    step = {"measure": measure, "parameters": parameters}
    assert (f"stages.soft[1].parameters.{name}", code) in faults(text(soft=[EVIDENCE, step]))


@pytest.mark.parametrize(
    ("said", "path", "code"),
    [
        ({"reinstatement": [READING, PAUSED]}, "reinstatement[1].measure", "stricter"),
        ({"reinstatement": [READING, READING | {"parameters": {}}]}, "reinstatement[1].measure", "stricter"),
        ({"reinstatement": [PAUSED], "stages": RESTRICTED}, "reinstatement[0].measure", "stricter"),
        ({"reinstatement": [READING], "stages": ENDED}, "reinstatement[0].measure", "stricter"),
        ({"reinstatement": [READING, READING | {"watch": "1m"}]}, "reinstatement[1].measure", "twice"),
        ({"reinstatement": [READING | {"on_failure": "undo"}]}, "reinstatement[0].on_failure", "way_back"),
        ({"reinstatement": [READING | {"parameters": {"mode": "none"}}]}, "reinstatement[0].parameters.mode", "invalid"),
        ({"lasts": "1h", "stages": ENDED}, "lasts", "irreversible"),
        ({"lasts": "1h", "stages": KEPT}, "lasts", "irreversible"),
    ],
)
def test_a_way_back_loosens_and_an_end_gives_something_back(said, path, code):
    assert (path, code) in faults(text(**said))


def test_a_way_back_may_loosen_step_by_step():
    assert len(parse(text(lasts="1h", reinstatement=[PAUSED, READING | {"parameters": {}}, READING])).reinstatement) == 3
