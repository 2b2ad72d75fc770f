"""The bench of judgement reads every format, looks at no attack when it declares an intent, and counts what it should."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bench import judge
from bench.judge import EXAMPLES, READERS, cloudtrail, measured
from bench.judge.play import play
from bench.judge.trace import Call, Trace, brings_content, looks_only


def traces(name: str) -> list[Trace]:
    return list(READERS[name](EXAMPLES / name))


@pytest.mark.parametrize("name", READERS)
def test_every_format_gives_traces(name):
    found = traces(name)
    assert any(trace.harmful is None for trace in found) or name == "agentgovbench"
    assert any(trace.harmful is not None for trace in found) or name == "tau-bench"
    assert all(trace.calls for trace in found)


@pytest.mark.parametrize("name", ["agentdojo", "agentdojo-runs", "asb", "agent-firedrill"])
def test_what_was_approved_for_a_task_is_the_same_with_and_without_an_attack(name):
    approved = {trace.task_id: (trace.profile, trace.declared, trace.task) for trace in traces(name) if trace.harmful is None}
    attacked = [trace for trace in traces(name) if trace.harmful is not None]
    assert attacked
    assert all((trace.profile, trace.declared, trace.task) == approved[trace.task_id] for trace in attacked)


def test_traces_of_one_task_stay_in_one_half():
    halves: dict[str, set[bool]] = {}
    for trace in traces("agentdojo"):
        halves.setdefault(trace.task_id, set()).add(trace.apart)
    assert all(len(half) == 1 for half in halves.values())


def test_the_examples_are_told_apart():
    tallies, _ = measured(EXAMPLES)
    assert sum(tally.attacks["missed"] + tally.attacks["late"] for tally in tallies.values()) == 0
    assert sum(tally.tasks[1] + tally.tasks[2] for tally in tallies.values()) == 0
    assert {name for name, _ in tallies} == set(READERS)


def test_an_attack_that_is_noticed_after_its_harm_is_late_and_not_found():
    tally = judge.Tally()
    harm, noticed = Call(tool="mail.read", injected=True, writes=False), Call(tool="shell", injected=True)
    trace = Trace(
        dataset="x", task_id="1", name="1", calls=(harm, noticed), harmful=0, profile={"tools": [{"name": "mail.read", "writes": False}]}
    )
    tally.add(trace, play(trace))
    assert (tally.attacks["late"], tally.attacks["contained"], tally.attacks["missed"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("tool", "reads", "content"),
    [
        ("getWebPage", True, True),
        ("list_contacts", True, False),
        ("send_mail", False, True),
        ("read_inbox", True, True),
        ("portal", False, False),
    ],
)
def test_a_tool_is_classed_by_its_name_alone(tool, reads, content):
    assert (looks_only(tool), brings_content(tool)) == (reads, content)


def test_a_detonation_after_quiet_days_is_stopped_and_the_reads_around_it_are_not():
    (found,) = cloudtrail.detonations(EXAMPLES / "cloudtrail-stratus", known=True)
    assert found.tiers == (2,)
    assert found.around == (0,)
    assert not any(cloudtrail.ordinary(datetime(2026, 11, 22, 10, tzinfo=UTC), known=True))


def test_a_folder_that_is_not_there_is_said_plainly(tmp_path, capsys):
    assert judge.main(["--data", str(tmp_path / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().out
    assert judge.main(["--data", str(tmp_path), "--dry"]) == 0
    assert "agentdojo" in capsys.readouterr().out.splitlines()[-1]
