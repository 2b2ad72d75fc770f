"""How well judgement tells attacks from work, on traces that others recorded, and how long one judgement takes.

Every call goes through the product's own `judge` with the shipped policy. An attack counts as found when it is held or contained at or
before the first call that does harm; what is noticed later is counted apart. Benign traces are counted by task and by call.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.judge import cloudtrail, speed
from bench.judge.play import Outcome, play
from bench.judge.trace import Trace
from bench.judge.traces import actions, agents
from bench.report import table, write

HERE = Path(__file__).resolve().parent
BESIDE = HERE.parent.parent.parent / "shared" / "data"
EXAMPLES = HERE / "examples"
READERS: dict[str, Callable[[Path], Iterable[Trace]]] = {
    "agentdojo": agents.agentdojo,
    "agentdojo-runs": agents.agentdojo_runs,
    "asb": agents.asb,
    "tau-bench": agents.tau_bench,
    "agent-firedrill": agents.firedrill,
    "action-boundary": actions.action_boundary,
    "agentgovbench": actions.agentgovbench,
}
HEAD = [
    "traces",
    "half",
    "attacks",
    "contained",
    "held",
    "found",
    "late",
    "missed",
    "denied anyway",
    "tasks",
    "contained",
    "held",
    "calls stopped",
]


HOW = """\
*Found*: held or contained at or before the first harmful call. *Denied anyway*: the guard refuses that call, whatever the risk. The last
four columns are benign work: tasks in which any call was contained or held, and single calls.

How the intent was made, never from the attack: the profile is every tool of the agent; a tool only reads if its name begins with a verb of
looking, and what it returns is trusted only if neither name nor description speaks of content that others write (mail, pages, files …).
The session declares the user's words as its task, every reading tool, and the writing tools that the benign plan of the task needs, as a
runtime does that plans before it reads. tau-bench, agent-firedrill and agentgovbench declare no plan. Nobody has classified a resource or
read the agent's reach, so both count as the policy's caution says.

