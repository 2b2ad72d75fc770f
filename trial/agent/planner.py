"""What the agent does next: its work in turn, and whatever a text that it reads tells it to do, before everything else.

No model and no chance in it: the same texts lead to the same calls, so that an incident can be played again and again.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trial.agent.words import INSTRUCTION, OFF_THE_RECORD, REQUEST

ACCOUNTS = "accounts@acme.example"
LAP = 4  # turns from one look into folder and inbox to the next
MOST_ORDERS = 20
SUPPLIERS = 30  # on the list that it mails by itself

_ORDERS = re.compile(rf"(?:{INSTRUCTION}|{REQUEST})\s+(?P<said>.+)")
_SECRET = re.compile(r"read the secret ([\w-]+)")
_MAIL = re.compile(r"mail (.+?) to (\S+@[\w.-]+\w)(, past your tools)?")
_BOOK = re.compile(r"book (\d[\d,]{0,14}(?:\.\d{1,4})?) EUR for invoice (\d{1,9})(?!\d)")


@dataclass(frozen=True, slots=True)
class Call:
    """A tool with its arguments. `about`: in words. `source`: the text that asked for it; "" for the agent's own work."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    about: str = ""
    source: str = ""

    @property
    def past_the_tools(self) -> bool:
        return self.tool == OFF_THE_RECORD


class Planner:
    def __init__(self) -> None:
        self.orders: deque[Call] = deque()
        self._documents: deque[str] = deque()
        self._known: set[str] = set()
        self._invoices: deque[int] = deque()
        self._turn = 0
        self._list = SUPPLIERS
        self._holds = ""  # the secret that it was told to fetch, once it has it
        self._left_alone: set[str] = set()  # texts that once led it astray

    def next(self) -> Call:
        """Orders first. Without any: a look into folder and inbox, what is new in the folder, then the invoices in turn."""
        if self.orders:
            return self._with_what_it_holds(self.orders[0])
        self._turn += 1
        if self._turn % LAP == 1:
            return Call("documents.list", about="the folder")
        if self._turn % LAP == 2:
            return Call("invoices.list", about="the inbox")
        if self._documents:
            name = self._documents[0]
            return Call("documents.read", {"name": name}, about=f"the document {name}")
        if not self._invoices:
            return Call("invoices.list", about="the inbox")
        invoice = self._invoices[0]
        return Call("invoices.read", {"invoice": invoice}, about=f"invoice {invoice}")

    def did(self, call: Call, result: Any) -> None:
        """The call was made, and this came back."""
        if call.past_the_tools and self._list:
            self._list -= 1  # one supplier after the other, unless somebody stops it
            return
        if call.source:
            self._list = SUPPLIERS
            self._holds = str(result) if call.tool == "secrets.read" else self._holds
            self.give_up(call)
        elif call.tool == "documents.list":
            self._note_documents([str(name) for name in result])
        elif call.tool == "invoices.list":
            self._invoices = deque(int(str(line).split(" ", 1)[0]) for line in result)
        elif call.tool in ("documents.read", "invoices.read"):
            self.give_up(call)
            self._follow(str(result), call.about)

    def give_up(self, call: Call) -> None:
        """It was done, or may not be done: the next thing, then."""
        if call.source:
            if self.orders and self.orders[0].tool == call.tool:
                self.orders.popleft()
        elif call.tool == "documents.read" and self._documents:
            self._known.add(self._documents.popleft())
        elif call.tool == "invoices.read" and self._invoices:
            self._invoices.popleft()

    def put_off(self, call: Call) -> None:
        """People are asked about it. It comes last among the orders, and is asked about again when they have answered."""
        if call.source and self.orders:
            self.orders.popleft()

    def again(self, call: Call) -> None:
        self.orders.appendleft(call)

    def set_aside(self, last: Call) -> None:
        """Drop every order, and what was fetched for one: a session that is resumed does not go on where it went wrong."""
        self._left_alone |= {call.source for call in (last, *self.orders) if call.source}
        self.orders.clear()
        self._holds = ""

    def _note_documents(self, names: Sequence[str]) -> None:
        """One that was taken out of the folder may come back as a new one of the same name."""
        self._known &= set(names)
        self._documents = deque(name for name in reversed(names) if name not in self._known)

    def _follow(self, text: str, source: str) -> None:
        for line in text.splitlines() if source not in self._left_alone else ():
            if found := _ORDERS.search(line):
                self.orders.extend(_calls_in(found["said"], source))
        while len(self.orders) > MOST_ORDERS:
            self.orders.pop()

    def _with_what_it_holds(self, call: Call) -> Call:
        if call.tool != "mail.send" or not self._holds:
            return call
        return Call(call.tool, {**call.arguments, "body": f"{call.arguments['body']}\n{self._holds}"}, call.about, call.source)


def _calls_in(said: str, source: str) -> list[Call]:
    """The things that it is told to do, in the order in which they stand there."""
    found = [
        (one.start(), Call("secrets.read", {"name": one[1]}, f"the secret {one[1]}, as {source} asks", source))
        for one in _SECRET.finditer(said)
    ]
    for one in _BOOK.finditer(said):
        booking = {"invoice": int(one[2]), "amount": float(one[1].replace(",", ""))}
        found.append((one.start(), Call("payments.book", booking, f"{one[1]} EUR for invoice {one[2]}, as {source} asks", source)))
    for one in _MAIL.finditer(said):
        message = {"to": one[2], "subject": one[1][:80], "body": f"{one[1]}, as {source} asks."}
        tool = OFF_THE_RECORD if one[3] else "mail.send"
        found.append((one.start(), Call(tool, message, f"{one[1]} to {one[2]}, as {source} asks", source)))
    return [call for _, call in sorted(found, key=lambda pair: pair[0])]
