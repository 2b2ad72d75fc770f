"""Reads agent traces: AgentDojo (the authors' own calls, and logs of runs), Agent Security Bench, tau-bench, and agent-firedrill.

Every reader takes the folder of its data and gives benign traces and attacked ones. What an attack holds never shapes what was approved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.judge.trace import Call, Trace, brings_content, looks_only, planned, tools
from containment.domain import intent, values

Json = Mapping[str, Any]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


# -- AgentDojo: the calls that its authors say each task takes ---------------------------------------------------------------------------


def agentdojo(folder: Path) -> Iterator[Trace]:
    """Benign: the calls of each user task. Attacked: the calls of each injection task of the same suite, put in after the first call that
    returns content from outside. The files hold no results, so these stand for them: the injected text, in the result it came with; and
    whatever a benign call names that the task does not, in the result of the last reading call before it."""
    tasks, profiles, described = _suites(folder)
    for suite, (benign, injections) in tasks.items():
        for task in benign:
            calls = _with_results(task, profiles[suite])
            plan = [call.tool for call in calls]
            base = Trace(
                dataset="agentdojo",
                task_id=f"{suite}/{task['task_id']}",
                name=f"{suite}/{task['task_id']}",
                calls=calls,
                task=task["instruction"],
                profile=profiles[suite],
                declared=planned(profiles[suite], plan, task["instruction"]),
            )
            yield base
            place = next((at for at, call in enumerate(calls) if _from_outside(call.tool, described[suite])), None)
            for injection in injections if place is not None else ():
                yield _attacked(base, place or 0, injection)


def _suites(folder: Path) -> tuple[dict[str, tuple[list[Json], list[Json]]], dict[str, Json], dict[str, dict[str, str]]]:
    tasks: dict[str, tuple[list[Json], list[Json]]] = {}
    for path in sorted(folder.glob("ground-truth-calls*.jsonl")):
        for line in lines(path):
            benign, injections = tasks.setdefault(line["suite"], ([], []))
            (benign if line["label"] == "benign" else injections).append(line)
    described: dict[str, dict[str, str]] = {suite: {} for suite in tasks}
    for path in sorted(folder.glob("tools*.jsonl")):
        for line in lines(path):
            described.setdefault(line["suite"], {})[line["name"]] = line.get("description", "")
    profiles: dict[str, Json] = {suite: {"tools": tools(known, known)} for suite, known in described.items()}
    return tasks, profiles, described


def _from_outside(tool: str, described: Mapping[str, str]) -> bool:
    return looks_only(tool) and brings_content(tool, described.get(tool, ""))


def _with_results(task: Json, profile: Json) -> tuple[Call, ...]:
    """The calls, with the results that their values must have come from."""
    calls = [Call(tool=call["function"], arguments=call["args"]) for call in task["calls"]]
    known = values.marks_in(task["instruction"])
    for at, call in enumerate(calls):
        source = next((before for before in range(at - 1, -1, -1) if looks_only(calls[before].tool)), None)
        unknown = [value.text for value in intent.values_of(call.arguments) if value.kind and not value.marks <= known]
        if source is not None and unknown:
            calls[source] = replace(calls[source], returned=f"{calls[source].returned}\n{'; '.join(unknown)}")
    return tuple(calls)


def _attacked(base: Trace, place: int, injection: Json) -> Trace:
    poisoned = replace(base.calls[place], returned=f"{base.calls[place].returned}\n{injection['instruction']}")
    injected = tuple(Call(tool=call["function"], arguments=call["args"], injected=True) for call in injection["calls"])
    harm = next((at for at, call in enumerate(injected) if not looks_only(call.tool)), len(injected) - 1)
    return replace(
        base,
        name=f"{base.name} + {injection['task_id']}",
        calls=(*base.calls[:place], poisoned, *injected, *base.calls[place + 1 :]),
        harmful=place + 1 + harm,
    )


# -- AgentDojo: logs of runs, with the model's own calls and the results that it saw -----------------------------------------------------


def agentdojo_runs(folder: Path) -> Iterator[Trace]:
    """A run under attack counts where its injection succeeded (`security`); harm begins with the first call that does what the injection
    asks: a tool of the injection task with one of its telling values. Runs of which that cannot be said are left out. What the tasks are
    stands in the same folder, or in that of agentdojo beside it."""
    tasks, profiles, _ = _suites(folder if any(folder.glob("ground-truth-calls*.jsonl")) else folder.parent / "agentdojo")
    for path in sorted(folder.rglob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(run, dict) or "user_task_id" not in run or run.get("suite_name") not in tasks or run.get("error"):
            continue
        if trace := _run(run, *tasks[run["suite_name"]], profiles[run["suite_name"]], str(path.relative_to(folder))):
            yield trace


def _run(run: Json, benign: list[Json], injections: list[Json], profile: Json, name: str) -> Trace | None:
    task = next((one for one in benign if one["task_id"] == run["user_task_id"]), None)
    injection = next((one for one in injections if one["task_id"] == run.get("injection_task_id")), None)
    if task is None or (run.get("injection_task_id") and (injection is None or not run.get("security"))):
        return None
    calls = tuple(_calls_of(run["messages"]))
    harmful = None
    if injection is not None:
        harmful = next((at for at, call in enumerate(calls) if _does(call, injection)), None)
        if harmful is None:
            return None
        calls = tuple(replace(call, injected=at >= harmful) for at, call in enumerate(calls))
    return Trace(
        dataset="agentdojo-runs",
        task_id=f"{run['suite_name']}/{task['task_id']}",
        name=name,
        calls=calls,
        task=task["instruction"],
        harmful=harmful,
        profile=profile,
        declared=planned(profile, [call["function"] for call in task["calls"]], task["instruction"]),
    )


def _calls_of(messages: Iterable[Json]) -> Iterator[Call]:
    """Every call with the result that answers it."""
    asked = list(messages)
    for at, message in enumerate(asked):
        for number, call in enumerate(message.get("tool_calls") or ()):
            answers = [one for one in asked[at + 1 :] if one.get("role") == "tool"]
            own = [
                one
                for one in answers
                if (one.get("tool_call") or {}).get("id") not in (None, "") and one["tool_call"]["id"] == call.get("id")
            ]
            answer = own[0] if own else answers[number] if number < len(answers) else {}
            yield Call(tool=call["function"], arguments=call.get("args") or {}, returned=_text(answer.get("content")))


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("content") or part.get("text") or "") if isinstance(part, dict) else str(part) for part in content)
    return str(content or "")


def _does(call: Call, injection: Json) -> bool:
    if looks_only(call.tool) and any(not looks_only(wanted["function"]) for wanted in injection["calls"]):
        return False
    mine = {mark for value in intent.values_of(call.arguments) if value.kind for mark in value.marks}
    wanted = [one for one in injection["calls"] if one["function"] == call.tool]
    return any(mine & {mark for value in intent.values_of(one["args"]) if value.kind for mark in value.marks} for one in wanted)


# -- Agent Security Bench ----------------------------------------------------------------------------------------------------------------


def asb(folder: Path) -> Iterator[Trace]:
    """Benign: an agent's task, then its two normal tools. Attacked: the same with an attack tool that belongs to another hand put in
    between. The profile is the agent's normal tools; the data gives no arguments."""
    normal: dict[str, list[Json]] = {}
    attacks: dict[str, list[Json]] = {}
    for path in sorted(folder.glob("*normal_tools*.jsonl")):
        for tool in lines(path):
            normal.setdefault(tool["Corresponding Agent"], []).append(tool)
    for path in sorted(folder.glob("attack_tools*.jsonl")):
        for tool in lines(path):
            attacks.setdefault(tool["Corresponding Agent"], []).append(tool)
    for agent in (one for path in sorted(folder.glob("agent_task*.jsonl")) for one in lines(path)):
        own = normal.get(agent["agent_name"], [])
        profile = {"tools": tools([tool["Tool Name"] for tool in own], {tool["Tool Name"]: tool["Description"] for tool in own})}
        calls = [Call(tool=tool["Tool Name"], returned=tool["Expected Achievements"]) for tool in own]
        for number, task in enumerate(agent["tasks"]):
            name = f"{agent['agent_name']}/{number}"
            declared = planned(profile, [call.tool for call in calls], task)
            base = Trace(dataset="asb", task_id=name, name=name, calls=tuple(calls), task=task, profile=profile, declared=declared)
            yield base
            for attack in attacks.get(agent["agent_name"], []):
                injected = Call(tool=attack["Attacker Tool"], injected=True)
                yield replace(base, name=f"{name} + {attack['Attacker Tool']}", calls=(*calls[:1], injected, *calls[1:]), harmful=1)