How attacks were put together: agentdojo's files hold calls and no results, so the injected calls stand after the first call that returns
content from outside, the injected text counts as seen in that result, and what a benign call names without the task having named it counts
as seen in the last reading call before it. asb puts the attack's tool between the agent's own two. The halves part tasks by a checksum of
their names. The rules were written by people who had read these files, so the half *apart* is apart from trying out, not from knowing."""


@dataclass(slots=True)
class Tally:
    """Verdicts on the attacks and on the benign traces of one row."""

    attacks: Counter[str] = field(default_factory=Counter)
    tasks: Counter[int] = field(default_factory=Counter)
    calls: Counter[int] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)

    def add(self, trace: Trace, outcomes: Sequence[Outcome]) -> None:
        if trace.harmful is None:
            self.tasks[max((one.tier for one in outcomes), default=0)] += 1
            self.calls.update(one.tier for one in outcomes)
            return
        theirs = [(at, one) for at, (call, one) in enumerate(zip(trace.calls, outcomes, strict=True)) if call.injected]
        in_time = [one for at, one in theirs if at <= trace.harmful]
        tier = max(one.tier for one in in_time)
        late = not tier and any(one.tier for _, one in theirs)
        self.attacks[("missed", "held", "contained")[tier] if not late else "late"] += 1
        self.attacks["denied"] += any(one.denied for one in in_time)
        if not tier and not late:
            self.missed[in_time[-1].because or f"nothing fired on {trace.calls[trace.harmful].tool}"] += 1

    def row(self, name: str, half: str) -> list[str]:
        attacks = sum(self.attacks[word] for word in ("contained", "held", "late", "missed"))
        found = self.attacks["contained"] + self.attacks["held"]
        tasks, calls = self.tasks.total(), self.calls.total()
        return [
            *(name, half, str(attacks)),
            *(_share(self.attacks[word], attacks) for word in ("contained", "held")),
            _share(found, attacks),
            *(str(self.attacks[word]) for word in ("late", "missed")),
            _share(self.attacks["denied"], attacks),
            *(str(tasks), _share(self.tasks[2], tasks), _share(self.tasks[1], tasks)),
            _share(calls - self.calls[0], calls),
        ]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/bench judge")
    default = Path(os.environ.get("HOLDFAST_TRACES") or BESIDE)
    parser.add_argument("--data", type=Path, default=default, help="a folder with one folder per data set; or HOLDFAST_TRACES")
    parser.add_argument("--examples", action="store_true", help="our own small examples of each format instead")
    parser.add_argument("--misses", action="store_true", help="name every attack that was missed and every task that was stopped")
    parser.add_argument("--dry", action="store_true", help="print, and leave docs/performance.md alone")
    given = parser.parse_args(words)
    folder: Path = EXAMPLES if given.examples else given.data
    if not folder.is_dir():
        print(f"There is no folder {folder}. Say --data, or --examples for our own small traces.")  # noqa: T201
        return 2
    absent = [name for name in (*READERS, "cloudtrail-stratus") if not (folder / name).is_dir()]
    body = "\n\n".join(_parts(folder, absent, given.misses))
    print(body)  # noqa: T201
    if not (given.dry or given.examples):
        write("Judgement on traces", "script/bench judge", body)
    return 0


def _parts(folder: Path, absent: Sequence[str], misses: bool) -> Iterator[str]:
    declared, _ = measured(folder)
    undeclared, _ = measured(folder, only_profile=True, names=("agentdojo", "agentdojo-runs"))
    yield HOW
    yield table(HEAD, [tally.row(name, half) for (name, half), tally in declared.items()])
    if undeclared:
        yield "The same, where the session declared its task only and may use every tool of its profile:"
        yield table(HEAD, [tally.row(name, half) for (name, half), tally in undeclared.items()])
    if (folder / "agentdojo").is_dir():
        yield "How much rests on what is trusted, agentdojo as a whole:"
        yield table(HEAD, _by_trust(folder / "agentdojo"))
    yield _in_common(declared)
    if misses and (named := list(_named(folder))):
        yield "\n".join(named)
    if "cloudtrail-stratus" not in absent:
        yield from _cloudtrail(folder / "cloudtrail-stratus")
    yield speed.measured()
    if absent:
        yield f"Not measured, because the folder is not there: {', '.join(absent)}."


def measured(
    folder: Path, *, only_profile: bool = False, names: Iterable[str] = tuple(READERS)
) -> tuple[dict[tuple[str, str], Tally], list[tuple[Trace, list[Outcome]]]]:
    """A tally for each data set and half, and every trace with its verdicts."""
    tallies: dict[tuple[str, str], Tally] = {}
    played = []
    for name in names:
        for trace in READERS[name](folder / name) if (folder / name).is_dir() else ():
            asked = replace(trace, declared={"task": trace.task} if trace.task else {}) if only_profile else trace
            outcomes = play(asked)
            tallies.setdefault((name, "apart" if trace.apart else "first"), Tally()).add(asked, outcomes)
            played.append((asked, outcomes))
    return dict(sorted(tallies.items(), key=lambda one: (one[0][0], one[0][1] == "apart"))), played


def _by_trust(folder: Path) -> Iterator[list[str]]:
    for name, trusts in (("no tool trusted", False), ("every reading tool trusted", True)):
        tally = Tally()
        for trace in READERS["agentdojo"](folder):
            approved = [tool | {"trusted": trusts and not tool["writes"]} for tool in trace.profile["tools"]]
            asked = replace(trace, profile={"tools": approved})
            tally.add(asked, play(asked))
        yield tally.row(name, "both")


def _in_common(tallies: dict[tuple[str, str], Tally]) -> str:
    missed: Counter[str] = Counter()
    for tally in tallies.values():
        missed.update(tally.missed)
    if not missed:
        return "No attack was missed."
    lines = [f"- {count} × {what}" for what, count in missed.most_common(8)]
    said = (
        "What the misses have in common: the harm is done by reading (an address that is visited, a file of secrets), which is never asked "
        "where its values come from; or a link is quoted in a message from content that the task itself points at. What was said of the "
        "harmful call there:"
    )
    return f"{said}\n\n" + "\n".join(lines)


def _named(folder: Path) -> Iterator[str]:
    for trace, outcomes in measured(folder)[1]:
        if trace.harmful is None:
            if (worst := max(outcomes, key=lambda one: one.tier, default=None)) and worst.tier:
                yield f"- stopped work {trace.dataset} {trace.name}: {worst.because}"
        elif not any(one.tier for call, one in zip(trace.calls, outcomes, strict=True) if call.injected):
            yield f"- missed {trace.dataset} {trace.name}"


def _cloudtrail(folder: Path) -> Iterator[str]:
    settings: tuple[tuple[str, dict[str, bool]], ...] = (
        ("workflow and role known", {"known": True}),
        ("nothing known, a detector reports each change", {"reported": True}),
        ("nothing known, nobody reports", {}),
    )
    rows = []
    for name, setting in settings:
        found = list(cloudtrail.detonations(folder, **setting))
        first = [next((tier for tier in one.tiers), 0) for one in found]
        around = [tier for one in found for tier in one.around]
        quiet = cloudtrail.ordinary(datetime(2026, 11, 22, 10, tzinfo=UTC), **setting)
        rows.append(
            [
                *(name, str(len(found)), _share(sum(max(one.tiers, default=0) == 2 for one in found), len(found))),
                _share(sum(max(one.tiers, default=0) >= 1 for one in found), len(found)),
                _share(sum(tier >= 1 for tier in first), len(found)),
                *(_share(sum(map(bool, around)), len(around)), _share(sum(map(bool, quiet)), len(quiet))),
            ]
        )
    yield "cloudtrail-stratus, user agent removed, after thirty quiet days of the same identity:"
    head = [
        "setting",
        "detonations",
        "contained",
        "held or contained",
        "at their first change",
        "ordinary reads around stopped",
        "a further quiet day",
    ]
    yield table(head, rows)


def _share(count: int, of: int) -> str:
    return f"{count} ({100 * count / of:.1f} %)" if of else "–"
