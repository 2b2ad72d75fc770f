"""How long a backtest of a month of decisions takes. The history is made by the real judgement before, and not measured."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import Any

import psycopg

from bench.report import table, write
from core import digest
from embedded.places import ROOT
from tests import servers

DAYS = 30


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/bench backtest")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="print, and leave docs/performance.md alone")
    given = parser.parse_args(words)
    servers.start_before_settings()
    try:
        rows = _measured(given.events, given.processes)
    finally:
        servers.stop()
    body = table(["what", "found"], rows)
    print(body)  # noqa: T201
    if not given.dry:
        write("Backtest", f"script/bench backtest --events {given.events} --processes {given.processes}", body)
    return 0


def _measured(events: int, processes: int) -> list[list[str]]:
    import django

    django.setup()
    began = time.perf_counter()
    _make(events, processes)
    made = time.perf_counter() - began
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE decision, decision_gist")
        wide, narrow, distinct = connection.execute(
            "SELECT pg_total_relation_size('decision'), pg_total_relation_size('decision_gist'),"
            " (SELECT count(DISTINCT gist) FROM decision_gist)"
        ).fetchone() or (0, 0, 0)
    rows = [
        ["decisions, each with facts of its own", f"{events:,} over {DAYS} days"],
        ["made in (not measured)", f"{made:.0f} s"],
        ["distinct gists", f"{distinct:,}"],
        ["size of decisions · of gists", f"{wide / 2**30:.1f} GiB · {narrow / 2**30:.2f} GiB"],
    ]
    for name, text in _policies().items():
        seconds, found = _tried(text, processes)
        noticed = found["noticed"]
        rows += [
            [f"**{name}**: from the command to its answer, {processes} processes", f"**{seconds:.1f} s**"],
            ["… judged on their whole facts", f"{found['in_full']:,}"],
            ["… decided otherwise", f"{sum(found['flips'].values()):,}"],
            ["… contained · held, once a day", f"{noticed['contained']:,} · {noticed['held']:,}"],
        ]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return [*rows, ["most memory of one process", f"{peak:.0f} MiB"]]


def _policies() -> dict[str, str]:
    from containment.domain.policy import shipped_text

    text, rule = shipped_text(), "kind: service_account, soft: 40, hard: 70"
    return {
        "the policy in force": text,
        "other thresholds and weights": text.replace(rule, "kind: service_account, soft: 34, hard: 62")
        .replace("first_access: 8", "first_access: 11")
        .replace("volume: 8", "volume: 10"),
    }


def _tried(text: str, processes: int) -> tuple[float, dict[str, Any]]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        command = [sys.executable, str(ROOT / "manage.py"), "backtest", "--policy", file.name, "--since", f"{DAYS + 1}d", "--json"]
        began = time.perf_counter()
        done = subprocess.run([*command, "--processes", str(processes)], check=True, capture_output=True, text=True, cwd=ROOT)
        return time.perf_counter() - began, json.loads(done.stdout)


# -- making the history -------------------------------------------------------------------------------------------------------------------


def _make(events: int, processes: int) -> None:
    from django.core.management import call_command
    from django.db import connections

    from tests import make

    call_command("migrate", verbosity=0)
    make.house()
    held = make.detected("safe") if make.identity("safe", protected=True) else None
    assert held is not None  # noqa: S101 - its run and hold stand for all of the history's
    frame = {
        "detection": held.detection_id,
        "policy": held.policy_id,
        "run": held.run_id,
        "hold": held.hold_id,
        "until": datetime.now(UTC),
    }
    connections.close_all()
    share = events // processes
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.starmap(_make_share, [(number, processes, share, frame) for number in range(processes)])


_DECISION = (
    "id, detection_id, policy_id, generation, cause, verdict, stage, sentence, because, would_have, risk, soft, hard, signals, waterfall,"
    " facts, digest, playbook, passed_over, run_id, hold_id, decided_at"
)
_GIST = "decision_id, decided_at, identity, source, verdict, stage, sentence, risk, gist"
_TOGETHER = 5_000


def _make_share(number: int, of: int, count: int, frame: dict[str, Any]) -> None:
    from bench import history
    from containment.domain.policy import parse, shipped_text

    os.nice(10)  # it may take its time
    made = history.decisions(count, parse(shipped_text()), seed=number, until=frame["until"], days=DAYS)
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        pending: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = []
        for place, one in enumerate(made):
            pending.append(_rows(one, place * of + number + 1, frame))
            if len(pending) == _TOGETHER or place == count - 1:
                _copy(connection, pending)
                pending = []


def _rows(one: Any, generation: int, frame: dict[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    from core.ids import uuid7

    key, choice, facts = uuid7(), one.choice, one.facts
    risk, bounds = one.waterfall.risk, one.waterfall.thresholds
    acts = choice.verdict in ("contain", "hold")
    decision = (
        *(key, frame["detection"], frame["policy"], generation, "made to be measured", str(choice.verdict), str(choice.stage or "")),
        *(
            choice.sentence,
            choice.because,
            str(choice.would_have or ""),
            risk,
            bounds.soft,
            bounds.hard,
        ),
        *("[]", "{}", digest.canonical(facts).decode(), "", "", "[]", frame["run"] if acts else None),
        *(frame["hold"] if choice.verdict == "hold" else None, one.at),
    )
    source = facts.detection.source.name if facts.detection else ""
    return decision, (
        *(key, one.at, facts.identity.id, source, str(choice.verdict), str(choice.stage or ""), choice.sentence),
        *(round(risk * 10), one.gist),
    )


def _copy(connection: psycopg.Connection[Any], pending: list[tuple[tuple[Any, ...], tuple[Any, ...]]]) -> None:
    with connection.cursor() as cursor:
        for table_name, columns, index in (("decision", _DECISION, 0), ("decision_gist", _GIST, 1)):
            with cursor.copy(f"COPY {table_name} ({columns}) FROM STDIN") as copy:
                for pair in pending:
                    copy.write_row(pair[index])
    connection.commit()