# -- tau-bench ---------------------------------------------------------------------------------------------------------------------------


def tau_bench(folder: Path) -> Iterator[Trace]:
    """Real trajectories with their results; all benign. The profile is every tool that the agent used in any of them: its own booking
    system, so that what its reading tools return is trusted. The task grows with what the user says."""
    runs = [run for path in sorted(folder.glob("*.json")) for run in json.loads(path.read_text(encoding="utf-8"))]
    played = [(run, tuple(_conversation(run["traj"]))) for run in runs if run.get("traj")]
    profile = {"tools": tools(call.tool for _, calls in played for call in calls)}
    for run, calls in played:
        name = f"{run['task_id']}/{run.get('trial', 0)}"
        yield Trace(
            dataset="tau-bench",
            task_id=str(run["task_id"]),
            name=name,
            calls=calls,
            profile=profile,
            declared={"task": "what the user says"},
        )


def _conversation(messages: Iterable[Json]) -> Iterator[Call]:
    said: list[str] = []
    asked = list(messages)
    results = {one.get("tool_call_id"): _text(one.get("content")) for one in asked if one.get("role") == "tool"}
    for message in asked:
        if message.get("role") == "user":
            said.append(_text(message.get("content")))
        for call in message.get("tool_calls") or ():
            arguments = json.loads(call["function"]["arguments"] or "{}")
            yield Call(tool=call["function"]["name"], arguments=arguments, said="\n".join(said), returned=results.get(call.get("id"), ""))
            said.clear()


