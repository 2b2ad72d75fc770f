"""`python -m trial.agent`: the invoice agent, until SIGTERM. script/up keeps it running; what it does just now is in `agent.json`.

Reads HOLDFAST_HOME, HOLDFAST_ESTATE_DSN and HOLDFAST_ORIGIN from the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import httpx

from config import env
from embedded.postgres import write_private
from trial.agent import papers
from trial.agent.life import Agent
from trial.agent.sitting import Sitting
from trial.agent.words import DOCUMENTS, KEY, PROVIDER, STATUS, SUBJECT
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


async def main() -> None:
    home, origin = Path(env.text("HOLDFAST_HOME")), env.text("HOLDFAST_ORIGIN", "http://127.0.0.1:8000")
    estate = Estate.at_home(env.text("HOLDFAST_ESTATE_DSN"), home)
    papers.lay_out(home / DOCUMENTS)
    write_private(home / KEY, json.dumps({"conninfo": estate.conninfo(ROLE, "")}))
    async with httpx.AsyncClient(base_url=origin, timeout=3.0) as client:
        agent = Agent(home, estate, Sitting(client, home), lambda session: behind_the_guard(origin, home, session))
        living = asyncio.ensure_future(agent.live())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, living.cancel)
        telling = asyncio.ensure_future(_tell(agent, home))
        with contextlib.suppress(asyncio.CancelledError):
            await living
        telling.cancel()


async def _tell(agent: Agent, home: Path) -> None:
    while True:
        write_private(home / STATUS, json.dumps(agent.status.public(), indent=1))
        await asyncio.sleep(1.0)


if __name__ == "__main__":
    asyncio.run(main())
