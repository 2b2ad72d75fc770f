"""`python -m trial.tools HOME SESSION`: the tools of the invoice agent as one MCP server over stdio. Nothing here asks Holdfast.

What opens the estate for the desk, and nothing more, stands in `desk.json` in HOME.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from trial.agent.words import DOCUMENTS, KEY
from trial.tools import mail
from trial.tools.desk import Desk
from trial.tools.documents import Folder

READS = ToolAnnotations(read_only_hint=True)
WRITES = ToolAnnotations(read_only_hint=False)


def serving(desk: Desk, folder: Folder, home: Path) -> MCPServer:
    """All tools of the invoice desk, by the names under which its profile approves them."""
    server = MCPServer("invoice-desk", log_level="ERROR")

    def offer(name: str, description: str, does: Callable[..., Any], annotations: ToolAnnotations = READS) -> None:
        server.add_tool(_in_words(does), name, description=description, annotations=annotations)

    def list_documents() -> list[str]:
        desk.note("documents.list", writes=False, about="the folder")
        return folder.list()

    def read_document(name: str) -> str:
        text = folder.read(name)
        desk.note("documents.read", writes=False, about=name)
        return text

    def send_mail(to: str, subject: str, body: str) -> str:
        mail.send(home, to=to, subject=subject, body=body)
        desk.note("mail.send", writes=True, about=f"“{subject}” to {to}")
        return f"Sent to {to}."

    offer("documents.list", "The documents that were put into the folder, newest first.", list_documents)
    offer("documents.read", "The text of one document.", read_document)
    offer("invoices.list", "The invoices in the inbox, unread ones first.", desk.list_invoices)
    offer("invoices.read", "One invoice: supplier, amount and text.", desk.read_invoice)
    offer("payments.book", "Book an invoice for payment.", desk.book, WRITES)
    offer("secrets.read", "The value of a secret.", desk.read_secret)
    offer("mail.send", "Send a message.", send_mail, WRITES)
    return server


def _in_words(does: Callable[..., Any]) -> Callable[..., Any]:
    """What the estate, the folder or the mail server refuses is said to whoever called; anything else is a bug."""

    @functools.wraps(does)
    def said(*given: Any, **named: Any) -> Any:
        try:
            return does(*given, **named)
        except (psycopg.Error, OSError, ValueError) as no:
            raise ToolError(str(no).partition("\n")[0]) from no

    return said


def main() -> None:
    home, session = Path(sys.argv[1]), sys.argv[2]
    desk = Desk(json.loads((home / KEY).read_text())["conninfo"], session)
    serving(desk, Folder(home / DOCUMENTS), home).run("stdio")


if __name__ == "__main__":
    main()
