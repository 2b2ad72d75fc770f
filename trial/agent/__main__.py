"""`python -m trial.agent`: the invoice agent, until SIGTERM. script/up keeps it running; what it does just now is in `agent.json`.

Reads HOLDFAST_HOME, HOLDFAST_ESTATE_DSN and HOLDFAST_ORIGIN from the environment.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
import urllib.request
from pathlib import Path

from config import env
from embedded.postgres import write_private
from trial.agent import papers
from trial.agent.words import DOCUMENTS, KEY, PROVIDER, SUBJECT
from trial.estate import Estate
from trial.tools.desk import ROLE

READS = ("documents.*", "invoices.*", "secrets.read")
SYSTEM = "invoice-desk"
PINS = "agent-pins.json"


def tools(home: Path, session: str) -> list[str]:
    return [sys.executable, "-m", "trial.tools", str(home), session]


def behind_the_guard(origin: str, home: Path, session: str) -> list[str]:
    """The proxy before the tools. While Holdfast does not answer nothing is done: neither writes nor reads are open."""
    options = ["--guard", origin, "--subject", SUBJECT, "--provider", PROVIDER, "--session", session, "--system", SYSTEM]
    reads = [word for pattern in READS for word in ("--reads", pattern)]
    pins = ["--pins", str(home / PINS)]
    return [sys.executable, "-m", "holdfast_guard", "mcp-proxy", *options, *reads, *pins, "--", *tools(home, session)]


def main() -> None:
    home, origin = Path(env.text("HOLDFAST_HOME")), env.text("HOLDFAST_ORIGIN", "http://127.0.0.1:8000")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    estate = Estate.at_home(env.text("HOLDFAST_ESTATE_DSN"), home)
    papers.lay_out(home / DOCUMENTS)
    write_private(home / KEY, json.dumps({"conninfo": estate.conninfo(ROLE, "")}))
    while not _answers(origin):
        time.sleep(1.0)
    from trial.agent.process import work  # with the library of its tools, which takes its time: whoever waits for the first page goes first

    asyncio.run(work(home, estate, origin, lambda session: behind_the_guard(origin, home, session)))


def _answers(origin: str) -> bool:
    try:
        with urllib.request.urlopen(f"{origin}/livez", timeout=2.0) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()
