"""The agent's tools as any MCP client sees them, and the mail server that keeps what they send."""

from __future__ import annotations

import asyncio
import smtplib
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from tests.trial.helpers import ask, do
from trial.agent.papers import PAPERS, lay_out
from trial.agent.words import DOCUMENTS
from trial.estate import Estate
from trial.tools import mail
from trial.tools.__main__ import serving
from trial.tools.desk import ROLE, Desk
from trial.tools.documents import Folder
from trial.workloads.mail_sink import MailSink

Reach = Callable[[Callable[[Client], Awaitable[Any]]], Any]


@pytest.fixture
def reach(built: Estate, home: Path, sink: MailSink) -> Iterator[Reach]:
    """Runs something with a client of the tools."""
    lay_out(home / DOCUMENTS)
    desk = Desk(built.conninfo(ROLE, "a-test"), "a-test")
    server = serving(desk, Folder(home / DOCUMENTS), home)

    def run(work: Callable[[Client], Awaitable[Any]]) -> Any:
        async def connected() -> Any:
            async with Client(server) as client:
                return await work(client)

        return asyncio.run(connected())

    yield run
    desk.close()
    do(built, "TRUNCATE agents.calls, agents.bookings")


def test_the_tools_say_what_they_are(reach: Reach) -> None:
    async def listed(client: Client) -> dict[str, bool | None]:
        return {tool.name: tool.annotations.read_only_hint if tool.annotations else None for tool in (await client.list_tools()).tools}

    assert reach(listed) == {
        "documents.list": True,
        "documents.read": True,
        "invoices.list": True,
        "invoices.read": True,
        "payments.book": False,
        "secrets.read": True,
        "mail.send": False,
    }


def test_the_folder_is_read_and_nothing_beside_it(reach: Reach, home: Path) -> None:
    (home / "beside.txt").write_text("not yours")

    async def work(client: Client) -> tuple[Any, Any, bool]:
        names = await client.call_tool("documents.list", {})
        text = await client.call_tool("documents.read", {"name": "suppliers.txt"})
        away = await client.call_tool("documents.read", {"name": "../beside.txt"})
        return names.structured_content, text.structured_content, away.is_error

    names, text, refused = reach(work)
    assert set(names["result"]) >= set(PAPERS)
    assert text["result"] == PAPERS["suppliers.txt"]
    assert refused


def test_every_act_leaves_a_row_and_a_secret_even_one_that_is_sought_in_vain(reach: Reach, built: Estate) -> None:
    async def work(client: Client) -> str:
        await client.call_tool("invoices.read", {"invoice": 3})
        failed = await client.call_tool("secrets.read", {"name": "no-such"})
        assert failed.is_error
        return str((await client.call_tool("secrets.read", {"name": "payout-key"})).structured_content)

    do(built, "TRUNCATE agents.calls")
    assert "decoy_" in reach(work)
    assert ask(built, "SELECT array_agg(tool || ' ' || session ORDER BY id) FROM agents.calls") == [
        "invoices.read a-test",
        "secrets.read a-test",
        "secrets.read a-test",
    ]


def test_an_invoice_is_booked_once_however_often_it_is_tried(reach: Reach, built: Estate) -> None:
    async def work(client: Client) -> None:
        for _ in range(2):
            await client.call_tool("payments.book", {"invoice": 7, "amount": 120.5})

    reach(work)
    assert ask(built, "SELECT count(*) || ' ' || sum(amount) FROM agents.bookings") == "1 120.50"


def test_mail_ends_in_the_estate_word_for_word(reach: Reach, built: Estate) -> None:
    async def work(client: Client) -> Any:
        message = {"to": "accounts@acme.example", "subject": "Größe", "body": "Zwei Zeilen.\n.Mit Punkt."}
        return (await client.call_tool("mail.send", message)).is_error

    assert reach(work) is False
    assert ask(built, "SELECT recipients || subject || body FROM mail.arrived") == [
        "accounts@acme.example",
        "Größe",
        "Zwei Zeilen.\n.Mit Punkt.\n",
    ]


def test_without_the_mail_server_the_tool_says_so_and_notes_nothing(reach: Reach, built: Estate, sink: MailSink) -> None:
    async def work(client: Client) -> bool | None:
        sink.stop.set()
        await asyncio.to_thread(sink.join, 10)
        return (await client.call_tool("mail.send", {"to": "a@acme.example", "subject": "s", "body": "b"})).is_error

    do(built, "TRUNCATE agents.calls")
    assert reach(work) is True
    assert ask(built, "SELECT count(*) FROM agents.calls") == 0


def test_the_mail_server_refuses_what_is_out_of_turn_or_too_long(built: Estate, home: Path, sink: MailSink) -> None:
    with smtplib.SMTP("127.0.0.1", sink.server.server_address[1], timeout=5) as client:
        assert client.docmd("DATA")[0] == 503
        assert client.docmd("VRFY", "somebody")[0] == 503
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("a@acme.example", ["b@acme.example"], "Subject: long\r\n\r\n" + ("y" * 1000 + "\r\n") * 1100)
        assert refused.value.smtp_code == 552
    mail.send(home, to="b@acme.example", subject="short", body="still here")
    assert ask(built, "SELECT array_agg(subject) FROM mail.arrived") == ["short"]


def test_importing_the_workloads_does_not_bring_in_the_tools_library() -> None:
    """It takes more than a second, in which nothing of the estate would work."""
    code = "import sys, trial.workloads.__main__; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
