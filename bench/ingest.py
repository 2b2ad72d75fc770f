"""How many detections are taken in per second, and how long it takes from a POST to the first effect in the estate.

Everything runs on one machine: the product with its servers, the estate, and this program beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg

from bench.report import percentile, table, write
from core.ids import uuid7
from tests.crash.stack import ATTACK, Stack, running

QUIET = ATTACK | {
    "severity": "low",
    "confidence": 0.2,
    "claims": [],
    "action": {"name": "data.read"},
    "resource": {"kind": "table", "id": "a.b"},
}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/bench ingest")
    parser.add_argument("--detections", type=int, default=1000, help="posted one by one, and again in batches")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--cuts", type=int, default=40, help="POST to effect; the shipped budget allows 60 per hour")
    parser.add_argument("--dry", action="store_true", help="print, and leave docs/performance.md alone")
    given = parser.parse_args(words)
    with running() as stack:
        rows = [
            *_one_by_one(stack, given.detections, given.clients),
            *_in_batches(stack, given.detections),
            *_until_cut(stack, given.cuts),
        ]
    body = table(["what", "n", "per second", "p50", "p99"], rows)
    print(body)  # noqa: T201
    if not given.dry:
        write("Ingest", f"script/bench ingest --detections {given.detections} --clients {given.clients} --cuts {given.cuts}", body)
    return 0


def _message(base: dict[str, Any], subject: str) -> dict[str, Any]:
    identity = {"kind": "service_account", "provider": "postgres", "subject": subject}
    return base | {"external_id": str(uuid7()), "identity": identity, "credential": {"kind": "db_role", "id": subject}}


def _client(stack: Stack) -> httpx.Client:
    return httpx.Client(
        base_url=stack.access["url"], headers={"Authorization": f"Bearer {stack.access['tokens']['detections']}"}, timeout=60
    )


def _one_by_one(stack: Stack, count: int, clients: int) -> Iterable[list[str]]:
    """Many clients, 50 identities, each detection stored, judged and answered before the next."""
    took: list[float] = []

    def post(share: int) -> None:
        with _client(stack) as client:
            for number in range(share):
                began = time.perf_counter()
                client.post("/api/v1/detections", json=_message(QUIET, f"quiet-{number % 50}")).raise_for_status()
                took.append(time.perf_counter() - began)

    post(10)  # the first requests load what the others find loaded
    took.clear()
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(post, count // clients) for _ in range(clients)]:
            done.result()
    spent = time.perf_counter() - began
    yield [f"stored, judged, answered ({clients} clients)", str(len(took)), f"{len(took) / spent:.0f}", _ms(took, 0.5), _ms(took, 0.99)]


def _in_batches(stack: Stack, count: int) -> Iterable[list[str]]:
    """Batches of 100, acknowledged at once, decided by workers."""
    took: list[float] = []
    began = time.perf_counter()
    with _client(stack) as client:
        for _ in range(count // 100):
            batch = [_message(QUIET, f"quiet-{number % 50}") for number in range(100)]
            start = time.perf_counter()
            client.post("/api/v1/detections/batch", json=batch).raise_for_status()
            took.append(time.perf_counter() - start)
    posted = time.perf_counter() - began
    while stack.sql("SELECT count(*) FROM detection WHERE state = 'received'") != [(0,)]:
        time.sleep(0.1)
    decided = time.perf_counter() - began
    yield ["stored, in batches of 100", str(len(took) * 100), f"{len(took) * 100 / posted:.0f}", _ms(took, 0.5), _ms(took, 0.99)]
    yield ["… and decided by workers", str(len(took) * 100), f"{len(took) * 100 / decided:.0f}", "", ""]


def _until_cut(stack: Stack, count: int) -> Iterable[list[str]]:
    """From the POST to the moment at which the estate's own catalogue shows the role cut off, one role after another."""
    answered: list[float] = []
    cut: list[float] = []
    with _client(stack) as client, stack.estate() as estate:
        for _ in range(count):
            role = stack.new_role(f"bench_{uuid7().hex[-12:]}")
            seen = threading.Event()
            moment: list[float] = []

            def watch(name: str = role, seen: threading.Event = seen, moment: list[float] = moment) -> None:
                while not seen.is_set():
                    if _limit(estate, name) == 0:
                        moment.append(time.perf_counter())
                        return
                    time.sleep(0.002)

            watcher = threading.Thread(target=watch)
            began = time.perf_counter()
            watcher.start()
            client.post("/api/v1/detections", json=_message(ATTACK, role)).raise_for_status()
            answered.append(time.perf_counter() - began)
            watcher.join(timeout=30)
            seen.set()
            if moment:
                cut.append(moment[0] - began)
    yield ["POST to answer, contain", str(len(answered)), "", _ms(answered, 0.5), _ms(answered, 0.99)]
    yield [f"POST to first effect in the estate ({len(cut)} of {count})", str(len(cut)), "", _ms(cut, 0.5), _ms(cut, 0.99)]


def _limit(estate: psycopg.Connection[Any], role: str) -> int | None:
    with contextlib.suppress(psycopg.Error):
        row = estate.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", [role]).fetchone()
        return int(row[0]) if row else None
    return None


def _ms(values: list[float], share: float) -> str:
    return f"{percentile(values, share) * 1000:.0f} ms" if values else "–"
