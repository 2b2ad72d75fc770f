"""Celery: carries nudges to workers. No beat, no ETA, no results: a lost message costs at most a sweep.

The settings are the ones under which a killed worker or broker loses nothing; `assert_settings` refuses to start under others.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from celery import Celery
from celery.signals import celeryd_init
from kombu.transport import TRANSPORT_ALIASES

from config import env

SETTINGS: dict[str, Any] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "task_ignore_result": True,
    "result_backend": None,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_time_limit": 60,
    "task_soft_time_limit": 45,
    "worker_max_tasks_per_child": 500,
    "worker_max_memory_per_child": 300_000,
    "worker_soft_shutdown_timeout": 5.0,
    "worker_enable_soft_shutdown_on_idle": True,
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "worker_hijack_root_logger": False,
    "worker_send_task_events": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": 2.0,
    "task_publish_retry": False,  # the sweepers are the retry
    "task_default_queue": "holdfast",
    "enable_utc": True,
    "timezone": "UTC",
}
RABBITMQ: dict[str, Any] = {
    "broker_transport_options": {
        "confirm_publish": True,
        "read_timeout": 10,  # of one answer: a node that is full or frozen must not keep for ever who speaks to it
        "write_timeout": 5,
    },
    "task_default_queue_type": "quorum",
    "worker_detect_quorum_queues": True,
}


def settings(url: str) -> dict[str, Any]:
    """For the broker at this address: RabbitMQ with quorum queues, or Valkey (Redis too, by TCP or by a socket)."""
    if url.startswith("amqp"):
        return SETTINGS | RABBITMQ | {"broker_url": url}
    options = {
        "visibility_timeout": 300,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": not url.startswith("redis+socket"),
        "health_check_interval": 10,
    }
    return SETTINGS | {"broker_transport_options": options, "broker_url": url}


USED = settings(env.text("BROKER_URL", "redis://127.0.0.1:6379/2"))

TRANSPORT_ALIASES |= dict.fromkeys(("redis", "rediss", "redis+socket"), "config.valkey:Transport")
app = Celery("holdfast")
app.conf.update(USED)
app.autodiscover_tasks(["playbooks", "containment"])


@celeryd_init.connect
def assert_settings(**_: Any) -> None:
    """A worker under other settings would lose or double work: it does not start."""
    wrong = [name for name, value in USED.items() if name != "broker_url" and app.conf.get(name) != value]
    if wrong:
        raise SystemExit(f"Celery settings differ from the ones that lose nothing: {', '.join(sorted(wrong))}.")
