#!/usr/bin/env python3
"""Django's command line. For a trial it takes its environment from home (HOLDFAST_HOME, else .holdfast), where script/up left it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def take_the_trials_environment() -> None:
    home = Path(os.environ.get("HOLDFAST_HOME", Path(__file__).resolve().parent / ".holdfast"))
    told = home / "environment.json"
    if "HOLDFAST_SECRET_KEY" not in os.environ and told.exists():
        os.environ |= json.loads(told.read_text())


if __name__ == "__main__":
    take_the_trials_environment()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
