"""Run a sweeper: a plain process that finds due work and does what is overdue. Run two."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from containment.sweep import Sweeper


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default=f"sweeper@{socket.gethostname()}:{os.getpid()}")

    def handle(self, *args: Any, **options: Any) -> None:
        sweeper = Sweeper(options["name"])

        def stop(*_: Any) -> None:
            sweeper.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        sweeper.run()
