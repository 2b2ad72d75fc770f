"""The estate's mail server: it takes every message over SMTP, here alone, writes it into mail.arrived, and delivers it to nobody.

So that anybody can see whether something got out: what stands in the table left the program that sent it.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path

import psycopg

from embedded.postgres import write_private
from trial.estate import Estate
from trial.tools.mail import SINK

ROLE = "mail_sink"
LONGEST_LINE = 4_096
LONGEST_MESSAGE = 1 << 20
MOST_RECIPIENTS = 20
PATIENCE = 20.0  # seconds that a client may say nothing


class MailSink(threading.Thread):
    """Listens until it is stopped. Its port stands in `mail-sink.json`, newly written at each start."""

    def __init__(self, estate: Estate, home: Path, stop: threading.Event) -> None:
        super().__init__(name="mail sink", daemon=True)
        self.stop = stop
        self.estate = estate
        self.server = _Server(("127.0.0.1", 0), _Conversation, bind_and_activate=True)
        self.server.keep = self._keep
        write_private(home / SINK, json.dumps({"port": self.server.server_address[1]}))

    def run(self) -> None:
        serving = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
        serving.start()
        while serving.is_alive() and not self.stop.wait(0.2):
            pass
        self.server.shutdown()
        self.server.server_close()

    def _keep(self, sender: str, recipients: list[str], message: bytes) -> None:
        read = message_from_bytes(message, policy=policy.default)
        part = read.get_body(("plain",))
        body = part.get_content().replace("\r\n", "\n") if part else ""
        with self.estate.connect(ROLE, "mail-sink") as connection:
            connection.execute(
                "INSERT INTO mail.arrived (sender, recipients, subject, body) VALUES (%s, %s, %s, %s)",
                [sender, recipients, str(read["Subject"] or ""), body.replace("\0", "")],
            )


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    keep: Callable[[str, list[str], bytes], None]


class _Conversation(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as every client speaks."""

    timeout = PATIENCE
    server: _Server

    def handle(self) -> None:
        self.sender: str | None = None
        self.recipients: list[str] = []
        self._say("220 mail of the estate")
        while line := self.rfile.readline(LONGEST_LINE):
            word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            if word.upper() == "QUIT":
                self._say("221 goodbye")
                return
            self._answer(word.upper(), rest)

    def _answer(self, word: str, rest: str) -> None:
        if word in ("HELO", "EHLO"):
            self._say("250 at your service")
        elif word == "MAIL":
            self.sender, self.recipients = _address(rest), []
            self._say("250 ok")
        elif word == "RCPT" and self.sender is not None and len(self.recipients) < MOST_RECIPIENTS:
            self.recipients.append(_address(rest))
            self._say("250 ok")
        elif word == "DATA" and self.recipients:
            self._say("354 go ahead")
            self._take()
        elif word in ("RSET", "NOOP"):
            self.sender, self.recipients = (None, []) if word == "RSET" else (self.sender, self.recipients)
            self._say("250 ok")
        else:
            self._say("503 not now")

    def _take(self) -> None:
        message = b""
        while (line := self.rfile.readline(LONGEST_LINE)) not in (b".\r\n", b".\n", b""):
            if len(message) <= LONGEST_MESSAGE:
                message += line[1:] if line.startswith(b".") else line
        if len(message) > LONGEST_MESSAGE:
            self._say("552 too long")
            return
        try:
            self.server.keep(self.sender or "", self.recipients, message)
        except psycopg.Error:
            self._say("451 nowhere to put it just now")
        else:
            self._say("250 kept")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


def _address(rest: str) -> str:
    """FROM:<dora@acme.example> SIZE=10"""
    return rest.partition(":")[2].strip().partition(" ")[0].strip("<>")
