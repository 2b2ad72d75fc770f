"""Celery's transport for Valkey, which survives what is no message: it left the worker with an exception, and the worker ended."""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import redis

log = logging.getLogger(__name__)


class Channel(redis.Channel):
    def _brpop_read(self, **options: Any) -> Any:
        """What was taken from the queue and cannot be read is dropped: a message says "look again", and the sweepers look anyway."""
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            log.warning("something in the queue is no message, and was dropped: %s", type(error).__name__)
            return None


class Transport(redis.Transport):
    Channel = Channel
