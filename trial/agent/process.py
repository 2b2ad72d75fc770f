"""The agent's process, once Holdfast answers: it lives until SIGTERM, and `agent.json` says what it does just now."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path

import httpx

from embedded.postgres import write_private
from trial.agent.life import Agent, Command
from trial.agent.sitting import Sitting
from trial.agent.words import STATUS
from trial.estate import Estate


async def work(home: Path, estate: Estate, origin: str, command: Command) -> None:
    async with httpx.AsyncClient(base_url=origin, timeout=3.0) as client:
        agent = Agent(home, estate, Sitting(client, home), command)
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
