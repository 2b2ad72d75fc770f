"""A storm: many detections about many identities at once, and a budget that covers few of them. Exactly so many are contained by
themselves; everybody else waits in one grouped hold. The command fails where that is not so.

Everything runs on one machine: the product with its servers, the estate, and the clients beside them.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx

from bench.report import percentile, table, write
from core.ids import uuid7
from tests.crash.stack import ATTACK, Stack, running

MOST_SHOWN = 5
BUSY = 503


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/bench storm")
    parser.add_argument("--detections", type=int, default=5000)
    parser.add_argument("--identities", type=int, default=1000)
    parser.add_argument("--budget", type=int, default=20)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--dry", action="store_true", help="print, and leave docs/performance.md alone")
    given = parser.parse_args(words)
    with running() as stack:
        storm = Storm(stack, given.detections, given.identities, given.budget, given.clients)
        storm.rage()
        found = storm.found()
    body = table(["what", "found"], [[what, said] for what, said in found.items()])
    print(body)  # noqa: T201
    if storm.wrong:
        print("\n".join(storm.wrong))  # noqa: T201
        return 1
    if not given.dry:
        options = f"--detections {given.detections} --identities {given.identities} --budget {given.budget} --clients {given.clients}"
        write("Storm", f"script/bench storm {options}", body)
    return 0


class Storm:
    def __init__(self, stack: Stack, detections: int, identities: int, budget: int, clients: int) -> None:
        self.stack, self.detections, self.identities, self.budget, self.clients = stack, detections, identities, budget, clients
        self.subjects = [stack.new_role(f"storm_{uuid7().hex[-12:]}") for _ in range(identities)]
        self.took: list[float] = []
        self.statuses: dict[int, int] = {}
        self.wrong: list[str] = []
        self.busy = 0
        self.posted = self.decided = 0.0
        self._lock = threading.Lock()
        allow(stack, budget)

    def rage(self) -> None:
        """Each identity is reported again and again, in no order, by all clients at once."""
        order = [self.subjects[number % self.identities] for number in range(self.detections)]
        random.Random(1).shuffle(order)  # noqa: S311 - an order, not a secret
        began = time.perf_counter()
        with ThreadPoolExecutor(self.clients) as pool:
            for done in [pool.submit(self._post, order[share :: self.clients]) for share in range(self.clients)]:
                done.result()
        self.posted = time.perf_counter() - began
        while self.stack.sql("SELECT count(*) FROM detection WHERE state = 'received'") != [(0,)]:
            time.sleep(0.2)
        self.decided = time.perf_counter() - began

    def _post(self, subjects: list[str]) -> None:
        access = self.stack.access
        headers = {"Authorization": f"Bearer {access['tokens']['detections']}"}
        with httpx.Client(base_url=access["url"], headers=headers, timeout=120) as client:
            for subject in subjects:
                began, message = time.perf_counter(), _message(subject)
                while (answer := client.post("/api/v1/detections", json=message)).status_code == BUSY:
                    with self._lock:  # nothing was done, and it says so: an integration sends the same again
                        self.busy += 1
                    time.sleep(0.5)
                with self._lock:
                    self.took.append(time.perf_counter() - began)
                    self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
                    if answer.status_code >= 300 and len(self.wrong) < MOST_SHOWN:
                        self.wrong.append(f"WRONG: {answer.status_code} {answer.text[:300]}")

    def found(self) -> dict[str, str]:
        """What became of it, read from the rows and from the estate."""
        contained = self._count(
            "SELECT count(DISTINCT identity_id) FROM decision JOIN detection ON detection.id = detection_id WHERE verdict = 'contain'"
        )
        spent = self._count("SELECT count(DISTINCT identity_id) FROM containment_spend")
        groups = self.stack.sql("SELECT count(*) FROM hold WHERE grouped")[0][0]
        waiting = self._count("SELECT count(DISTINCT identity_ref) FROM hold_member WHERE state = 'waiting'")
        alone = self._count("SELECT count(*) FROM hold WHERE NOT grouped")
        alarms = self._count("SELECT count(*) FROM budget_alarm")
        cut = self._cut(contained)
        expected = min(self.budget, self.identities)
        self._expect("identities contained by themselves", contained, expected)
        self._expect("identities spent", spent, expected)
        self._expect("roles cut off in the estate", cut, expected)
        self._expect("grouped holds", groups, 1 if self.identities > self.budget else 0)
        self._expect("identities waiting in it", waiting, self.identities - expected)
        self._expect("other holds", alone, 0)
        self._expect("alarms", alarms, 1 if self.identities > self.budget else 0)
        self._expect("answers other than 201 and 202", sum(n for status, n in self.statuses.items() if status not in {201, 202}), 0)
        return {
            f"detections, {self.clients} clients at once": f"{self.detections} about {self.identities} identities",
            "budget for the hour": str(self.budget),
            "contained by themselves, and cut off in the estate": f"{contained}, {cut}",
            "grouped holds, and identities waiting in them": f"{groups}, {waiting}",
            "answered per second": f"{self.detections / self.posted:.0f}",
            "POST to answer, p50 and p99": f"{percentile(self.took, 0.5) * 1000:.0f} ms, {percentile(self.took, 0.99) * 1000:.0f} ms",
            "told to try again (503)": str(self.busy),
            "decided later, by workers and sweepers": str(self.statuses.get(202, 0)),
            "all decided after": f"{self.decided:.1f} s",
        }

    def _cut(self, expected: int) -> int:
        """Roles that may not connect any more, once those that were started have come to rest."""
        ends, cut = time.monotonic() + 120, -1
        while cut != expected and time.monotonic() < ends:
            with self.stack.estate() as estate:
                row = estate.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'storm\\_%' AND rolconnlimit = 0").fetchone()
                cut = int(row[0]) if row else -1
            time.sleep(0.2)
        return cut

    def _count(self, query: str) -> int:
        return int(self.stack.sql(query)[0][0])

    def _expect(self, what: str, found: int, expected: int) -> None:
        if found != expected:
            self.wrong.append(f"WRONG: {what}: {found}, and not {expected}")


def allow(stack: Stack, budget: int) -> None:
    """A policy with this budget in force, as if it had shipped, and a source whose own limits do not come first."""
    done = stack.manage("shell", "-c", _ALLOW.format(budget=budget))
    if done.returncode:
        raise RuntimeError(done.stderr)


_ALLOW = """
import re
from audit import clock
from containment.models import RiskPolicyVersion, Source
from core.digest import digest_of_bytes
old = RiskPolicyVersion.objects.get(state="in_force")
text = re.sub("per_source_hour: [0-9]+", "per_source_hour: {budget}", old.text)
RiskPolicyVersion.objects.filter(pk=old.pk).update(state="superseded")
RiskPolicyVersion.objects.create(version=old.version + 1, text=text, digest=digest_of_bytes(text.encode()), shipped=True, state="in_force",
                                 drafted_at=clock.now(), in_force_at=clock.now())
Source.objects.update(rate_per_minute=1_000_000, budget_per_hour=max(60, {budget}))
"""


def _message(subject: str) -> dict[str, Any]:
    return ATTACK | {
        "external_id": str(uuid7()),
        "occurred_at": datetime.now(UTC).isoformat(),
        "identity": {"kind": "service_account", "provider": "postgres", "subject": subject},
        "credential": {"kind": "db_role", "id": subject},
    }
