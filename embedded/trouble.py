"""An expected end: a sentence for whoever typed the command, with the way out in it."""

from __future__ import annotations


class Trouble(Exception):  # noqa: N818 - it is met by people, not by code
    """Printed without a traceback."""