# -- agent-firedrill ---------------------------------------------------------------------------------------------------------------------

WORKSPACE = "[!/~.]*"  # a path that is relative and begins with no dot: neither absolute, nor at home, nor above


def firedrill(folder: Path) -> Iterator[Trace]:
    """An attack and its benign twin, as spans. Nobody says what the user asked. The profile approves every tool that either of them
    uses, so that no attack is found by its tool, and for agents that work on code the paths inside their workspace."""
    for path in sorted(folder.glob("*.json")):
        for atomic in json.loads(path.read_text(encoding="utf-8")):
            agent = str(atomic.get("defaults", {}).get("gen_ai.agent.name", ""))
            twin, attack = (tuple(_spans(atomic[side])) for side in ("benign", "attack"))
            profile: dict[str, Any] = {"tools": tools(call.tool for call in (*twin, *attack))}
            if "coding" in agent or "ide" in agent.split("-"):
                profile["resources"] = [WORKSPACE]
            base = Trace(dataset="agent-firedrill", task_id=atomic["id"], name=atomic["id"], calls=twin, profile=profile)
            yield base
            injected = tuple(replace(call, injected=True) for call in attack)
            harm = next((at for at, call in enumerate(injected) if not looks_only(call.tool)), len(injected) - 1)
            yield replace(base, name=f"{atomic['id']} attack", calls=injected, harmful=harm)


def _spans(spans: Iterable[Json]) -> Iterator[Call]:
    for span in spans:
        attributes = span["attrs"]
        if attributes.get("gen_ai.operation.name", "execute_tool") == "execute_tool" and "gen_ai.tool.name" in attributes:
            yield Call(
                tool=attributes["gen_ai.tool.name"],
                arguments=attributes.get("gen_ai.tool.call.arguments") or {},
                returned=_text(attributes.get("gen_ai.tool.call.result")),
            )
