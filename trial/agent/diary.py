"""The agent's diary in the estate: what it wanted because a text said so, or was refused, and what it was told. For its user to read."""

from __future__ import annotations

import psycopg

from trial.agent.hands import Said
from trial.agent.planner import Call
from trial.estate import Estate
from trial.tools.desk import ROLE


class Diary:
    def __init__(self, estate: Estate) -> None:
        self.estate = estate

    def note(self, session: str, call: Call, said: Said) -> None:
        """What the estate does not take, because the role is cut off, is not noted: the agent is stopped then, and its status says so."""
        try:
            with self.estate.connect(ROLE, session) as connection:
                connection.execute(
                    "INSERT INTO agents.diary (session, tool, about, answer, reason, evaluation, told) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    [session, call.tool, call.about, said.answer, said.reason, said.evaluation, said.told if said.answer != "done" else ""],
                )
        except psycopg.Error:
            return
