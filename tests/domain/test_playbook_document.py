"""What a playbook may say: every fault is named with its path, before anybody is asked to approve it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from containment.domain.policy import HoldReason
from core.refusals import BadInput
from playbooks.domain.document import REASONS, parse

SHIPPED = Path(__file__).parents[2] / "playbooks" / "shipped"
EVIDENCE = {"measure": "evidence.preserve"}
SPARING = {
    "measure": "session.restrict",
    "parameters": {"schemas": {"from": "target.must_go_on.schemas"}, "allow_new_sessions": {"from": "target.must_go_on.reconnect"}},
}


def text(*, interim: list[dict[str, Any]] | None = None, soft: list[dict[str, Any]] | None = None, **changes: Any) -> str:
    stages = {"soft": soft or [EVIDENCE, {"measure": "session.terminate"}], "hard": [EVIDENCE, {"measure": "credential.revoke"}]}
    if interim is not None:
        stages["interim"] = [EVIDENCE, *interim]
    usual = {"name": "ours", "kinds": ["service_account"], "stages": stages, "holds": {"default": {"on_lapse": "release"}}}
    return yaml.safe_dump(usual | changes)


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


@pytest.mark.parametrize(
    "step",
    [
        SPARING,
        {"measure": "session.restrict", "connector": "holdfast"},
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
