"""The agent's life: begin a session, take up the tools, do one thing after the other; stand still when it is told to, and say why.

A refusal is no error here. Who is paused sets aside what made them stop, and asks the guard nothing more until the session is active.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
from mcp.shared.exceptions import MCPError

from trial.agent.diary import Diary
from trial.agent.hands import Hands, Said, ToolsGone, hands
from trial.agent.planner import Call, Planner
from trial.agent.sitting import A_SIGN_EVERY, NotNow, Sitting
from trial.estate import Estate
from trial.tools import mail
from trial.tools.desk import ROLE, Desk
from trial.workloads.base import Status

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds between two calls
LOOK_AGAIN = 1.5  # while it stands still
ASK_AGAIN = 6.0  # seconds until a held call is made again
STOPPED = ("session_paused", "contained")
RESTRICTED = "session_restricted"
OVER = ("session_ended", "session_expired", "unknown_session")

Command = Callable[[str], Sequence[str]]  # a session's name -> what starts the tools for it, behind the guard


class SessionOver(Exception):  # noqa: N818 - an ordinary end
    """The session ended. The next one is another."""


class Agent:
    def __init__(self, home: Path, estate: Estate, sitting: Sitting, command: Command) -> None:
        self.home = home
        self.estate = estate
        self.sitting = sitting
        self.command = command
        self.planner = Planner()
        self.diary = Diary(estate)
        self.status = Status(sitting.name, ROLE)
        self.held: list[tuple[float, Call]] = []  # when to make it again
        self.every = EVERY
        self._asked_about: frozenset[str] = frozenset()
        self._alive_at = 0.0

    async def live(self) -> None:
        """For ever. Whatever dies under it is started again."""
        while True:
            try:
                await self._one_session()
            except Exception as fault:
                end = _innermost(fault)
                if isinstance(end, NotNow | SessionOver):
                    self.status.waits(str(end))
                elif isinstance(end, ToolsGone | MCPError | OSError):
                    self.status.waits(f"My tools are gone, I start them again ({end})")
                else:
                    self._survive(fault)
            await asyncio.sleep(LOOK_AGAIN)

    def _survive(self, fault: Exception) -> None:
        """Whatever stands in a text, it ends no process: what it asked for is set aside, and the rest of the work goes on."""
        log.error("Set aside what I was doing", exc_info=fault)
        self.planner.set_aside(Call(""))
        self.held.clear()
        self.status.waits(f"I set aside what I was doing, which went wrong ({type(_innermost(fault)).__name__})")

    async def _one_session(self) -> None:
        await self.sitting.begin()
        self.status.session = self.sitting.name
        async with hands(self.command(self.sitting.name), self.sitting.token()) as tools:
            self.status.connections += 1
            while True:
                await self._show_that_it_lives()
                await self._one_call(tools)
                await asyncio.sleep(self.every)

    async def _one_call(self, tools: Hands) -> None:
        self._take_up_what_was_held()
        call = self.planner.next()
        said = await (self._past_the_tools(call) if call.past_the_tools else tools.do(call))
        if self._is_worth_noting(call, said):
            await asyncio.to_thread(self.diary.note, self.sitting.name, call, said)
        await self._take(call, said)

    def _is_worth_noting(self, call: Call, said: Said) -> bool:
        """What a text asked for, and every no. That it still waits for people, only once."""
        again = said.answer == "held" and call.about in self._asked_about
        self._asked_about = self._asked_about | {call.about} if said.answer == "held" else self._asked_about - {call.about}
        return not again and (bool(call.source) or said.answer not in ("done", "unanswered"))

    async def _take(self, call: Call, said: Said) -> None:
        """What came back, and what follows from it."""
        if said.answer == "done":
            self.planner.did(call, said.result)
            self.status.did_well()
        elif said.answer == "held":
            self.planner.put_off(call)
            self.held.append((time.monotonic() + ASK_AGAIN, call))
            self.status.waits(said.told)
        elif said.answer == "unanswered":
            self.status.waits(said.told)
        elif said.reason in OVER:
            raise SessionOver(said.told)
        elif said.reason in STOPPED:
            await self._stand_still(call, said.told)
        else:
            self.planner.give_up(call)
            self.status.was_refused(said.told)
            if said.reason == RESTRICTED:
                self.planner.set_aside(call)

    async def _stand_still(self, call: Call, told: str) -> None:
        """Until the session is active again. The guard is not asked meanwhile: looking at the session's state is no call."""
        self.planner.set_aside(call)
        self.held.clear()
        state, why = "paused", ""
        while state != "active":
            self.status.waits(f"My session is {state}: {told or why or 'no reason given'}")
            await asyncio.sleep(LOOK_AGAIN)
            state, why = await self.sitting.state()
            if state == "ended":
                raise SessionOver(f"My session was ended: {why or told}")
        await self._show_that_it_lives()

    async def _past_the_tools(self, call: Call) -> Said:
        """What no guard stands before. The agent still looks whether its session may go on: that much it was built to do."""
        state, why = await self.sitting.state()
        if state == "unknown":
            return Said("unanswered", told=why)
        if state != "active":
            return Said("denied", reason=STOPPED[0], told=why)
        try:
            await asyncio.to_thread(self._mail_by_itself, call)
        except (OSError, ValueError, psycopg.Error) as no:
            return Said("failed", told=str(no).partition("\n")[0])
        return Said("done")

    def _mail_by_itself(self, call: Call) -> None:
        mail.send(self.home, **call.arguments)
        desk = Desk(self.estate.conninfo(ROLE, self.sitting.name), self.sitting.name)
        desk.note(call.tool, writes=True, about=call.about)
        desk.close()

    def _take_up_what_was_held(self) -> None:
        if self.held and self.held[0][0] <= time.monotonic():
            self.planner.again(self.held.pop(0)[1])

    async def _show_that_it_lives(self) -> None:
        if time.monotonic() - self._alive_at >= A_SIGN_EVERY:
            await self.sitting.sign_of_life()
            self._alive_at = time.monotonic()


def _innermost(fault: BaseException) -> BaseException:
    """What ended it. The client hands on what is raised beneath it as a group of one."""
    while isinstance(fault, BaseExceptionGroup) and len(fault.exceptions) == 1:
        fault = fault.exceptions[0]
    return fault
