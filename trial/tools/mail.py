"""Mail goes to the trial's own mail server, on this machine, which delivers nothing (trial/workloads/mail_sink.py)."""

from __future__ import annotations

import json
import smtplib
from email.message import EmailMessage
from pathlib import Path

SINK = "mail-sink.json"  # where the mail server writes down its port
SENDER = "invoices@acme.example"
PATIENCE = 5.0


def send(home: Path, *, to: str, subject: str, body: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, to, subject
    message.set_content(body)
    port = int(json.loads((home / SINK).read_text())["port"])
    with smtplib.SMTP("127.0.0.1", port, local_hostname="acme.example", timeout=PATIENCE) as server:
        server.send_message(message)
